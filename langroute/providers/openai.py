"""Profile of OpenAI (Chat Completions and Responses).

Source: https://platform.openai.com/docs/guides/error-codes and /prompt-caching.
"""

from __future__ import annotations

from langroute.providers.openai_protocol import BILLING, ERRORS, FINISH_REASONS, RESPONSE_ENDS
from langroute.providers.profile import CacheRules, ErrorRule, ProviderProfile

PROMPT_CACHE = (("", CacheRules(block=128)),)

OPENAI = ProviderProfile(
    "openai",
    aliases=("openai",),
    hosts=("api.openai.com",),
    models=r"(?:^|/)(?:gpt-|o\d|chatgpt|codex)",
    footprint_name="openai",
    finish_reasons={**FINISH_REASONS, **RESPONSE_ENDS},
    always_gives_reason=True,
    billing=BILLING,
    errors=(
        *ERRORS,
        ErrorRule("context_overflow", words=("maximum context length", "exceeds the context window")),
        ErrorRule("unsupported", words=("array too long. expected an array with maximum length",), statuses=(400,)),
        ErrorRule("quota", words=("billing hard limit",), statuses=(400, 429)),
    ),
    prompt_cache=PROMPT_CACHE,
)
