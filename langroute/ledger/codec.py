"""JSON encoding and decoding of decisions.

Only values that differ from the defaults are written, so that a typical decision takes a few hundred bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any

from langroute.core.errors import DataError
from langroute.core.records import Attempt, Decision, Failure, Selection, Signals, Step, Stored, Usage, Verdict
from langroute.core.storable import sound, text_of
from langroute.ledger.fitting import fitted_part

_NESTED: dict[type, dict[str, type]] = {
    Decision: {"step": Step, "attempts": Attempt},
    Step: {"signals": Signals},
    Attempt: {"selection": Selection, "verdicts": Verdict, "usage": Usage, "failure": Failure, "stored": Stored},
    Stored: {"usage": Usage},
}
_MESSAGES: dict[type, tuple[str, ...]] = {Attempt: ("answer",), Decision: ("messages",)}
_NEVER: dict[type, tuple[str, ...]] = {
    Attempt: ("error", "parsed"),
    Step: ("turn_hash", "prefixes"),
    Selection: ("memory",),
    Decision: ("memory",),
}
"""Fields that are not encoded: an exception cannot be restored, a parsed value is in the answer, and a hash of this process is
meaningless in another."""


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
    """Return a record as plain values.

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


MOST_CHARACTERS = 16 << 20
"""Most characters of the JSON of one record."""

TOO_LARGE = "what was said was not kept: it is too large, or nested too deeply"


def dumps(record: Decision, clean: Callable[[Any], Any] | None = None) -> str:
    """Encode a decision as JSON; messages and answers are left out where they cannot be encoded or are too large.

    Args:
        record: The decision.
        clean: Called with the plain values before they are written; redaction at level `full`.
    """
    try:
        values = plain(record)
        return as_json(clean(values) if clean is not None else values)
    except Exception:  # noqa: BLE001 - what a model was told may be anything: cyclic, a megabyte deep, with a `__str__` that raises
        bare = replace(fitted_part(record.without_text()), metadata={}, problems=(*record.problems, TOO_LARGE))
        values = plain(bare)
        return as_json(clean(values) if clean is not None else values)


_encode = json.JSONEncoder(separators=(",", ":"), default=text_of, allow_nan=False).encode


def as_json(values: Any) -> str:
    """Encode plain values as JSON that every parser reads.

    Raises:
        DataError: It is too large, or nested too deeply.
    """
    try:
        # Escaped: lone surrogates and NUL characters, which models do write, cannot be stored otherwise.
        text = _encode(values)
    except (ValueError, TypeError, RecursionError):
        text = json.dumps(sound(values), separators=(",", ":"), allow_nan=False)
    if len(text) > MOST_CHARACTERS:
        raise DataError("It is too large to be kept.")
    return text


def loads(text: str) -> Decision:
    """Decode a decision.

    Raises:
        DataError: The text is not a decision.

    Example:
        >>> decision = Decision("d1", Step("title", thread="t"), "small", (Attempt(Selection("small"), cost_usd=0.25),))
        >>> loads(dumps(decision)) == decision
        True
    """
    try:
        found: Decision = _build(Decision, json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"A stored decision cannot be read: {type(error).__name__}: {error}") from error
    return found


def restored(kind: type, values: Mapping[str, Any]) -> Any:
    """Return the record that `plain` made plain values of.

    Example:
        >>> restored(Selection, plain(Selection("small", "cheapest")))
        Selection(route='small', reason='cheapest', propensity=1.0, provisional=False, confidence=None, wait_s=0.0, switch_cost_usd=None)
    """
    return _build(kind, values)


def _build(kind: type, values: Mapping[str, Any]) -> Any:
    nested, sequences = _NESTED.get(kind, {}), _SEQUENCES[kind]
    known = {name for name, _ in _FIELDS[kind]}
    out: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            # Written by a newer version of langroute; the fields that this version knows are still valid.
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
