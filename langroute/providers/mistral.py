"""Profile of Mistral.

Source: https://docs.mistral.ai/api (finish reasons, errors) and its rules for messages and tool call ids. Read 2026-11-29:
/resources/error-glossary.
"""

from __future__ import annotations

from dataclasses import fields

from langroute.providers.openai_protocol import COMPATIBLE, ERRORS
from langroute.providers.profile import ErrorRule, ProviderProfile, WireRules

CHAT = WireRules(
    "mistral",
    tool_id=r"[a-zA-Z0-9]{9}",
    tool_id_length=9,
    empty_messages=False,
    single_system=True,
    user_first=True,
    user_after_tool=False,
    media=COMPATIBLE.media,
    media_types={
        "image": frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"}),
        "audio": frozenset({"audio/wav", "audio/mpeg", "audio/flac", "audio/ogg"}),
    },
    native_blocks=frozenset({"text", "image_url", "document_url", "input_audio"}),
    arguments=frozenset(
        {"parallel_tool_calls", "frequency_penalty", "presence_penalty", "safe_mode", "safe_prompt", "random_seed", "prompt_mode"}
    ),
    temperature=(0, 1.5),
    forced_tool="any",
)
"""Of the chat endpoint, which runs none of Mistral's connectors: those belong to its agents. Media: /capabilities/vision and /audio."""

MISTRAL = ProviderProfile(
    "mistralai",
    aliases=("mistralai", "mistral"),
    hosts=("api.mistral.ai",),
    models=r"(?:^|[/:-])(?:mistral|ministral|mixtral|codestral|devstral|magistral|pixtral)",
    price_id="mistral",
    telemetry_name="mistral_ai",
    footprint_name="mistralai",
    wire="openai-compatible",
    model_wire_changes={COMPATIBLE.name: {rule.name: getattr(CHAT, rule.name) for rule in fields(CHAT)}},
    finish_reasons={"stop": "stop", "tool_calls": "tool_calls", "length": "length", "model_length": "length", "error": "error"},
    always_gives_reason=True,
    errors=(
        *ERRORS,
        ErrorRule("context_overflow", words=("too large for model with",)),
        ErrorRule("model_unavailable", codes=("invalid_model", "unknown_model"), words=("invalid model:",)),
        ErrorRule("unsupported", words=("is not enabled for this model",)),
        ErrorRule("overloaded", codes=("service_tier_capacity_exceeded",), words=("service tier capacity exceeded",)),
    ),
)
