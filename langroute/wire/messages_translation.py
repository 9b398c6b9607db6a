"""Requests of Anthropic's Messages protocol, read into and written from `PlainRequest`."""

from __future__ import annotations

from typing import Any

from langroute.providers.profile import WireRules
from langroute.wire.answers import mapping, sequence
from langroute.wire.chat_translation import number, sampling
from langroute.wire.edits import WireTarget, nearest_effort
from langroute.wire.plain_request import (
    FREE_SCHEMA,
    Call,
    MediaPart,
    Part,
    PlainRequest,
    PlainTurn,
    ResultPart,
    Text,
    Tool,
    arguments_of,
    named,
    plain_id,
)
from langroute.wire.request import WireRequest
from langroute.wire.spans import encoded

READ = frozenset(
    {
        "model", "messages", "system", "tools", "tool_choice", "max_tokens", "temperature", "top_p", "stop_sequences", "output_config",
        "output_format", "stream",
    }
)  # fmt: skip
"""Fields that are translated."""

MARK = {"cache_control": {"type": "ephemeral"}}
"""Mark of the prompt cache."""

LONGEST = 8192
"""Longest answer that is asked for where neither the client nor the target says one: the protocol demands it."""


def read(request: WireRequest) -> PlainRequest:
    """Return a request without its protocol."""
    value = request.value
    plain = PlainRequest(stream=request.stream, max_tokens=request.max_tokens, include_usage=True)
    plain.lose_fields(request.fields.keys() - READ)
    plain.system = [one.text for one in _parts(plain, value("system")) if isinstance(one, Text) and one.text]
    for entry in sequence(value("messages")):
        if isinstance(entry, dict):
            _entry(plain, entry)
    for one in sequence(value("tools")):
        tool = mapping(one)
        plain.lose("lose-cache-marks", "cache_control" in tool)
        if isinstance(name := tool.get("name"), str) and "input_schema" in tool:
            plain.tools.append(Tool(name, str(tool.get("description") or ""), mapping(tool.get("input_schema"))))
        else:
            plain.lose("lose-tools")
    choice = mapping(value("tool_choice"))
    kind = choice.get("type")
    plain.tool_choice = {"auto": "auto", "none": "none", "any": "required", "tool": f"tool:{choice.get('name')}"}.get(str(kind))
    plain.parallel_calls = False if choice.get("disable_parallel_tool_use") is True else None
    plain.temperature, plain.top_p = number(value("temperature")), number(value("top_p"))
    plain.stop = [one for one in sequence(value("stop_sequences")) if isinstance(one, str)]
    config = mapping(value("output_config"))
    form = mapping(config.get("format") or value("output_format"))
    if form.get("type") == "json_schema":
        plain.schema = mapping(form.get("schema"))
    plain.effort = config["effort"] if isinstance(config.get("effort"), str) else None
    return plain


def _entry(plain: PlainRequest, entry: dict[str, Any]) -> None:
    role, parts = entry.get("role"), _parts(plain, entry.get("content"))
    if role == "system":
        plain.turns.append(PlainTurn("system", parts))
    elif role == "assistant":
        plain.turns.append(PlainTurn("assistant", parts))
    else:
        results = [one for one in parts if isinstance(one, ResultPart)]
        others = [one for one in parts if not isinstance(one, ResultPart)]
        if results:
            plain.turns.append(PlainTurn("tool", [*results]))
        if others:
            plain.turns.append(PlainTurn("user", [*others]))


def _parts(plain: PlainRequest, content: Any) -> list[Part]:
    """Return the parts of a content."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    found: list[Part] = []
    for one in sequence(content):
        block = mapping(one)
        plain.lose("lose-cache-marks", "cache_control" in block)
        found += [Text(one)] if isinstance(one, str) else _part(plain, block)
    return found


def _part(plain: PlainRequest, block: Any) -> list[Part]:
    kind = block.get("type")
    if kind == "text":
        return [Text(text)] if isinstance(text := block.get("text"), str) else []
    if kind == "tool_use":
        given = encoded(block.get("input") or {}).decode()
        return [Call(plain_id(str(block.get("id") or "")), str(block.get("name") or ""), given)]
    if kind == "tool_result":
        inner = [part for part in _parts(plain, block.get("content")) if isinstance(part, (Text, MediaPart))]
        return [ResultPart(plain_id(str(block.get("tool_use_id") or "")), inner, block.get("is_error") is True)]
    if kind in ("image", "document"):
        media = _media(kind, mapping(block.get("source")), block.get("title"))
        plain.lose("lose-media", media is None)
        return [media] if media else []
    plain.lose("lose-thinking" if kind in ("thinking", "redacted_thinking") else "lose-tool-history")
    return []


def _media(kind: str, source: Any, title: Any) -> Part | None:
    told = "image" if kind == "image" else "file"
    name = title if isinstance(title, str) else ""
    if source.get("type") == "base64" and isinstance(source.get("data"), str):
        return MediaPart(told, str(source.get("media_type") or ""), source["data"], "", name)
    if source.get("type") == "url" and isinstance(source.get("url"), str):
        return MediaPart(told, "", "", source["url"], name)
    if source.get("type") == "text" and isinstance(source.get("data"), str):
        return Text(source["data"])
    return None


def write(plain: PlainRequest, target: WireTarget, rules: WireRules) -> dict[str, Any]:
    """Return a request in this protocol."""
    messages: list[dict[str, Any]] = []
    for turn in plain.turns:
        if content := _content(plain, turn, rules):
            role = turn.role if turn.role == "assistant" or (turn.role == "system" and rules.system_entries) else "user"
            plain.lose("lose-system-place", turn.role == "system" and role == "user")
            messages.append({"role": role, "content": content})
    messages = _marked(plain, messages)
    most = min(plain.max_tokens or target.max_output or LONGEST, target.max_output or plain.max_tokens or LONGEST)
    plain.lose("add-max-tokens", plain.max_tokens is None)
    body: dict[str, Any] = {"model": target.model, "max_tokens": most}
    if plain.system:
        blocks: list[dict[str, Any]] = [{"type": "text", "text": text} for text in plain.system]
        body["system"] = [*blocks[:-1], {**blocks[-1], **MARK}]
    body["messages"] = messages
    if plain.tools:
        body["tools"] = [_tool(one) for one in plain.tools]
        if choice := _choice(plain):
            body["tool_choice"] = choice
    body |= sampling(plain, rules)
    if stops := [one for one in plain.stop if one.strip()]:
        body["stop_sequences"] = stops
    if config := _config(plain, rules):
        body["output_config"] = config
    if plain.stream:
        body["stream"] = True
    return body


def _marked(plain: PlainRequest, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the history with a user's message at its beginning and a mark of the prompt cache at its end."""
    if not messages or messages[0]["role"] != "user":
        plain.lose("add-user")
        messages = [{"role": "user", "content": [{"type": "text", "text": "Go on."}]}, *messages]
    last = messages[-1]
    if last["role"] == "assistant":
        return messages
    return [*messages[:-1], {**last, "content": [*last["content"][:-1], {**last["content"][-1], **MARK}]}]


def _content(plain: PlainRequest, turn: PlainTurn, rules: WireRules) -> list[dict[str, Any]]:
    """Return the blocks of a turn."""
    found: list[dict[str, Any]] = []
    for one in turn.parts:
        if isinstance(one, Text):
            # Neither empty texts nor blank ones are taken.
            found += [{"type": "text", "text": one.text}] if one.text.strip() else []
        elif isinstance(one, Call):
            given = {"input": one.arguments} if one.free else arguments_of(one.arguments)
            found.append({"type": "tool_use", "id": one.id, "name": one.name, "input": given})
        elif isinstance(one, ResultPart):
            inner: list[Any] = [part if isinstance(part, MediaPart) else Text(part.text) for part in one.parts]
            blocks = _content(plain, PlainTurn("user", inner), rules)
            found.append(
                {
                    "type": "tool_result",
                    "tool_use_id": one.id,
                    "content": blocks or "(empty)",
                    **({"is_error": True} if one.failed else {}),
                }
            )
        else:
            found.append(_block(plain, one, rules))
    return found


def _block(plain: PlainRequest, media: MediaPart, rules: WireRules) -> dict[str, Any]:
    taken = rules.media_types.get(media.kind)
    if media.kind not in rules.media or (media.data and taken is not None and media.mime not in taken):
        plain.lose("lose-media")
        return {"type": "text", "text": named(media).text}
    source = {"type": "url", "url": media.url} if media.url else {"type": "base64", "media_type": media.mime, "data": media.data}
    if media.kind == "image":
        return {"type": "image", "source": source}
    return {"type": "document", "source": source, **({"title": media.name} if media.name else {})}


def _tool(tool: Tool) -> dict[str, Any]:
    schema = dict(FREE_SCHEMA if tool.free else tool.schema)
    return {
        "name": tool.name,
        **({"description": tool.description} if tool.description else {}),
        "input_schema": {"type": "object", **schema},
    }


def _choice(plain: PlainRequest) -> dict[str, Any] | None:
    asked = plain.tool_choice
    choice: dict[str, Any] | None = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}.get(
        asked or ""
    )
    if asked is not None and asked.startswith("tool:"):
        choice = {"type": "tool", "name": asked.removeprefix("tool:")}
    if plain.parallel_calls is False and asked != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def _config(plain: PlainRequest, rules: WireRules) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if plain.effort is not None:
        levels = rules.effort_levels
        effort = nearest_effort(plain.effort, ("low", "medium", "high", "xhigh", "max") if levels is None else levels)
        if effort is not None:
            config["effort"] = effort
    if plain.schema:
        config["format"] = {"type": "json_schema", "schema": plain.schema}
    elif plain.schema is not None:
        plain.lose_fields({"response_format"})
    return config


__all__ = ["read", "write"]
