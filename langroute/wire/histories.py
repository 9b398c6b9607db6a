"""Histories of requests as LangChain messages, for inspection alone: bounded, and what cannot be understood is text.

What a client wrote itself into a user message, a text that stands as a whole in a tag such as `<system-reminder>` or in brackets as
`[System: …]` (Gemini CLI), is a system message here: it begins no turn of the user.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.core.bounded import parse_json
from langroute.wire.answers import mapping, sequence

MAX_ARGUMENTS = 200_000
"""Longest arguments of a tool call, in characters, that are parsed."""

_IN_BRACKETS = re.compile(r"\s*\[System: [^\[\]]*\]\s*\Z")
_IN_A_TAG = re.compile(r"\s*<([A-Za-z][\w-]*)(?:\s[^<>]*)?>.*</\1>\s*\Z", re.DOTALL)


def is_machine_text(text: str) -> bool:
    """Return whether a text stands as a whole in one tag, or in brackets as the system's: a client wrote it, not a person.

    Example:
        >>> is_machine_text("<system-reminder>Be brief.</system-reminder>"), is_machine_text("Fix <b>this</b>.")
        (True, False)
        >>> is_machine_text("[System: Please provide an answer.]"), is_machine_text("[System: one] says two.")
        (True, False)
    """
    first = text[:40].lstrip()[:1]
    return (first == "<" and _IN_A_TAG.match(text) is not None) or (first == "[" and _IN_BRACKETS.match(text) is not None)


_MODELS = {kind: kind(content="", **more).__dict__ for kind, more in (
    (SystemMessage, {}), (HumanMessage, {}), (AIMessage, {}), (ToolMessage, {"tool_call_id": ""}),
)}  # fmt: skip
"""Class of a message → the fields of one that says nothing."""


def _made(kind: Any, **said: Any) -> Any:
    """Return a message without Pydantic's checks, which take more time than all the rest: a history has thousands."""
    message = kind.__new__(kind)
    values = {**_MODELS[kind], "additional_kwargs": {}, "response_metadata": {}, **said}
    for name, value in (
        ("__dict__", values), ("__pydantic_fields_set__", set(said)), ("__pydantic_extra__", {}), ("__pydantic_private__", None),
    ):  # fmt: skip
        object.__setattr__(message, name, value)
    return message


def system(content: Any) -> BaseMessage:
    """Return a system message."""
    return _made(SystemMessage, content=content)  # type: ignore[no-any-return]


def human(content: Any) -> list[BaseMessage]:
    """Return the messages that a user's content is: what the client wrote in tags as system messages, the rest as the user's."""
    if isinstance(content, str):
        return [system(content) if is_machine_text(content) else _made(HumanMessage, content=content)]
    told: list[BaseMessage] = []
    said: list[Any] = []
    for block in content:
        text = block.get("text") if isinstance(block, dict) else block
        if isinstance(text, str) and is_machine_text(text):
            told.append(system(text))
        else:
            said.append(block)
    if len(said) == 1 and isinstance(said[0], dict) and said[0].get("type") == "text" and isinstance(said[0].get("text"), str):
        said = said[0]["text"]
    return [*told, _made(HumanMessage, content=said)] if said else told


def answer(
    content: Any, calls: list[dict[str, Any]], *, broken: Sequence[dict[str, Any]] = (), told: dict[str, Any] | None = None
) -> AIMessage:
    """Return an answer of the model.

    Args:
        content: Its text or blocks.
        calls: Its tool calls.
        broken: Those whose arguments are no mapping.
        told: What the answer says of itself.
    """
    return _made(  # type: ignore[no-any-return]
        AIMessage, content=content, tool_calls=calls, invalid_tool_calls=list(broken), response_metadata=told or {}
    )


def call(id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    """Return a tool call in LangChain's form; arguments that are no mapping stand under `input`."""
    parsed = arguments
    if isinstance(arguments, str):
        parsed = parse_json(arguments, max_chars=MAX_ARGUMENTS)
    if not isinstance(parsed, dict):
        parsed = {} if arguments in (None, "") else {"input": arguments}
    return {"type": "tool_call", "id": _text(id), "name": _text(name), "args": parsed}


def result(id: Any, content: Any, *, failed: bool = False, name: Any = None) -> BaseMessage:
    """Return a tool's result."""
    return _made(  # type: ignore[no-any-return]
        ToolMessage,
        content=content if isinstance(content, (str, list)) else "",
        tool_call_id=_text(id),
        status="error" if failed else "success",
        name=name if isinstance(name, str) else None,
    )


def in_rounds(known: Sequence[BaseMessage], new: list[BaseMessage]) -> list[BaseMessage]:
    """Return a history with the calls of one answer in one message: some protocols have an entry for each."""
    found = list(known)
    for one in new:
        before = found[-1] if found else None
        if type(one) is AIMessage and type(before) is AIMessage and one.tool_calls and not one.content:
            found[-1] = answer(before.content, [*before.tool_calls, *one.tool_calls])  # type: ignore[list-item]
        else:
            found.append(one)
    return found


def with_a_user(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Return a history that has a user message, if any of its messages can be one: some write in tags all that they ask."""
    if any(type(one) is HumanMessage for one in messages):
        return messages
    place = next((at for at in range(len(messages) - 1, -1, -1) if type(messages[at]) is SystemMessage), None)
    if place is None or place == 0:
        return messages
    return [*messages[:place], _made(HumanMessage, content=messages[place].content), *messages[place + 1 :]]


def blocks(content: Any) -> list[Any]:
    """Return a content's blocks: mappings and texts; all else is left out."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [one for one in sequence(content) if isinstance(one, (dict, str))]


def joined(parts: Iterable[Any]) -> str:
    """Return the text of blocks, on lines of their own."""
    texts = (part if isinstance(part, str) else mapping(part).get("text") for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str))


def function_tool(name: Any, description: Any, parameters: Any) -> dict[str, Any]:
    """Return a tool in OpenAI's form."""
    function: dict[str, Any] = {"name": _text(name)}
    if isinstance(description, str):
        function["description"] = description
    function["parameters"] = parameters if isinstance(parameters, dict) else {}
    return {"type": "function", "function": function}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


__all__ = ["answer", "blocks", "call", "function_tool", "human", "is_machine_text", "joined", "result", "system", "with_a_user"]
