"""What each provider's documentation allows in a request, written down as a checker of payloads.

`violations(api, payload, model)` lists what the provider would refuse. Signatures and ids of the test histories tell for which model
they were made, so that foreign thinking shows.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def violations(
    api: str, payload: Any, model: str, *, thinking: bool = False, prefill: bool = False, systems: bool = False
) -> list[str]:
    """What is wrong with a payload."""
    check = {
        "anthropic": lambda: _anthropic(payload, model, thinking, prefill, systems),
        "openai-chat": lambda: _chat(payload["messages"], strict=False),
        "openai-compatible": lambda: _chat(payload["messages"], strict=True),
        "openai-responses": lambda: _responses(payload["input"], model),
        "gemini": lambda: _gemini(payload, model),
        "mistral": lambda: _mistral(payload),
        "bedrock": lambda: _bedrock(payload, model),
    }[api]
    return list(check())


def _keys(block: dict[str, Any], needed: str, allowed: str = "") -> Iterator[str]:
    missing = set(needed.split()) - set(block)
    extra = set(block) - set(needed.split()) - set(allowed.split()) - {"type"}
    if missing:
        yield f"{block.get('type')}: {missing} missing"
    if extra:
        yield f"{block.get('type')}: {extra} unknown"


def _signer(signature: Any) -> str:
    if isinstance(signature, bytes):
        raw = signature
    else:
        try:
            raw = base64.b64decode(signature, validate=True)
        except ValueError:
            raw = str(signature).encode()
    text = raw.decode(errors="replace")
    return text.removeprefix("signed-by:").split(" ")[0] if text.startswith("signed-by:") else text


# Anthropic messages ---------------------------------------------------------------------------------------------------


def _anthropic(payload: dict[str, Any], model: str, thinking: bool, prefill: bool, systems: bool) -> Iterator[str]:
    system = payload.get("system")
    if isinstance(system, list):
        for block in system:
            if block.get("type") != "text" or not block["text"].strip():
                yield f"system: {block}"
            yield from _keys(block, "text", "cache_control citations")
    elif system is not None and not system.strip():
        yield "system: empty"
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    for place, message in enumerate(payload["messages"]):
        if message["role"] == "system" and systems:
            # Between a user's turn and the model's, or last.
            around = [other["role"] for other in payload["messages"][place - 1 : place + 2]]
            if around not in (["user", "system"], ["user", "system", "assistant"]):
                yield f"a system message in {around}"
            continue
        if message["role"] not in ("user", "assistant"):
            yield f"role {message['role']}"
        content = message["content"]
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not content:
            yield "an empty message"
        if turns and turns[-1][0] == message["role"]:
            turns[-1][1].extend(content)
        else:
            turns.append((message["role"], list(content)))
    if not turns:
        yield "no message"
        return
    if turns[0][0] != "user":
        yield "the first message is not the user's"
    if turns[-1][0] == "assistant":
        if not prefill:
            yield "prefill"
        last = turns[-1][1][-1] if turns[-1][1] else {}
        if last.get("text", "").endswith((" ", "\n")):
            yield "prefill ends with white space"
    used: set[str] = set()
    for place, (role, blocks) in enumerate(turns):
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        calls = []
        if role == "assistant":
            yield from _claude(blocks, model)
            calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        else:
            yield from _to_claude(blocks)
        before = turns[place - 1][1] if place else []
        asked = [block["id"] for block in before if block["type"] == "tool_use"]
        if sorted(results) != sorted(asked):
            yield f"results {results} for calls {asked}"
        first_other = next((at for at, block in enumerate(blocks) if block["type"] != "tool_result"), len(blocks))
        if any(block["type"] == "tool_result" for block in blocks[first_other:]):
            yield "a tool result behind something else"
        for name in calls:
            if name in used:
                yield f"tool id {name} used twice"
            if not re.fullmatch(r"[a-zA-Z0-9_-]+", name):
                yield f"tool id {name}"
            used.add(name)
    if turns[-1][0] == "assistant" and any(block["type"] == "tool_use" for block in turns[-1][1]):
        yield "a call without result"
    if thinking:
        loop = [blocks for role, blocks in turns if role == "assistant"]
        open_loop = any(block["type"] == "tool_result" for block in turns[-1][1])
        if open_loop and loop and loop[-1][0]["type"] not in ("thinking", "redacted_thinking"):
            yield "thinking is on and the last assistant turn does not begin with it"


def _claude(blocks: list[dict[str, Any]], model: str) -> Iterator[str]:
    for place, block in enumerate(blocks):
        kind = block["type"]
        if kind == "text":
            if not block["text"].strip():
                yield "an empty text block"
            yield from _keys(block, "text", "citations cache_control")
        elif kind == "thinking":
            yield from _keys(block, "thinking signature", "cache_control")
            if _signer(block.get("signature", "")) != model:
                yield f"thinking of {_signer(block.get('signature', ''))}"
        elif kind == "redacted_thinking":
            yield from _keys(block, "data")
            if _signer(block["data"]) != model:
                yield "redacted thinking of another model"
        elif kind == "tool_use":
            yield from _keys(block, "id name input", "caller cache_control")
            if not isinstance(block["input"], dict):
                yield "tool input is no object"
        elif kind in ("server_tool_use", "mcp_tool_use"):
            yield from _keys(block, "id name input", "server_name cache_control")
            if not block["id"].startswith("srvtoolu_"):
                yield f"server tool id {block['id']}"
            if not any(other.get("tool_use_id") == block["id"] for other in blocks[place + 1 :]):
                yield "a server tool without its result"
        elif kind.endswith("_tool_result") and kind != "tool_result":
            yield from _keys(block, "tool_use_id content", "is_error retrieved_at cache_control caller")
            if not any(other.get("id") == block["tool_use_id"] for other in blocks[:place]):
                yield "a server tool's result without its call"
        else:
            yield f"assistant block {kind}"


def _to_claude(blocks: list[dict[str, Any]], inside: bool = False) -> Iterator[str]:
    for block in blocks:
        kind = block["type"]
        if kind == "text":
            if not block["text"].strip():
                yield "an empty text block"
            yield from _keys(block, "text", "cache_control citations")
        elif kind in ("image", "document"):
            yield from _keys(block, "source", "title context citations cache_control")
            yield from _source(kind, block.get("source") or {})
        elif kind == "search_result":
            yield from _keys(block, "source title content", "citations cache_control")
        elif kind == "tool_result" and not inside:
            yield from _keys(block, "tool_use_id", "content is_error cache_control")
            content = block.get("content")
            if isinstance(content, list):
                yield from _to_claude(content, inside=True)
        else:
            yield f"user block {kind}"


def _source(kind: str, source: dict[str, Any]) -> Iterator[str]:
    how = source.get("type")
    if how == "base64":
        types = ("image/jpeg", "image/png", "image/gif", "image/webp") if kind == "image" else ("application/pdf",)
        if source.get("media_type") not in types or not source.get("data"):
            yield f"{kind} of {source.get('media_type')}"
    elif how == "url":
        if not str(source.get("url")).startswith("http"):
            yield f"{kind} url {source.get('url')}"
    elif how == "file":
        if not str(source.get("file_id")).startswith("file_"):
            yield f"{kind} file id {source.get('file_id')}"
    elif how not in ("text", "content") or kind == "image":
        yield f"{kind} source {how}"


# OpenAI chat and its likes ---------------------------------------------------------------------------------------------


def _chat(messages: list[dict[str, Any]], strict: bool) -> Iterator[str]:
    waiting: list[str] = []
    if not messages:
        yield "no message"
    for place, message in enumerate(messages):
        role, content = message["role"], message.get("content")
        if role != "tool" and waiting:
            yield f"calls {waiting} without result"
            waiting = []
        if "name" in message and not NAME.fullmatch(message["name"]):
            yield f"name {message['name']!r}"
        unknown = set(message) - {"role", "content", "name", "tool_calls", "tool_call_id", "audio", "refusal"}
        if unknown:
            yield f"message keys {unknown}"
        if role in ("system", "developer"):
            if strict and place:
                yield "a system message in the middle"
            yield from _parts(content, {"text"}, strict)
        elif role == "user":
            yield from _parts(content, {"text", "image_url", "input_audio"} | (set() if strict else {"file"}), strict)
        elif role == "assistant":
            calls = message.get("tool_calls") or []
            if not content and not calls and not message.get("audio"):
                yield "an assistant message that says nothing"
            if content is not None and not (strict and isinstance(content, list)):
                yield from _parts(content, {"text", "refusal"}, strict)
            elif isinstance(content, list):
                yield "assistant content in blocks"
            for call in calls:
                if set(call) != {"id", "type", "function"} or not 1 <= len(call["id"] or "") <= 40 or not ID.fullmatch(call["id"]):
                    yield f"tool call {call}"
                json.loads(call["function"]["arguments"])
                waiting.append(call["id"])
        elif role == "tool":
            if message["tool_call_id"] not in waiting:
                yield f"a result of {message['tool_call_id']} for {waiting}"
            else:
                waiting.remove(message["tool_call_id"])
            if strict and not isinstance(content, str):
                yield "a tool's result in blocks"
            yield from _parts(content, {"text"}, strict)
        else:
            yield f"role {role}"
    if waiting:
        yield f"calls {waiting} without result"


def _parts(content: Any, kinds: set[str], strict: bool) -> Iterator[str]:
    if isinstance(content, str):
        return
    if not content:
        yield "empty content"
        return
    allowed = {"text": "text", "refusal": "refusal", "image_url": "image_url", "input_audio": "input_audio", "file": "file"}
    for part in content:
        if not isinstance(part, dict) or part.get("type") not in kinds:
            yield f"part {part}"
            continue
        yield from _keys(part, allowed[part["type"]], "" if strict else "prompt_cache_breakpoint")
        if part["type"] == "image_url" and not str(part["image_url"].get("url")).startswith(("data:image/", "http")):
            yield f"image {part}"
        if part["type"] == "input_audio" and part["input_audio"].get("format") not in ("wav", "mp3"):
            yield f"audio {part}"
        if part["type"] == "file":
            file = part["file"]
            named = str(file.get("file_id", "")).startswith("file-")
            if not named and not ("filename" in file and str(file.get("file_data")).startswith("data:")):
                yield f"file {part}"


# OpenAI Responses ------------------------------------------------------------------------------------------------------


def _responses(items: list[dict[str, Any]], model: str) -> Iterator[str]:
    if not items:
        yield "no item"
    calls = {item["call_id"] for item in items if item.get("type") == "function_call"}
    results = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    if len(results) != len(set(results)) and len(calls) == len([i for i in items if i.get("type") == "function_call"]):
        yield "two results for one call"
    if calls != set(results):
        yield f"calls {calls} and results {results}"
    seen: set[str] = set()
    for place, item in enumerate(items):
        kind, role = item.get("type"), item.get("role")
        if kind == "message" and role in ("user", "system", "developer"):
            content = item["content"]
            if content == []:
                yield "empty content"
            for part in content if isinstance(content, list) else ():
                yield from _input(part)
        elif kind == "message" and role == "assistant":
            yield from _keys(item, "role content", "id phase status")
            if "id" in item and not item["id"].startswith("msg_"):
                yield f"message id {item['id']}"
            for part in item["content"]:
                if part["type"] == "output_text":
                    yield from _keys(part, "text annotations")
                    if not part["text"]:
                        yield "empty output text"
                elif part["type"] != "refusal":
                    yield f"assistant part {part['type']}"
        elif kind == "function_call":
            yield from _keys(item, "name arguments call_id", "id status")
            if not 1 <= len(item["call_id"]) <= 64 or not ID.fullmatch(item["call_id"]):
                yield f"call id {item['call_id']}"
            if "id" in item and not item["id"].startswith("fc_"):
                yield f"function call id {item['id']}"
            seen.add(item["call_id"])
        elif kind == "function_call_output":
            if item["call_id"] not in seen:
                yield "a result before its call"
            if isinstance(item["output"], list):
                for part in item["output"]:
                    yield from _input(part)
        elif kind == "reasoning":
            yield from _keys(item, "id summary", "encrypted_content status content")
            if item.get("id") != f"rs_{model}":
                yield f"reasoning {item.get('id')}"
            if place + 1 == len(items) or items[place + 1].get("role") == "user":
                yield "reasoning without what followed it"
        elif kind == "web_search_call":
            if not item["id"].startswith("ws_"):
                yield f"web search id {item['id']}"
        elif kind == "image_generation_call":
            if not item["id"].startswith("ig_"):
                yield f"image id {item['id']}"
        else:
            yield f"item {kind} {role}"


def _input(part: dict[str, Any]) -> Iterator[str]:
    kind = part.get("type")
    if kind == "input_text":
        yield from _keys(part, "text", "prompt_cache_breakpoint")
    elif kind == "input_image":
        yield from _keys(part, "", "image_url file_id detail prompt_cache_breakpoint")
        if "file_id" not in part and not str(part.get("image_url")).startswith(("data:image/", "http")):
            yield f"image {part}"
    elif kind == "input_file":
        yield from _keys(part, "", "file_id file_url filename file_data prompt_cache_breakpoint")
        if "file_id" in part and not part["file_id"].startswith("file-"):
            yield f"file id {part['file_id']}"
    else:
        yield f"input part {kind}"


# Gemini ----------------------------------------------------------------------------------------------------------------


def _gemini(payload: dict[str, Any], model: str) -> Iterator[str]:
    contents = payload["contents"]
    if not contents:
        yield "no content"
        return
    system = payload["config"].system_instruction
    if system is not None and not any((part.text or "").strip() for part in system.parts):
        yield "an empty system instruction"
    if contents[0].role != "user":
        yield "the first content is not the user's"
    if contents[-1].role != "user":
        yield "the last content is the model's"
    for place, content in enumerate(contents):
        if not content.parts:
            yield "a content without parts"
        calls = [part.function_call.name for part in content.parts or () if part.function_call]
        results = [part.function_response.name for part in content.parts or () if part.function_response]
        for part in content.parts or ():
            if part.text is not None and not part.text.strip() and not part.thought_signature:
                yield "an empty text part"
            if part.thought and content.role != "model":
                yield "a user's thought"
            signature = part.thought_signature
            if signature and _signer(signature) not in (model, "skip_thought_signature_validator"):
                yield f"signature of {_signer(signature)}"
            if part.thought and not signature:
                yield "a thought of another model"
            if part.file_data and not str(part.file_data.file_uri).startswith(
                ("https://generativelanguage.", "gs://", "https://www.youtube")
            ):
                yield f"file {part.file_data.file_uri}"
        before = contents[place - 1] if place else None
        asked = [part.function_call.name for part in (before.parts or ()) if part.function_call] if before else []
        if sorted(results) != sorted(asked):
            yield f"responses {results} for calls {asked}"
        if calls:
            if content.role != "model" or before is None or before.role != "user":
                yield "a function call that does not follow the user"
            if place + 1 == len(contents):
                yield "a function call without response"
            first = next(part for part in content.parts if part.function_call)
            if "gemini-3" in model and place > _turn_begins(contents) and not first.thought_signature:
                yield "a function call without signature"


def _turn_begins(contents: list[Any]) -> int:
    for place in range(len(contents) - 1, -1, -1):
        if contents[place].role == "user" and not any(part.function_response for part in contents[place].parts or ()):
            return place
    return -1


# Mistral ---------------------------------------------------------------------------------------------------------------


def _mistral(messages: list[dict[str, Any]]) -> Iterator[str]:
    if not messages:
        yield "no message"
        return
    waiting: list[str] = []
    previous = ""
    for place, message in enumerate(messages):
        role, content = message["role"], message.get("content")
        if waiting and role != "tool":
            yield f"calls {waiting} without result"
            waiting = []
        if role == "system":
            if place:
                yield "a system message in the middle"
            if not content:
                yield "an empty system message"
            yield from _mistral_parts(content, {"text"})
        elif role == "user":
            if previous == "tool":
                yield "a user behind a tool"
            if not content:
                yield "an empty user message"
            yield from _mistral_parts(content, {"text", "image_url", "document_url", "input_audio"})
        elif role == "assistant":
            if previous in ("", "system"):
                yield "the first message is the assistant's"
            calls = message.get("tool_calls") or []
            if not content and not calls:
                yield "an assistant message that says nothing"
            yield from _mistral_parts(content, {"text", "thinking", "reference"})
            for call in calls:
                if not re.fullmatch(r"[a-zA-Z0-9]{9}", call["id"]):
                    yield f"tool id {call['id']}"
                waiting.append(call["id"])
        elif role == "tool":
            if message["tool_call_id"] not in waiting:
                yield f"a result of {message['tool_call_id']} for {waiting}"
            else:
                waiting.remove(message["tool_call_id"])
            yield from _mistral_parts(content, {"text"})
        previous = role
    if waiting:
        yield f"calls {waiting} without result"
    if previous == "assistant" and not messages[-1].get("prefix"):
        yield "the last message is the assistant's"


def _mistral_parts(content: Any, kinds: set[str]) -> Iterator[str]:
    for part in content if isinstance(content, list) else ():
        if part.get("type") not in kinds:
            yield f"part {part}"
        elif part["type"] in ("text", "image_url"):
            yield from _keys(part, part["type"])


# Bedrock's Converse API ------------------------------------------------------------------------------------------------


def _bedrock(payload: dict[str, Any], model: str) -> Iterator[str]:
    claude = "claude" in model
    turns = payload["messages"]
    for block in payload["system"]:
        if set(block) - {"text", "cachePoint", "guardContent"} or not block.get("text", "x").strip():
            yield f"system {block}"
    if not turns or turns[0]["role"] != "user":
        yield "A conversation must start with a user message."
    if turns and turns[-1]["role"] != "user":
        yield "A conversation must end with a user message."
    used: set[str] = set()
    for place, turn in enumerate(turns):
        blocks = turn["content"]
        if place and turns[place - 1]["role"] == turn["role"]:
            yield f"two turns of {turn['role']}"
        if not blocks:
            yield "an empty message"
        kinds = [next(iter(block)) for block in blocks]
        for block in blocks:
            yield from _converse_block(block, turn["role"], model)
        calls = [block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block]
        results = [block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block]
        asked = [block["toolUse"]["toolUseId"] for block in turns[place - 1]["content"] if "toolUse" in block] if place else []
        if sorted(results) != sorted(asked):
            yield f"results {results} for calls {asked}"
        if used & set(calls) or len(calls) != len(set(calls)):
            yield f"tool ids {calls} used twice"
        used |= set(calls)
        if results and not claude and set(kinds) - {"toolResult", "cachePoint"}:
            yield "Conversation blocks and tool result blocks cannot be provided in the same turn."
        if "document" in kinds and "text" not in kinds:
            yield "a document without a text"


def _converse_block(block: dict[str, Any], role: str, model: str) -> Iterator[str]:
    kind, *more = block
    if more:
        yield f"a block of several kinds: {list(block)}"
    inner = block[kind]
    if kind == "text":
        if not inner.strip():
            yield "an empty text block"
    elif kind == "toolUse" and role == "assistant":
        if not ID.fullmatch(inner["toolUseId"]) or not NAME.fullmatch(inner["name"]) or not isinstance(inner["input"], dict):
            yield f"tool use {inner}"
    elif kind == "toolResult" and role == "user":
        for part in inner["content"]:
            if set(part) - {"text", "json", "image", "document", "video"} or (
                set(part) - {"text", "json"} and "claude" not in model
            ):
                yield f"tool result of {list(part)}"
            if set(part) - {"text", "json"} and inner["status"] == "error":
                yield "all content must be type 'text' if the tool failed"
            if "text" in part and not part["text"].strip():
                yield "an empty text in a tool result"
    elif kind == "image" and role == "user":
        if inner["format"] not in ("png", "jpeg", "gif", "webp") or not isinstance(inner["source"].get("bytes"), bytes):
            yield f"image {inner['format']}"
    elif kind == "document" and role == "user":
        if not re.fullmatch(r"(?!.*\s\s)[a-zA-Z0-9\s()\[\]-]{1,200}", inner["name"]):
            yield f"document {inner['name']!r}"
    elif kind == "reasoningContent" and role == "assistant":
        if _signer(inner["reasoningText"].get("signature", "")) != model:
            yield "reasoning of another model"
    elif kind not in ("cachePoint", "guardContent", "citationsContent", "searchResult"):
        yield f"{role} block {kind}"
