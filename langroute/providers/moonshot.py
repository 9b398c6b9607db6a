"""Profile of Moonshot (Kimi).

Source: https://platform.moonshot.ai/docs/api/chat and /docs/api/errors. Read 2026-11-29: https://platform.kimi.ai/docs/api/errors,
https://www.kimi.com/help/kimi-api/api-troubleshooting (403 with an empty account), https://www.kimi.com/code/docs (error reference), and
errors in issues 2011 and 2318 of MoonshotAI/kimi-cli, 1857 of MoonshotAI/kimi-code and 142656 of openclaw/openclaw.
"""

from __future__ import annotations

from langroute.providers.openai_protocol import ERRORS, FINISH_REASONS
from langroute.providers.profile import ErrorRule, ProviderProfile

MOONSHOT = ProviderProfile(
    "moonshot",
    aliases=("moonshot", "moonshotai"),
    hosts=("api.moonshot.ai", "api.moonshot.cn"),
    models=r"(?:^|/)(?:kimi|moonshot)",
    price_id="moonshotai",
    wire="openai-compatible",
    wire_changes={"openai-compatible": {"own_tools": r"builtin_function", "temperature": (0, 1), "max_stops": 5}},
    model_wire_changes={
        # The id is part of the prompt that the model reads: docs/tool_call_guidance.md of MoonshotAI/Kimi-K2 (read 2026-11-29).
        "openai-compatible": {
            "tool_id": r"[^<\s]{1,128}:\d{1,6}",
            "tool_id_form": "functions.{name}:{number}",
            # Names of Kimi's own tools begin with a dollar: /docs/guide/use-web-search.
            "tool_name": r"\$?[a-zA-Z_][a-zA-Z0-9_-]{0,63}",
        },
    },
    finish_reasons=FINISH_REASONS,
    always_gives_reason=True,
    errors=(
        *ERRORS,
        ErrorRule("context_overflow", words=("exceeded model token limit", "input token length too long")),
        # An empty account and a missing right are both 403: the words tell them apart, and the status stands for the right.
        ErrorRule(
            "quota",
            codes=("exceeded_current_quota_error",),
            words=(
                "insufficient balance", "reached organization tpd rate limit",
                "reached your usage limit for this", "reached your weekly (7-day) usage limit",
            ),
        ),
        ErrorRule("auth", codes=("invalid_authentication_error", "incorrect_api_key_error")),
        ErrorRule("model_unavailable", codes=("resource_not_found_error",)),
        ErrorRule("unsupported", words=("thinking is enabled but reasoning_content is missing",)),
        ErrorRule("overloaded", codes=("engine_overloaded_error",)),
        ErrorRule("rate_limited", codes=("rate_limit_reached_error",)),
    ),
)  # fmt: skip
