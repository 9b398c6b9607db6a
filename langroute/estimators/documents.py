"""What of a request do estimators read?

The current turn's text, what came back since, the tools, the labels that the caller gave, and the shape of the history. Messages
may be LangChain's or the role/content mappings of recorded traffic: both read the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log1p
from typing import Any

from langroute.quick import quick

HEAD, TAIL = 4500, 1500
"""Characters that are read at the beginning and at the end of a long text."""

SHAPES = ("messages", "turns", "answers", "tool_results", "media", "has_system", "observing", "tools")
"""What `Document.shape` holds, in this order; counts as `log(1 + n)`."""


FAILED = "result=failed"
"""The label of a step whose latest tool result is an error; told from the messages, so that traffic and a live step have it alike."""


@quick
@dataclass(frozen=True, slots=True)
class Document:
    """One request as an estimator reads it.

    Example:
        >>> document_of([{"role": "user", "content": "Define entropy."}]).text
        'Define entropy.'
    """

    text: str
    """What the person, or the calling program, last said."""

    seen: str = ""
    """The end of what tools returned since."""

    tools: str = ""
    """Names and schemas of the bound tools."""

    labels: tuple[str, ...] = ()
    """`task=…`, `kind=…`, `node=…`: what the caller named; and `FAILED`."""

    shape: tuple[float, ...] = (0.0,) * len(SHAPES)


def document_of(messages: Sequence[Any], tools: Sequence[Any] = (), labels: Sequence[str] = ()) -> Document:
    """Read messages and tools.

    Args:
        messages: LangChain messages, or mappings with `role` and `content`.
        tools: Function definitions in any provider's form.
        labels: What the caller named; see `Document.labels`.
    """
    if len(messages) == 1 and type(message := messages[0]) is dict and message.get("role") == "user":
        # Most recorded requests are one question.
        text = message.get("content")
        if isinstance(text, str):
            return Document(_held(text), "", tools_text(tools) if tools else "", tuple(labels), (*_ONE_QUESTION, log1p(len(tools))))
    turns = answers = results = media = system = 0
    text, after = "", 0
    for place, message in enumerate(messages):
        role = _role(message)
        if role == "user":
            turns, after = turns + 1, place
        elif role == "assistant":
            answers += 1
        elif role == "tool":
            results += 1
        elif role == "system":
            system = 1
    if messages:
        text, media = _text(messages[after])
    seen = ""
    last = len(messages) - 1
    observing = last > after
    if observing:
        seen, _ = _text(messages[last])
        seen = seen[-TAIL:]
        if _failed(messages[last]):
            labels = (*labels, FAILED)
    return Document(
        _held(text),
        seen,
        tools_text(tools) if tools else "",
        tuple(labels),
        (
            log1p(len(messages)),
            log1p(turns),
            log1p(answers),
            log1p(results),
            log1p(media),
            float(system),
            float(observing),
            log1p(len(tools)),
        ),
    )


_ONE_QUESTION = (log1p(1), log1p(1), 0.0, 0.0, 0.0, 0.0, 0.0)
"""The shape of a single message of a user, without its tools."""


def _held(text: str) -> str:
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"


_TOOLS: dict[int, tuple[Any, str]] = {}


def tools_text(tools: Sequence[Any]) -> str:
    """Tools as text, remembered: an agent binds the same ones for all its steps.

    Example:
        >>> tools_text(({"name": "add", "description": "Add two numbers."},))
        'add Add two numbers.'
    """
    known = _TOOLS.get(id(tools))
    if known is not None and known[0] is tools:
        return known[1]
    text = " ".join(_tool_text(tool) for tool in tools)[: HEAD + TAIL]
    if len(_TOOLS) > 64:
        _TOOLS.clear()
    # Holding the tools keeps their id from being given to others.
    _TOOLS[id(tools)] = (tools, text)
    return text


def _tool_text(tool: Any) -> str:
    if not isinstance(tool, Mapping):
        return str(getattr(tool, "name", tool))
    body = tool.get("function", tool)
    schema = body.get("parameters") or body.get("input_schema") or {}
    parts = [str(body.get("name", "")), str(body.get("description", ""))]
    if schema:
        parts.append(json.dumps(schema, ensure_ascii=False, default=str))
    return " ".join(part for part in parts if part)


_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "function": "tool", "developer": "system"}


def _role(message: Any) -> str:
    if isinstance(message, (dict, Mapping)):
        role = message.get("role", "user")
    else:
        role = getattr(message, "type", "user")
        if role == "chat":
            role = getattr(message, "role", "user")
    return _ROLES.get(str(role), str(role))


def _failed(message: Any) -> bool:
    if _role(message) != "tool":
        return False
    status = message.get("status") if isinstance(message, (dict, Mapping)) else getattr(message, "status", None)
    return status == "error"


def _text(message: Any) -> tuple[str, int]:
    content = message.get("content") if isinstance(message, (dict, Mapping)) else getattr(message, "content", message)
    if isinstance(content, str):
        return content, 0
    if not isinstance(content, Sequence):
        return "", 0
    parts: list[str] = []
    media = 0
    for block in content:
        if isinstance(block, str):
            parts.append(block)
        elif isinstance(block, Mapping):
            if isinstance(said := block.get("text"), str):
                parts.append(said)
            elif block.get("type") not in ("thinking", "redacted_thinking", "reasoning", "tool_use"):
                media += 1
    return "\n".join(parts), media
