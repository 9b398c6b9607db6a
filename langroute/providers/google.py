"""Profile of Google: the Gemini API (AI Studio) and Vertex AI.

Source: https://ai.google.dev/api/generate-content (FinishReason, BlockReason, UsageMetadata), /gemini-api/docs/troubleshooting and
/caching. Read 2026-11-29: ends and usage as the types of google-genai 3.6 have them, /gemini-api/docs/generate-content/api-errors,
https://discuss.ai.google.dev/t/183654 (an empty prepaid account is 402), and bodies of errors in
issues 4656 and 15184 of google-gemini/gemini-cli.
"""

from __future__ import annotations

from langroute.providers.profile import (
    BillingRules,
    CacheRules,
    ErrorRule,
    ProtocolWords,
    ProviderProfile,
    UsageFields,
    WireRules,
)

FINISH_REASONS = {
        "stop": "stop",
        "max_tokens": "length",
        **dict.fromkeys(
            (
                "safety", "recitation", "language", "blocklist", "prohibited_content", "spii", "image_safety", "image_recitation",
                "image_prohibited_content", "model_armor",
                # `blockReason` of a prompt that was not answered at all.
                "jailbreak",
                "escalation", "pup_limited_disabled",
            ),
            "content_filter",
        ),
        # Sent on with the token that came with it.
        "continuation": "paused",
        **dict.fromkeys(
            (
                "malformed_function_call", "unexpected_tool_call", "too_many_tool_calls", "missing_thought_signature",
                "malformed_response", "image_other", "no_image", "other", "finish_reason_unspecified",
            ),
            "error",
        ),
    }  # fmt: skip

GEMINI = WireRules(
    "gemini",
    unique_tool_ids=True,
    # /api/caching#FunctionDeclaration: begins with a letter or an underscore; dots, colons and dashes are taken.
    tool_name=r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}",
    # The keys of a tool in langchain-google-genai 4.4.
    own_tools=(
        r"\.(?:google_search|google_search_retrieval|google_maps|code_execution|url_context|computer_use|enterprise_web_search"
        r"|file_search|retrieval|parallel_ai_search|exa_ai_search|mcp_servers)"
    ),
    empty_messages=False,
    user_first=True,
    prefill=False,
    media=frozenset({"image", "file", "audio", "video"}),
    # /gemini-api/docs/image-understanding, /audio and /video-understanding.
    media_types={
        "image": frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"}),
        "audio": frozenset({"audio/wav", "audio/mpeg", "audio/aiff", "audio/aac", "audio/ogg", "audio/flac", "audio/mp4", "audio/webm"}),
        "video": frozenset(
            {
                "video/mp4", "video/mpeg", "video/mov", "video/quicktime", "video/avi", "video/x-flv", "video/mpg", "video/webm",
                "video/wmv", "video/3gpp", "video/x-ms-wmv", "video/x-msvideo",
            }
        ),
    },
    media_by_address=frozenset({"image", "file", "audio", "video"}),
    result_media=True,
    native_blocks=frozenset({"text", "image_url", "media"}),
    # "Corrupted thought signature": BerriAI/litellm, issue 32140.
    reasoning_bound_by=("google_api_key", "vertexai", "project", "location", "base_url", "api_endpoint"),
    file_ids=r"https?:|gs:|files/",
    arguments=frozenset(
        {
            "seed", "frequency_penalty", "presence_penalty", "reasoning_effort", "top_k", "safety_settings", "generation_config",
            "cached_content", "tool_config", "thinking_budget", "thinking_level", "thinking_config", "include_thoughts",
            "response_mime_type", "response_modalities", "timeout",
        }
    ),
    temperature=(0, 2),
    max_stops=5,
    max_tokens_name="max_output_tokens",
    forced_tool="any",
    efforts={"minimal": "low", "none": "low", "xhigh": "high", "max": "high"},
    # /gemini-api/docs/thinking: levels since Gemini 3, which takes budgets, too; a model before 2.5 does not think.
    # /gemini-api/docs/thought-signatures: since Gemini 3 a call without a signature is refused; a history of another model says this.
    by_model=(
        (r"gemini-2\.5", {"thinking_forms": frozenset({"thinkingBudget"})}),
        (r"gemini-(?:1|2\.0)|gemma", {"thinking_forms": frozenset()}),
        (r"gemini-[3-9]", {"unsigned_calls": "skip_thought_signature_validator"}),
    ),
)  # fmt: skip

WORDS = ProtocolWords(
    {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        499: "CANCELLED",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
    },
    "INTERNAL",
    {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"},
)
"""Source: https://ai.google.dev/gemini-api/docs/troubleshooting and google/rpc/code.proto (read 2026-11-30)."""

USAGE = UsageFields(
    input=("promptTokenCount", "prompt_token_count"),
    output=("candidatesTokenCount", "candidates_token_count"),
    cache_read=("cachedContentTokenCount", "cached_content_token_count"),
    reasoning=("thoughtsTokenCount", "thoughts_token_count"),
    total=("totalTokenCount", "total_token_count"),
    more_input=("toolUsePromptTokenCount", "tool_use_prompt_token_count"),
    more_output=("thoughtsTokenCount", "thoughts_token_count"),
    told_by=("promptTokenCount", "prompt_token_count"),
)

BILLING = BillingRules(
    counts=tuple(
        (component, f"{field}.{modality}")
        for component, modality in (("audio", "AUDIO"), ("image", "IMAGE"), ("video", "VIDEO"))
        for component, field in (
            (f"input_{component}", "promptTokensDetails"),
            (f"input_{component}", "prompt_tokens_details"),
            (f"output_{component}", "candidatesTokensDetails"),
            (f"output_{component}", "candidates_tokens_details"),
            (f"cache_read_{component}", "cacheTokensDetails"),
            (f"cache_read_{component}", "cache_tokens_details"),
        )
    ),
    lists=(("searches", "grounding_metadata.web_search_queries"),),
    once_per_call=("gemini-1", "gemini-2"),
    terms=("service_tier", "serviceTier"),
    standard_terms=frozenset({"standard", "unspecified", "service_tier_unspecified"}),
)
"""Source: https://ai.google.dev/gemini-api/docs/pricing (grounding is billed by the prompt up to Gemini 2.5, by the query since Gemini 3)
and the types of google-genai 3.6 for the fields (read 2026-11-29). What is free each day or month is not taken off."""

_ERRORS = (
    ErrorRule(
        "auth", codes=("api_key_invalid", "unauthenticated", "permission_denied"), words=("api key not valid", "api key expired")
    ),
    ErrorRule(
        "quota",
        codes=("billing_disabled",),
        words=("perday", "requests per day", 'quota_limit_value": "0"', "prepayment credits are depleted", "limit: 0, model:"),
    ),
    ErrorRule("context_overflow", words=("input token count exceeds", "exceeds the maximum number of tokens")),
    ErrorRule("model_unavailable", words=("user location is not supported", "is not found for api version")),
    ErrorRule("unsupported", words=("is not supported by this model",)),
    ErrorRule("overloaded", codes=("unavailable",)),
    ErrorRule("rate_limited", codes=("resource_exhausted",)),
    ErrorRule("timeout", codes=("deadline_exceeded",)),
)
_PROMPT_CACHE = (("2.5", CacheRules(2048)), ("", CacheRules(4096)))

GOOGLE = ProviderProfile(
    "google_genai",
    aliases=("google_genai", "google"),
    hosts=("generativelanguage.googleapis.com",),
    models=r"(?:^|/)gemini",
    price_id="google",
    telemetry_name="gcp.gemini",
    footprint_name="google_genai",
    wire="gemini",
    finish_reasons=FINISH_REASONS,
    always_gives_reason=True,
    errors=_ERRORS,
    billing=BILLING,
    prompt_cache=_PROMPT_CACHE,
)
VERTEX = ProviderProfile(
    "google_vertexai",
    aliases=("google_vertexai", "google_anthropic_vertex"),
    hosts=("aiplatform.googleapis.com",),
    writes_as="google_genai",
    price_id="google",
    telemetry_name="gcp.vertex_ai",
    footprint_name="google_genai",
    wire="gemini",
    finish_reasons=FINISH_REASONS,
    always_gives_reason=True,
    errors=_ERRORS,
    billing=BILLING,
    prompt_cache=_PROMPT_CACHE,
)
