"""How does a decision become JSON, and the same decision again?

Only what differs from the default is written, so that a usual decision takes a few hundred bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from langroute.errors import DataError
from langroute.records import Attempt, Decision, Failure, Selection, Signals, Step, Stored, Usage, Verdict

_NESTED: dict[type, dict[str, type]] = {
    Decision: {"step": Step, "attempts": Attempt},
    Step: {"signals": Signals},
    Attempt: {"selection": Selection, "verdicts": Verdict, "usage": Usage, "failure": Failure, "stored": Stored},
    Stored: {"usage": Usage},
}
_MESSAGES: dict[type, tuple[str, ...]] = {Attempt: ("answer",), Decision: ("messages",)}
_NEVER: dict[type, tuple[str, ...]] = {Attempt: ("error", "parsed"), Step: ("asked",)}
"""An exception cannot be brought back; what was parsed is in the answer; a hash of this process says nothing to another."""


def _default(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


_FIELDS: dict[type, tuple[tuple[str, Any], ...]] = {
    kind: tuple((field.name, _default(field)) for field in fields(kind) if field.name not in _NEVER.get(kind, ()))
    for kind in (Decision, Step, Signals, Attempt, Selection, Usage, Verdict, Failure, Stored)
}
_SCALARS = frozenset({str, int, float, bool})
_SEQUENCES: dict[type, set[str]] = {
    kind: {name for name, default in known if isinstance(default, tuple)} for kind, known in _FIELDS.items()
}
_SEQUENCES[Decision].add("attempts")


def plain(record: Any) -> dict[str, Any]:
    """A record as plain values.

    Example:
        >>> plain(Decision("d1", Step("title"), "small", ()))
        {'id': 'd1', 'step': {'kind': 'title'}, 'route': 'small', 'attempts': []}
    """
    out: dict[str, Any] = {}
    for name, default in _FIELDS[type(record)]:
        value = getattr(record, name)
        if value is default or value == default:
            continue
        out[name] = value if type(value) in _SCALARS else _plain_value(value)
    return out


def _plain_value(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if type(value) in _FIELDS:
        return plain(value)
    if isinstance(value, Mapping):
        return {str(key): _plain_value(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_value(inner) for inner in value]
    if hasattr(value, "model_dump") and hasattr(value, "type"):
        from langchain_core.messages import message_to_dict

        return message_to_dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain_value(getattr(value, field.name)) for field in fields(value)}
    return str(value)


def dumps(record: Decision, clean: Callable[[Any], Any] | None = None) -> str:
    """A decision as JSON.

    Args:
        record: The decision.
        clean: Called with the plain values before they are written; redaction at level `full`.
    """
    values = plain(record)
    # Escaped: half a surrogate pair and a NUL, which models do write, cannot be stored otherwise.
    return json.dumps(clean(values) if clean is not None else values, separators=(",", ":"), default=str)


def loads(text: str) -> Decision:
    """The decision again.

    Raises:
        DataError: The text is no decision.

    Example:
        >>> decision = Decision("d1", Step("title", thread="t"), "small", (Attempt(Selection("small"), cost_usd=0.25),))
        >>> loads(dumps(decision)) == decision
        True
    """
    try:
        found: Decision = _build(Decision, json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"A stored decision cannot be read: {type(error).__name__}: {error}") from error
    return found


def _build(kind: type, values: Mapping[str, Any]) -> Any:
    nested, sequences = _NESTED.get(kind, {}), _SEQUENCES[kind]
    known = {name for name, _ in _FIELDS[kind]}
    out: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            # Written by a newer version of langroute; what this one knows of it is still true.
            continue
        inner = nested.get(name)
        if inner is not None and isinstance(value, list):
            value = tuple([_build(inner, one) for one in value])
        elif inner is not None and isinstance(value, dict):
            value = _build(inner, value)
        elif name in _MESSAGES.get(kind, ()):
            value = _messages(value)
        elif name in sequences:
            value = tuple(value)
        out[name] = value
    return kind(**out)


def _messages(value: Any) -> Any:
    from langchain_core.messages import messages_from_dict

    if isinstance(value, dict) and "type" in value and "data" in value:
        return messages_from_dict([value])[0]
    if isinstance(value, list):
        return tuple(messages_from_dict(value))
    return value
