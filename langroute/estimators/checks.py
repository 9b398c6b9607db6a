"""Is a value that was read from JSON what it should be, and if not, which one is wrong?

A check is called with a value and the name of its place, and raises a `PolicyFormatError` that says both. Checks of lists and objects are
made of checks of what is in them, so that a format can be written down as it looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from reprlib import Repr
from typing import Any

from langroute.errors import PolicyFormatError

Check = Callable[[Any, str], None]

MOST = 1e15
"""No number is larger: beyond it lies what became of a number that was divided by next to nothing."""

_short = Repr()
_short.maxstring = _short.maxother = 60


def wrong(where: str, value: Any, what: str) -> PolicyFormatError:
    """The error that says which value is wrong, and what it should be.

    Example:
        >>> str(wrong("policy.json: seed", "x", "a whole number from 0 up"))
        "policy.json: seed is 'x'; it should be a whole number from 0 up."
    """
    return PolicyFormatError(f"{where} is {_short.repr(value)}; it should be {what}.")


@dataclass(frozen=True, slots=True)
class Single:
    """A value without parts.

    Example:
        >>> Single("a text", lambda value: isinstance(value, str))("yes", "policy.json: made_with")
    """

    what: str
    holds: Callable[[Any], bool]

    def __call__(self, value: Any, where: str) -> None:
        """Check a value."""
        if not self.holds(value):
            raise wrong(where, value, self.what)


def number(least: float = -MOST, most: float = MOST, *, what: str) -> Single:
    """A number in a range, and no truth value; NaN is in none.

    Example:
        >>> number(0, 1, what="a share from 0 to 1")(0.5, "policy.json: x")
    """
    return Single(what, lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most)


def whole(least: int = 0, most: float = MOST, *, what: str = "a whole number from 0 up") -> Single:
    """A whole number in a range.

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
    """A list of values that are all alike.

    Example:
        >>> Listed(NAME, least=1)(["small", "large"], "policy.json: routes")
    """

    of: Check
    least: int = 0

    def __call__(self, value: Any, where: str) -> None:
        """Check a list, and what is in it."""
        if not isinstance(value, list) or len(value) < self.least:
            raise wrong(where, value, f"a list of at least {self.least}" if self.least else "a list")
        for place, one in enumerate(value):
            self.of(one, f"{where}[{place}]")


@dataclass(frozen=True, slots=True)
class Mapped:
    """An object of any keys, whose values are all alike.

    Example:
        >>> Mapped(NAME)({"small": "gpt-5-mini"}, "policy.json: models")
    """

    of: Check

    def __call__(self, value: Any, where: str) -> None:
        """Check an object, and what is in it."""
        OBJECT(value, where)
        for name, one in value.items():
            self.of(one, f"{where}.{name}")


@dataclass(frozen=True, slots=True)
class Fields:
    """An object of named values.

    Example:
        >>> Fields({"input": number(0, what="a price")}, {"above": Listed(OBJECT)})({"input": 1}, "policy.json: price")
    """

    needed: Mapping[str, Check]
    may: Mapping[str, Check] = field(default_factory=dict)
    others: bool = False
    """Other keys may stand there too, with whatever is in them."""

    def __call__(self, value: Any, where: str) -> None:
        """Check an object, and what is in it."""
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
    """What `check` takes, or null.

    Example:
        >>> nullable(TEXT)(None, "policy.json: plan")
    """

    def either(value: Any, where: str) -> None:
        if value is not None:
            check(value, where)

    return either
