"""Settling of what was spent, in the background, and again and again where a store is away for a while."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

from langroute.budgets.store import LEASE_SECONDS, BudgetStore, Hold
from langroute.core.degradation import Degradations
from langroute.core.errors import DegradedWarning
from langroute.core.locks import at_fork, new_lock
from langroute.core.process_end import at_end
from langroute.core.worker_pool import Workers

PAUSES = (0.2, 1.0)
"""Shortest and longest pause in seconds between two attempts."""

MOST_LATE = 100_000
"""Most settlements that wait for one store."""

LAST_SECONDS = 5.0
"""Seconds that the end of a process, or who waits for a store, gives a store that is away."""


@dataclass(frozen=True, slots=True)
class _Charge:
    store: BudgetStore
    id: str | None
    spent: Sequence[Hold]
    at: float


class _Late:
    """Settlements that failed. They are tried again for as long as their reservations stand; after that they would be forgotten."""

    def __init__(self, notices: Degradations) -> None:
        self.charges: deque[_Charge] = deque()
        self._lock, self._works, self._notices = new_lock(), False, notices
        at_fork(self, in_child=_Late._begin)

    def _begin(self) -> None:
        # What waits here is settled by the parent.
        self.charges, self._works = deque(), False

    def add(self, charge: _Charge) -> None:
        """Try a settlement again later."""
        with self._lock:
            if len(self.charges) >= MOST_LATE:
                self._lost(f"{MOST_LATE:,} settlements wait for it already")
                return
            self.charges.append(charge)
            if not self._works:
                self._works = True
                # The end of the process does not wait for it: see `Settling.wait`.
                threading.Thread(target=self._work, name="langroute-budget-late", daemon=True).start()

    def _work(self) -> None:
        pause = PAUSES[0]
        while (charge := self._next()) is not None:
            if monotonic() - charge.at > LEASE_SECONDS:
                self._lost(f"it was away for {LEASE_SECONDS:.0f} seconds")
            elif not settled(charge):
                # At the end: one that its store refuses for ever must not hold up the others.
                self.charges.append(charge)
                self.charges.popleft()
                sleep(pause)
                pause = min(2 * pause, PAUSES[1])
                continue
            else:
                pause = PAUSES[0]
            self.charges.popleft()

    def _next(self) -> _Charge | None:
        with self._lock:
            self._works = bool(self.charges)
            return self.charges[0] if self.charges else None

    def _lost(self, why: str) -> None:
        self._notices.warn(
            "lost",
            DegradedWarning,
            f"What was spent could not be told to the store of the budgets, because {why}: the budgets do not have it.",
        )


class Settling:
    """Queue that settles what was spent, in order, without blocking the caller on a disk or a network."""

    def __init__(self) -> None:
        self._workers: weakref.WeakKeyDictionary[Any, tuple[Workers, _Late]] = weakref.WeakKeyDictionary()
        self._lock = new_lock()
        self._notices = Degradations()
        at_end(self, Settling.wait)

    def settle(self, store: BudgetStore, id: str | None, spent: Sequence[Hold]) -> None:
        """Settle at once where the store is local, else in a background thread."""
        if store.local:
            store.settle(id, spent)
            return
        with self._lock:
            found = self._workers.get(store)
            if found is None:
                found = self._workers[store] = Workers("langroute-budget"), _Late(self._notices)
        workers, late = found
        # With an id of its own it counts once, also where the answer of the first attempt is lost.
        workers.submit(_try, late, _Charge(store, id or uuid4().hex, spent, monotonic()))

    def wait(self, store: BudgetStore | None = None) -> None:
        """Wait until everything submitted so far is settled, at one store or at all of them; a store that is away, for a few seconds."""
        with self._lock:
            waited_for = list(self._workers.values()) if store is None else [self._workers.get(store)]
        until = None
        for found in waited_for:
            if found is not None:
                found[0].wait()
                until = until or monotonic() + LAST_SECONDS
                while found[1].charges and monotonic() < until:
                    sleep(0.01)

    def pending(self, store: BudgetStore) -> list[Future[Any]]:
        """Return what is not settled yet at a store. What failed once is not among it: its reservation counts instead."""
        with self._lock:
            found = self._workers.get(store)
        return found[0].pending() if found is not None else []


def _try(late: _Late, charge: _Charge) -> None:
    if late.charges or not settled(charge):
        late.add(charge)


def settled(charge: _Charge) -> bool:
    """Return whether a store took a settlement."""
    try:
        charge.store.settle(charge.id, charge.spent)
    except Exception:  # noqa: BLE001 - whatever a store does, it is tried again
        return False
    return True


SETTLING = Settling()

__all__ = ["SETTLING", "Settling"]
