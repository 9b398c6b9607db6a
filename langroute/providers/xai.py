"""Profile of xAI.

Source: https://docs.x.ai/docs/key-information/debugging and /api-reference; the words of an empty account, with 403 and with 429, in issues
10373 of continuedev/continue and 14867 of warpdotdev/warp (read 2026-11-29); its own tools: /docs/guides/tools/overview.
https://docs.x.ai/developers/cost-tracking (every usage states the cost, in 10,000,000,000ths of a USD; read 2026-11-29).
"""

from __future__ import annotations

from langroute.providers.openai_protocol import COMPATIBLE, ERRORS, FINISH_REASONS
from langroute.providers.profile import BillingRules, ErrorRule, ProviderProfile

XAI = ProviderProfile(
    "xai",
    aliases=("xai",),
    hosts=("api.x.ai",),
    models=r"(?:^|/)grok",
    price_id="x-ai",
    telemetry_name="x_ai",
    wire="openai-compatible",
    wire_changes={
        COMPATIBLE.name: {
            "own_tools": r"web_search|x_search|code_execution|code_interpreter|file_search|collections_search|mcp",
            "temperature": (0, 2),
            # /docs/guides/reasoning: models that reason refuse penalties and stop sequences.
            "by_model": (
                (
                    r"grok-(?:[4-9]|3-mini)(?!.*non-reasoning)",
                    {"max_stops": 0, "arguments": COMPATIBLE.arguments - {"presence_penalty", "frequency_penalty"}},
                ),
            ),
        },
    },
    finish_reasons=FINISH_REASONS,
    always_gives_reason=True,
    billing=BillingRules(stated_cost=(("cost_in_usd_ticks", 1e-10),)),
    errors=(
        *ERRORS,
        ErrorRule("context_overflow", words=("maximum prompt length is",)),
        ErrorRule("auth", words=("incorrect api key provided",)),
        ErrorRule("quota", words=("used all available credits", "reached its monthly spending limit")),
    ),
)
