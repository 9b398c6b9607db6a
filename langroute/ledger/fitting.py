"""Normalization of records into a form that every database accepts.

Names are truncated to a maximum length (with a hash of the rest, so that equal names stay equal), impossible numbers become unknown,
metadata and tags of a call are kept up to a size. Values of a wrong type are rejected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from operator import attrgetter
from typing import Any, TypeVar, get_type_hints

from langroute.core.amounts import YEAR_3000
from langroute.core.errors import DataError
from langroute.core.number_checks import MOST
from langroute.core.records import Attempt, Decision, Failure, Selection, Signals, Step, Stored, Usage, Verdict
from langroute.core.storable import ID, MOST_ENTRIES, NAME, RUN, bounded, finite, is_small, name_of, storable, text_of
from langroute.core.task_context import Task
from langroute.ledger.facts import CallRecord

R = TypeVar("R")

TEXT = 10_000
"""Most characters of a reason, a comment or a problem."""

MOST_TOKENS = 10**12
"""A larger token count must be wrong."""

_SHORT: Mapping[tuple[type | None, str], int] = {
    (Decision, "id"): ID,
    (None, "decision_id"): ID,
    (None, "run_id"): RUN,
    (None, "root_run_id"): RUN,
    (None, "parent_run_id"): RUN,
    (CallRecord, "what"): 10,
    (CallRecord, "cost_basis"): 10,
    (CallRecord, "cache"): 16,
    (None, "state"): 12,
}
"""Names with their own maximum lengths: those of the columns in `schema`."""

_TEXTS = frozenset({"reason", "comment", "error"})
_MOMENTS = frozenset({"at", "started_at", "ended_at"})
_SKIPPED = frozenset({"asked", "answer", "parsed", "messages", "prefixes", "memory"})
"""Fields that are not stored, or only as JSON that is bounded as a whole (`codec`)."""

_IN_JSON_ONLY = (Signals, Failure)
"""Records that fill no column and are encoded by `codec` only."""

_NESTED: Mapping[tuple[type, str], type] = {
    (Decision, "step"): Step,
    (Decision, "attempts"): Attempt,
    (Step, "signals"): Signals,
    (Attempt, "selection"): Selection,
    (Attempt, "verdicts"): Verdict,
    (Attempt, "usage"): Usage,
    (Attempt, "failure"): Failure,
    (Attempt, "stored"): Stored,
    (Stored, "usage"): Usage,
    (CallRecord, "usage"): Usage,
}


def fitted(record: R) -> R:
    """Return a record in a form that every database accepts; the same object where it already is.

    Args:
        record: A decision, a call, a task, an outcome, or a part of one.

    Raises:
        DataError: A field that must be there has a value of another type.

    Example:
        >>> fitted(CallRecord("t" * 3000, cost_usd=float("nan"), latency_s=0.5)).cost_usd is None
        True
    """
    shape = shape_of(type(record))
    fit: R = record if shape.fits(record) else shape.fit(record)
    return fit


def fitted_task(task: Task | None) -> Task | None:
    """Return the task around a call in a form that every database accepts."""
    if task is None:
        return None
    kind = task.kind or ""
    if type(task.id) is type(kind) is str and len(task.id) <= NAME and len(kind) <= NAME and is_small(task.tags):
        return task
    tags: dict[str, Any] = {
        name_of(key): value if type(value) in (int, float, bool) and finite(value) is not None else name_of(value)
        for key, value in list[Any](task.tags.items())[:MOST_ENTRIES]
    }
    return Task(name_of(task.id), None if task.kind is None else name_of(task.kind), tags)


_TEXTLIKE = frozenset({str, type(None)})
_NUMBERS = frozenset({int, float, type(None)})
_FLAGS = frozenset({bool, type(None)})


# Shapes --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of one kind of record, derived from its types once."""

    kind: type
    texts: Callable[[Any], Sequence[Any]]
    numbers: Callable[[Any], Sequence[Any]]
    flags: Callable[[Any], Sequence[Any]]
    moments: tuple[str, ...]
    short: tuple[tuple[str, int], ...]
    nested: tuple[tuple[str, bool], ...]
    """Field name, and whether it holds several."""

    several: tuple[str, ...]
    """Names of fields that hold several texts."""

    mappings: tuple[str, ...]
    fitters: tuple[tuple[str, Callable[[Any], Any]], ...]
    most: float

    def fits(self, record: Any) -> bool:
        """Return whether a record needs no change. Called for every record, so it checks many fields at once."""
        texts, numbers = self.texts(record), self.numbers(record)
        if not (_TEXTLIKE.issuperset(map(type, texts)) and _NUMBERS.issuperset(map(type, numbers))):
            return False
        if not _FLAGS.issuperset(map(type, self.flags(record))):
            return False
        words = [text for text in texts if text]
        joined = "".join(words)
        if len(joined) > NAME and max(map(len, words)) > NAME:
            return False
        return storable(joined) == joined and self._numbers_fit(numbers) and self._rest_fits(record)

    def _numbers_fit(self, numbers: Sequence[Any]) -> bool:
        known = [value for value in numbers if value]
        try:
            return not known or (sum(map(abs, known)) < self.most and (self.most == MOST or min(known) > 0))
        except OverflowError:
            return False

    def _rest_fits(self, record: Any) -> bool:
        for name, most in self.short:
            value = getattr(record, name)
            if value is not None and len(value) > most:
                return False
        for name in self.moments:
            value = getattr(record, name)
            if value is not None and not 0 <= value < YEAR_3000:
                return False
        for name in self.mappings:
            if (value := getattr(record, name)) and not is_small(value):
                return False
        for name in self.several:
            if (value := getattr(record, name)) and not _are_texts(value):
                return False
        return self._parts_fit(record)

    def _parts_fit(self, record: Any) -> bool:
        for name, several in self.nested:
            part = getattr(record, name)
            if several:
                for one in part:
                    if not shape_of(type(one)).fits(one):
                        return False
            elif part is not None and not shape_of(type(part)).fits(part):
                return False
        return True

    def fit(self, record: Any) -> Any:
        """Return the record with every field normalized."""
        changed = {}
        for name, fitter in self.fitters:
            before = getattr(record, name)
            try:
                after = fitter(before)
            except DataError as error:
                raise DataError(f"{name} {error}") from None
            if after is not before:
                changed[name] = after
        return replace(record, **changed) if changed else record


_shapes: dict[Any, Shape] = {}


def shape_of(kind: Any) -> Shape:
    """Return the shape of a kind of record.

    Raises:
        DataError: It is not a kind of record.
    """
    found = _shapes.get(kind)
    if found is None:
        if not is_dataclass(kind):
            raise DataError(f"A {kind.__name__} is no record that a ledger keeps.")
        found = _shapes[kind] = _shape_of(kind, get_type_hints(kind))
    return found


def _shape_of(kind: Any, hints: Mapping[str, Any]) -> Shape:
    named: dict[str, list[str]] = {role: [] for role in ("text", "number", "flag", "several", "mapping")}
    nested: list[tuple[str, bool]] = []
    fitters: list[tuple[str, Callable[[Any], Any]]] = []
    for field in fields(kind):
        if field.name in _SKIPPED or (field.name == "error" and kind is Attempt):
            continue
        default = None if field.default is MISSING else field.default
        role, fitter = _role(kind, field.name, str(hints[field.name]), default)
        fitters.append((field.name, fitter))
        if role == "nested" and _NESTED[kind, field.name] not in _IN_JSON_ONLY:
            nested.append((field.name, "tuple" in str(hints[field.name])))
        elif role != "nested":
            named[role].append(field.name)
    moments = tuple(name for name in named["number"] if name in _MOMENTS)
    short = tuple((name, most) for name in named["text"] if (most := _most_of(kind, name)) < NAME)
    return Shape(
        kind,
        _values(named["text"]),
        _values(named["number"]),
        _values(named["flag"]),
        moments,
        short,
        tuple(nested),
        tuple(named["several"]),
        tuple(named["mapping"]),
        tuple(fitters),
        MOST_TOKENS if kind is Usage else MOST,
    )


def _values(names: Sequence[str]) -> Callable[[Any], Sequence[Any]]:
    if not names:
        return lambda _: ()
    # With a single name, `attrgetter` would return the value itself.
    return attrgetter(*names, names[0])


def _most_of(kind: type, name: str) -> int:
    return _SHORT.get((kind, name)) or _SHORT.get((None, name)) or NAME


def _role(kind: type, name: str, hint: str, default: Any) -> tuple[str, Callable[[Any], Any]]:
    """Return what a field holds and how its value is normalized."""
    optional = "None" in hint
    if (kind, name) in _NESTED:
        return "nested", _parts if "tuple" in hint else _part
    if "Mapping" in hint:
        return "mapping", bounded if "Any" in hint else _words
    if "tuple" in hint:
        return "several", _several
    if "bool" in hint:
        return "flag", lambda value: _flag(value, optional)
    if "float" in hint or "int" in hint:
        return "number", _number_fitter(kind, name, hint, optional, default)
    if name in _TEXTS:
        return "text", lambda value: None if value is None else _text(value)
    most = _most_of(kind, name)
    return "text", lambda value: None if value is None else name_of(value, most)


def _number_fitter(kind: type, name: str, hint: str, optional: bool, default: Any) -> Callable[[Any], Any]:
    if name in _MOMENTS:
        return lambda value: _moment(value, optional)
    if "float" in hint:
        # A boolean is valid as a score, but not as an amount of money.
        truth = name == "score"
        return lambda value: _float(value, optional, default or 0.0, truth)
    most = MOST_TOKENS if kind in (Usage, Signals) else (1 << 31) - 1
    return lambda value: _count(value, optional, default or 0, most)


def _are_texts(values: Any) -> bool:
    if type(values) is not tuple or len(values) > MOST_ENTRIES:
        return False
    return all(type(one) is str and len(one) <= TEXT for one in values)


# Fields --------------------------------------------------------------------------------------------------------------------


def _part(value: Any) -> Any:
    return None if value is None else fitted_part(value)


def fitted_part(value: Any) -> Any:
    """Return a part of a record in normalized form, whether or not a column is filled from it."""
    return shape_of(type(value)).fit(value)


def _parts(values: Any) -> tuple[Any, ...]:
    return tuple([fitted_part(value) for value in values])


def _text(value: Any) -> str:
    text = text_of(value)
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"


def _several(values: Any) -> tuple[str, ...]:
    return tuple([_text(value) for value in tuple(values)[:MOST_ENTRIES]])


def _words(values: Any) -> dict[str, str]:
    return {name_of(key): _text(value) for key, value in list(values.items())[:MOST_ENTRIES]}


def _flag(value: Any, optional: bool) -> bool | None:
    if isinstance(value, bool) or (value is None and optional):
        return value
    if value in (0, 1):
        return bool(value)
    raise DataError(f"is a {type(value).__name__}, not a truth.")


def _float(value: Any, optional: bool, default: float, truth: bool) -> float | None:
    if value is None and optional:
        return None
    if truth and isinstance(value, bool):
        return float(value)
    found = finite(value)
    if found is None and not optional:
        _refuse_other_types(value)
        return default
    return found


def _count(value: Any, optional: bool, default: int, most: int) -> int | None:
    if value is None and optional:
        return None
    found = finite(value)
    if found is None or not 0 <= found <= most:
        if not optional:
            _refuse_other_types(value)
        return None if optional else default
    return int(value)


def _moment(value: Any, optional: bool) -> float | None:
    if value is None and optional:
        return None
    found = finite(value)
    if found is not None and 0 <= found < YEAR_3000:
        return found
    if optional:
        return None
    _refuse_other_types(value)
    # A record without a valid time is taken to have happened now.
    return time.time()


def _refuse_other_types(value: Any) -> None:
    """Raise if a value is not a number.

    An impossible number becomes unknown; a wrong type is a mistake in the program that recorded it.
    """
    if not hasattr(type(value), "__float__"):
        raise DataError(f"is a {type(value).__name__}, not a number.")


__all__ = ["MOST_TOKENS", "TEXT", "fitted", "fitted_part", "fitted_task"]
