"""What models refuse in a request, by their providers' own words: a strict provider for gateways that send requests to other models than the clients meant.

Written from the providers' pages and not from the profiles: https://platform.claude.com/docs/en/api/messages, https://platform.openai.com/docs/api-reference,
https://ai.google.dev/gemini-api/docs/thought-signatures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from provider import CHAT, GEMINI, MESSAGES, RESPONSES

SEALED = "c2VhbGVkLWJ5"
"""Begins a signature, or encrypted reasoning, of the scripted models; the model's name follows."""

OPEN_ENDED = "skip_thought_signature_validator"


def seal(model: str, number: int = 1) -> str:
    """What a model signs its thoughts with."""
    return f"{SEALED}-{model}-{number}"


def _own(text: Any, model: str) -> bool:
    return isinstance(text, str) and text.startswith(f"{SEALED}-{model}-")


def refusal(path: str, model: str, body: dict[str, Any], headers: dict[str, str]) -> str | None:
    """Why a model refuses a request; `None` where it takes it."""
    found = {MESSAGES: _messages, CHAT: _chat, RESPONSES: _responses, GEMINI: _gemini}[path](model, body, headers)
    return next(found, None)


# Anthropic's Messages -----------------------------------------------------------------------------------------------------


def _messages(model: str, body: dict[str, Any], headers: dict[str, str]) -> Iterator[str]:
    modern = "opus-4-8" in model
    if not isinstance(body.get("max_tokens"), int):
        yield "max_tokens: Field required"
    if not modern:
        yield from _older_claude(body, headers)
    calls: set[str] = set()
    marks = json.dumps([body.get("system"), body.get("tools"), body["messages"]]).count('"cache_control": {')
    if marks > 4:
        yield f"A maximum of 4 blocks with cache_control may be provided. Found {marks}."
    for place, message in enumerate(body["messages"]):
        content = message["content"] if isinstance(message["content"], list) else [{"type": "text", "text": message["content"]}]
        results = {block["tool_use_id"] for block in content if block["type"] == "tool_result"}
        if message["role"] != "system":
            if calls - results:
                yield f"messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after: {sorted(calls - results)}"
            if results - calls:
                yield f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {sorted(results - calls)}"
            calls = {block["id"] for block in content if block["type"] == "tool_use"}
        yield from (
            f"messages.{place}: text content blocks must be non-empty"
            for block in content
            if block["type"] == "text" and not block["text"]
        )
        if any(block["type"] == "thinking" and not _own(block.get("signature"), model) for block in content):
            yield f"messages.{place}: Invalid `signature` in `thinking` block"


def _older_claude(body: dict[str, Any], headers: dict[str, str]) -> Iterator[str]:
    if any(message["role"] == "system" for message in body["messages"]):
        yield 'messages: Unexpected role "system".'
    if (body.get("thinking") or {}).get("type") == "adaptive":
        yield "adaptive thinking is not supported on this model"
    if "effort" in (body.get("output_config") or {}):
        yield "This model does not support the effort parameter."
    if "clear_thinking" in json.dumps(body.get("context_management")):
        yield "clear_thinking strategy requires thinking to be enabled"
    if "context-1m" in headers.get("anthropic-beta", ""):
        yield "The long context beta is not yet available for this model."
    if {"temperature", "top_p"} <= set(body):
        yield "`temperature` and `top_p` cannot both be specified for this model."


# OpenAI's protocols -------------------------------------------------------------------------------------------------------


def _reasons(model: str) -> bool:
    return re.match(r"gpt-5|o\d", model) is not None


def _chat(model: str, body: dict[str, Any], headers: dict[str, str]) -> Iterator[str]:
    if not _reasons(model) and body.get("reasoning_effort") is not None:
        yield "Unrecognized request argument supplied: reasoning_effort"
    if _reasons(model) and "max_tokens" in body:
        yield "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    if _reasons(model) and body.get("temperature", 1) != 1:
        yield "Unsupported value: 'temperature' does not support this value with this model."
    open_calls: set[str] = set()
    for place, message in enumerate(body["messages"]):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                yield f"messages[{place}]: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            yield f"messages[{place}]: An assistant message with 'tool_calls' must be followed by tool messages responding to each."
        for call in message.get("tool_calls") or ():
            open_calls.add(call["id"])
            if not isinstance(json.loads(call["function"]["arguments"]), dict):
                yield f"messages[{place}]: arguments are no object"


def _responses(model: str, body: dict[str, Any], headers: dict[str, str]) -> Iterator[str]:
    if not _reasons(model):
        if body.get("reasoning"):
            yield "Unsupported parameter: 'reasoning.effort' is not supported with this model."
        if "reasoning.encrypted_content" in (body.get("include") or ()):
            yield "Encrypted content is not supported with this model."
    items = [one for one in body["input"] if isinstance(one, dict)] if isinstance(body["input"], list) else []
    calls = {one["call_id"] for one in items if str(one.get("type")).endswith("_call")}
    results = {one["call_id"] for one in items if str(one.get("type")).endswith("_call_output")}
    if calls - results:
        yield f"No tool output found for function call {sorted(calls - results)}."
    if results - calls:
        yield f"No tool call found for function call output with call_id {sorted(results - calls)}."
    for item in items:
        if item.get("type") == "reasoning" and not _own(item.get("encrypted_content"), model):
            yield "The encrypted content could not be verified. Reason: Encrypted content could not be decrypted or parsed."


# Google's protocol --------------------------------------------------------------------------------------------------------


def _gemini(model: str, body: dict[str, Any], headers: dict[str, str]) -> Iterator[str]:
    thinking = (body.get("generationConfig") or {}).get("thinkingConfig") or {}
    newer = re.match(r"gemini-[3-9]", model) is not None
    if not newer and "thinkingLevel" in thinking:
        yield "Thinking level is not supported for this model."
    for place, entry in enumerate(body["contents"]):
        signed = [part["thoughtSignature"] for part in entry["parts"] if "thoughtSignature" in part]
        if any(not _own(one, model) and not (newer and one == OPEN_ENDED) for one in signed):
            yield f"contents.{place}: Thought signature is not valid."
        if newer and not signed and any("functionCall" in part for part in entry["parts"]):
            yield f"Function call is missing a thought_signature in functionCall parts, position {place}."
