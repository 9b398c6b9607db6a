"""Records of a shadow's calls in the router's ledger: with the decision that they shadow, in its task and its labels."""

from __future__ import annotations

import time
from collections import OrderedDict
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any

from langroute.core.degradation import Degradations
from langroute.core.errors import DegradedWarning
from langroute.core.locks import new_lock
from langroute.core.records import Attempt, Decision, Outcome
from langroute.core.resolve_task import task_id_of
from langroute.core.task_context import current_task
from langroute.ledger.facts import JUDGED, CallRecord

MOST_OPEN = 1000
"""Most calls whose decision has not been heard of yet."""


@dataclass(slots=True)
class AskedShadow:
    """A call of a shadow, and what is known of it so far: the decision and the answer may come in either order."""

    at: float
    selection: Any
    decision: Decision | None = None
    context: Context | None = None
    """The caller's context: the ledger reads the task's labels from it."""

    task: str | None = None
    attempt: Attempt | None = None
    scores: tuple[float, float] | None = None
    """The judge's scores of the route in use and of the shadow."""


class ShadowRecorder:
    """Writes each call of a shadow to a ledger, once its answer and its decision are known.

    Args:
        route: Name of the shadow as a route.

    Example:
        >>> from langroute.core.records import Selection, Step
        >>> from langroute.ledger.memory import MemoryLedger
        >>> recorder = ShadowRecorder("candidate")
        >>> recorder.ledger = MemoryLedger()
        >>> kept = Attempt(Selection("large"), answer="42")
        >>> asked = recorder.begin(kept)
        >>> recorder.decided(Decision("d1", Step(task="t1"), "large", (kept,)))
        >>> recorder.answered(asked, Attempt(Selection("candidate"), answer="42", cost_usd=0.5), None)
        >>> recorder.ledger.task("t1").by_route["candidate"].cost_usd
        0.5
    """

    def __init__(self, route: str) -> None:
        self.route = route
        self.ledger: Any = None
        self._open: OrderedDict[int, AskedShadow] = OrderedDict()
        self._notices = Degradations()
        self._lock = new_lock()

    def begin(self, kept: Attempt) -> AskedShadow:
        """Note that the answer of an attempt is shadowed."""
        # The decision holds a copy of the attempt without its text, but the same selection.
        asked = AskedShadow(time.time(), kept.selection)
        with self._lock:
            self._open[id(kept.selection)] = asked
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        return asked

    def forget(self, kept: Attempt) -> None:
        """Drop what `begin` noted: the shadow was not asked."""
        with self._lock:
            self._open.pop(id(kept.selection), None)

    def decided(self, decision: Decision) -> None:
        """Note the decision of a call."""
        if not self._open:
            return
        with self._lock:
            found = [one for attempt in decision.attempts if (one := self._open.pop(id(attempt.selection), None)) is not None]
            ready = False
            for asked in found:
                around = current_task()
                asked.decision, asked.context = decision, copy_context()
                asked.task = decision.step.task or (around.id if around is not None else None)
                ready = ready or asked.attempt is not None
        if ready:
            for asked in found:
                self._record(asked)

    def answered(self, asked: AskedShadow, attempt: Attempt, scores: tuple[float, float] | None) -> None:
        """Note the answer of a call."""
        with self._lock:
            asked.attempt, asked.scores = attempt, scores
            ready = asked.decision is not None
        if ready:
            self._record(asked)

    def _record(self, asked: AskedShadow) -> None:
        if self.ledger is None or asked.context is None or not callable(getattr(self.ledger, "record_call", None)):
            return
        try:
            asked.context.run(self._write, asked)
        except Exception as error:  # noqa: BLE001 - a ledger that is down costs no answer
            self._notices.warn(
                "ledger", DegradedWarning, f"A shadow's call could not be recorded: {type(error).__name__}: {error}."
            )

    def _write(self, asked: AskedShadow) -> None:
        decision, attempt = asked.decision, asked.attempt
        if decision is None or attempt is None:
            return
        step, ledger = decision.step, self.ledger
        task = task_id_of(asked.task, decision.metadata.get("thread_id"), decision.id, ledger.thread_task)
        call = CallRecord(
            task,
            what="shadow",
            at=asked.at,
            # Its decision: nobody else has a run of this name.
            run_id=decision.id,
            decision_id=decision.id,
            route=self.route,
            model=attempt.model,
            node=step.node,
            step_kind=step.kind,
            agent=step.agent,
            usage=attempt.usage,
            cost_usd=attempt.cost_usd,
            cost_basis="own" if attempt.cost_usd is not None else None,
            latency_s=attempt.latency_s,
            error_type=attempt.error_type,
            kept=False,
            score=asked.scores[1] if asked.scores is not None else None,
            answer=attempt.answer if getattr(ledger, "keeps_text", False) else None,
        )
        ledger.record_call(call)
        if asked.scores is not None:
            ledger.record_outcome(
                Outcome(JUDGED, score=asked.scores[0], decision_id=decision.id, source="evaluator:shadow", at=time.time())
            )
