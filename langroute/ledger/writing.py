"""How does a batch of records become rows? In one transaction: all of it is there, or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, select, text, update

from langroute.context import Task
from langroute.ledger import schema
from langroute.ledger.codec import dumps
from langroute.ledger.facts import (
    CallRecord,
    Labels,
    TaskRecord,
    add_call,
    avoided_usd,
    calls_of,
    changes_of,
    labels_of,
    only_chosen,
)
from langroute.ledger.privacy import Privacy
from langroute.ledger.telling import NO_LABELS, Teller, chunks, day_of, find_tasks, number_of
from langroute.records import Decision, Outcome, Usage

SUMS = (
    "decisions",
    "calls",
    "errors",
    "retries",
    "escalations",
    "cache_hits",
    "tools",
    "tool_errors",
    "judges",
    "cost_usd",
    "unknown_costs",
    "verify_usd",
    "baseline_usd",
    "unknown_baselines",
    "input_tokens",
    "output_tokens",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "latency_s",
    "overhead_s",
)
"""Columns of `tasks` that only ever grow."""

_ADD = update(schema.tasks).where(schema.tasks.c.n == bindparam("b_n")).values(
    {name: schema.tasks.c[name] + bindparam(f"b_{name}") for name in SUMS}
)  # fmt: skip

_NO_USAGE = Usage()


@dataclass(slots=True)
class Claim:
    """A decision belongs to a task; told after the decision was recorded."""

    decision_id: str
    task_id: str


@dataclass(slots=True)
class Entry:
    """A record with what was around it when it was made."""

    record: Decision | CallRecord | Callable[[], CallRecord] | TaskRecord | Outcome | Claim
    task: Task | None = None
    claimed: str | None = None
    """The task that a tracker claimed the decision for."""


@dataclass(slots=True)
class _Touched:
    """What a batch adds to one task."""

    started_at: float
    labels: Labels
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, amount: float) -> None:
        if amount:
            self.sums[name] = self.sums.get(name, 0) + amount


class Writer:
    """Turns batches into rows. Used by one thread at a time.

    Args:
        privacy: What may be kept.
        dialect: SQLAlchemy's name of the database.
    """

    def __init__(self, privacy: Privacy, dialect: str) -> None:
        self.privacy = privacy
        if dialect == "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        else:
            from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
        self._insert: Any = insert
        self.telling = Teller(privacy, insert)
        self._postgres = dialect == "postgresql"
        self._known: dict[str, dict[tuple[str | None, ...], int]] = {"labels": {}, "places": {}}
        self._new: list[tuple[Table, tuple[str | None, ...], int]] = []

    def write(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Write a batch inside the connection's transaction; call `committed` or `rolled_back` afterwards."""
        decisions = self._fresh(connection, [entry for entry in entries if isinstance(entry.record, Decision)])
        touched: dict[str, _Touched] = {}
        rows = _Rows()
        for entry in decisions:
            self._decision(entry, touched, rows)
        for entry in entries:
            record = entry.record
            if callable(record):
                record = record()
            if isinstance(record, CallRecord):
                self._call(entry, record, touched, rows)
            elif isinstance(record, TaskRecord):
                labels = self.privacy.labels(_of_task(record, entry.task))
                _touch(touched, self.privacy.task_id(record.id), record.started_at, labels)
        outcomes = [self.privacy.outcome(entry.record) for entry in entries if isinstance(entry.record, Outcome)]
        self._words(connection)
        numbers = self._tasks(connection, touched)
        self._rows(connection, rows, numbers)
        self._sums(connection, touched, numbers)
        days = {row["day"] for row in rows.calls} | {row["day"] for row in rows.decisions}
        records = [entry.record for entry in entries if isinstance(entry.record, TaskRecord)]
        self._states(connection, records, numbers)
        for entry in entries:
            if isinstance(entry.record, Claim):
                days |= self._claim(connection, entry.record)
        days |= self.telling.write(connection, outcomes)
        days |= {row.day for row in find_tasks(connection, touched)}
        self.mark(connection, days)

    def committed(self) -> None:
        """What was new is now known."""
        for table, words, number in self._new:
            if len(self._known[table.name]) > 100_000:
                self._known[table.name].clear()
            self._known[table.name][words] = number
        self._new.clear()

    def rolled_back(self) -> None:
        """What was new is not there."""
        self._new.clear()

    # Reading records -------------------------------------------------------------------------------------------------

    def _fresh(self, connection: Connection, entries: list[Entry]) -> list[Entry]:
        """Decisions that are not there yet: one that is recorded twice counts once."""
        by_id: dict[str, Entry] = {}
        for entry in entries:
            by_id.setdefault(entry.record.id, entry)  # type: ignore[union-attr]
        if not by_id:
            return []
        ids = schema.decisions.c.id
        for some in chunks(list(by_id)):
            for found in connection.execute(select(ids).where(ids.in_(some))).scalars():
                by_id.pop(found, None)
        return list(by_id.values())

    def _decision(self, entry: Entry, touched: dict[str, _Touched], rows: _Rows) -> None:
        original: Decision = entry.record  # type: ignore[assignment]
        task_id = self._task_of(original, entry)
        labels = self.privacy.labels(labels_of(entry.task, original.metadata, original.step.task_kind))
        decision = self.privacy.decision(original)
        chosen = only_chosen(decision)
        calls = [] if chosen else calls_of(original, task_id)
        changes = changes_of(decision)
        label, day = self._label(labels), day_of(decision.started_at)
        kept = decision.kept or (decision.attempts[-1] if decision.attempts else None)
        provider = next((call.provider for call in calls if call.provider), None)
        policy = (decision.policy, decision.policy_version)
        place = self._place(
            decision.route,
            decision.model,
            provider,
            decision.tier,
            decision.step.node,
            decision.step.kind,
            decision.step.agent,
            *policy,
            None,
        )
        checks = [call.verify_usd for call in calls]
        cost = 0.0 if chosen else decision.cost_usd
        touch = _touch(touched, task_id, decision.started_at, labels)
        touch.add("decisions", 1)
        touch.add("escalations", changes.escalations)
        touch.add("overhead_s", decision.overhead_s)
        touch.add("baseline_usd", decision.baseline_cost_usd or 0.0)
        touch.add("unknown_baselines", decision.baseline_cost_usd is None and not chosen)
        place_in_batch = len(rows.decisions)
        rows.decisions.append(
            {
                "id": decision.id,
                "task": task_id,
                "day": day,
                "at": decision.started_at,
                "label": label,
                "place": place,
                "cache": decision.cache.partition(":")[0],
                "ok": int(decision.route is not None),
                "attempts": len(calls),
                "retries": changes.retries,
                "fallbacks": changes.fallbacks,
                "escalations": changes.escalations,
                "score": kept.score if kept is not None else None,
                "confidence": kept.selection.confidence if kept is not None else None,
                "propensity": kept.selection.propensity if kept is not None else None,
                "cost_usd": cost,
                "verify_usd": None if None in checks else sum(checks),
                "baseline_usd": decision.baseline_cost_usd,
                "avoided_usd": avoided_usd(decision),
                "switch_usd": decision.switch_cost_usd,
                "latency_s": sum(call.latency_s for call in calls),
                "overhead_s": decision.overhead_s,
                "problems": len(decision.problems),
            }
        )
        rows.details.append(dumps(decision, self.privacy.clean if self.privacy.keeps_text else None))
        for call in calls:
            self._one_call(self.privacy.call(call), task_id, labels, touch, rows, place_in_batch, policy)

    def _task_of(self, decision: Decision, entry: Entry) -> str:
        """The task a decision belongs to; one that belongs to none is its own."""
        told = entry.claimed or decision.step.task or (entry.task.id if entry.task is not None else None)
        if told is not None:
            return self.privacy.task_id(told)
        thread = decision.metadata.get("thread_id")
        return self.privacy.thread_task(str(thread)) if thread else decision.id

    def _call(self, entry: Entry, call: CallRecord, touched: dict[str, _Touched], rows: _Rows) -> None:
        kept, task_id = self.privacy.call(call), self.privacy.task_id(call.task_id)
        labels = self.privacy.labels(labels_of(entry.task, {})) if entry.task is not None else NO_LABELS
        touch = _touch(touched, task_id, call.at, labels)
        self._one_call(kept, task_id, touch.labels, touch, rows)
        if self.privacy.keeps_text and (kept.messages or kept.answer is not None):
            said = {"messages": kept.messages, "answer": kept.answer}
            rows.texts.append((len(rows.calls) - 1, said))

    def _one_call(
        self,
        call: CallRecord,
        task_id: str,
        labels: Labels,
        touch: _Touched,
        rows: _Rows,
        decision: int | None = None,
        policy: tuple[str | None, str | None] = (None, None),
    ) -> None:
        usage = call.usage or _NO_USAGE
        words = (call.route, call.model, call.provider, call.tier, call.node, call.step_kind, call.agent, *policy, call.tool)
        row: dict[str, Any] = {
            "decision": decision,
            "attempt": call.attempt,
            "task": task_id,
            "day": day_of(call.at),
            "at": call.at,
            "label": self._label(labels),
            "place": self._place(*words),
            "what": call.what,
            "run_id": call.run_id,
            "kept": int(call.kept),
            "retry": int(call.retry),
            "error_type": call.error_type,
            "cache": call.cache,
            "score": call.score,
            "cost_usd": call.cost_usd,
            "verify_usd": call.verify_usd,
            "cost_basis": call.cost_basis,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read": usage.cache_read,
            "cache_write": usage.cache_write,
            "cache_write_1h": usage.cache_write_1h,
            "reasoning": usage.reasoning,
            "latency_s": call.latency_s,
            "first_token_s": call.first_token_s,
        }
        rows.calls.append(row)
        add_call(touch.add, call)

    # Writing rows ----------------------------------------------------------------------------------------------------

    def _label(self, labels: Labels) -> int:
        return self._word(schema.labels, (labels.team, labels.project, labels.environment, labels.task_kind))

    def _place(self, *words: str | None) -> int:
        return self._word(schema.places, words)

    def _word(self, table: Table, words: tuple[str | None, ...]) -> int:
        known = self._known[table.name].get(words)
        if known is None:
            known = number_of(words)
            self._new.append((table, words, known))
        return known

    def _words(self, connection: Connection) -> None:
        for table in (schema.labels, schema.places):
            names = [column.name for column in table.columns if column.name != "id"]
            new = {number: words for which, words, number in self._new if which is table}
            if new:
                rows = [{"id": number, **dict(zip(names, new[number], strict=True))} for number in sorted(new)]
                connection.execute(self._insert(table).on_conflict_do_nothing(), rows)

    def _tasks(self, connection: Connection, touched: dict[str, _Touched]) -> dict[str, int]:
        """Row numbers of tasks, made where they are new."""
        tasks = schema.tasks
        if not touched:
            return {}
        found = {row.id: row for row in find_tasks(connection, touched)}
        rows: list[dict[str, Any]] = [
            {
                "id": task_id,
                "day": day_of(touch.started_at),
                "label": self._label(touch.labels),
                "user": touch.labels.user,
                "started_at": touch.started_at,
            }
            for task_id, touch in sorted(touched.items())
            if task_id not in found
        ]
        if rows:
            # A label may have come up here first.
            self._words(connection)
            connection.execute(self._insert(tasks).on_conflict_do_nothing(), rows)
            found.update({row.id: row for row in find_tasks(connection, [row["id"] for row in rows])})
        nameless = self._label(NO_LABELS)
        late = [
            {"b_n": found[task_id].n, "b_label": self._label(touch.labels), "b_user": touch.labels.user}
            for task_id, touch in sorted(touched.items())
            if (found[task_id].label == nameless and touch.labels != NO_LABELS and self._label(touch.labels) != nameless)
            or (found[task_id].user is None and touch.labels.user is not None)
        ]
        if late:
            self._words(connection)
            named = update(tasks).where(tasks.c.n == bindparam("b_n"))
            connection.execute(
                named.values(label=bindparam("b_label"), user=func.coalesce(tasks.c.user, bindparam("b_user"))), late
            )
        others = [
            {"task": found[task_id].n, "key": key, "value": value}
            for task_id, touch in sorted(touched.items())
            for key, value in touch.labels.others.items()
        ]
        if others:
            insert = self._insert(schema.tags)
            connection.execute(
                insert.on_conflict_do_update(index_elements=["task", "key"], set_={"value": insert.excluded.value}), others
            )
        return {task_id: row.n for task_id, row in found.items()}

    def _reserve(self, connection: Connection, table: Table, count: int) -> Iterable[int]:
        """Row numbers that nobody else takes."""
        if self._postgres:
            sequence = text("SELECT nextval(:name) FROM generate_series(1, :count)")
            return list(connection.execute(sequence, {"name": f"{table.name}_numbers", "count": count}).scalars())
        # SQLite lets one transaction write at a time, and this is it.
        last = connection.execute(select(func.max(table.c.n))).scalar() or 0
        return range(last + 1, last + 1 + count)

    def _rows(self, connection: Connection, rows: _Rows, numbers: dict[str, int]) -> None:
        decided = list(self._reserve(connection, schema.decisions, len(rows.decisions))) if rows.decisions else []
        if rows.decisions:
            for row, number in zip(rows.decisions, decided, strict=True):
                row["n"], row["task"] = number, numbers[row["task"]]
            connection.execute(schema.decisions.insert(), rows.decisions)
            details = [{"decision": number, "record": record} for number, record in zip(decided, rows.details, strict=True)]
            connection.execute(schema.details.insert(), details)
        if rows.calls:
            called = list(self._reserve(connection, schema.calls, len(rows.calls)))
            for row, number in zip(rows.calls, called, strict=True):
                row["n"], row["task"] = number, numbers[row["task"]]
                if row["decision"] is not None:
                    row["decision"] = decided[row["decision"]]
            connection.execute(schema.calls.insert(), rows.calls)
            if rows.texts:
                said = [{"call": called[index], "record": self._said(record)} for index, record in rows.texts]
                connection.execute(schema.texts.insert(), said)

    def _said(self, record: dict[str, Any]) -> str:
        from langchain_core.messages import BaseMessage, message_to_dict

        def plain(value: Any) -> Any:
            return message_to_dict(value) if isinstance(value, BaseMessage) else value

        values = {"messages": [plain(message) for message in record["messages"]], "answer": plain(record["answer"])}
        return json.dumps(self.privacy.clean(values), separators=(",", ":"), default=str)

    def _sums(self, connection: Connection, touched: dict[str, _Touched], numbers: dict[str, int]) -> None:
        # In one order everywhere, so that two processes never wait for each other.
        added = [
            {"b_n": numbers[task_id], **{f"b_{name}": touch.sums.get(name, 0) for name in SUMS}}
            for task_id, touch in sorted(touched.items())
            if touch.sums
        ]
        if added:
            connection.execute(_ADD, added)

    def _states(self, connection: Connection, records: Sequence[TaskRecord], numbers: dict[str, int]) -> None:
        """The last word on how a task ended; a task that is resumed runs again."""
        tasks = schema.tasks
        last: dict[str, TaskRecord] = {}
        for record in records:
            task_id = self.privacy.task_id(record.id)
            before = last.get(task_id)
            if before is None or (record.ended_at or record.started_at) >= (before.ended_at or before.started_at):
                last[task_id] = record
        for task_id, record in sorted(last.items()):
            at = record.ended_at or record.started_at
            values = {"state": record.state, "ended_at": record.ended_at}
            newer = (tasks.c.ended_at.is_(None)) | (tasks.c.ended_at <= at)
            connection.execute(update(tasks).where(tasks.c.n == numbers[task_id], newer).values(values))
        roots = {one.root_run_id: numbers[self.privacy.task_id(one.id)] for one in records if one.root_run_id is not None}
        if roots:
            rows = [{"run_id": run_id, "task": number} for run_id, number in sorted(roots.items())]
            connection.execute(self._insert(schema.roots).on_conflict_do_nothing(), rows)

    def _claim(self, connection: Connection, claim: Claim) -> set[int]:
        """Move a decision that was its own task to the task it belongs to."""
        tasks, decisions = schema.tasks, schema.decisions
        target_id = self.privacy.task_id(claim.task_id)
        found = connection.execute(
            select(decisions.c.n, decisions.c.task, decisions.c.day, decisions.c.at, decisions.c.label, tasks.c.id)
            .join_from(decisions, tasks, tasks.c.n == decisions.c.task)
            .where(decisions.c.id == claim.decision_id)
        ).first()
        if found is None or found.id != claim.decision_id or target_id == found.id:
            return set()
        row = {"id": target_id, "day": found.day, "label": found.label, "started_at": found.at}
        connection.execute(self._insert(tasks).on_conflict_do_nothing(), [row])
        target = connection.execute(select(tasks.c.n, tasks.c.day).where(tasks.c.id == target_id)).one()
        sums = connection.execute(select(*(tasks.c[name] for name in SUMS)).where(tasks.c.n == found.task)).one()
        connection.execute(_ADD, [{"b_n": target.n, **{f"b_{name}": sums[index] for index, name in enumerate(SUMS)}}])
        for table in (decisions, schema.calls, schema.outcomes, schema.roots):
            connection.execute(update(table).where(table.c.task == found.task).values(task=target.n))
        connection.execute(delete(schema.tags).where(schema.tags.c.task == found.task))
        connection.execute(delete(tasks).where(tasks.c.n == found.task))
        self.telling.boil_again(connection, [target.n])
        return {found.day, target.day}

    # Days ------------------------------------------------------------------------------------------------------------

    def mark(self, connection: Connection, days: Iterable[int]) -> None:
        """Mark days whose sums have to be made again.

        The row is written even where it is there already: a process that sums the day just now holds it, and is waited for.
        """
        table = schema.dirty_days
        rows = [{"day": day, "writes": 1} for day in sorted(days)]
        if rows:
            insert = self._insert(table)
            connection.execute(insert.on_conflict_do_update(index_elements=["day"], set_={"writes": table.c.writes + 1}), rows)


@dataclass(slots=True)
class _Rows:
    decisions: list[dict[str, Any]] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    texts: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


def _touch(touched: dict[str, _Touched], task_id: str, at: float, labels: Labels) -> _Touched:
    touch = touched.get(task_id)
    if touch is None:
        touch = touched[task_id] = _Touched(at, labels)
    else:
        touch.started_at = min(touch.started_at, at)
        if touch.labels == NO_LABELS:
            touch.labels = labels
    return touch


def _of_task(record: TaskRecord, task: Task | None) -> Labels:
    """Labels of a task that a tracker saw: its own first, then the context's."""
    return labels_of(
        Task(record.id, record.kind or (task.kind if task else None), {**(task.tags if task else {}), **record.tags}), {}
    )
