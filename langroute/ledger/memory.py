"""In-memory ledger, the default: the latest decisions of this process, without text."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from langroute.core.degradation import Degradations
from langroute.core.errors import DataError, DegradedWarning
from langroute.core.locks import new_rlock
from langroute.core.records import TOKENS, Decision, Outcome, Usage
from langroute.core.resolve_task import task_id_of
from langroute.core.storable import ID, RUN, bounded, is_small, name_of
from langroute.core.task_context import current_task
from langroute.ledger.listening import tell

if TYPE_CHECKING:
    # Needed when a ledger is read, not when a router is created.
    from langroute.ledger.facts import CallRecord, Labels, Share, TaskRecord, TaskTotals


@dataclass(slots=True)
class _Kept:
    """What is stored for one task."""

    id: str
    decisions: list[str] = field(default_factory=list)
    calls: list[CallRecord] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    kind: str | None = None
    record: TaskRecord | None = None


class MemoryLedger:
    """Store the latest decisions, tasks and outcomes of this process, without any text of users or models.

    Args:
        max_decisions: How many decisions are kept, how many tasks, and how much of each task.

    Example:
        >>> from langroute.core.records import Decision, Step
        >>> ledger = MemoryLedger()
        >>> ledger.record(Decision("d1", Step(), "small", ()))
        >>> ledger.get("d1").route
        'small'
    """

    def __init__(self, max_decisions: int = 10_000) -> None:
        self.max_decisions = max_decisions
        self.dropped = 0
        """Number of records that could not be stored."""

        self._notices = Degradations()
        # A call only appends its decision; what it belongs to is worked out when somebody asks.
        self._waiting: deque[tuple[Decision, str | None]] = deque(maxlen=max_decisions)
        self._decisions: OrderedDict[str, Decision] = OrderedDict()
        self._tasks: OrderedDict[str, _Kept] = OrderedDict()
        self._task_of: dict[str, str] = {}
        self._claims: OrderedDict[str, str] = OrderedDict()
        self._runs: OrderedDict[str, str] = OrderedDict()
        self._outcomes: deque[Outcome] = deque(maxlen=max_decisions)
        self._lock = new_rlock()

    # Recording -------------------------------------------------------------------------------------------------------

    def record(self, decision: Decision) -> None:
        """Store a decision. The router leaves out messages and answers, because this ledger does not ask for them."""
        if decision.metadata and not is_small(decision.metadata):
            decision = replace(decision, metadata=bounded(decision.metadata))
        told = decision.step.task
        if told is None and (task := current_task()) is not None:
            told = task.id
        self._waiting.append((decision, told))
        if self._decisions and len(self._waiting) + len(self._decisions) > self.max_decisions:
            with self._lock:
                self._forget_oldest()

    def _place_waiting(self) -> None:
        """Assign the decisions recorded since the last reading to their tasks. Called with the lock held."""
        while self._waiting:
            self._place(*self._waiting.popleft())

    def _place(self, decision: Decision, told: str | None) -> None:
        name = name_of(decision.id, ID)
        if name in self._decisions:
            return
        self._decisions[name] = decision
        told = self._claims.pop(name, None) or told
        told = name_of(task_id_of(told, decision.metadata.get("thread_id"), name, self.thread_task))
        kept = self._task(told)
        kept.kind = kept.kind or decision.step.task_kind
        self._add(kept.decisions, name)
        self._task_of[name] = told
        if decision.run_id is not None:
            self._remember(name_of(decision.run_id, RUN), told)
        if len(self._decisions) > self.max_decisions:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        if self._decisions:
            gone, _ = self._decisions.popitem(last=False)
            self._task_of.pop(gone, None)

    def record_outcome(self, outcome: Outcome) -> None:
        """Store an outcome."""
        fit: Outcome | None = self._fitted(outcome)
        if fit is not None:
            self._keep_outcome(fit)
            tell(self, outcome)

    def _keep_outcome(self, outcome: Outcome) -> None:
        with self._lock:
            self._place_waiting()
            self._outcomes.append(outcome)
            told = self._task_of.get(outcome.decision_id or "") or self._runs.get(outcome.run_id or "")
            if outcome.task_id is not None:
                as_thread = self.thread_task(outcome.task_id)
                told = as_thread if outcome.task_id not in self._tasks and as_thread in self._tasks else outcome.task_id
            if told is not None:
                self._add(self._task(told).outcomes, outcome)

    def record_call(self, call: CallRecord | Callable[[], CallRecord]) -> None:
        """Store a call that no router of this ledger made."""
        fit: CallRecord | None = self._fitted(call() if callable(call) else call)
        if fit is None:
            return
        with self._lock:
            self._place_waiting()
            self._add(self._task(fit.task_id).calls, fit)
            if fit.run_id is not None:
                self._remember(fit.run_id, fit.task_id)

    def record_task(self, task: TaskRecord) -> None:
        """Store the start or the end of a task."""
        fit: TaskRecord | None = self._fitted(task)
        if fit is not None:
            self._keep_task(fit)

    def _keep_task(self, task: TaskRecord) -> None:
        with self._lock:
            self._place_waiting()
            kept = self._task(task.id)
            kept.kind = kept.kind or task.kind
            before = kept.record
            if before is None or (task.ended_at or task.started_at) >= (before.ended_at or before.started_at):
                kept.record = task
            if task.root_run_id is not None:
                self._remember(task.root_run_id, task.id)

    def claim(self, decision_id: str, task_id: str) -> None:
        """Assign a decision to a task, before or after the decision is recorded."""
        decision_id, task_id = name_of(decision_id, ID), name_of(task_id)
        with self._lock:
            self._place_waiting()
            before = self._task_of.get(decision_id)
            if before is None:
                self._claims[decision_id] = task_id
                if len(self._claims) > self.max_decisions:
                    self._claims.popitem(last=False)
            elif before == decision_id != task_id:
                moved = self._tasks.pop(before, None)
                target = self._task(task_id)
                self._add(target.decisions, decision_id)
                target.outcomes.extend(moved.outcomes if moved is not None else ())
                self._task_of[decision_id] = task_id

    def _fitted(self, record: Any) -> Any:
        """Return a record in normalized form; count it, warn and return `None` where it has none."""
        from langroute.ledger.fitting import fitted

        try:
            return fitted(record)
        except Exception as error:  # noqa: BLE001 - whatever somebody recorded, the program goes on
            self.dropped += 1
            said = f"{error}" if isinstance(error, DataError) else type(error).__name__
            cause = f"The ledger could not keep a {type(record).__name__}: {said}"
            self._notices.warn(cause, DegradedWarning, cause)
            return None

    def knows(self, decision_id: str) -> bool:
        """Return whether the decision was recorded here recently."""
        with self._lock:
            self._place_waiting()
            return name_of(decision_id, ID) in self._decisions

    def thread_task(self, thread: str) -> str:
        """Return the task id of a thread that was given no other task id."""
        # The thread's full id first: it may have been truncated together with the rest of a call's metadata.
        thread = name_of(thread)
        return thread if thread.startswith("thread:") else name_of(f"thread:{thread}")

    def _task(self, task_id: str) -> _Kept:
        kept = self._tasks.get(task_id)
        if kept is None:
            kept = self._tasks[task_id] = _Kept(task_id)
            if len(self._tasks) > self.max_decisions:
                self._tasks.popitem(last=False)
        return kept

    def _add(self, kept: list[Any], one: Any) -> None:
        # Most tasks have one or two records, so a list; one that keeps growing loses its oldest records.
        kept.append(one)
        if len(kept) > 2 * self.max_decisions:
            del kept[: -self.max_decisions]

    def _remember(self, run_id: str, task_id: str) -> None:
        self._runs[run_id] = task_id
        if len(self._runs) > 10 * self.max_decisions:
            self._runs.popitem(last=False)

    # Reading ---------------------------------------------------------------------------------------------------------

    def get(self, decision_id: str) -> Decision | None:
        """Return the decision with this id, or `None`."""
        with self._lock:
            self._place_waiting()
            return self._decisions.get(name_of(decision_id, ID))

    def latest(self) -> Decision | None:
        """Return the decision recorded last, or `None`."""
        with self._lock:
            self._place_waiting()
            return next(reversed(self._decisions.values()), None)

    def recent(self, count: int) -> list[Decision]:
        """Return the decisions recorded last, oldest first."""
        return self.decisions[-count:]

    @property
    def decisions(self) -> list[Decision]:
        """The stored decisions, oldest first."""
        with self._lock:
            self._place_waiting()
            return list(self._decisions.values())

    def outcomes_of(self, task_id: str) -> list[Outcome]:
        """Return the outcomes of a task, oldest first."""
        with self._lock:
            self._place_waiting()
            kept = self._tasks.get(name_of(task_id)) or self._tasks.get(self.thread_task(task_id))
            return sorted(kept.outcomes, key=lambda outcome: outcome.at) if kept is not None else []

    def made_for(self, caller: Labels, *, task_id: str | None = None, decision_id: str | None = None) -> bool | None:
        """Return whether a task or a decision is a caller's; `None` where it is not known. See `langroute.ledger.facts.made_for`."""
        from langroute.ledger.facts import labels_of, made_for

        with self._lock:
            self._place_waiting()
            names = [name_of(decision_id, ID)] if decision_id is not None else []
            kept = None if task_id is None else self._tasks.get(name_of(task_id)) or self._tasks.get(self.thread_task(task_id))
            names += kept.decisions if kept is not None else []
            first = next((self._decisions[name] for name in names if name in self._decisions), None)
        return None if first is None else made_for(labels_of(None, first.metadata), caller)

    @property
    def outcomes(self) -> list[Outcome]:
        """The stored outcomes, oldest first."""
        return list(self._outcomes)

    def task(self, task_id: str) -> TaskTotals | None:
        """Return the totals of a task, or `None`.

        Args:
            task_id: Its id, or the id of the thread that it is.
        """
        from langroute.ledger.columns import SUMMED, DecisionFacts, add_call, add_decision
        from langroute.ledger.facts import PAID, TaskTotals, calls_of, only_chosen, summarize_outcomes
        from langroute.ledger.fitting import fitted

        with self._lock:
            self._place_waiting()
            kept = self._tasks.get(name_of(task_id)) or self._tasks.get(self.thread_task(task_id))
            if kept is None:
                return None
            decisions = [fitted(self._decisions[one]) for one in kept.decisions if one in self._decisions]
            calls = [*kept.calls]
        sums: dict[str, float] = {}
        for decision in decisions:
            chosen = only_chosen(decision)
            made = [] if chosen else calls_of(decision, kept.id)
            add_decision(sums, DecisionFacts(decision, made, chosen))
            calls.extend(made)
        for call in calls:
            add_call(sums, call)
        models = [call for call in calls if call.what in PAID]
        tokens: dict[str, Any] = {name: int(sums.get(name, 0)) for name in TOKENS}
        summed: dict[str, Any] = {name: kind(sums.get(name, 0)) for name, kind in SUMMED.items()}
        return TaskTotals(
            id=kept.id,
            kind=kept.kind,
            state=kept.record.state if kept.record is not None else None,
            success=summarize_outcomes(kept.outcomes).success,
            usage=Usage(**tokens),
            **summed,
            by_route=_shares(models, lambda call: call.route),
            by_model=_shares(models, lambda call: call.model),
            by_node=_shares(models, lambda call: call.node),
            by_step_kind=_shares(models, lambda call: call.step_kind),
            by_basis=_shares(models, lambda call: call.cost_basis),
        )

    def flush(self) -> None:
        """Do nothing: records are stored at once."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def __getstate__(self) -> dict[str, Any]:
        return {"max_decisions": self.max_decisions}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _shares(calls: Iterable[CallRecord], key: Callable[[CallRecord], str | None]) -> dict[str, Share]:
    from langroute.ledger.facts import Share, add_usage

    groups: defaultdict[str, list[CallRecord]] = defaultdict(list)
    for call in calls:
        groups[key(call) or ""].append(call)
    return {
        name: Share(
            len(group),
            sum(call.error_type is not None for call in group),
            add_usage(call.usage for call in group).total_tokens,
            sum((call.cost_usd or 0.0) + (call.verify_usd or 0.0) for call in group),
            sum(call.cost_usd is None or call.verify_usd is None for call in group),
        )
        for name, group in sorted(groups.items())
    }
