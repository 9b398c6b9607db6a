"""Extraction of the parts of a request that estimators read.

These are the text of the current turn, the latest tool result, the tools, the caller's labels, and the shape of the history. Messages may
be LangChain's or the role/content mappings of recorded traffic; both give the same document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import log1p
from typing import Any

from langroute.core.fast_dataclass import fast_dataclass

HEAD, TAIL = 4500, 1500
"""Number of characters that are kept from the beginning and the end of a long text."""

SHAPES = ("messages", "turns", "answers", "tool_results", "media", "has_system", "observing", "tools")
"""Names of the values in `Document.shape`, in order; counts are `log(1 + n)`."""


FAILED = "result=failed"
"""Label of a step whose latest tool result is an error; derived from the messages, so recorded and live steps get it alike."""


@fast_dataclass
class Document:
    """One request as an estimator reads it.

    Example:
        >>> document_of([{"role": "user", "content": "Define entropy."}]).text
        'Define entropy.'
    """

    text: str
    """Text of the last user message."""

    seen: str = ""
    """End of the last message's text, where that came after the last user message; usually a tool result."""

    tools: str = ""
    """Names and schemas of the bound tools."""

    labels: tuple[str, ...] = ()
    """Labels of the caller (`task=…`, `kind=…`, `node=…`), and `FAILED`."""

    shape: tuple[float, ...] = (0.0,) * len(SHAPES)
    """Shape of the history; see `SHAPES`."""


def document_of(messages: Sequence[Any], tools: Sequence[Any] = (), labels: Sequence[str] = ()) -> Document:
    """Return the document of a request.

    Args:
        messages: LangChain messages, or mappings with `role` and `content`.
        tools: Function definitions in any provider's format.
        labels: Labels of the caller; see `Document.labels`.
    """
    if len(messages) == 1 and type(message := messages[0]) is dict and message.get("role") == "user":
        # Most recorded requests are one question.
        text = message.get("content")
        if isinstance(text, str):
            return Document(_held(text), "", tools_text(tools) if tools else "", tuple(labels), (*_ONE_QUESTION, log1p(len(tools))))
    roles = [_role(message) for message in messages]
    turns = roles.count("user")
    after = len(roles) - 1 - roles[::-1].index("user") if turns else 0
    text, media = _text(messages[after]) if messages else ("", 0)
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
            log1p(roles.count("assistant")),
            log1p(roles.count("tool")),
            log1p(media),
            float("system" in roles),
            float(observing),
            log1p(len(tools)),
        ),
    )


_ONE_QUESTION = (log1p(1), log1p(1), 0.0, 0.0, 0.0, 0.0, 0.0)
"""Shape of a single user message, without the last value (tools)."""


def _held(text: str) -> str:
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"


_TOOLS: dict[int, tuple[Any, str]] = {}


def tools_text(tools: Sequence[Any]) -> str:
    """Return tools as text; cached, because an agent binds the same tools for all its steps.

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
    # Keeping a reference to the tools keeps their id from being reused.
    _TOOLS[id(tools)] = (tools, text)
    return text


def _tool_text(tool: Any) -> str:
    if not isinstance(tool, Mapping):
        return str(getattr(tool, "name", tool))
    body = tool.get("function", tool)
    schema = body.get("parameters") or body.get("input_schema") or {}
    parts = [str(body.get("name", "")), str(body.get("description", ""))]
    if schema:
        parts.append(_written(schema))
    return " ".join(part for part in parts if part)


def _written(schema: Any) -> str:
    try:
        return json.dumps(schema, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):
        # Circular or nested too deeply: a tool's schema may come from an untrusted server.
        return ""


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
