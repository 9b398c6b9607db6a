"""Where are decisions kept when nothing else was asked for? In this process, the latest ones, without text."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any

from langroute.context import current_task
from langroute.records import Decision, Outcome

if TYPE_CHECKING:
    # What sums up a ledger is needed when one is read, not when a router is made.
    from langroute.ledger.facts import CallRecord, Share, TaskRecord, TaskTotals


@dataclass(slots=True)
class _Kept:
    """What is kept of one task."""

    id: str
    decisions: list[str] = field(default_factory=list)
    calls: list[CallRecord] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    kind: str | None = None
    record: TaskRecord | None = None


class MemoryLedger:
    """Keeps the latest decisions, tasks and outcomes of this process; nothing anybody wrote is among them.

    Args:
        max_decisions: How many decisions are kept, how many tasks, and how much of each task.

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
        self._tasks: OrderedDict[str, _Kept] = OrderedDict()
        self._task_of: dict[str, str] = {}
        self._claims: OrderedDict[str, str] = OrderedDict()
        self._runs: OrderedDict[str, str] = OrderedDict()
        self._outcomes: deque[Outcome] = deque(maxlen=max_decisions)
        self._lock = RLock()

    # Recording -------------------------------------------------------------------------------------------------------

    def record(self, decision: Decision) -> None:
        """Keep a decision. The router leaves out what was said in it, because this ledger does not ask for it."""
        with self._lock:
            if decision.id in self._decisions:
                return
            self._decisions[decision.id] = decision
            task = current_task()
            told = self._claims.pop(decision.id, None) or decision.step.task or (task.id if task is not None else None)
            if told is None:
                thread = decision.metadata.get("thread_id")
                told = self.thread_task(str(thread)) if thread else decision.id
            kept = self._task(told)
            kept.kind = kept.kind or decision.step.task_kind
            self._add(kept.decisions, decision.id)
            self._task_of[decision.id] = told
            if decision.run_id is not None:
                self._remember(decision.run_id, told)
            if len(self._decisions) > self.max_decisions:
                gone, _ = self._decisions.popitem(last=False)
                self._task_of.pop(gone, None)

    def record_outcome(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        with self._lock:
            self._outcomes.append(outcome)
            told = self._task_of.get(outcome.decision_id or "") or self._runs.get(outcome.run_id or "")
            if outcome.task_id is not None:
                as_thread = self.thread_task(outcome.task_id)
                told = as_thread if outcome.task_id not in self._tasks and as_thread in self._tasks else outcome.task_id
            if told is not None:
                self._add(self._task(told).outcomes, outcome)

    def record_call(self, call: CallRecord | Callable[[], CallRecord]) -> None:
        """Keep a call that no router of this ledger made."""
        call = call() if callable(call) else call
        with self._lock:
            self._add(self._task(call.task_id).calls, call)
            if call.run_id is not None:
                self._remember(call.run_id, call.task_id)

    def record_task(self, task: TaskRecord) -> None:
        """Keep that a task began or ended."""
        with self._lock:
            kept = self._task(task.id)
            kept.kind = kept.kind or task.kind
            before = kept.record
            if before is None or (task.ended_at or task.started_at) >= (before.ended_at or before.started_at):
                kept.record = task
            if task.root_run_id is not None:
                self._remember(task.root_run_id, task.id)

    def claim(self, decision_id: str, task_id: str) -> None:
        """Say to which task a decision belongs, before or after it is recorded."""
        with self._lock:
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

    def knows(self, decision_id: str) -> bool:
        """The decision was recorded here a short time ago."""
        return decision_id in self._decisions

    def thread_task(self, thread: str) -> str:
        """The id of the task that a conversation is, where it was given no other name."""
        return thread if thread.startswith("thread:") else f"thread:{thread}"

    def _task(self, task_id: str) -> _Kept:
        kept = self._tasks.get(task_id)
        if kept is None:
            kept = self._tasks[task_id] = _Kept(task_id)
            if len(self._tasks) > self.max_decisions:
                self._tasks.popitem(last=False)
        return kept

    def _add(self, kept: list[Any], one: Any) -> None:
        # Most tasks have a record or two, so a list; one that grows for ever loses its beginning.
        kept.append(one)
        if len(kept) > 2 * self.max_decisions:
            del kept[: -self.max_decisions]

    def _remember(self, run_id: str, task_id: str) -> None:
        self._runs[run_id] = task_id
        if len(self._runs) > 10 * self.max_decisions:
            self._runs.popitem(last=False)

    # Reading ---------------------------------------------------------------------------------------------------------

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

    def outcomes_of(self, task_id: str) -> list[Outcome]:
        """What was told of a task, oldest first."""
        with self._lock:
            kept = self._tasks.get(task_id) or self._tasks.get(self.thread_task(task_id))
            return sorted(kept.outcomes, key=lambda outcome: outcome.at) if kept is not None else []

    @property
    def outcomes(self) -> list[Outcome]:
        """What is kept, oldest first."""
        return list(self._outcomes)

    def task(self, task_id: str) -> TaskTotals | None:
        """What a task came to, or `None`.

        Args:
            task_id: Its id, or the id of the thread that it is.
        """
        from langroute.ledger.facts import TaskTotals, add_call, add_usage, boil, calls_of, changes_of, only_chosen

        with self._lock:
            kept = self._tasks.get(task_id) or self._tasks.get(self.thread_task(task_id))
            if kept is None:
                return None
            decisions = [self._decisions[one] for one in kept.decisions if one in self._decisions]
            calls = [*kept.calls]
        calls.extend(call for one in decisions if not only_chosen(one) for call in calls_of(one, kept.id))
        sums: defaultdict[str, float] = defaultdict(int)

        def add(name: str, amount: float) -> None:
            sums[name] += amount

        for call in calls:
            add_call(add, call)
        models = [call for call in calls if call.what in ("model", "judge")]
        return TaskTotals(
            id=kept.id,
            kind=kept.kind,
            state=kept.record.state if kept.record is not None else None,
            success=boil(kept.outcomes).success,
            decisions=len(decisions),
            calls=int(sums["calls"]),
            errors=int(sums["errors"]),
            retries=int(sums["retries"]),
            escalations=sum(changes_of(one).escalations for one in decisions),
            cache_hits=int(sums["cache_hits"]),
            tools=int(sums["tools"]),
            tool_errors=int(sums["tool_errors"]),
            judges=int(sums["judges"]),
            cost_usd=float(sums["cost_usd"]),
            unknown_costs=int(sums["unknown_costs"]),
            verify_usd=float(sums["verify_usd"]),
            usage=add_usage(call.usage for call in models),
            latency_s=float(sums["latency_s"]),
            overhead_s=sum(one.overhead_s for one in decisions),
            by_route=_shares(models, lambda call: call.route),
            by_model=_shares(models, lambda call: call.model),
            by_node=_shares(models, lambda call: call.node),
            by_step_kind=_shares(models, lambda call: call.step_kind),
            by_basis=_shares(models, lambda call: call.cost_basis),
        )

    def flush(self) -> None:
        """Nothing to do: what was recorded is kept."""

    def close(self) -> None:
        """Nothing to do."""

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
