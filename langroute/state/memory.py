"""State store in memory: for one process, and for tests."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from langroute.core.locks import new_lock
from langroute.state.store import Change, StateEntry

MOST_KEYS = 100_000
"""Most keys that are kept and expire; of more, those that were changed longest ago are forgotten."""


class MemoryState:
    """State store in memory. It ends with the process.

    Args:
        clock: Seconds, for tests.

    Example:
        >>> store = MemoryState()
        >>> store.commit("canary", [Change("arms", "{}")]), store.commit("canary", [Change("arms", "{}")])
        (True, False)
        >>> store.read("canary", ["arms"])[0].value
        '{}'
    """

    local = True

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers = count(1)
        self._lasting: dict[tuple[str, str], StateEntry] = {}
        self._passing: OrderedDict[tuple[str, str], tuple[StateEntry, float]] = OrderedDict()
        self._lock = new_lock()

    def read(self, space: str, keys: Sequence[str]) -> list[StateEntry]:
        """Return what each key of a space holds."""
        with self._lock:
            return [self._of((space, key)) for key in keys]

    def commit(self, space: str, changes: Sequence[Change]) -> bool:
        """Make all changes or none."""
        with self._lock:
            if any(self._of((space, change.key)).version != change.version for change in changes):
                return False
            for change in changes:
                self._put((space, change.key), change)
            while len(self._passing) > MOST_KEYS:
                self._passing.popitem(last=False)
            return True

    def _of(self, key: tuple[str, str]) -> StateEntry:
        if (found := self._lasting.get(key)) is not None:
            return found
        entry, until = self._passing.get(key, (_NOTHING, 0.0))
        return entry if until > self._clock() else _NOTHING

    def _put(self, key: tuple[str, str], change: Change) -> None:
        self._lasting.pop(key, None)
        self._passing.pop(key, None)
        if change.value is None:
            return
        entry = StateEntry(change.value, str(next(self._numbers)))
        if change.keep_seconds is None:
            self._lasting[key] = entry
        else:
            self._passing[key] = (entry, self._clock() + change.keep_seconds)

    def close(self) -> None:
        """Do nothing: there are no files or connections."""

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            kept = {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_numbers")}
            return kept | {"_lasting": self._lasting.copy(), "_passing": self._passing.copy(), "begin": next(self._numbers)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._numbers = count(state.pop("begin"))
        self.__dict__.update(state, _lock=new_lock())


_NOTHING = StateEntry()
