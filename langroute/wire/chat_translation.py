"""Requests of OpenAI's Chat Completions protocol, read into and written from `PlainRequest`."""

from __future__ import annotations

from typing import Any

from langroute.providers.profile import WireRules
from langroute.wire.answers import mapping, sequence
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
    data_url,
    media_at,
    named,
    plain_id,
    text_of,
)
from langroute.wire.request import WireRequest
from langroute.wire.spans import encoded

READ = frozenset(
    {
        "model", "messages", "tools", "tool_choice", "parallel_tool_calls", "max_tokens", "max_completion_tokens", "temperature", "top_p",
        "stop", "response_format", "reasoning_effort", "stream", "stream_options", "prompt_cache_key",
    }
)  # fmt: skip
"""Fields that are translated."""


def read(request: WireRequest) -> PlainRequest:
    """Return a request without its protocol."""
    value = request.value
    plain = PlainRequest(stream=request.stream, max_tokens=request.max_tokens)
    plain.lose_fields(request.fields.keys() - READ)
    for entry in sequence(value("messages")):
        if isinstance(entry, dict):
            _entry(plain, entry)
    for tool in sequence(value("tools")):
        function = mapping(mapping(tool).get("function"))
        if isinstance(name := function.get("name"), str):
            strict = function.get("strict")
            plain.tools.append(
                Tool(name, str(function.get("description") or ""), mapping(function.get("parameters")), strict or None)
            )
        else:
            plain.lose("lose-tools")
    plain.tool_choice = choice_of(value("tool_choice"))
    parallel = value("parallel_tool_calls")
    plain.parallel_calls = parallel if isinstance(parallel, bool) else None
    plain.temperature, plain.top_p = number(value("temperature")), number(value("top_p"))
    stop = value("stop")
    plain.stop = [one for one in (stop if isinstance(stop, list) else [stop]) if isinstance(one, str)]
    form = mapping(value("response_format"))
    if form.get("type") == "json_schema":
        schema = mapping(form.get("json_schema"))
        plain.schema, plain.schema_name = mapping(schema.get("schema")), str(schema.get("name") or "answer")
    elif form.get("type") == "json_object":
        plain.schema = {}
    effort = value("reasoning_effort")
    plain.effort = effort if isinstance(effort, str) else None
    plain.include_usage = mapping(value("stream_options")).get("include_usage") is True
    key = value("prompt_cache_key")
    plain.cache_key = key if isinstance(key, str) else None
    return plain


def _entry(plain: PlainRequest, entry: dict[str, Any]) -> None:
    role, content = entry.get("role"), entry.get("content")
    parts = [] if content is None else _parts(plain, content)
    if role in ("system", "developer"):
        if plain.turns:
            plain.turns.append(PlainTurn("system", parts))
        elif text := text_of(parts):
            plain.system.append(text)
    elif role == "assistant":
        if isinstance(refusal := entry.get("refusal"), str):
            parts.append(Text(refusal))
        plain.lose("lose-thinking", sum(bool(entry.get(name)) for name in ("reasoning_content", "reasoning", "reasoning_details")))
        calls: list[Part] = []
        for one in sequence(entry.get("tool_calls")):
            call = mapping(one)
            function = mapping(call.get("function"))
            custom = mapping(call.get("custom"))
            given = custom.get("input") if custom else function.get("arguments")
            calls.append(
                Call(
                    plain_id(str(call.get("id") or "")),
                    str((custom or function).get("name") or ""),
                    given if isinstance(given, str) else "",
                    bool(custom),
                )
            )
        plain.turns.append(PlainTurn("assistant", [*parts, *calls]))
    elif role in ("tool", "function"):
        result = ResultPart(
            plain_id(str(entry.get("tool_call_id") or "")), [one for one in parts if isinstance(one, (Text, MediaPart))]
        )
        if plain.turns and plain.turns[-1].role == "tool":
            plain.turns[-1].parts.append(result)
        else:
            plain.turns.append(PlainTurn("tool", [result]))
    else:
        plain.turns.append(PlainTurn("user", parts))


def _parts(plain: PlainRequest, content: Any) -> list[Part]:
    """Return the parts of a content."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    found: list[Part] = []
    for one in sequence(content):
        block = mapping(one)
        plain.lose("lose-cache-marks", "cache_control" in block)
        kind = block.get("type")
        if isinstance(one, str):
            found.append(Text(one))
        elif kind in ("text", "refusal"):
            if isinstance(text := block.get("text") or block.get("refusal"), str):
                found.append(Text(text))
        elif kind == "image_url":
            image = block.get("image_url")
            media = media_at("image", image if isinstance(image, str) else mapping(image).get("url"))
            found += [media] if media else []
        elif kind == "file":
            file = mapping(block.get("file"))
            media = media_at("file", file.get("file_data"), file.get("filename"))
            found += [media] if media else [named(MediaPart("file", name=str(file.get("filename") or "")))]
            plain.lose("lose-media", media is None)
        else:
            plain.lose("lose-media")
    return found


def write(plain: PlainRequest, target: WireTarget, rules: WireRules) -> dict[str, Any]:
    """Return a request in this protocol."""
    messages: list[dict[str, Any]] = []
    if plain.system:
        messages.append({"role": "system", "content": "\n\n".join(plain.system)})
    for turn in plain.turns:
        messages += _written(plain, turn, rules)
    body: dict[str, Any] = {"model": target.model, "messages": messages, **_tools(plain, rules)}
    if plain.max_tokens is not None:
        body[rules.length_field or "max_tokens"] = min(plain.max_tokens, target.max_output or plain.max_tokens)
    if plain.stop and rules.max_stops != 0:
        body["stop"] = plain.stop[: rules.max_stops]
    if plain.schema is not None:
        schema = {"name": plain.schema_name, "schema": plain.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema} if plain.schema else {"type": "json_object"}
    if (effort := effort_for(plain, rules)) and "reasoning_effort" in rules.arguments:
        body["reasoning_effort"] = effort
    if plain.cache_key is not None and "prompt_cache_key" in rules.arguments:
        body["prompt_cache_key"] = plain.cache_key
    body |= sampling(plain, rules)
    return body | ({"stream": True, "stream_options": {"include_usage": True}} if plain.stream else {})


def _tools(plain: PlainRequest, rules: WireRules) -> dict[str, Any]:
    """Return the fields about tools."""
    if not plain.tools:
        return {}
    fields: dict[str, Any] = {"tools": [_tool(one) for one in plain.tools]}
    if plain.tool_choice is not None:
        name = plain.tool_choice.removeprefix("tool:")
        fields["tool_choice"] = name if name == plain.tool_choice else {"type": "function", "function": {"name": name}}
    if plain.parallel_calls is not None and "parallel_tool_calls" in rules.arguments:
        fields["parallel_tool_calls"] = plain.parallel_calls
    return fields


def sampling(plain: PlainRequest, rules: WireRules) -> dict[str, Any]:
    """Return the fields about sampling, as far as the target takes them."""
    if not rules.sampling:
        return {}
    low, high = rules.temperature or (0, 2)
    fields: dict[str, Any] = {}
    if plain.temperature is not None:
        fields["temperature"] = max(low, min(plain.temperature, high))
    if plain.top_p is not None and (rules.temperature_with_top_p or not fields):
        fields["top_p"] = plain.top_p
    return fields


def effort_for(plain: PlainRequest, rules: WireRules) -> str | None:
    """Return the reasoning effort that the target is asked for; `None` where it is not."""
    if plain.effort is None or rules.effort_levels is None:
        return plain.effort
    return nearest_effort(plain.effort, rules.effort_levels)


def _written(plain: PlainRequest, turn: PlainTurn, rules: WireRules) -> list[dict[str, Any]]:
    """Return the entries of a turn."""
    if turn.role == "system":
        if not rules.system_in_middle:
            plain.lose("lose-system-place")
        return [{"role": "system" if rules.system_in_middle else "user", "content": text_of(turn.parts)}]
    if turn.role == "tool":
        return _results(plain, turn, rules)
    if turn.role == "assistant":
        calls = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": call_arguments(one)}}
            for one in turn.parts
            if isinstance(one, Call)
        ]
        text = text_of(turn.parts)
        return [{"role": "assistant", "content": text or (None if calls else ""), **({"tool_calls": calls} if calls else {})}]
    content = _content(plain, turn.parts, rules)
    return [{"role": "user", "content": content}] if content else []


def _content(plain: PlainRequest, parts: list[Part], rules: WireRules) -> Any:
    """Return a user's content: a text where it is one."""
    blocks: list[dict[str, Any]] = []
    for one in parts:
        if isinstance(one, Text) and one.text:
            blocks.append({"type": "text", "text": one.text})
        elif isinstance(one, MediaPart) and one.kind in rules.media and (one.kind == "image" or one.data):
            if one.kind == "image":
                blocks.append({"type": "image_url", "image_url": {"url": data_url(one)}})
            else:
                blocks.append({"type": "file", "file": {"filename": one.name or "file.pdf", "file_data": data_url(one)}})
        elif isinstance(one, MediaPart):
            plain.lose("lose-media")
            blocks.append({"type": "text", "text": named(one).text})
    return blocks[0]["text"] if len(blocks) == 1 and blocks[0]["type"] == "text" else blocks


def _results(plain: PlainRequest, turn: PlainTurn, rules: WireRules) -> list[dict[str, Any]]:
    """Return the entries of tools' results, and of their media behind them."""
    entries: list[dict[str, Any]] = []
    behind: list[Part] = []
    for one in turn.parts:
        if not isinstance(one, ResultPart):
            continue
        media = [part for part in one.parts if isinstance(part, MediaPart)]
        text = text_of(list(one.parts))
        if one.failed:
            plain.lose("lose-failed-mark")
            text = text if text.lower().startswith("error") else f"Error: {text}"
        if media:
            plain.lose("lose-result-media", len(media))
            behind += [Text(f"From the result of the tool call {one.id}:"), *media]
        entries.append({"role": "tool", "tool_call_id": one.id, "content": text})
    return [*entries, *([{"role": "user", "content": _content(plain, behind, rules)}] if behind else [])]


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = FREE_SCHEMA if tool.free else tool.schema
    if tool.strict is not None and not tool.free:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def call_arguments(call: Call) -> str:
    """Return the arguments of a call as JSON text, those of a tool that takes free text too."""
    return encoded({"input": call.arguments}).decode() if call.free else call.arguments or "{}"


def choice_of(value: Any) -> str | None:
    """Return which tool must be called, of OpenAI's two protocols."""
    if isinstance(value, str):
        return value if value in ("auto", "none", "required") else None
    named = mapping(value)
    name = mapping(named.get("function")).get("name") or named.get("name")
    return f"tool:{name}" if isinstance(name, str) else None


def number(value: Any) -> float | None:
    """Return a number; `None` for anything else."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


__all__ = ["call_arguments", "choice_of", "effort_for", "number", "read", "sampling", "write"]
