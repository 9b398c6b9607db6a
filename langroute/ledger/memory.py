"""Where are decisions kept when nothing else was asked for? In this process, the latest ones, without text."""

from __future__ import annotations

from collections import OrderedDict, deque
from threading import Lock
from typing import Any

from langroute.records import Decision, Outcome


class MemoryLedger:
    """Keeps the latest decisions and outcomes of this process; nothing anybody wrote is among them.

    Args:
        max_decisions: How many decisions are kept.

    Example:
        >>> from langroute.records import Decision, Step
        >>> ledger = MemoryLedger()
        >>> ledger.record(Decision("d1", Step(), "small", ()))
        >>> ledger.get("d1").route
        'small'
    """

    def __init__(self, max_decisions: int = 10_000) -> None:
        self.max_decisions = max_decisions
        self._decisions: OrderedDict[str, Decision] = OrderedDict()
        self._outcomes: deque[Outcome] = deque(maxlen=max_decisions)
        self._lock = Lock()

    def record(self, decision: Decision) -> None:
        """Keep a decision. The router leaves out what was said in it, because this ledger does not ask for it."""
        with self._lock:
            self._decisions[decision.id] = decision
            if len(self._decisions) > self.max_decisions:
                self._decisions.popitem(last=False)

    def record_outcome(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self._outcomes.append(outcome)

    def get(self, decision_id: str) -> Decision | None:
        """The decision of that id, or `None`."""
        return self._decisions.get(decision_id)

    def latest(self) -> Decision | None:
        """The decision recorded last, or `None`."""
        with self._lock:
            return next(reversed(self._decisions.values()), None)

    @property
    def decisions(self) -> list[Decision]:
        """What is kept, oldest first."""
        with self._lock:
            return list(self._decisions.values())

    @property
    def outcomes(self) -> list[Outcome]:
        """What is kept, oldest first."""
        return list(self._outcomes)

    def flush(self) -> None:
        """Nothing to do: what was recorded is kept."""

    def close(self) -> None:
        """Nothing to do."""

    def __getstate__(self) -> dict[str, Any]:
        return {"max_decisions": self.max_decisions}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
