"""Requests of OpenAI's Responses protocol, read into and written from `PlainRequest`."""

from __future__ import annotations

from typing import Any

from langroute.providers.profile import WireRules
from langroute.wire.answers import mapping, sequence, word
from langroute.wire.chat_translation import call_arguments, choice_of, effort_for, number, sampling
from langroute.wire.edits import WireTarget
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

READ = frozenset(
    {
        "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "max_output_tokens", "temperature", "top_p",
        "text", "reasoning", "stream", "store", "prompt_cache_key",
    }
)  # fmt: skip
"""Fields that are translated, or that ask for nothing that another protocol would have to do."""

OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})


def read(request: WireRequest) -> PlainRequest:
    """Return a request without its protocol."""
    value = request.value
    plain = PlainRequest(stream=request.stream, max_tokens=request.max_tokens, include_usage=True)
    plain.lose_fields(request.fields.keys() - READ)
    plain.problem = request.bound_by
    if isinstance(said := value("instructions"), str) and said:
        plain.system.append(said)
    given = value("input")
    if isinstance(given, str):
        plain.turns.append(PlainTurn("user", [Text(given)]))
    for item in sequence(given):
        if isinstance(item, dict):
            _item(plain, item)
    for tool in sequence(value("tools")):
        _read_tool(plain, mapping(tool))
    plain.tool_choice = choice_of(value("tool_choice"))
    parallel = value("parallel_tool_calls")
    plain.parallel_calls = parallel if isinstance(parallel, bool) else None
    plain.temperature, plain.top_p = number(value("temperature")), number(value("top_p"))
    form = mapping(mapping(value("text")).get("format"))
    if form.get("type") == "json_schema":
        plain.schema, plain.schema_name = mapping(form.get("schema")), str(form.get("name") or "answer")
    elif form.get("type") == "json_object":
        plain.schema = {}
    effort = mapping(value("reasoning")).get("effort")
    plain.effort = effort if isinstance(effort, str) else None
    key = value("prompt_cache_key")
    plain.cache_key = key if isinstance(key, str) else None
    return plain


def _read_tool(plain: PlainRequest, tool: Any) -> None:
    kind, name = tool.get("type"), tool.get("name")
    described = str(tool.get("description") or "")
    if kind == "function" and isinstance(name, str):
        strict = tool.get("strict")
        plain.tools.append(Tool(name, described, mapping(tool.get("parameters")), strict if strict is True else None))
    elif kind == "custom" and isinstance(name, str):
        plain.lose("free-text-tool")
        plain.tools.append(Tool(name, described, FREE_SCHEMA, free=True))
    else:
        plain.lose("lose-tools")


def _item(plain: PlainRequest, item: dict[str, Any]) -> None:
    kind, turns = word(item.get("type", "message")), plain.turns
    if kind in ("function_call", "custom_tool_call"):
        free = kind == "custom_tool_call"
        given = item.get("input" if free else "arguments")
        call = Call(
            plain_id(str(item.get("call_id") or "")), str(item.get("name") or ""), given if isinstance(given, str) else "", free
        )
        # The protocol has an item for each call of an answer, and for its text.
        if not (turns and turns[-1].role == "assistant"):
            turns.append(PlainTurn("assistant"))
        turns[-1].parts.append(call)
    elif kind in OUTPUTS:
        given = item.get("output")
        parts = [one for one in _parts(plain, given) if isinstance(one, (Text, MediaPart))]
        if not (turns and turns[-1].role == "tool"):
            turns.append(PlainTurn("tool"))
        turns[-1].parts.append(ResultPart(plain_id(str(item.get("call_id") or "")), parts))
    elif kind == "message":
        role, parts = item.get("role"), _parts(plain, item.get("content"))  # type: ignore[assignment]
        if role in ("system", "developer"):
            if turns:
                turns.append(PlainTurn("system", [*parts]))
            elif text := text_of(list(parts)):
                plain.system.append(text)
        else:
            turns.append(PlainTurn("assistant" if role == "assistant" else "user", [*parts]))
    else:
        plain.lose("lose-thinking" if kind == "reasoning" else "lose-tool-history")


def _parts(plain: PlainRequest, content: Any) -> list[Part]:
    """Return the parts of a content."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    found: list[Part] = []
    for one in sequence(content):
        block = mapping(one)
        kind = block.get("type")
        if isinstance(text := block.get("text") or block.get("refusal"), str):
            found.append(Text(text))
        elif kind in ("input_image", "input_file"):
            told = "image" if kind == "input_image" else "file"
            address = block.get("image_url") if told == "image" else block.get("file_data") or block.get("file_url")
            media = media_at(told, address, block.get("filename"))
            plain.lose("lose-media", media is None)
            found += [media] if media else []
        else:
            plain.lose("lose-media")
    return found


def write(plain: PlainRequest, target: WireTarget, rules: WireRules) -> dict[str, Any]:
    """Return a request in this protocol."""
    given: list[dict[str, Any]] = []
    for turn in plain.turns:
        given += _written(plain, turn, rules)
    body: dict[str, Any] = {"model": target.model}
    if plain.system:
        body["instructions"] = "\n\n".join(plain.system)
    body["input"] = given
    body |= _tools(plain)
    if plain.max_tokens is not None:
        body["max_output_tokens"] = max(16, min(plain.max_tokens, target.max_output or plain.max_tokens))
    if plain.stop:
        plain.lose_fields({"stop"})
    if plain.schema is not None:
        schema = {"type": "json_schema", "name": plain.schema_name, "schema": plain.schema}
        body["text"] = {"format": schema if plain.schema else {"type": "json_object"}}
    if effort := effort_for(plain, rules):
        body["reasoning"] = {"effort": effort}
    if plain.cache_key is not None:
        body["prompt_cache_key"] = plain.cache_key
    body |= sampling(plain, rules)
    return body | {"store": False} | ({"stream": True} if plain.stream else {})


def _tools(plain: PlainRequest) -> dict[str, Any]:
    """Return the fields about tools."""
    if not plain.tools:
        return {}
    fields: dict[str, Any] = {"tools": [_tool(one) for one in plain.tools]}
    if plain.tool_choice is not None:
        name = plain.tool_choice.removeprefix("tool:")
        fields["tool_choice"] = name if name == plain.tool_choice else {"type": "function", "name": name}
    if plain.parallel_calls is not None:
        fields["parallel_tool_calls"] = plain.parallel_calls
    return fields


def _written(plain: PlainRequest, turn: PlainTurn, rules: WireRules) -> list[dict[str, Any]]:
    """Return the items of a turn."""
    items: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    for one in turn.parts:
        if isinstance(one, Text):
            said += [{"type": "input_text", "text": one.text}] if one.text else []
        elif isinstance(one, MediaPart):
            said.append(_block(plain, one, rules))
        elif isinstance(one, Call):
            items.append({"type": "function_call", "call_id": one.id, "name": one.name, "arguments": call_arguments(one)})
        else:
            items.append({"type": "function_call_output", "call_id": one.id, "output": _output(plain, one, rules)})
    role = "developer" if turn.role == "system" else turn.role
    # An answer's parts would need ids that only the provider gives; its text needs none.
    content = text_of(turn.parts) if role == "assistant" else said
    return [*([{"type": "message", "role": role, "content": content}] if content else []), *items]


def _output(plain: PlainRequest, result: ResultPart, rules: WireRules) -> Any:
    text = text_of(list(result.parts))
    if result.failed:
        plain.lose("lose-failed-mark")
        text = text if text.lower().startswith("error") else f"Error: {text}"
    media = [one for one in result.parts if isinstance(one, MediaPart)]
    return [{"type": "input_text", "text": text}, *(_block(plain, one, rules) for one in media)] if media else text


def _block(plain: PlainRequest, media: MediaPart, rules: WireRules) -> dict[str, Any]:
    if media.kind not in rules.media:
        plain.lose("lose-media")
        return {"type": "input_text", "text": named(media).text}
    if media.kind == "image":
        return {"type": "input_image", "image_url": data_url(media)}
    if media.url:
        return {"type": "input_file", "file_url": media.url}
    return {"type": "input_file", "filename": media.name or "file.pdf", "file_data": data_url(media)}


def _tool(tool: Tool) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    schema = FREE_SCHEMA if tool.free else tool.schema
    return {"type": "function", "name": tool.name, **described, "parameters": schema, "strict": bool(tool.strict)}


__all__ = ["read", "write"]
