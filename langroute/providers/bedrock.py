"""Profile of Amazon Bedrock (Converse API).

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (errors, stopReason, TokenUsage), as the
service model of botocore 1.44 has it (read 2026-11-29, with the words of errors in issues 95 of aws-samples/bedrock-chat, 1466 of
anthropics/claude-code and 29 of minorun365/agent-book).
"""

from __future__ import annotations

from langroute.providers.anthropic import FINISH_REASONS as CLAUDE_ENDS
from langroute.providers.anthropic import IMAGES, ONE_SAMPLER, PROMPT_CACHE
from langroute.providers.profile import BillingRules, ErrorRule, ProviderProfile, UsageFields, WireRules

FINISH_REASONS = {
    **CLAUDE_ENDS,
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}

_CLAUDE_OR_NOVA = r"claude|(?:^|[.])nova-|amazon[.]nova"
_NO_PREFILL = r"^(?!.*(?:claude|nova))|claude-[a-z]+-(?:4-(?:[6-9]|\d\d)|[5-9]|\d\d)(?!\d)"

CONVERSE = WireRules(
    "bedrock",
    tool_id=r"[a-zA-Z0-9_-]{1,64}",
    unique_tool_ids=True,
    own_tools=r"[.]systemTool|nova_grounding|nova_code_interpreter",
    empty_messages=False,
    user_first=True,
    # "Conversation blocks and tool result blocks cannot be provided in the same turn": langchain-ai/langchain-aws, issue 141,
    # strands-agents/harness-sdk, issue 1223 (Llama).
    user_after_tool=False,
    media=frozenset({"image", "file"}),
    media_types={
        "image": IMAGES,
        "file": frozenset(
            {
                "application/pdf", "text/csv", "application/msword", "application/vnd.ms-excel", "text/html", "text/plain", "text/markdown",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            }
        ),
        "video": frozenset(
            {
                "video/x-matroska", "video/quicktime", "video/mp4", "video/webm", "video/x-flv", "video/mpeg", "video/x-ms-wmv", "video/3gpp",
            }
        ),
    },
    media_by_address=frozenset(),
    text_with_files=True,
    native_blocks=frozenset({"text", "image", "image_url", "document", "video", "video_url", "search_result", "guard_content", "json"}),
    untyped_blocks=frozenset(
        {"text", "image", "document", "video", "audio", "cachePoint", "guardContent", "searchResult", "json", "citationsContent"}
    ),
    failed_result_media=False,
    arguments=frozenset(
        {
            "reasoning_effort", "cache_control", "guardrail_config", "performance_config", "service_tier", "request_metadata",
            "additional_model_request_fields", "additional_model_response_field_paths", "output_config",
        }
    ),
    temperature=(0, 1),
    blank_stops=False,
    response_formats=frozenset({"json_schema"}),
    forced_tool="any",
    efforts={"minimal": "low", "none": "low", "xhigh": "high", "max": "high"},
    by_model=(
        (_NO_PREFILL, {"prefill": False}),
        (_CLAUDE_OR_NOVA, {"user_after_tool": True, "result_media": True}),
        (r"nova", {"media": frozenset({"image", "file", "video"})}),
        (ONE_SAMPLER, {"temperature_with_top_p": False}),
    ),
)  # fmt: skip
"""Of the Converse API: API_runtime_Message, _DocumentBlock, _ToolUseBlock, _ToolResultBlock, _InferenceConfiguration (read 2026-11-29),
and what langchain-aws 1.9 makes of messages and arguments. Its `media_types` are the formats that the package knows."""

USAGE = UsageFields(
    input=("inputTokens",),
    output=("outputTokens",),
    cache_read=("cacheReadInputTokens",),
    cache_write=("cacheWriteInputTokens",),
    cache_write_1h=("cacheDetails.1h",),
    total=("totalTokens",),
    cached_beside_input=True,
    written_with_1h=True,
    told_by=("inputTokens", "outputTokens"),
)

BILLING = BillingRules(terms=("service_tier",), standard_terms=frozenset({"default"}))
"""Source: https://docs.aws.amazon.com/bedrock/latest/userguide/service-tiers-inference.html (read 2026-11-29). The region is part of a
model's name (`us.`, `global.`), and so is its price."""

BEDROCK = ProviderProfile(
    "amazon_bedrock",
    aliases=("amazon_bedrock", "bedrock", "bedrock_converse", "anthropic_bedrock"),
    hosts=("amazonaws.com",),
    models=r"^(?:us|eu|apac|global)\.[a-z]+\.|^(?:anthropic|amazon|meta|cohere|ai21)\.",
    writes_as="bedrock_converse",
    price_id="aws",
    telemetry_name="aws.bedrock",
    finish_reasons=FINISH_REASONS,
    billing=BILLING,
    errors=(
        ErrorRule(
            "context_overflow",
            words=("input is too long for requested model", "too many input tokens", "expected maxlength"),
            statuses=(400,),
        ),
        ErrorRule("rate_limited", codes=("throttlingexception", "toomanyrequestsexception")),
        ErrorRule("quota", codes=("servicequotaexceededexception",), words=("too many tokens per day",)),
        ErrorRule(
            "auth",
            codes=(
                "accessdeniedexception", "unrecognizedclientexception", "expiredtokenexception", "expiredtoken",
                "invalidsignatureexception", "missingauthenticationtokenexception", "incompletesignature", "notauthorized", "optinrequired",
            ),
        ),
        ErrorRule(
            "model_unavailable",
            codes=("resourcenotfoundexception",),
            words=("on-demand throughput isn", "model identifier is invalid"),
        ),
        ErrorRule("unsupported", words=("doesn't support tool use",)),
        ErrorRule("timeout", codes=("modeltimeoutexception",)),
        ErrorRule("overloaded", codes=("modelnotreadyexception", "serviceunavailableexception")),
        ErrorRule("server_error", codes=("modelerrorexception", "internalserverexception", "modelstreamerrorexception")),
    ),
    prompt_cache=(*PROMPT_CACHE[:-1], ("claude", PROMPT_CACHE[-1][1])),
)  # fmt: skip
