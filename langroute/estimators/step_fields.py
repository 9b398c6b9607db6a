"""Parts of a step that its judgement reads: bounded texts by role, and numbers about the shape of the call.

Messages may be LangChain's or role/content mappings of recorded steps; both give the same parts. What tools returned is not among them: anybody
may have written it, and it must not decide what is paid. Only that a tool failed is read, which the framework says (`status`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import log1p
from typing import Any

from langroute.core.fast_dataclass import fast_dataclass
from langroute.estimators.step_schema import called_lines, schema_shape, tool_lines

FIELDS = ("system", "asked", "before", "said", "called", "does", "tools", "schema")
"""Names of a step's texts: system prompt, the latest user message and the one before it, the latest answer, its tool calls, what the tools
called since the latest user message are there for, the bound tools, the answer's schema."""

PLACES = ("plain", "prompted", "later", "structured", "tools", "after tool")
"""Where in a program a step stands: a request alone or with a system prompt, a later turn, one with a schema, with tools, after a tool."""

NUMBERS = (
    "bias", "no_system", "has_schema", "has_tools", "tool_count", "after_tool", "later_turn", "turns", "results", "errors", "failing",
    "asked_length", "system_length", "fields", "closed_fields", "closed_schema", "questions", "very_short", "code", "formula",
    "lines", "ends_with_answer", "repeated", "other_tools",
)  # fmt: skip
"""Names of the values in `StepFields.numbers`, each about 0 to 1."""

_CUT = {"system": (900, 200), "asked": (1050, 0), "before": (250, 50), "said": (100, 250)}
"""Characters kept from the beginning and the end of a text."""

MOST_MESSAGES = 60
"""Number of last messages that are read for the history's numbers; the system prompt is read all the same."""

_MOST_BLOCKS = 10
"""Blocks of a message that are read from its beginning and from its end."""

_LOOKED_AT, _SQUEEZED = 1500, 6000
"""Characters at the beginning of a long text in which a row of signs is looked for, and those in which rows are cut where there is one."""

_SIGNS, _ROW, _BLANK = re.compile(r"\W{9}"), re.compile(r"(\W)\1{8,}"), re.compile(r"(\s{8})\s+")
"""Nine signs; nine and more of one sign in a row, or of white space."""

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "function": "tool", "developer": "system"}
_CODE, _FORMULA = "{};=()<>_", "$\\^∑∫√≤≥∀∃"


@fast_dataclass
class StepFields:
    """A step as its judgement reads it.

    Example:
        >>> step_fields([{"role": "user", "content": "Define entropy."}]).texts[1]
        'Define entropy.'
    """

    texts: tuple[str, ...]
    """One text a name in `FIELDS`."""

    numbers: tuple[float, ...]
    """One value a name in `NUMBERS`."""

    place: int
    """Place in `PLACES`."""


def step_fields(messages: Sequence[Any], tools: Sequence[Any] = (), schema: Any = None) -> StepFields:
    """Return the parts of a step.

    Args:
        messages: LangChain messages, or mappings with `role` and `content`.
        tools: Function definitions in OpenAI's form.
        schema: The schema that the answer must have.
    """
    recent = messages[-MOST_MESSAGES:]
    roles = list(map(_role, recent))
    users = [place for place, role in enumerate(roles) if role == "user"]
    asked = _cut("asked", _text(recent[users[-1]])) if users else ""
    before = _cut("before", _text(recent[users[-2]])) if len(users) > 1 else ""
    system = _cut("system", _text(messages[0])) if messages and _role(messages[0]) == "system" else ""
    turn = users[-1] if users else 0
    shape, fields, closed = schema_shape(schema)
    done = _NOTHING_DONE
    if "assistant" in roles or "tool" in roles:
        done = _done(recent, roles, turn, tools)
    after_tool = bool(roles) and roles[-1] == "tool"
    numbers = (
        1.0,
        float(not system),
        float(schema is not None),
        float(bool(tools)),
        min(len(tools), 12) / 12,
        float(after_tool),
        float(len(users) > 1),
        min(log1p(len(users)) / 3, 1.0),
        *done.failures,
        _length(asked, 150),
        _length(system, 250),
        min(fields, 6) / 6,
        min(closed, 3) / 3,
        float(0 < fields <= 2 and closed == fields),
        min(asked.count("?") + asked.count("？") + asked.count("؟"), 2) / 2,
        float(len(asked) < 16),
        _share(asked, _CODE),
        _share(asked, _FORMULA),
        min(asked.count("\n"), 6) / 6,
        float(bool(roles) and roles[-1] == "assistant"),
        done.repeated,
        done.other_tools,
    )
    texts = (system, asked, before, done.said, done.called, done.does, tool_lines(tools) if tools else "", shape)
    return StepFields(texts, numbers, _place(after_tool, bool(tools), schema is not None, len(users) > 1, bool(system)))


@fast_dataclass
class _Done:
    """What was answered and called before a step."""

    said: str = ""
    called: str = ""
    does: str = ""
    failures: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Values of `results`, `errors` and `failing`."""

    repeated: float = 0.0
    other_tools: float = 0.0


_NOTHING_DONE = _Done()


def _done(recent: Sequence[Any], roles: Sequence[str], turn: int, tools: Sequence[Any]) -> _Done:
    """Return what was done before a step whose latest user message is number `turn`."""
    answer = len(roles) - 1 - roles[::-1].index("assistant") if "assistant" in roles else None
    said, calls = ("", []) if answer is None else (_cut("said", _text(recent[answer])), _calls(recent[answer]))
    made = _made(recent[turn:], roles[turn:])
    does, others = called_lines(tools, made) if made and tools else ("", 0)
    failed = [_failed(message) for message, role in zip(recent[turn:], roles[turn:], strict=True) if role == "tool"]
    row = min(_row(failed), 3) / 3 if roles[-1] == "tool" else 0.0
    failures = min(log1p(len(failed)) / 3, 1.0), min(sum(failed), 4) / 4, row
    return _Done(said, _called(calls), does, failures, _repeated(made), min(others, 12) / 12)


def _place(after_tool: bool, tools: bool, schema: bool, later: bool, system: bool) -> int:
    if after_tool:
        return 5
    return 4 if tools else 3 if schema else 2 if later else 1 if system else 0


def _length(text: str, most: int) -> float:
    return log1p(min(len(text), most)) / 5


def _share(text: str, characters: str) -> float:
    return min(sum(map(text.count, characters)) / 12, 1.0) if text else 0.0


def _row(failed: Sequence[bool]) -> int:
    """Return how many of the latest results failed in a row."""
    row = 0
    for one in reversed(failed):
        if not one:
            break
        row += 1
    return row


def _made(messages: Sequence[Any], roles: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Return the tool calls of each answer that made some."""
    made = [_calls(message) for message, role in zip(messages, roles, strict=True) if role == "assistant"]
    return [calls for calls in made if calls]


def _repeated(made: Sequence[Sequence[tuple[str, str]]]) -> float:
    """Return how often the latest tool calls were made before, with the same arguments."""
    return min(made[:-1].count(made[-1]), 3) / 3 if made else 0.0


def _cut(field: str, text: str) -> str:
    head, tail = _CUT[field]
    if len(text) > head + tail:
        text = _without_rows(text)
    if len(text) <= head + tail:
        return text
    return f"{text[:head]} \n {text[-tail:]}" if tail else text[:head]


def _without_rows(text: str) -> str:
    """Return a long text without the white space around it, and with eight of each row of one sign: more of it says no more."""
    text = text.strip()
    if _SIGNS.search(text, 0, _LOOKED_AT) is None:
        return text
    return _BLANK.sub(r"\1", _ROW.sub(r"\1" * 8, text[:_SQUEEZED])) + text[_SQUEEZED:]


@lru_cache(maxsize=256)
def _is_mapping(kind: type) -> bool:
    """Return whether objects of a class are mappings. An abstract class is slow to ask, and a step has many messages."""
    return issubclass(kind, Mapping)


def _role(message: Any) -> str:
    if _is_mapping(message.__class__):
        role = message.get("role", "user")
    else:
        role = getattr(message, "type", "user")
        if role == "chat":
            role = getattr(message, "role", "user")
    role = str(role)
    return _ROLES.get(role, role)


def _text(message: Any) -> str:
    content = message.get("content") if _is_mapping(message.__class__) else getattr(message, "content", message)
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    blocks = content if len(content) <= 2 * _MOST_BLOCKS else [*content[:_MOST_BLOCKS], *content[-_MOST_BLOCKS:]]
    parts = [block if isinstance(block, str) else block.get("text") for block in blocks if isinstance(block, (str, Mapping))]
    return "\n".join(part for part in parts if isinstance(part, str))


def _calls(message: Any) -> list[tuple[str, str]]:
    made = message.get("tool_calls") if _is_mapping(message.__class__) else getattr(message, "tool_calls", None)
    if not isinstance(made, list):
        return []
    return [(str(call.get("name")), str(call.get("args"))[:200]) for call in made[:6] if _is_mapping(call.__class__)]


def _called(calls: Sequence[tuple[str, str]]) -> str:
    return " ".join(f"{name} {arguments}" for name, arguments in calls)[:300]


def _failed(message: Any) -> bool:
    return (message.get("status") if _is_mapping(message.__class__) else getattr(message, "status", None)) == "error"
