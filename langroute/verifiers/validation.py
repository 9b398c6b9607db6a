"""JSON schema validation of values that a model wrote, in bounded time.

The schema is the user's; the value is untrusted. Work that can grow faster than the value is counted and stops at a limit: nested
alternatives, patterns on long texts, error messages that quote the value. References outside the schema are not resolved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from threading import local
from typing import Any

from langroute.verifiers.bounds import NotCheckedError, size_of

WORK = 100_000
"""Most schema keywords that are evaluated for one answer; about a second of work."""

MOST_PATTERN = 5000
"""Longest text that is matched against a pattern, in characters."""

_BY_PATTERN = frozenset({"pattern", "patternProperties", "additionalProperties", "unevaluatedProperties"})


class Work:
    """Budget of validation work for one answer, shared by all of its values."""

    __slots__ = ("left",)

    def __init__(self, left: int = WORK) -> None:
        self.left = left

    def spend(self, work: int) -> None:
        """Subtract work from the budget.

        Raises:
            NotCheckedError: The budget is used up.
        """
        self.left -= work
        if self.left < 0:
            raise NotCheckedError("too much work with its schema")


def first_error(schema: Mapping[str, Any], value: Any, work: Work | None = None) -> str | None:
    """Return the first validation error of a value under a JSON schema, as text, or `None` where it is valid.

    Args:
        schema: A JSON schema.
        value: The value to validate.
        work: Budget that is shared by several values; by default a new one.

    Raises:
        NotCheckedError: The value is too large, takes too long with this schema, or the schema cannot be used.

    Example:
        >>> first_error({"properties": {"a": {"type": "integer"}}}, {"a": "one"})
        "a: 'one' is not of type 'integer'"
    """
    _meter.work, _meter.an_error = work or Work(), 1 + size_of(value) // 400
    try:
        validator = _validator(json.dumps(schema, sort_keys=True, default=str))
        error = next(iter(validator.iter_errors(value)), None)
    except NotCheckedError:
        raise
    except Exception as broken:
        # An invalid schema, an unresolved reference or a failing arithmetic check is not the answer's fault.
        raise NotCheckedError(f"its schema cannot be used: {type(broken).__name__}: {broken}") from broken
    if error is None:
        return None
    place = ".".join(str(part) for part in error.absolute_path)
    return f"{place}: {error.message}" if place else str(error.message)


class _Meter(local):
    """The work budget of the current thread; thread-local because the library's keyword functions take no further argument."""

    work = Work(0)
    an_error = 1


_meter = _Meter()


@lru_cache(maxsize=1024)
def _validator(schema: str) -> Any:
    from jsonschema.validators import validator_for
    from referencing import Registry

    loaded = json.loads(schema)
    # An empty registry fetches no remote references: the schema of a tool may come from an untrusted server.
    return _bounded(validator_for(loaded))(loaded, registry=Registry())


@lru_cache(maxsize=16)
def _bounded(kind: Any) -> Any:
    from jsonschema.validators import extend

    keywords = {name: _counted(name, check) for name, check in kind.VALIDATORS.items()}
    return extend(kind, {**keywords, "uniqueItems": _unique})  # type: ignore[no-untyped-call]


def _counted(name: str, check: Callable[..., Any]) -> Callable[..., Any]:
    def keyword(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        _meter.work.spend(1)
        errors = check(validator, value, instance, schema)
        return errors if errors is None or _meter.an_error < _CHEAP else _paid(errors)

    def by_pattern(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        if name == "pattern":
            texts = [instance] if isinstance(instance, str) else []
        else:
            texts = list(instance) if isinstance(instance, dict) and "patternProperties" in schema else []
        for text in texts:
            _spend_on_pattern(text)
        return keyword(validator, value, instance, schema)

    return by_pattern if name in _BY_PATTERN else keyword


def _paid(errors: Iterable[Any]) -> Iterator[Any]:
    for error in errors:
        # The error's message quotes the value, so it costs work in proportion to the value's size.
        _meter.work.spend(_meter.an_error)
        yield error


_CHEAP = 4
"""Work per error, in keywords, below which errors are not counted."""


def _spend_on_pattern(text: str) -> None:
    if len(text) > MOST_PATTERN:
        raise NotCheckedError(f"a text of more than {MOST_PATTERN:,} characters, which has a pattern to fit")
    # Many patterns take quadratic time in the length of the text.
    _meter.work.spend(len(text) ** 2 // 1000)


def _unique(_: Any, wanted: Any, instance: Any, __: Any) -> Iterator[Any]:
    """Check `uniqueItems` by hashing, in linear time; the library compares every pair of items."""
    if wanted and isinstance(instance, list):
        _meter.work.spend(1 + len(instance) // 10)
        if len(set(map(_identity, instance))) < len(instance):
            from jsonschema import ValidationError

            yield ValidationError(f"{instance!r} has non-unique elements")


def _identity(value: Any) -> Any:
    """Return a hashable key that is equal for values that JSON schema calls equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, dict):
        return "object", frozenset((key, _identity(one)) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return "array", tuple(map(_identity, value))
    return "truth" if isinstance(value, bool) else "", value
