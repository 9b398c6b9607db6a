"""A policy's state in this process alone: events are told to it, and a document is made of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Protocol

from langroute.core.locks import new_lock
from langroute.core.records import Outcome

Event = tuple[Any, ...]
Sides = dict[str, Any]

MOST_SIDES = 50_000
"""Most entries beside a document that are kept in a process."""

MOST_HEARD = 16
"""Most outcomes of one task or decision that are told apart."""


class Fold(Protocol):
    """Says what events make of a document, and of entries beside it that expire."""

    keep_seconds: float
    """Seconds for which an entry beside the document is kept."""

    def keys(self, event: Event) -> Iterable[str]:
        """Return the keys of the entries that an event reads or changes."""
        ...

    def follows(self, entry: Mapping[str, Any]) -> str | None:
        """Return the key of the entry that an entry points to, which is needed with it."""
        ...

    def add(self, document: dict[str, Any], sides: Sides, event: Event) -> None:
        """Change the document, and the entries by key (empty where there is none), by an event."""
        ...


class LocalState:
    """A document that one process makes of the events that it hears; `SharedState` makes one with others.

    Args:
        space: Name of the state, should it move to a store.
        fold: What events do to it.

    Example:
        >>> class Sum:
        ...     keep_seconds = 60.0
        ...     def keys(self, event):
        ...         return ()
        ...     def follows(self, entry):
        ...         return None
        ...     def add(self, document, sides, event):
        ...         document["sum"] = document.get("sum", 0) + event[0]
        >>> state = LocalState("sum", Sum())
        >>> state.tell((1,)), state.tell((2,)), state.document()
        (None, None, {'sum': 3})
    """

    def __init__(self, space: str, fold: Fold) -> None:
        self.space, self.fold = space, fold
        self.changes = 0
        """Grows with every change of the document that is seen here."""

        self._document: dict[str, Any] = {}
        self._sides: OrderedDict[str, Any] = OrderedDict()
        self._looking = new_lock()

    def tell(self, event: Event, *, urgent: bool = True) -> None:
        """Add an event.

        Args:
            event: What happened.
            urgent: Whether the document may change by it.
        """
        with self._looking:
            self._foresee(event)

    def _foresee(self, event: Event) -> None:
        sides = self._sides
        for key in self.fold.keys(event):
            if (further := self.fold.follows(sides.setdefault(key, {}))) is not None:
                sides.setdefault(further, {})
        self.fold.add(self._document, sides, event)
        self.changes += 1
        while len(sides) > MOST_SIDES:
            sides.popitem(last=False)

    def document(self) -> Mapping[str, Any]:
        """Return the document. Do not change it."""
        return self._document

    def now(self) -> Mapping[str, Any]:
        """Return the document."""
        return self._document

    def look(self, key: str) -> Mapping[str, Any]:
        """Return an entry beside the document; empty where there is none."""
        found: Mapping[str, Any] = self._sides.get(key) or {}
        return found

    def replace(self, document: Mapping[str, Any]) -> None:
        """Put another document in the place of this one."""
        with self._looking:
            self._document = dict(document)
            self.changes += 1

    def close(self) -> None:
        """Do nothing: nothing waits."""

    def __getstate__(self) -> dict[str, Any]:
        with self._looking:
            kept = {"_document": dict(self._document), "_sides": self._sides.copy()}
        return {"space": self.space, "fold": self.fold, "changes": self.changes, **kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _looking=new_lock())


def digest(text: str) -> str:
    """Return a short key for a text of any length, such as the id of a task; it does not say the text.

    Example:
        >>> len(digest("task" * 1000))
        24
    """
    return blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest()


def mark_of(outcome: Outcome) -> str:
    """Return what tells an outcome apart from others of the same task or decision; empty for one without a time.

    Several workers hear of one outcome that was recorded to a ledger, and each passes it on.

    Example:
        >>> mark_of(Outcome(success=True)), mark_of(Outcome(success=True, at=1.0)) == mark_of(Outcome(success=False, at=1.0))
        ('', False)
    """
    told = (outcome.key, outcome.score, outcome.success, outcome.source, outcome.at)
    return digest(repr(told))[:12] if outcome.at else ""


def heard_before(entry: dict[str, Any], mark: str) -> bool:
    """Return whether an outcome was counted for an entry before, and note that it is counted now.

    Example:
        >>> entry = {}
        >>> heard_before(entry, "a"), heard_before(entry, "a"), heard_before(entry, "")
        (False, True, False)
    """
    if not mark:
        return False
    heard = entry.get("heard", ())
    if mark in heard:
        return True
    entry["heard"] = [*heard, mark][-MOST_HEARD:]
    return False
