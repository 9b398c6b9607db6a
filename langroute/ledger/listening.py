"""Listeners of a ledger: who hears an outcome that is recorded to the ledger itself, by an object that knows no router.

A cache hears its router's ledger this way, in every way an outcome can be recorded: in this process at once, and where the ledger has a
database, in others about a second later (`langroute.ledger.outcome_feed`). Both sides are held weakly.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from langroute.core.locks import new_lock
from langroute.core.records import Outcome

_lock = new_lock()
_listeners: weakref.WeakKeyDictionary[Any, list[weakref.WeakMethod[Any]]] = weakref.WeakKeyDictionary()


def listen(ledger: Any, hear: Callable[[Outcome], Any]) -> None:
    """Call a method with every outcome that is recorded to a ledger, for as long as both exist; with the same one several times at worst.

    Example:
        >>> from langroute.ledger.memory import MemoryLedger
        >>> class Ear:
        ...     def hear(self, outcome):
        ...         print(outcome.success)
        >>> ledger, ear = MemoryLedger(), Ear()
        >>> listen(ledger, ear.hear)
        >>> ledger.record_outcome(Outcome(success=False, task_id="t"))
        False
    """
    # A ledger of the user's own may allow no weak references; it has no listeners then.
    with suppress(TypeError), _lock:
        known = [one for one in _listeners.get(ledger, ()) if one() is not None]
        if hear not in [one() for one in known]:
            known.append(weakref.WeakMethod(hear))
        _listeners[ledger] = known
    if callable(listened := getattr(ledger, "listened", None)):
        listened()


def tell(ledger: Any, outcome: Outcome) -> None:
    """Pass an outcome on to the listeners of a ledger."""
    if _listeners:
        for one in _listeners.get(ledger, ()):
            if (hear := one()) is not None:
                hear(outcome)
