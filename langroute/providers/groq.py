"""Profile of Groq.

Source: https://console.groq.com/docs/errors and /docs/deprecations. Read 2026-11-29: /docs/errors and /docs/flex-processing; its own
tools: /docs/browser-search and /docs/code-execution.
"""

from __future__ import annotations

from langroute.providers.openai_protocol import ERRORS, FINISH_REASONS
from langroute.providers.profile import BillingRules, ErrorRule, ProviderProfile

GROQ = ProviderProfile(
    "groq",
    aliases=("groq",),
    hosts=("api.groq.com",),
    wire="openai-compatible",
    wire_changes={
        "openai-compatible": {"own_tools": r"browser_search|code_interpreter|mcp", "temperature": (0, 2), "max_stops": 4}
    },
    finish_reasons=FINISH_REASONS,
    always_gives_reason=True,
    # Flex processing costs what on-demand processing does.
    billing=BillingRules(terms=("service_tier",), standard_terms=frozenset({"on_demand", "auto"}), term_factors={"flex": 1.0}),
    errors=(
        *ERRORS,
        # The model wrote a call that cannot be read: another one may write a better one.
        ErrorRule("parsing", codes=("tool_use_failed", "json_validate_failed")),
        ErrorRule("model_unavailable", codes=("model_terms_required", "model_permission_blocked_org")),
        ErrorRule("overloaded", codes=("capacity_exceeded",), statuses=(498, 503)),
        ErrorRule("context_overflow", words=("please reduce the length of the messages",)),
    ),
)
