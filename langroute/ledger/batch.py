"""`RecordBatch`: the rows that some records become. No database is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langroute.core.records import Decision, Outcome
from langroute.core.resolve_task import task_id_of
from langroute.core.task_context import Task
from langroute.ledger import columns
from langroute.ledger.codec import dumps
from langroute.ledger.columns import DecisionFacts, row_of
from langroute.ledger.facts import CallRecord, Labels, TaskRecord, calls_of, labels_of, only_chosen
from langroute.ledger.outcome_rows import NO_LABELS, day_of
from langroute.ledger.privacy import Privacy

Words = tuple[str | None, ...]


@dataclass(slots=True)
class Claim:
    """Assignment of a decision to a task, made after the decision was recorded."""

    decision_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class SentCommit:
    """A transaction whose commit is sent."""

    number: int
    timeline: str | None
    """The server's timeline, on which it has this number; after a failover others get the same numbers. `None` where it is not told."""

    heard: Sequence[int] = field(default=(), compare=False)
    """Rows of outcomes whose listeners have heard them (`outcome_feed`)."""


@dataclass(slots=True)
class QueuedRecord:
    """A record with the task context in which it was made."""

    record: Decision | CallRecord | Callable[[], CallRecord] | TaskRecord | Outcome | Claim
    task: Task | None = None
    claimed: str | None = None
    """The task to which a tracker assigned the decision."""

    ready: bool = False
    """Whether the record is in a form that every database accepts (`delivery`)."""

    tries: int = 0
    """Number of attempts to write it."""

    sent_in: SentCommit | None = None
    """The transaction whose commit was sent and not answered (`commits`)."""


@dataclass(slots=True)
class TouchedTask:
    """What a batch adds to one task."""

    started_at: float
    labels: Labels
    sums: dict[str, float] = field(default_factory=dict)
    last_at: float | None = None
    """The end of its last call."""

    state: TaskRecord | None = None
    """Its latest status, if the batch has one."""

    def note_end(self, at: float) -> None:
        """Note the end of a call or a decision."""
        self.last_at = at if self.last_at is None else max(self.last_at, at)

    def include(self, at: float, labels: Labels) -> None:
        """Note another record of the task."""
        self.started_at = min(self.started_at, at)
        if labels is not self.labels and labels != self.labels:
            self.labels = self.labels.or_else(labels)


@dataclass(slots=True)
class DecisionRow:
    """A decision, its JSON, and its calls; the numbers of rows are filled in when it is written."""

    task: str
    labels: Labels
    place: Words
    values: dict[str, Any]
    record: str
    calls: list[CallRow]


@dataclass(slots=True)
class CallRow:
    """A call and what was said in it, where the ledger keeps that."""

    task: str
    labels: Labels
    place: Words
    values: dict[str, Any]
    said: CallRecord | None = None


@dataclass(slots=True)
class RecordBatch:
    """Records as rows.

    Args:
        privacy: What may be stored.
    """

    privacy: Privacy
    decisions: list[DecisionRow] = field(default_factory=list)
    calls: list[CallRow] = field(default_factory=list)
    """Calls that no decision contains."""

    tasks: dict[str, TouchedTask] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)
    """Root run → its task."""

    outcomes: list[Outcome] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    """Claims of decisions that are no part of the batch."""

    def collect(self, entries: Sequence[QueuedRecord], stored: Iterable[str] = ()) -> RecordBatch:
        """Add records, and return the batch.

        Args:
            entries: The records, in a form that databases accept.
            stored: Ids of decisions that are stored already: one that is recorded twice counts once.
        """
        claims = {entry.record.decision_id: entry.record for entry in entries if isinstance(entry.record, Claim)}
        seen = set(stored)
        for entry in entries:
            if isinstance(entry.record, Decision) and entry.record.id not in seen:
                seen.add(entry.record.id)
                self._add_decision(entry, entry.record, claims)
        self.claims += claims.values()
        for entry in entries:
            record = entry.record
            if isinstance(record, CallRecord):
                self._add_call(entry, record)
            elif isinstance(record, TaskRecord):
                self._add_task(entry, record)
            elif isinstance(record, Outcome):
                self.outcomes.append(self.privacy.outcome(record))
        return self

    def days(self) -> set[int]:
        """Return the days of its decisions and calls."""
        rows = [row.values for row in self.decisions] + [row.values for row in self.calls]
        return {day_of(values["at"]) for values in rows}

    def _touch(self, task_id: str, at: float, labels: Labels) -> TouchedTask:
        touched = self.tasks.get(task_id)
        if touched is None:
            touched = self.tasks[task_id] = TouchedTask(at, labels)
        else:
            touched.include(at, labels)
        return touched

    def _add_decision(self, entry: QueuedRecord, original: Decision, claims: dict[str, Claim]) -> None:
        task_id = self._task_of(original, entry)
        claim = claims.pop(original.id, None)
        if claim is not None and task_id == original.id:
            task_id = self.privacy.task_id(claim.task_id)
        labels = self.privacy.labels(labels_of(entry.task, original.metadata, original.step.task_kind))
        decision = self.privacy.decision(original)
        chosen = only_chosen(decision)
        calls = [] if chosen else calls_of(original, task_id)
        facts = DecisionFacts(decision, calls, chosen)
        touched = self._touch(task_id, decision.started_at, labels)
        columns.add_decision(touched.sums, facts)
        touched.note_end(decision.started_at + decision.overhead_s + sum(call.latency_s for call in calls))
        step, policy = decision.step, (decision.policy, decision.policy_version)
        provider = next((call.provider for call in calls if call.provider), None)
        place = (decision.route, decision.model, provider, decision.tier, step.node, step.kind, step.agent, *policy, None)
        rows = [self._call_row(self.privacy.call(call), task_id, labels, touched, policy) for call in calls]
        record = dumps(decision, self.privacy.clean if self.privacy.keeps_text else None)
        self.decisions.append(DecisionRow(task_id, labels, place, row_of(columns.DECISIONS, facts), record, rows))

    def _task_of(self, decision: Decision, entry: QueuedRecord) -> str:
        """Return the task of a decision; a decision without a task is its own task."""
        told = entry.claimed or decision.step.task or (entry.task.id if entry.task is not None else None)
        known = self.privacy.task_id(told) if told else None
        return task_id_of(known, decision.metadata.get("thread_id"), decision.id, self.privacy.thread_task)

    def _add_call(self, entry: QueuedRecord, call: CallRecord) -> None:
        kept, task_id = self.privacy.call(call), self.privacy.task_id(call.task_id)
        labels = self.privacy.labels(labels_of(entry.task, {})) if entry.task is not None else NO_LABELS
        touched = self._touch(task_id, call.at, labels)
        row = self._call_row(kept, task_id, touched.labels, touched)
        touched.note_end(call.at + call.latency_s)
        if self.privacy.keeps_text and (kept.messages or kept.answer is not None):
            row.said = kept
        self.calls.append(row)

    def _call_row(
        self,
        call: CallRecord,
        task_id: str,
        labels: Labels,
        touched: TouchedTask,
        policy: tuple[str | None, str | None] = (None, None),
    ) -> CallRow:
        columns.add_call(touched.sums, call)
        place = (call.route, call.model, call.provider, call.tier, call.node, call.step_kind, call.agent, *policy, call.tool)
        return CallRow(task_id, labels, place, row_of(columns.CALLS, call))

    def _add_task(self, entry: QueuedRecord, record: TaskRecord) -> None:
        task_id = self.privacy.task_id(record.id)
        touched = self._touch(task_id, record.started_at, self.privacy.labels(_labels_of_task(record, entry.task)))
        before = touched.state
        if before is None or moment_of(record) >= moment_of(before):
            touched.state = record
        if record.root_run_id is not None:
            self.roots[record.root_run_id] = task_id


def moment_of(record: TaskRecord) -> float:
    """Return the time of a status: a task that is resumed runs again."""
    return record.ended_at or record.started_at


def _labels_of_task(record: TaskRecord, task: Task | None) -> Labels:
    """Return the labels of an observed task: those of the task around it first, then what was read from its run's metadata."""
    # A root run may end, or be given up, while another task is under way.
    around = task if task is not None and task.id == record.id else Task(record.id)
    found = labels_of(around, record.tags, record.kind)
    others: Mapping[str, str] = labels_of(Task(record.id, None, record.tags), {}).others
    return replace(found, others={**others, **found.others}) if others else found


__all__ = ["CallRow", "Claim", "DecisionRow", "QueuedRecord", "RecordBatch", "TouchedTask", "moment_of"]
