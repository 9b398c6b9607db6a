"""Short `repr` of objects: the arguments that make them, without defaults, long texts and addresses in memory."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from langroute.core.bounded import SCALARS, shown

MOST_CHARS = 200
"""Longest `repr`."""

MOST_NESTED = 80
"""Longest `repr` of an object inside another; of a longer one only its type is shown."""

MOST_PARTS = 8
"""Most members of a list, a set or a mapping that are shown."""

_MISSING = object()


class ShortRepr:
    """Gives a class the `repr` of a call that makes the same object.

    An argument is read from the attribute of its name. One that has none, or has its default value, is left out.

    Example:
        >>> class Limit(ShortRepr):
        ...     def __init__(self, most, *, per="day", why=None):
        ...         self.most, self.per, self.why = most, per, why
        >>> Limit(3), Limit(3, per="week")
        (Limit(3), Limit(3, per='week'))
    """

    __slots__ = ()

    def __repr__(self) -> str:
        said = f"{type(self).__name__}({', '.join(_arguments(self))})"
        return said if len(said) <= MOST_CHARS else f"{said[: MOST_CHARS - 2]}…)"


def _arguments(value: Any) -> Iterator[str]:
    in_order = True
    for parameter in _parameters(type(value)):  # type: ignore[arg-type]
        given = getattr(value, parameter.name, _MISSING)
        if given is _MISSING or _is_default(given, parameter.default):
            in_order = False
            continue
        positional = in_order and parameter.kind is not parameter.KEYWORD_ONLY
        yield short_form(given) if positional else f"{parameter.name}={short_form(given)}"


@lru_cache(maxsize=256)
def _parameters(cls: type) -> tuple[inspect.Parameter, ...]:
    named = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(one for one in inspect.signature(cls).parameters.values() if one.kind in named)


def _is_default(given: Any, default: Any) -> bool:
    if given is default or (isinstance(given, (tuple, frozenset, dict)) and not given):
        return True
    return type(given) in SCALARS and type(default) in SCALARS and bool(given == default)


def short_form(value: Any, depth: int = 3) -> str:
    """Return how a value stands inside the `repr` of another: scalars and names as they are, of other objects little more than the type.

    Example:
        >>> short_form(["a", "b"]), short_form(frozenset({"title"})), short_form(len), short_form(object())
        ("['a', 'b']", "'title'", 'len', 'object(…)')
    """
    if type(value) in SCALARS:
        return shown(value, MOST_NESTED)
    if isinstance(value, ShortRepr) and len(said := repr(value)) <= MOST_NESTED:
        return said
    if depth and isinstance(value, Mapping):
        return f"{{{_listed(f'{short_form(key)}: {short_form(inner, depth - 1)}' for key, inner in value.items())}}}"
    if depth and isinstance(value, (set, frozenset)):
        members = sorted(short_form(one, depth - 1) for one in value)
        return members[0] if len(members) == 1 else f"{{{_listed(members)}}}"
    if depth and isinstance(value, (list, tuple)):
        return f"[{_listed(short_form(one, depth - 1) for one in value)}]"
    if callable(value) and (name := getattr(value, "__qualname__", None)):
        return str(name)
    return f"{type(value).__name__}(…)"


def _listed(parts: Iterable[str]) -> str:
    every = []
    for place, one in enumerate(parts):
        if place == MOST_PARTS:
            every.append("…")
            break
        every.append(one)
    return ", ".join(every)
