"""A policy's shared state as one process sees it: events are told to it, and a document is made of them that all processes see.

Telling and looking never wait for a store that is not in memory: events are written by a thread in batches, and the document is read again
by it when it is older than a second; what this process told counts here at once. Where the store is away, calls go on with what was read last, a warning says so once, and events wait.
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic, sleep
from typing import Any

from langroute.core.degradation import Degradations
from langroute.core.errors import DegradedWarning, StateError
from langroute.core.locks import at_fork, new_lock
from langroute.core.process_end import at_end
from langroute.core.worker_pool import RepeatedWork, within
from langroute.state.local import Event, Fold, LocalState, digest
from langroute.state.store import Change, StateEntry

DOCUMENT = "document"
"""The key of the document in a policy's space."""

BATCH = 200
"""Most events of one commit."""

WAITING = 50_000
"""Most events that wait for a store that is away; of more, the oldest are lost."""

TRIES = 50
"""Most times that a commit is made again because somebody else was faster."""

GATHER = 64
"""Events that are gathered, where none is urgent, for a store in memory."""

GATHER_S = 0.05
"""Seconds for which events are gathered before they are written."""

RETRY_S = 5.0
"""Seconds before a store that was away is asked again."""

LOOK_S = 2.0
"""Longest wait for an entry beside the document."""

END_S = 5.0
"""Seconds that the end of the program waits for a store that does not answer."""


class SharedState(LocalState):
    """A document that several processes make of the events that each of them hears.

    Args:
        store: A `StateStore`.
        space: Name of the state in the store.
        fold: What events do to it.
        refresh_s: Age at which the document is read again, where the store is not in memory.

    Example:
        >>> from langroute.state.memory import MemoryState
        >>> class Sum:
        ...     keep_seconds = 60.0
        ...     def keys(self, event):
        ...         return ()
        ...     def follows(self, entry):
        ...         return None
        ...     def add(self, document, sides, event):
        ...         document["sum"] = document.get("sum", 0) + event[0]
        >>> store = MemoryState()
        >>> here, there = SharedState(store, "sum", Sum()), SharedState(store, "sum", Sum())
        >>> here.tell((1,)), there.tell((2,))
        (None, None)
        >>> here.document()
        {'sum': 3}
    """

    def __init__(self, store: Any, space: str, fold: Fold, *, refresh_s: float = 1.0) -> None:
        super().__init__(space, fold)
        self.store, self.refresh_s = store, refresh_s
        self._events: deque[Event] = deque(maxlen=WAITING)
        self._version = ""
        self._read_at, self._away_until = float("-inf"), 0.0
        self._writing = new_lock()
        self._notices = Degradations()
        self._worker = RepeatedWork("langroute-state", self._work)
        if not store.local:
            # What waited here at a fork is written by the parent.
            at_fork(self, in_child=lambda state: state._events.clear())
            at_end(self, SharedState._end)

    def tell(self, event: Event, *, urgent: bool = True) -> None:
        """Add an event; a store that is not in memory gets it a moment later.

        Args:
            event: What happened.
            urgent: Whether the document may change by it; what is not urgent is gathered first.
        """
        self._events.append(event)
        if self.store.local:
            if urgent or len(self._events) >= GATHER:
                self._flush()
        else:
            with self._looking:
                self._foresee(event)
            self._soon()

    def document(self) -> Mapping[str, Any]:
        """Return the document as it was read last, at most about `refresh_s` ago while the store answers, and with what was told here.

        Do not change it.
        """
        if self.store.local:
            self._read()
        elif monotonic() - self._read_at > self.refresh_s:
            self._soon()
        return self._document

    def now(self) -> Mapping[str, Any]:
        """Return the document with all that was told here, waiting for the store; as it was read last where the store is away."""
        self._bypassing(self._flush, self._read)
        return self._document

    def look(self, key: str) -> Mapping[str, Any]:
        """Return an entry beside the document, waiting for the store; empty where there is none or the store is away."""
        found: list[Any] = []
        if self.store.local:
            self._bypassing(lambda: found.append(_loaded(self.store.read(self.space, [key])[0])))
        elif monotonic() >= self._away_until:
            # A database may hang for longer than a call may wait.
            self._bypassing(lambda: within(LOOK_S, lambda: found.append(_loaded(self.store.read(self.space, [key])[0]))))
        return found[0] if found else {}

    def replace(self, document: Mapping[str, Any]) -> None:
        """Put another document in the place of this one, for all processes.

        Raises:
            StateError: The store is away, or others change it all the time.
        """
        for _ in range(TRIES):
            (entry,) = self.store.read(self.space, [DOCUMENT])
            if self.store.commit(self.space, [Change(DOCUMENT, json.dumps(document), entry.version)]):
                self._read()
                return
        raise StateError(f"The shared state {self.space!r} changes all the time; try again.")

    # Behind the scenes -----------------------------------------------------------------------------------------------

    def _soon(self) -> None:
        if monotonic() >= self._away_until:
            self._worker.ask()

    def _work(self) -> None:
        if self._events:
            sleep(GATHER_S)
        self._bypassing(self._flush, self._read)
        if self._events and monotonic() >= self._away_until:
            # What was told while the document was read is not in it.
            self._bypassing(self._flush, self._read)

    def _bypassing(self, *steps: Any) -> None:
        try:
            for step in steps:
                step()
        except Exception as error:  # noqa: BLE001 - whatever a store does, calls go on
            self._away_until = monotonic() + RETRY_S
            said = str(error) if isinstance(error, StateError) else f"{type(error).__name__}: {error}"
            self._notices.warn("away", DegradedWarning, f"{said}. What is shared between workers is as it was read last.")

    def _read(self) -> None:
        (entry,) = self.store.read(self.space, [DOCUMENT])
        if entry.version != self._version or not self.store.local:
            with self._looking:
                self._document, self._version = _loaded(entry), entry.version
                self.changes += 1
        self._read_at = monotonic()

    def _flush(self) -> None:
        with self._writing:
            while self._events:
                batch = [self._events[place] for place in range(min(BATCH, len(self._events)))]
                self._commit(batch)
                for _ in batch:
                    self._events.popleft()

    def _commit(self, batch: Sequence[Event]) -> None:
        keys = [DOCUMENT, *dict.fromkeys(key for event in batch for key in self.fold.keys(event))]
        for _ in range(TRIES):
            entries = dict(zip(keys, self.store.read(self.space, keys), strict=True))
            values = {key: _loaded(entry) for key, entry in entries.items()}
            further = {key for value in values.values() if value and (key := self.fold.follows(value)) and key not in entries}
            if further:
                entries |= zip(further, self.store.read(self.space, [*further]), strict=True)
                values |= {key: _loaded(entries[key]) for key in further}
            document = values.pop(DOCUMENT)
            for event in batch:
                self.fold.add(document, values, event)
            changes = list(self._changes(entries, {DOCUMENT: document, **values}))
            if not changes or self.store.commit(self.space, changes):
                return
            if not self.store.local:
                sleep(random.uniform(0, GATHER_S))  # noqa: S311 - so that two processes do not meet again
        raise StateError(f"The shared state {self.space!r} changes all the time")

    def _changes(self, entries: Mapping[str, StateEntry], values: Mapping[str, Any]) -> Iterable[Change]:
        for key, entry in entries.items():
            value = values[key]
            text = json.dumps(value, separators=(",", ":")) if value else None
            if text != (entry.value or None):
                yield Change(key, text, entry.version, None if key == DOCUMENT else self.fold.keep_seconds)

    def _end(self) -> None:
        if self._events:
            self._worker.ask()
            self._worker.wait(END_S)

    def close(self) -> None:
        """Write what was told."""
        self._bypassing(self._flush)

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self.store, "space": self.space, "fold": self.fold, "refresh_s": self.refresh_s}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _loaded(entry: StateEntry) -> Any:
    """Return what an entry holds; nothing where it cannot be read, because somebody else may write to the store, too."""
    try:
        found = json.loads(entry.value) if entry.value else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


__all__ = ["DOCUMENT", "SharedState", "digest"]
