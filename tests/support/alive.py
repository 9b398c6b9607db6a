"""Counts of live objects, for tests of memory that do not read private state."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any


def newcomers(*kinds: type) -> Callable[[], list[Any]]:
    """Return a function that lists the instances of the classes that were made since, and that something still refers to.

    Example:
        >>> class Thing: ...
        >>> made = newcomers(Thing)
        >>> thing = Thing()
        >>> made() == [thing]
        True
        >>> del thing
        >>> made()
        []
    """
    known = _alive(kinds)
    # Held on to, so that no new one gets the place in memory of an old one.
    places = {id(one): one for one in known}
    return lambda: [one for one in _alive(kinds) if id(one) not in places]


def _alive(kinds: tuple[type, ...]) -> list[Any]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, kinds)]
