"""Is this call in a decision already? Calls that a router made wait here until that can be told, so that none is counted twice."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from threading import Lock
from time import monotonic
from typing import Any

from langroute.ledger.facts import CallRecord


class Holding:
    """Calls that a router made, and calls that checked them.

    A decision is written when its last attempt has ended. Where a run surrounds it, the run's end says that this is so (`settle`).
    Where the call is a run of its own, it is held until the decision is known, for a while (`hold`).

    Args:
        ledger: Knows which decisions it has, and takes the calls that are in none of them: those of routers that write elsewhere.
        patience_s: How long a call is held.
        most: Most calls that are held.
        clock: Seconds.
    """

    def __init__(
        self, ledger: Any, *, patience_s: float = 600.0, most: int = 10_000, clock: Callable[[], float] = monotonic
    ) -> None:
        self.ledger, self.patience_s, self.most = ledger, patience_s, most
        self._clock = clock
        self._calls: deque[tuple[float, CallRecord]] = deque()
        self._judges: deque[tuple[float, CallRecord]] = deque()
        self._decided: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._calls) + len(self._judges)

    def hold(self, calls: Iterable[CallRecord]) -> None:
        """Keep calls until their decisions are known, and let those go whose are."""
        now = self._clock()
        with self._lock:
            for call in calls:
                (self._judges if call.what == "judge" else self._calls).append((now, call))
            due = self._take(self._calls, now, self._is_known)
            due += self._take(self._judges, now, lambda call: call.task_id in self._decided)
        self.settle(due)

    def _take(self, held: deque[tuple[float, CallRecord]], now: float, is_ready: Callable[[CallRecord], bool]) -> list[CallRecord]:
        due = []
        while held and (len(held) > self.most or now - held[0][0] > self.patience_s or is_ready(held[0][1])):
            due.append(held.popleft()[1])
        return due

    def _is_known(self, call: CallRecord) -> bool:
        return call.decision_id is not None and bool(self.ledger.knows(call.decision_id))

    def flush(self) -> None:
        """Let every call go."""
        with self._lock:
            due = [call for _, call in (*self._calls, *self._judges)]
            self._calls.clear()
            self._judges.clear()
        self.settle(due)

    def settle(self, calls: Iterable[CallRecord]) -> None:
        """Write calls, unless their decisions have them."""
        judges = []
        for call in calls:
            if call.what == "judge":
                judges.append(call)
            elif self._is_known(call):
                with self._lock:
                    self._decided[call.task_id] = None
                    if len(self._decided) > self.most:
                        self._decided.popitem(last=False)
            else:
                self.ledger.record_call(call)
        for call in judges:
            # What a check cost is in the decision already, where the decision is in this ledger.
            decided = call.task_id in self._decided
            self.ledger.record_call(replace(call, cost_usd=0.0, cost_basis="decision") if decided else call)
