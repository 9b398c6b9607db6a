"""Settling of what was spent, in the background, and again and again where a store is away for a while."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, Literal
from uuid import uuid4

from langroute.budgets.store import LEASE_SECONDS, BudgetStore, Hold, UnconfirmedError
from langroute.core.degradation import Degradations
from langroute.core.errors import DegradedWarning
from langroute.core.locks import at_fork, new_lock
from langroute.core.process_end import at_end
from langroute.core.worker_pool import Workers

PAUSES = (0.2, 1.0)
"""Shortest and longest pause in seconds between two attempts."""

MOST_AT_ONCE = 500
"""Most settlements of one message, where a store takes several."""

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
        pause, size = PAUSES[0], MOST_AT_ONCE
        while batch := self._next(size):
            came = _told(batch)
            now = monotonic()
            again = [] if came == "settled" else [one for one in batch if now - one.at < LEASE_SECONDS]
            if came == "unconfirmed":
                self._say(
                    "unconfirmed", "Too few replicas of the budgets' store say that they have what was spent; it is told again."
                )
            elif len(again) < len(batch) and came == "away":
                self._lost(f"it was away for {LEASE_SECONDS:.0f} seconds")
            # At the end: one that its store refuses for ever must not hold up the others.
            self.charges.extend(again)
            for _ in batch:
                self.charges.popleft()
            # After a failure one is told alone, in turns: the store may be away, or refuse one of them.
            size = 1 if came == "away" and size > 1 else MOST_AT_ONCE
            if came == "settled":
                pause = PAUSES[0]
                continue
            sleep(pause)
            pause = min(2 * pause, PAUSES[1])

    def _next(self, size: int) -> list[_Charge]:
        with self._lock:
            self._works = bool(self.charges)
            return [self.charges[place] for place in range(min(size, len(self.charges)))]

    def _lost(self, why: str) -> None:
        self._say(
            "lost", f"What was spent could not be told to the store of the budgets, because {why}: the budgets do not have it."
        )

    def _say(self, key: str, text: str) -> None:
        # Where warnings are errors, this thread must not end.
        with suppress(DegradedWarning):
            self._notices.warn(key, DegradedWarning, text)


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
    if late.charges or _told([charge]) != "settled":
        late.add(charge)


def _told(charges: Sequence[_Charge]) -> Literal["settled", "unconfirmed", "away"]:
    """Tell a store what was spent, and return what came of it."""
    store = charges[0].store
    at_once = getattr(store, "settle_all", None)
    try:
        if len(charges) > 1 and at_once is not None:
            at_once([(charge.id, charge.spent) for charge in charges])
        else:
            for charge in charges:
                store.settle(charge.id, charge.spent)
    except UnconfirmedError:
        return "unconfirmed"
    except Exception:  # noqa: BLE001 - whatever a store does, it is told again
        return "away"
    return "settled"


SETTLING = Settling()

__all__ = ["SETTLING", "Settling"]
