"""Composable checks of values that were read from JSON.

A check is called with a value and its location, and raises a `PolicyFormatError` that names both. Checks of lists and objects are built
from checks of their items, so that a format can be declared in the shape that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from reprlib import Repr
from typing import Any

from langroute.core.errors import PolicyFormatError

Check = Callable[[Any, str], None]

MOST = 1e15
"""Largest absolute value of a number; larger ones come from a division by nearly zero."""

_short = Repr()
_short.maxstring = _short.maxother = 60


def wrong(where: str, value: Any, what: str) -> PolicyFormatError:
    """Return the error that says which value is wrong, and what it should be.

    Example:
        >>> str(wrong("policy.json: seed", "x", "a whole number from 0 up"))
        "policy.json: seed is 'x'; it should be a whole number from 0 up."
    """
    return PolicyFormatError(f"{where} is {_short.repr(value)}; it should be {what}.")


@dataclass(frozen=True, slots=True)
class Single:
    """Check of a single value by a predicate.

    Example:
        >>> Single("a text", lambda value: isinstance(value, str))("yes", "policy.json: made_with")
    """

    what: str
    holds: Callable[[Any], bool]

    def __call__(self, value: Any, where: str) -> None:
        """Raise `PolicyFormatError` where the predicate does not hold for the value."""
        if not self.holds(value):
            raise wrong(where, value, self.what)


def number(least: float = -MOST, most: float = MOST, *, what: str) -> Single:
    """Return a check for a number in a closed range; booleans and NaN fail.

    Example:
        >>> number(0, 1, what="a share from 0 to 1")(0.5, "policy.json: x")
    """
    return Single(what, lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most)


def whole(least: int = 0, most: float = MOST, *, what: str = "a whole number from 0 up") -> Single:
    """Return a check for a whole number in a closed range; booleans fail.

    Example:
        >>> whole()(3, "policy.json: seed")
    """
    return Single(what, lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most)


TEXT = Single("a text", lambda value: isinstance(value, str))
NAME = Single("a text that is not empty", lambda value: isinstance(value, str) and bool(value))
TRUTH = Single("true or false", lambda value: isinstance(value, bool))
OBJECT = Single("an object", lambda value: isinstance(value, Mapping))


@dataclass(frozen=True, slots=True)
class Listed:
    """Check of a list whose items all pass the same check.

    Example:
        >>> Listed(NAME, least=1)(["small", "large"], "policy.json: routes")
    """

    of: Check
    least: int = 0
    most: int = 1000

    def __call__(self, value: Any, where: str) -> None:
        """Raise `PolicyFormatError` where the value is not such a list."""
        if not isinstance(value, list) or len(value) < self.least:
            raise wrong(where, value, f"a list of at least {self.least}" if self.least else "a list")
        if len(value) > self.most:
            raise PolicyFormatError(f"{where} is a list of {len(value):,}; there are at most {self.most:,}.")
        for place, one in enumerate(value):
            self.of(one, f"{where}[{place}]")


@dataclass(frozen=True, slots=True)
class Mapped:
    """Check of an object with any keys, whose values all pass the same check.

    Example:
        >>> Mapped(NAME)({"small": "gpt-5-mini"}, "policy.json: models")
    """

    of: Check

    def __call__(self, value: Any, where: str) -> None:
        """Raise `PolicyFormatError` where the value is not such an object."""
        OBJECT(value, where)
        for name, one in value.items():
            self.of(one, f"{where}.{name}")


@dataclass(frozen=True, slots=True)
class Fields:
    """Check of an object with named fields: required ones (`needed`) and optional ones (`may`).

    Example:
        >>> Fields({"input": number(0, what="a price")}, {"above": Listed(OBJECT)})({"input": 1}, "policy.json: price")
    """

    needed: Mapping[str, Check]
    may: Mapping[str, Check] = field(default_factory=dict)
    others: bool = False
    """Whether other keys are allowed, with any values."""

    def __call__(self, value: Any, where: str) -> None:
        """Raise `PolicyFormatError` where a field is missing, wrong or not allowed."""
        OBJECT(value, where)
        inside = f"{where}." if not where.endswith(": ") else where
        for name, check in self.needed.items():
            if name not in value:
                raise PolicyFormatError(f"{inside}{name} is missing.")
            check(value[name], f"{inside}{name}")
        for name, one in value.items():
            if name in self.may:
                self.may[name](one, f"{inside}{name}")
            elif name not in self.needed and not self.others:
                raise PolicyFormatError(f"{inside}{name} is no part of a policy.")


def nullable(check: Check) -> Check:
    """Return a check that accepts null and whatever `check` accepts.

    Example:
        >>> nullable(TEXT)(None, "policy.json: plan")
    """

    def either(value: Any, where: str) -> None:
        if value is not None:
            check(value, where)

    return either
