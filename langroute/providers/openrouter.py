"""Profile of OpenRouter.

Source: https://openrouter.ai/docs/api-reference/errors and /overview (finish reasons, usage accounting). Read 2026-11-29:
/docs/api_reference/errors-and-debugging (the types of errors) and /docs/use-cases/limits (sources of a limit), and errors in pull
request 658 of aiosbrain/aios-team-brain and issue 107166 of NousResearch/hermes-agent; /docs/use-cases/usage-accounting (the cost of a
call, in credits of 1 USD; with a key of one's own it is the fee alone, and the upstream cost stands beside it).
"""

from __future__ import annotations

from langroute.providers.openai_protocol import ERRORS, FINISH_REASONS
from langroute.providers.profile import BillingRules, ErrorRule, ProviderProfile

OPENROUTER = ProviderProfile(
    "openrouter",
    aliases=("openrouter",),
    hosts=("openrouter.ai",),
    wire="openai-compatible",
    wire_changes={"openai-compatible": {"own_tools": r"openrouter:.+"}},
    finish_reasons=FINISH_REASONS,
    always_gives_reason=True,
    billing=BillingRules(
        stated_cost=(("cost", 1.0),), upstream_cost=("is_byok", "cost_details.upstream_inference_cost")
    ),
    errors=(
        # The budget of requests that run now: 402, and yet a matter of waiting.
        ErrorRule("rate_limited", codes=("openrouter_in_flight_budget",)),
        *ERRORS,
        ErrorRule(
            "quota",
            codes=(
                "openrouter_credits", "openrouter_key_limit", "openrouter_guardrail_budget", "openrouter_workspace_budget",
                "payment_required", "token_limit_exceeded",
            ),
        ),
        ErrorRule("overloaded", codes=("provider_overloaded",)),
        ErrorRule("server_error", codes=("provider_unavailable",)),
        ErrorRule("context_overflow", codes=("string_too_long",)),
        ErrorRule("content_filter", codes=("refusal",)),
        ErrorRule("unsupported", codes=("unsupported_image_format",)),
        ErrorRule("quota", words=("requires more credits", "insufficient credits", "key limit exceeded", "budget limit exceeded (")),
        # Of a model; that none of its endpoints can do what is asked begins with the same words.
        ErrorRule(
            "model_unavailable", words=("no endpoints found for", "is not a valid model id", "no allowed providers are available")
        ),
        ErrorRule("unsupported", words=("no endpoints found",)),
        ErrorRule("content_filter", words=("requires moderation on", "input was flagged", "request blocked: prompt injection")),
    ),
)  # fmt: skip
