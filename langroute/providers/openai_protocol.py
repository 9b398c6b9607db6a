"""Tables shared by servers of OpenAI's chat protocol: finish reasons, errors, usage fields and wire rules.

Source: the Chat Completions and Responses references of OpenAI, https://platform.openai.com/docs/api-reference, as the types of its
Python package 3.57 have them (ends, codes of a failed response, usage; read 2026-11-29).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langroute.providers.profile import BillingRules, ErrorRule, ProtocolWords, UsageFields, WireRules

FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    # Of compatible servers: the sampler's words, cancellations and the server's own failures.
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "error": "error",
    "abort": "error",
    "cancelled": "error",
}
"""`finish_reason` of a chat completion."""

RESPONSE_ENDS = {
    "completed": "stop",
    "incomplete": "length",
    "max_output_tokens": "length",
    "max_messages": "length",
    # Goes on in a response that the server makes of what was queued.
    "steered": "paused",
    "content_filter": "content_filter",
    "failed": "error",
    "cancelled": "error",
    "in_progress": "error",
    "queued": "error",
}
"""`status` of a response, or the reason in its `incomplete_details`, mapped to the kind of end."""

ERRORS = (
    ErrorRule("context_overflow", codes=("context_length_exceeded", "string_above_max_length", "context_window_exceeded")),
    ErrorRule("quota", codes=("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated")),
    ErrorRule("auth", codes=("invalid_api_key", "account_suspended")),
    ErrorRule("content_filter", codes=(
        "content_filter", "content_policy_violation", "moderation_blocked", "bio_policy", "misalignment_policy_violation",
        "image_content_policy_violation",
    )),
    ErrorRule(
        "model_unavailable",
        codes=(
            "model_not_found", "model_decommissioned", "unsupported_model", "model_not_available", "unsupported_country_region_territory",
        ),
    ),
    ErrorRule(
        "unsupported",
        codes=(
            "unsupported_parameter", "unsupported_value", "array_above_max_length", "invalid_image_format", "image_too_large",
            "invalid_encrypted_content", "unsupported_file", "image_file_too_large", "image_too_small", "unsupported_image_media_type",
            # 404s of what the history names, not of the model.
            "previous_response_not_found",
        ),
        words=("items are not persisted when `store` is set to false",),
    ),
)  # fmt: skip
"""Error codes that any server of the protocol may return."""

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    402: "insufficient_quota",
    403: "invalid_request_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
CHAT_WORDS = ProtocolWords(
    error_types=_ERROR_TYPES,
    server_error="server_error",
    ends={
        "stop": "stop",
        "tool_calls": "tool_calls",
        "length": "length",
        "refusal": "content_filter",
        "content_filter": "content_filter",
    },
    context_code="context_length_exceeded",
)
RESPONSES_WORDS = ProtocolWords(
    error_types=_ERROR_TYPES,
    server_error="server_error",
    # The status of a whole answer, else the reason for which it is incomplete.
    ends={"stop": "completed", "length": "max_output_tokens", "refusal": "content_filter", "content_filter": "content_filter"},
    context_code="context_length_exceeded",
    running="in_progress",
    cut="incomplete",
    whole=frozenset({"completed", "incomplete"}),
)

USAGE = UsageFields(
    input=("prompt_tokens",),
    output=("completion_tokens",),
    # DeepSeek, Mistral, Moonshot and Together say cached tokens beside the others.
    cache_read=("prompt_tokens_details.cached_tokens", "prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens"),
    # The second is DashScope's.
    cache_write=("prompt_tokens_details.cache_write_tokens", "prompt_tokens_details.cache_creation_input_tokens"),
    reasoning=("completion_tokens_details.reasoning_tokens",),
    total=("total_tokens",),
    told_by=("prompt_tokens", "completion_tokens"),
)
RESPONSES_USAGE = UsageFields(
    input=("input_tokens",),
    output=("output_tokens",),
    cache_read=("input_tokens_details.cached_tokens",),
    cache_write=("input_tokens_details.cache_write_tokens",),
    reasoning=("output_tokens_details.reasoning_tokens",),
    total=("total_tokens",),
    told_by=("input_tokens", "output_tokens"),
)

BILLING = BillingRules(
    counts=(
        ("input_audio", "prompt_tokens_details.audio_tokens"),
        ("input_image", "prompt_tokens_details.image_tokens"),
        ("output_audio", "completion_tokens_details.audio_tokens"),
        ("output_image", "completion_tokens_details.image_tokens"),
        ("input_audio", "input_tokens_details.audio_tokens"),
        ("input_image", "input_tokens_details.image_tokens"),
        ("output_audio", "output_tokens_details.audio_tokens"),
        ("output_image", "output_tokens_details.image_tokens"),
    ),
    # Of the actions of a web search, opening a page and finding something in it are free.
    blocks=(("searches", "web_search_call", None), ("file_searches", "file_search_call", None)),
    free_actions=frozenset({"open_page", "find_in_page"}),
    terms=("service_tier",),
    standard_terms=frozenset({"auto", "default", "standard"}),
)
"""Source: https://platform.openai.com/docs/pricing and /guides/tools-web-search (which actions are billed), and the types of its
Python package 3.57 for the fields (read 2026-11-29). The rates of the tiers stand in `genai-prices`."""

_SAMPLING = frozenset(
    {"seed", "logprobs", "top_logprobs", "logit_bias", "n", "frequency_penalty", "presence_penalty", "stream_options"}
)
_CLIENT = frozenset({"extra_body", "extra_query", "extra_headers", "timeout", "stream_usage"})
"""Arguments of OpenAI's client and of LangChain's package for it, which are no part of the request."""

_OPENAI_ONLY = frozenset(
    {
        "verbosity",
        "store",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "service_tier",
    }
)
RESPONSES_ARGUMENTS = frozenset({"include", "reasoning", "truncation", "previous_response_id", "text", "context_management"})
"""What `ChatOpenAI` takes for a request of the Responses API, as langchain-openai 1.7 has it."""

OWN_TOOLS = (
    r"web_search(?:_\d{4}_\d{2}_\d{2})?|web_search_preview\w*|file_search|code_interpreter|image_generation|mcp|computer"
    r"|computer_use_preview|local_shell|shell|apply_patch|tool_search|custom|namespace"
)
"""Types of OpenAI's own tools: https://platform.openai.com/docs/guides/tools, and as langchain-core 1.8 lists them (read 2026-11-29)."""

_REASONING_MODELS = r"^(?:o\d|gpt-[5-9])(?!.*chat)"
_MEDIA_TYPES = {
    # HEIC is not in the published list, and is taken (openclaw/openclaw, issue 102323).
    "image": frozenset({"image/png", "image/jpeg", "image/webp", "image/gif", "image/heic", "image/heif"}),
    "audio": frozenset({"audio/wav", "audio/mpeg"}),
}
"""https://platform.openai.com/docs/guides/images-vision#image-input-requirements, /docs/api-reference/chat/create (input_audio.format)."""

_ACCOUNT = ("openai_api_base", "openai_organization", "openai_api_key", "azure_endpoint")

EFFORTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (r"^(?:gpt-[34]|chatgpt|gpt-[5-9].*chat)", {"effort_levels": ()}),
    (r"^o\d", {"effort_levels": ("low", "medium", "high")}),
    (r"^gpt-5(?![.\d])(?!.*chat)", {"effort_levels": ("minimal", "low", "medium", "high")}),
    (r"^gpt-5(?:\.1)?-codex", {"effort_levels": ("low", "medium", "high")}),
    (r"^gpt-5\.1(?!\d)(?!.*(?:codex|chat))", {"effort_levels": ("none", "low", "medium", "high")}),
    (r"^gpt-5\.1-codex-max", {"effort_levels": ("low", "medium", "high", "xhigh")}),
)
"""https://platform.openai.com/docs/guides/latest-model and the models' pages; from GPT-5.2 on every level is taken."""

COMPATIBLE = WireRules(
    "openai-compatible",
    named_messages=True,
    single_system=True,
    media=frozenset({"image", "audio"}),
    media_types={"audio": _MEDIA_TYPES["audio"]},
    native_blocks=frozenset({"text", "image_url", "input_audio"}),
    arguments=frozenset({"parallel_tool_calls", "user", "reasoning_effort"}) | _SAMPLING | _CLIENT,
    schema_classes=True,
    responses_arguments=RESPONSES_ARGUMENTS - {"reasoning"},
)
_CHAT_ARGUMENTS = COMPATIBLE.arguments | _OPENAI_ONLY | {"modalities", "audio", "prediction", "web_search_options"}
_SAMPLERS = frozenset({"presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias"})

CHAT = WireRules(
    "openai-chat",
    own_tools=OWN_TOOLS,
    named_messages=True,
    developer_role=True,
    system_in_middle=True,
    media=frozenset({"image", "file", "audio"}),
    media_types=_MEDIA_TYPES,
    native_blocks=frozenset({"text", "image_url", "input_audio", "file"}),
    cache_marks=frozenset({"prompt_cache_breakpoint"}),
    file_ids=r"file-|assistant-",
    arguments=_CHAT_ARGUMENTS,
    schema_classes=True,
    responses_arguments=RESPONSES_ARGUMENTS,
    temperature=(0, 2),
    max_stops=4,
    # https://platform.openai.com/docs/guides/latest-model#gpt-5-parameter-compatibility and, for `stop`, /docs/api-reference/chat/create.
    by_model=(
        (
            _REASONING_MODELS,
            {
                "sampling": False,
                "max_stops": 0,
                "arguments": _CHAT_ARGUMENTS - _SAMPLERS,
                "length_field": "max_completion_tokens",
            },
        ),
        *EFFORTS,
    ),
)
RESPONSES = WireRules(
    "openai-responses",
    unique_tool_ids=True,
    own_tools=OWN_TOOLS,
    developer_role=True,
    system_in_middle=True,
    media=frozenset({"image", "file"}),
    media_types={"image": _MEDIA_TYPES["image"]},
    media_by_address=frozenset({"image", "file"}),
    result_media=True,
    native_blocks=frozenset(
        {
            "text", "image_url", "file", "input_text", "input_image", "input_file", "mcp_approval_response", "tool_search_output",
            "apply_patch_call_output", "configuration_update", "additional_tools",
        }
    ),
    # `encrypted_content` is read by the organisation and the endpoint that wrote it: BerriAI/litellm, issues 18094, 29733 and 40364.
    reasoning_bound_by=_ACCOUNT,
    cache_marks=frozenset({"prompt_cache_breakpoint"}),
    file_ids=r"file-|assistant-",
    arguments=frozenset({"parallel_tool_calls", "user", "reasoning_effort", "top_logprobs"})
    | _CLIENT
    | _OPENAI_ONLY
    | RESPONSES_ARGUMENTS,
    schema_classes=True,
    temperature=(0, 2),
    # The Responses API has no stop sequences; the package leaves them out.
    by_model=((_REASONING_MODELS, {"sampling": False}), *EFFORTS),
)  # fmt: skip
