"""Profile of DeepSeek.

Source: https://api-docs.deepseek.com (create-chat-completion, error_codes, kv_cache, thinking_mode). Read 2026-11-29:
/quick_start/error_codes.
"""

from __future__ import annotations

from langroute.providers.openai_protocol import ERRORS, FINISH_REASONS
from langroute.providers.profile import HOUR, CacheRules, ErrorRule, ProviderProfile

DEEPSEEK = ProviderProfile(
    "deepseek",
    aliases=("deepseek",),
    hosts=("api.deepseek.com",),
    models=r"(?:^|/)deepseek",
    wire="openai-compatible",
    wire_changes={"openai-compatible": {"temperature": (0, 2), "max_stops": 16}},
    finish_reasons={**FINISH_REASONS, "insufficient_system_resource": "error"},
    always_gives_reason=True,
    errors=(
        *ERRORS,
        ErrorRule("quota", words=("insufficient balance",)),
        ErrorRule("unsupported", words=("in the thinking mode must be passed back",)),
    ),
    prompt_cache=(("", CacheRules(64, 64, HOUR)),),
)
