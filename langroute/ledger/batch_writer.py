"""`BatchWriter`: writes a batch of records into the tables, in one transaction.

Every transaction takes its locks in one order, so that the processes of a service do not wait for each other in a circle: its turn, words, then new
tasks by id, then all tasks that it changes by number, then everything else.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Double, Select, Table, bindparam, case, delete, func, select, text, update

from langroute.core.records import Decision
from langroute.ledger import schema
from langroute.ledger.batch import CallRow, Claim, QueuedRecord, RecordBatch, Words, moment_of
from langroute.ledger.codec import as_json
from langroute.ledger.columns import TASK_SUMS
from langroute.ledger.facts import CallRecord, Labels
from langroute.ledger.many_rows import LEAST, VALUES, as_parameter, given, insert_rows, is_server, one_of
from langroute.ledger.outcome_rows import NO_LABELS, OutcomeWriter, chunks, day_of, find_tasks, lock_tasks
from langroute.ledger.privacy import Privacy
from langroute.ledger.words import KnownWords

_LAST: Any = bindparam("b_last_at", type_=Double)
_ADD = (
    update(schema.tasks)
    .where(schema.tasks.c.n == bindparam("b_n"))
    .values({one.name: schema.tasks.c[one.name] + bindparam(f"b_{one.name}") for one in TASK_SUMS})
    .values(last_at=case((func.coalesce(schema.tasks.c.last_at, -1.0) < _LAST, _LAST), else_=schema.tasks.c.last_at))
)

_SUMMED = given(schema.tasks, ("n", "last_at", *(one.name for one in TASK_SUMS)))
_ADD_MANY = (
    update(schema.tasks)
    .where(schema.tasks.c.n == _SUMMED.c.n)
    .values({one.name: schema.tasks.c[one.name] + func.coalesce(_SUMMED.c[one.name], 0) for one in TASK_SUMS})
    .values(last_at=func.greatest(schema.tasks.c.last_at, _SUMMED.c.last_at))
)

Numbers = dict[str, int]

_TURN = 0x6C61_6E67_726F_7574
"""Key of the PostgreSQL advisory lock of outcomes that wait for their decisions; always the first lock of a transaction."""


class BatchWriter:
    """Write batches. Not thread-safe: used by one thread at a time.

    Args:
        privacy: What may be stored.
        dialect: SQLAlchemy's name of the database.
    """

    def __init__(self, privacy: Privacy, dialect: str) -> None:
        self.privacy = privacy
        if dialect == "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        else:
            from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
        self._insert: Any = insert
        self._postgres = dialect == "postgresql"
        days = schema.dirty_days
        self._mark = self._insert(days).on_conflict_do_update(index_elements=["day"], set_={"writes": days.c.writes + 1})
        self.words = KnownWords(insert)
        self.outcomes = OutcomeWriter(privacy)

    def write(self, connection: Connection, entries: Sequence[QueuedRecord]) -> None:
        """Write records inside the connection's transaction; call `committed` or `rolled_back` afterwards."""
        batch = RecordBatch(self.privacy).collect(entries, _stored(connection, entries))
        self._take_turn(connection, batch)
        moved = self._claimed(connection, batch.claims)
        told = self.outcomes.subjects(connection, batch)
        found = {row.id: row for row in find_tasks(connection, {*batch.tasks, *(claim.task_id for claim in moved)})}
        late = self._late_labels(connection, batch, found)
        if told.new:
            self._label(NO_LABELS)
        self._write_words(connection, batch)
        numbers = self._write_new_tasks(connection, batch, moved, told.new, found)
        lock_tasks(connection, {*numbers.values(), *told.tasks, *(claim.task for claim in moved)})
        self._write_labels(connection, batch, late, numbers)
        self._write_rows(connection, batch, numbers)
        self._write_sums(connection, batch, numbers)
        self._write_states(connection, batch, numbers)
        days = batch.days() | self._move(connection, moved, numbers)
        days |= self.outcomes.write(connection, batch)
        self.mark(connection, days | {row.day for row in found.values()})

    def _take_turn(self, connection: Connection, batch: RecordBatch) -> None:
        """Lock what keeps an outcome and its decision, written by two processes at once, from not seeing each other.

        Whoever writes decisions shares the lock; an outcome of something unknown waits until those are committed, and looks again. SQLite has
        one writer anyway.
        """
        if not self._postgres:
            return
        if batch.outcomes and self.outcomes.knows_not_all(connection, batch):
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _TURN})
        elif batch.decisions or batch.calls or batch.roots:
            connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _TURN})

    def committed(self) -> None:
        """Add the words of the committed batch to what is known to exist."""
        self.words.committed()

    def rolled_back(self) -> None:
        """Forget the words of the batch that was rolled back."""
        self.words.rolled_back()

    # Words and tasks -------------------------------------------------------------------------------------------------

    def _write_words(self, connection: Connection, batch: RecordBatch) -> None:
        for row in batch.decisions:
            self._numbers_of(row.labels, row.place)
            for call in row.calls:
                self._numbers_of(call.labels, call.place)
        for call in batch.calls:
            self._numbers_of(call.labels, call.place)
        for touched in batch.tasks.values():
            self._label(touched.labels)
        self.words.write(connection)

    def _numbers_of(self, labels: Labels, place: Words) -> dict[str, int]:
        return {"label": self._label(labels), "place": self.words.number(schema.places, place)}

    def _label(self, labels: Labels) -> int:
        return self.words.number(schema.labels, (labels.team, labels.project, labels.environment, labels.task_kind))

    def _write_new_tasks(
        self, connection: Connection, batch: RecordBatch, moved: Sequence[_Moved], told: dict[str, float], found: dict[str, Any]
    ) -> Numbers:
        """Return the row numbers of tasks; those that are new are inserted, in the order of their ids."""
        rows: dict[str, dict[str, Any]] = {
            task_id: {"id": task_id, "day": day_of(at), "label": self._label(NO_LABELS), "user": None, "started_at": at}
            for task_id, at in told.items()
        }
        for claim in moved:
            at = {"day": claim.day, "label": claim.label, "user": None, "started_at": claim.at}
            rows[claim.task_id] = {"id": claim.task_id, **at}
        for task_id, touched in batch.tasks.items():
            at = {"day": day_of(touched.started_at), "started_at": touched.started_at}
            rows[task_id] = {"id": task_id, "label": self._label(touched.labels), "user": touched.labels.user, **at}
        new = [row for task_id, row in sorted(rows.items()) if task_id not in found]
        if new:
            self._upsert(connection, schema.tasks, new)
            # Another process may have inserted some of them first.
            found.update({row.id: row for row in find_tasks(connection, [row["id"] for row in new])})
        return {task_id: row.n for task_id, row in found.items()}

    def _upsert(
        self, connection: Connection, table: Table, rows: Sequence[dict[str, Any]], keys: Sequence[str] = (), *replaced: str
    ) -> None:
        """Insert rows; one that is there stays as it is, but for the columns that are replaced."""
        names = tuple(rows[0])
        insert, parameters = self._insert(table), rows
        if self._postgres and len(rows) >= LEAST:
            insert = insert.from_select(names, select(*given(table, names).c))
            parameters = [as_parameter(rows)]
        if replaced:
            insert = insert.on_conflict_do_update(index_elements=keys, set_={name: insert.excluded[name] for name in replaced})
        else:
            insert = insert.on_conflict_do_nothing()
        connection.execute(insert, parameters)

    def _late_labels(self, connection: Connection, batch: RecordBatch, found: dict[str, Any]) -> set[str]:
        """Return the stored tasks that get labels which their earlier records did not name."""
        differ = {
            task_id
            for task_id, touched in batch.tasks.items()
            if task_id in found and touched.labels != NO_LABELS and found[task_id].label != self._label(touched.labels)
        }
        n = schema.labels.c
        stored: dict[int, Labels] = {}
        for some in chunks(sorted({found[task_id].label for task_id in differ})):
            for row in connection.execute(select(schema.labels).where(n.id.in_(some))):
                stored[row.id] = Labels(row.team, row.project, row.environment, row.task_kind)
        for task_id in differ:
            touched = batch.tasks[task_id]
            touched.labels = stored.get(found[task_id].label, NO_LABELS).or_else(touched.labels)
        return {task_id for task_id in differ if found[task_id].label != self._label(batch.tasks[task_id].labels)} | {
            task_id
            for task_id, touched in batch.tasks.items()
            if task_id in found and found[task_id].user is None and touched.labels.user is not None
        }

    def _write_labels(self, connection: Connection, batch: RecordBatch, late: set[str], numbers: Numbers) -> None:
        """Write the labels and the other tags of tasks."""
        tasks = schema.tasks
        if late:
            rows = [
                {
                    "b_n": numbers[task_id],
                    "b_label": self._label(batch.tasks[task_id].labels),
                    "b_user": batch.tasks[task_id].labels.user,
                }
                for task_id in sorted(late)
            ]
            named = update(tasks).where(tasks.c.n == bindparam("b_n"))
            user = func.coalesce(tasks.c.user, bindparam("b_user"))
            connection.execute(named.values(label=bindparam("b_label"), user=user), rows)
        others = [
            {"task": numbers[task_id], "key": key, "value": value}
            for task_id, touched in sorted(batch.tasks.items())
            for key, value in touched.labels.others.items()
        ]
        if others:
            self._upsert(connection, schema.tags, others, ["task", "key"], "value")

    # Rows ------------------------------------------------------------------------------------------------------------

    def _write_rows(self, connection: Connection, batch: RecordBatch, numbers: Numbers) -> None:
        calls: list[tuple[CallRow, int | None]] = [(row, None) for row in batch.calls]
        if batch.decisions:
            decided = self._reserve(connection, schema.decisions, len(batch.decisions))
            for row, number in zip(batch.decisions, decided, strict=True):
                calls.extend((call, number) for call in row.calls)
            rows = [
                {"n": number, **self._common(row, numbers), **row.values}
                for row, number in zip(batch.decisions, decided, strict=True)
            ]
            insert_rows(connection, schema.decisions, rows)
            details = [
                {"decision": one["n"], "day": one["day"], "record": row.record}
                for row, one in zip(batch.decisions, rows, strict=True)
            ]
            insert_rows(connection, schema.details, details)
        if calls:
            self._write_calls(connection, calls, numbers)

    def _write_calls(self, connection: Connection, calls: Sequence[tuple[CallRow, int | None]], numbers: Numbers) -> None:
        called = self._reserve(connection, schema.calls, len(calls))
        rows = [
            {"n": number, "decision": decision, **self._common(row, numbers), **row.values}
            for (row, decision), number in zip(calls, called, strict=True)
        ]
        insert_rows(connection, schema.calls, rows)
        said = [(one, self._said(row.said)) for (row, _), one in zip(calls, rows, strict=True) if row.said is not None]
        kept = [{"call": one["n"], "day": one["day"], "record": record} for one, record in said if record is not None]
        if kept:
            insert_rows(connection, schema.texts, kept)

    def _common(self, row: Any, numbers: Numbers) -> dict[str, int]:
        return {"task": numbers[row.task], "day": day_of(row.values["at"]), **self._numbers_of(row.labels, row.place)}

    def _reserve(self, connection: Connection, table: Table, count: int) -> Sequence[int]:
        """Reserve row numbers that no other process uses."""
        if self._postgres:
            sequence = text("SELECT nextval(:name) FROM generate_series(1, :count)")
            return list(connection.execute(sequence, {"name": f"{table.name}_numbers", "count": count}).scalars())
        # SQLite allows one writing transaction at a time, which is this one.
        last = connection.execute(_last_number(table)).scalar() or 0
        return range(last + 1, last + 1 + count)

    def _said(self, call: CallRecord) -> str | None:
        """Return the messages and answer of a call as JSON; `None` where it is too large or nested too deeply."""
        from langchain_core.messages import BaseMessage, message_to_dict

        def plain(value: Any) -> Any:
            return message_to_dict(value) if isinstance(value, BaseMessage) else value

        try:
            values = {"messages": [plain(message) for message in call.messages], "answer": plain(call.answer)}
            return as_json(self.privacy.clean(values))
        except Exception:  # noqa: BLE001 - what a model was told may be anything; what the call cost is kept all the same
            return None

    def _write_sums(self, connection: Connection, batch: RecordBatch, numbers: Numbers) -> None:
        changed = [
            (numbers[task_id], touched)
            for task_id, touched in sorted(batch.tasks.items())
            if touched.sums or touched.last_at is not None
        ]
        if self._postgres and len(changed) >= LEAST:
            rows = [{"n": number, "last_at": touched.last_at, **touched.sums} for number, touched in changed]
            connection.execute(_ADD_MANY, as_parameter(rows))
        elif changed:
            added = [
                {
                    "b_n": number,
                    "b_last_at": touched.last_at,
                    **{f"b_{one.name}": touched.sums.get(one.name, 0) for one in TASK_SUMS},
                }
                for number, touched in changed
            ]
            connection.execute(_ADD, added)

    def _write_states(self, connection: Connection, batch: RecordBatch, numbers: Numbers) -> None:
        """Store the latest status of each task; a task that is resumed runs again."""
        tasks = schema.tasks
        for task_id, touched in sorted(batch.tasks.items()):
            record = touched.state
            if record is None:
                continue
            newer = (tasks.c.ended_at.is_(None)) | (tasks.c.ended_at <= moment_of(record))
            values = {"state": record.state, "ended_at": record.ended_at}
            connection.execute(update(tasks).where(tasks.c.n == numbers[task_id], newer).values(values))
        if batch.roots:
            rows = [{"run_id": run_id, "task": numbers[task_id]} for run_id, task_id in sorted(batch.roots.items())]
            self._upsert(connection, schema.roots, rows)

    # Claims ----------------------------------------------------------------------------------------------------------

    def _claimed(self, connection: Connection, claims: Sequence[Claim]) -> list[_Moved]:
        """Return the claims of stored decisions that are their own tasks."""
        tasks, decisions = schema.tasks, schema.decisions
        found = []
        for claim in claims:
            row = connection.execute(
                select(decisions.c.task, decisions.c.day, decisions.c.at, decisions.c.label, tasks.c.id)
                .join_from(decisions, tasks, tasks.c.n == decisions.c.task)
                .where(decisions.c.id == claim.decision_id)
            ).first()
            task_id = self.privacy.task_id(claim.task_id)
            if row is not None and row.id == claim.decision_id and row.id != task_id:
                found.append(_Moved(task_id, row.task, row.day, row.at, row.label))
        return found

    def _move(self, connection: Connection, moved: Sequence[_Moved], numbers: Numbers) -> set[int]:
        """Move decisions that were their own tasks to the tasks they belong to, and return the days that change."""
        tasks = schema.tasks
        names = ["last_at", *(one.name for one in TASK_SUMS)]
        for claim in moved:
            target = numbers[claim.task_id]
            sums = connection.execute(select(*(tasks.c[name] for name in names)).where(tasks.c.n == claim.task)).one()
            added = {f"b_{name}": sums[index] for index, name in enumerate(names)}
            connection.execute(_ADD, [{"b_n": target, **added}])
            for table in (schema.decisions, schema.calls, schema.outcomes, schema.roots):
                connection.execute(update(table).where(table.c.task == claim.task).values(task=target))
            connection.execute(delete(schema.tags).where(schema.tags.c.task == claim.task))
            connection.execute(delete(tasks).where(tasks.c.n == claim.task))
        self.outcomes.summarize_again(connection, sorted({numbers[claim.task_id] for claim in moved}))
        return {claim.day for claim in moved}

    # Days ------------------------------------------------------------------------------------------------------------

    def mark(self, connection: Connection, days: Iterable[int]) -> None:
        """Mark days whose sums have to be recomputed.

        The row is written even if it exists: a process that is summing the day sees by its count that rows came meanwhile.
        """
        # A count of its own each time, so that who sums the day sees that it is not the one that was read.
        rows = [{"day": day, "writes": 1 + secrets.randbelow(1 << 30)} for day in sorted(days)]
        if rows:
            connection.execute(self._mark, rows)


class _Moved:
    """A claim of a decision that is its own task."""

    __slots__ = ("at", "day", "label", "task", "task_id")

    def __init__(self, task_id: str, task: int, day: int, at: float, label: int) -> None:
        self.task_id, self.task, self.day, self.at, self.label = task_id, task, day, at, label


def _stored(connection: Connection, entries: Sequence[QueuedRecord]) -> set[str]:
    """Return which decisions are stored already."""
    told = [entry.record for entry in entries if isinstance(entry.record, Decision)]
    days = [day_of(one.started_at) for one in told]
    found: set[str] = set()
    server = is_server(connection)
    for some in chunks(sorted({one.id for one in told})):
        between = {"b_first": min(days) - 1, "b_last": max(days) + 1} if server else {}
        found.update(connection.execute(_decisions_of(server=server), {VALUES: some, **between}).scalars())
    return found


@lru_cache(2)
def _decisions_of(*, server: bool) -> Select[Any]:
    decisions = schema.decisions.c
    query = select(decisions.id).where(one_of(decisions.id, server=server))
    # What is recorded twice began once; without this every partition would be searched.
    return query.where(decisions.day.between(bindparam("b_first"), bindparam("b_last"))) if server else query


@lru_cache(8)
def _last_number(table: Table) -> Select[Any]:
    return select(func.max(table.c.n))


__all__ = ["BatchWriter"]
