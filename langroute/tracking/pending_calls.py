"""Calls of routers that wait until it is known whether a decision contains them, so that none is counted twice."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from time import monotonic
from typing import Any

from langroute.core.locks import at_fork, new_lock
from langroute.core.open_decisions import is_open
from langroute.ledger.facts import CallRecord

GRACE_S = 5.0
"""Seconds for which the calls of a run that was left wait for their decision."""


class PendingCalls:
    """Calls that a router made, and calls that checked their answers.

    A decision is written when its last attempt has ended. Where a run surrounds it, the end of that run shows this (`settle`).
    Where the call is a root run, it is held until the decision is known, for a limited time (`hold`).

    Args:
        ledger: Is asked for decisions, and records the calls that are in none of them: those of routers that write elsewhere.
        patience_s: Longest time in seconds that a call is held.
        most: Most calls that are held.
        clock: Function that returns a monotonic time in seconds.
    """

    def __init__(
        self, ledger: Any, *, patience_s: float = 600.0, most: int = 10_000, clock: Callable[[], float] = monotonic
    ) -> None:
        self.ledger, self.patience_s, self.most = ledger, patience_s, most
        self._clock = clock
        self._decided: OrderedDict[str, None] = OrderedDict()
        self._begin()
        self._lock = new_lock()
        at_fork(self, in_child=PendingCalls._begin)

    def _begin(self) -> None:
        # Calls held when a child is forked are settled by the parent.
        self._calls: deque[tuple[float, CallRecord]] = deque()
        self._judges: deque[tuple[float, CallRecord]] = deque()
        self._left: deque[tuple[float, CallRecord]] = deque()

    def __len__(self) -> int:
        return len(self._calls) + len(self._judges) + len(self._left)

    def hold(self, calls: Iterable[CallRecord]) -> None:
        """Hold calls until their decisions are known, and settle those whose decisions are."""
        now = self._clock()
        with self._lock:
            for call in calls:
                (self._judges if call.what == "judge" else self._calls).append((now, call))
            due = self._take(self._calls, now, self._is_known)
            due += self._take(self._judges, now, lambda call: call.task_id in self._decided)
            due += self._take(self._left, now, self._is_known, GRACE_S)
        self.settle(due)

    def _take(
        self,
        held: deque[tuple[float, CallRecord]],
        now: float,
        is_ready: Callable[[CallRecord], bool],
        patience_s: float | None = None,
    ) -> list[CallRecord]:
        due = []
        longest = self.patience_s if patience_s is None else patience_s
        while held and (len(held) > self.most or now - held[0][0] > longest or is_ready(held[0][1])):
            due.append(held.popleft()[1])
        return due

    def _is_known(self, call: CallRecord) -> bool:
        return call.decision_id is not None and bool(self.ledger.knows(call.decision_id))

    def hold_left(self, calls: Iterable[CallRecord]) -> None:
        """Hold calls of a run that was cancelled or left: their decision is written when its stream is closed, a moment later."""
        now = self._clock()
        with self._lock:
            self._left.extend((now, call) for call in calls)
            due = self._take(self._left, now, self._is_known, GRACE_S)
        self.settle(due)

    def flush(self, *, final: bool = False) -> None:
        """Settle the held calls; those of runs that were left only after a grace time, unless it is the final flush."""
        now = self._clock()
        with self._lock:
            due = []
            for held in (self._calls, self._judges):
                # The decision of a call that failed may still be under way.
                waits = [not final and is_open(call.decision_id) for _, call in held]
                due += [call for (_, call), wait in zip(held, waits, strict=True) if not wait]
                kept = [one for one, wait in zip(held, waits, strict=True) if wait]
                held.clear()
                held.extend(kept)
            due += [call for at, call in self._left if final or now - at > GRACE_S or self._is_known(call)]
            settled = {id(call) for call in due}
            self._left = deque((at, call) for at, call in self._left if id(call) not in settled)
        self.settle(due)

    def settle(self, calls: Iterable[CallRecord]) -> None:
        """Record calls, unless their decisions contain them."""
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
            # The cost of a check is in the decision already, where the decision is in this ledger.
            decided = call.task_id in self._decided
            self.ledger.record_call(replace(call, cost_usd=0.0, cost_basis="decision") if decided else call)
