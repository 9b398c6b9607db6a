"""Profile of Anthropic (Messages API).

Source: https://docs.anthropic.com/en/api/errors, /handling-stop-reasons and /prompt-caching. Read 2026-11-29: the errors (now at
https://platform.claude.com/docs/en/api/errors), and stop reasons, error codes and usage as the types of its Python package 2.14 have them;
words of errors as public code quotes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langroute.providers.profile import BillingRules, CacheRules, ErrorRule, ProtocolWords, ProviderProfile, UsageFields, WireRules

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "paused",
    "refusal": "refusal",
}

PROMPT_CACHE = (
    *((part, CacheRules(tokens, automatic=False)) for part, tokens in (
        ("opus-4-5", 4096),
        ("opus-4-6", 4096),
        ("opus-4-7", 4096),
        ("haiku-4-5", 4096),
        ("sonnet-4-6", 2048),
        ("3-5-haiku", 2048),
        ("3-haiku", 2048),
    )),
    ("", CacheRules(automatic=False)),
)  # fmt: skip

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""https://platform.claude.com/docs/en/build-with-claude/vision."""

NO_PREFILL = r"claude-[a-z]+-(?:4-(?:[6-9]|\d\d)|[5-9]|\d\d)(?!\d)"
"""Claude since 4.6 refuses a prefilled answer: /en/build-with-claude/working-with-messages#putting-words-in-claudes-mouth."""

ONE_SAMPLER = r"claude-[a-z]+-(?:4-(?:[1-9]|\d\d)|[5-9]|\d\d)(?!\d)"
"""Claude since Opus 4.1 takes `temperature` or `top_p`, not both: /en/about-claude/models/migration-guide."""

_UP_TO_4_5 = r"4(?:[.-][0-5])?(?![.-]?\d)"
"""Version 4 to 4.5 in a model's name; older models have it before the family, as in `claude-3-7-sonnet`."""

BODIES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (r"claude", {"thinking_forms": None, "effort_levels": None}),
    # /en/build-with-claude/adaptive-thinking: from 4.6 on; the budget went with Opus 4.7 and Sonnet 5. Which model answers which form
    # with 400 was tried in pull request 65 of lidge-jun/opencodex.
    (rf"claude-(?:3-7|[a-z]+-{_UP_TO_4_5})", {"thinking_forms": frozenset({"enabled", "disabled"})}),
    (r"claude-(?:instant|2|3(?!-7))", {"thinking_forms": frozenset()}),
    (r"claude-[a-z]+-(?:4\W(?:[7-9]|\d\d)|[5-9]|\d\d)(?!\d)", {"thinking_forms": frozenset({"adaptive", "disabled"})}),
    # /en/build-with-claude/effort: from Opus 4.5 and Sonnet 4.6 on, `max` from 4.6, `xhigh` from Opus 4.7 on.
    (
        rf"claude-(?:instant|2|3|opus-4(?:[.-][01])?(?![.-]?\d)|(?:sonnet|haiku)-{_UP_TO_4_5})",
        {"effort_levels": ()},
    ),
    (r"claude-opus-4[.-]5(?!\d)", {"effort_levels": ("low", "medium", "high")}),
    (r"claude-(?:opus|sonnet)-4[.-]6(?!\d)", {"effort_levels": ("low", "medium", "high", "max")}),
    # /en/build-with-claude/mid-conversation-system-messages: from Opus 4.8 on. Of Sonnet 5 there are both reports.
    (
        r"claude-(?:opus-4\W(?:[89]|\d\d)|(?:opus|fable|mythos)-(?:[5-9]|\d\d)|(?:sonnet|haiku)-(?:5[.-][5-9]|[6-9]|\d\d))(?!\d)",
        {"system_entries": True},
    ),
    # /en/build-with-claude/context-windows: a window of a million tokens.
    (rf"claude-(?:instant|2|3|haiku-4|opus-{_UP_TO_4_5})", {"refused_betas": r"context-1m-.*"}),
)
"""What models differ in that take the request of a program that was written for another one. Read 2026-11-30."""

MESSAGES = WireRules(
    "anthropic",
    written_as="anthropic",
    unique_tool_ids=True,
    # /en/agents-and-tools/tool-use/overview: the types of Anthropic's own tools end with the date of their version.
    own_tools=r"[a-z0-9_]+_20\d{6}|mcp_toolset",
    empty_messages=False,
    user_first=True,
    media=frozenset({"image", "file"}),
    media_types={"image": IMAGES, "file": frozenset({"application/pdf"})},
    media_by_address=frozenset({"image", "file"}),
    result_media=True,
    # "all content must be type 'text' if 'is_error' is true": vellum-ai/vellum-assistant, pull request 18387.
    failed_result_media=False,
    native_blocks=frozenset({"text", "image", "document", "search_result", "container_upload"}),
    cache_marks=frozenset({"cache_control"}),
    file_ids=r"file_",
    arguments=frozenset(
        {
            "reasoning_effort", "effort", "thinking", "output_config", "top_k", "betas", "cache_control", "container",
            "context_management", "mcp_servers", "inference_geo", "service_tier", "extra_query", "extra_headers", "timeout",
            "stream_usage",
        }
    ),
    temperature=(0, 1),
    blank_stops=False,
    schema_classes=True,
    response_formats=frozenset({"json_schema"}),
    forced_tool={"type": "any"},
    efforts={"minimal": "low", "none": "low", "xhigh": "high", "max": "high"},
    thinking_forms=frozenset({"enabled", "disabled"}),
    effort_levels=(),
    system_entries=False,
    by_model=((NO_PREFILL, {"prefill": False}), (ONE_SAMPLER, {"temperature_with_top_p": False}), *BODIES),
)  # fmt: skip

WORDS = ProtocolWords(
    error_types={
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        408: "timeout_error",
        413: "request_too_large",
        429: "rate_limit_error",
        504: "timeout_error",
        529: "overloaded_error",
    },
    server_error="api_error",
    ends={
        "stop": "end_turn",
        "tool_calls": "tool_use",
        "length": "max_tokens",
        "refusal": "refusal",
        "content_filter": "refusal",
        "paused": "pause_turn",
    },
    # Claude Code ends a session by these words.
    context_phrase="prompt is too long",
)

USAGE = UsageFields(
    input=("input_tokens",),
    output=("output_tokens",),
    cache_read=("cache_read_input_tokens",),
    cache_write=("cache_creation_input_tokens",),
    cache_write_1h=("cache_creation.ephemeral_1h_input_tokens",),
    reasoning=("output_tokens_details.thinking_tokens",),
    cached_beside_input=True,
    written_with_1h=True,
    told_by=("cache_read_input_tokens", "cache_creation_input_tokens"),
)

BILLING = BillingRules(
    counts=(("searches", "server_tool_use.web_search_requests"),),
    blocks=(("searches", "server_tool_use", "web_search"),),
    terms=("service_tier", "speed", "inference_geo"),
    standard_terms=frozenset({"standard", "standard_only", "auto", "global", "not_available"}),
    term_factors={"us": 1.1},
)
"""Source: https://platform.claude.com/docs/en/about-claude/pricing and /manage-claude/data-residency (1.1 times the price where inference
stays in the US; models before Opus 4.6 refuse the parameter); the usage's fields as the types of its Python package 2.14 have them (read
2026-11-29). The rates of `fast` and `batch` stand in `genai-prices`; `priority` is paid by contract."""

ERRORS = (
    ErrorRule("context_overflow", codes=("request_too_large",), words=("prompt is too long", "exceed context limit")),
    ErrorRule(
        "quota",
        codes=(
            "billing_error", "enforced_spend_limit_reached", "contract_spend_limit_reached", "linked_organization_spend_limit_reached",
            "linked_organization_billing_unavailable",
        ),
        words=(
            "credit balance is too low", "you have reached your specified api usage limits",
            "you have reached your specified workspace api usage limits",
        ),
    ),
    ErrorRule("auth", codes=("organization_on_hold",)),
    ErrorRule("timeout", codes=("timeout_error",)),
    ErrorRule("content_filter", words=("blocked by content filtering policy",)),
    ErrorRule(
        "unsupported",
        codes=("image_dimensions_too_large",),
        words=(
            "image exceeds", "image dimensions exceed", "many-image requests", "maximum of 100 pdf pages", "could not process image",
            "invalid `signature` in `thinking` block", "invalid `data` in `redacted_thinking` block",
            "blocks in the latest assistant message cannot be modified", "does not support tool", "is not supported on this model",
        ),
        statuses=(400, 413),
    ),
    # What a history names by its id.
    ErrorRule("unsupported", words=("file not found",), statuses=(404,)),
)  # fmt: skip

ANTHROPIC = ProviderProfile(
    "anthropic",
    aliases=("anthropic",),
    hosts=("api.anthropic.com",),
    models=r"claude",
    footprint_name="anthropic",
    wire="anthropic",
    finish_reasons=FINISH_REASONS,
    always_gives_reason=True,
    errors=ERRORS,
    billing=BILLING,
    prompt_cache=PROMPT_CACHE,
)
