"""Outcomes as database rows, linked to the tasks and decisions they are about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, bindparam, exists, or_, select, update

from langroute.core.amounts import YEAR_3000
from langroute.core.records import Outcome
from langroute.core.storable import finite
from langroute.ledger import columns, schema
from langroute.ledger.facts import Labels, summarize_outcomes
from langroute.ledger.many_rows import VALUES, among, is_server, one_of
from langroute.ledger.privacy import Privacy

if TYPE_CHECKING:
    from langroute.ledger.batch import RecordBatch

DAY = 86_400.0
"""Seconds."""

NO_LABELS = Labels()


def day_of(seconds: float) -> int:
    """Return a time as whole days since 1970-01-01 in UTC.

    Example:
        >>> day_of(86_400.5)
        1
    """
    return int(seconds // DAY)


def chunks(items: list[Any], size: int = 500) -> Iterable[list[Any]]:
    """Split a list into parts small enough for one SQL statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def find_tasks(connection: Connection, ids: Iterable[str]) -> list[Any]:
    """Return the rows of the given tasks that exist."""
    query = _tasks_of(server=is_server(connection))
    found: list[Any] = []
    for some in chunks(list(ids)):
        found.extend(connection.execute(query, {VALUES: some}))
    return found


@lru_cache(2)
def _tasks_of(*, server: bool) -> Select[Any]:
    tasks = schema.tasks.c
    return select(tasks.n, tasks.id, tasks.label, tasks.user, tasks.day).where(one_of(tasks.id, server=server))


_WAITS = select(exists().where(schema.outcomes.c.task.is_(None)))
"""Whether any outcome waits for what it is about."""


def lock_tasks(connection: Connection, numbers: Iterable[int]) -> None:
    """Lock the rows of tasks, in the order that every transaction takes; what other processes write of them meanwhile is read then."""
    if connection.dialect.name == "sqlite":
        # One transaction writes at a time.
        return
    for some in chunks(sorted(set(numbers))):
        table = schema.tasks
        connection.execute(select(table.c.n).where(among(connection, table.c.n, some)).order_by(table.c.n).with_for_update()).all()


def outcome_of(row: Any, task_id: str | None = None) -> Outcome:
    """Return a row of `outcomes` as an `Outcome`; impossible numbers in rows written by older versions are left out."""
    values = {column.name: getattr(row, column.name) for column in columns.OUTCOMES}
    for name in ("score", "value_usd", "human_minutes", "baseline_minutes"):
        values[name] = finite(values[name])
    for name in ("human_minutes", "baseline_minutes"):
        if values[name] is not None and values[name] < 0:
            values[name] = None
    at = finite(row.at)
    values["at"] = at if at is not None and 0 <= at < YEAR_3000 else 0.0
    values["success"] = None if row.success is None else bool(row.success)
    return Outcome(task_id=task_id, **values)


@dataclass(slots=True)
class Subjects:
    """The tasks that the outcomes of a batch are about."""

    tasks: set[int] = field(default_factory=set)
    """Row numbers of those that exist."""

    new: dict[str, float] = field(default_factory=dict)
    """Ids of those of which nothing else is known, each with the time of its first outcome."""


class KnownSubjects:
    """What is stored of the tasks, decisions and runs that some outcomes name, read at once.

    Args:
        connection: For reading.
        outcomes: The outcomes.
        privacy: Knows under which ids tasks are stored.
    """

    def __init__(self, connection: Connection, outcomes: Sequence[Any], privacy: Privacy) -> None:
        self._privacy = privacy
        d, c, r = schema.decisions.c, schema.calls.c, schema.roots.c
        self._decisions: dict[str, tuple[int, int]] = {}
        self._calls: dict[str, tuple[int, int | None]] = {}
        self._roots: dict[str, int] = {}
        for some in chunks(sorted({one.decision_id for one in outcomes if one.decision_id is not None})):
            for row in connection.execute(select(d.id, d.n, d.task).where(among(connection, d.id, some))):
                self._decisions[row.id] = (row.n, row.task)
        for some in chunks(sorted({one.run_id for one in outcomes if one.run_id is not None})):
            for call in connection.execute(
                select(c.run_id, c.task, c.decision).where(among(connection, c.run_id, some)).order_by(c.n)
            ):
                self._calls.setdefault(call.run_id, (call.task, call.decision))
            for root in connection.execute(select(r.run_id, r.task).where(among(connection, r.run_id, some))):
                self._roots[root.run_id] = root.task
        ids = {known for one in outcomes if one.task_id is not None for known in privacy.task_ids(one.task_id)}
        self._tasks: dict[str, int] = {row.id: row.n for row in find_tasks(connection, sorted(ids))}

    def of(self, outcome: Outcome) -> tuple[int | None, int | None]:
        """Return the row numbers of the task and the decision that an outcome is about."""
        task: int | None = None
        decision: int | None = None
        if outcome.decision_id in self._decisions:
            decision, task = self._decisions[outcome.decision_id]
        if task is None and outcome.run_id is not None:
            task, of_call = self._calls.get(outcome.run_id, (self._roots.get(outcome.run_id), None))
            decision = decision or of_call
        if outcome.task_id is not None:
            ids = self._privacy.task_ids(outcome.task_id)
            task = next((self._tasks[one] for one in ids if one in self._tasks), task)
        return task, decision


class OutcomeWriter:
    """Write outcomes. Not thread-safe: used by one thread at a time.

    Args:
        privacy: What may be stored.
    """

    def __init__(self, privacy: Privacy) -> None:
        self.privacy = privacy
        self.noting = False
        """Whether `heard` is wanted."""

        self.heard: list[int] = []
        """Rows of the latest batch that this process's listeners know all about."""

    def knows_not_all(self, connection: Connection, batch: RecordBatch) -> bool:
        """Return whether a batch has outcomes of decisions or runs that are not stored."""
        known = KnownSubjects(connection, batch.outcomes, self.privacy)
        return any(
            (outcome.decision_id is not None or outcome.run_id is not None) and known.of(outcome)[0] is None
            for outcome in batch.outcomes
        )

    def subjects(self, connection: Connection, batch: RecordBatch) -> Subjects:
        """Return the tasks of a batch's outcomes, as far as they are no part of the batch."""
        found = Subjects()
        decided = {row.values["id"] for row in batch.decisions}
        known = KnownSubjects(connection, batch.outcomes, self.privacy)
        for outcome in batch.outcomes:
            task, _ = known.of(outcome)
            if task is not None:
                found.tasks.add(task)
            elif outcome.task_id is not None and outcome.decision_id not in decided:
                ids = self.privacy.task_ids(outcome.task_id)
                if not any(one in batch.tasks for one in ids):
                    found.new[ids[0]] = min(outcome.at, found.new.get(ids[0], outcome.at))
        return found

    def write(self, connection: Connection, batch: RecordBatch) -> set[int]:
        """Write a batch's outcomes, adopt those that waited for its decisions, and return the days whose sums change."""
        rows: list[dict[str, Any]] = []
        self.heard = []
        known = KnownSubjects(connection, batch.outcomes, self.privacy)
        for outcome in batch.outcomes:
            task, decision = known.of(outcome)
            rows.append({"task": task, "decision": decision, **columns.row_of(columns.OUTCOMES, outcome)})
        if rows:
            self._insert(connection, rows)
        tasks = {row["task"] for row in rows if row["task"] is not None}
        tasks |= self._adopt(connection, self._waiting(connection, batch))
        self.summarize_again(connection, sorted(tasks))
        return self.days_of(connection, sorted(tasks))

    def _insert(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        if not self.noting:
            connection.execute(schema.outcomes.insert(), rows)
            return
        o = schema.outcomes.c
        added = connection.execute(schema.outcomes.insert().returning(o.n, o.decision_id, o.run_id), rows)
        self.heard = [row.n for row in added if self._is_heard(row)]

    def _is_heard(self, row: Any) -> bool:
        # The ledger alone knows whose run it was, and at level `minimal` what a task is called.
        return row.decision_id is not None or (row.run_id is None and self.privacy.level != "minimal")

    # Outcomes that came before what they are about -------------------------------------------------------------------

    def _waiting(self, connection: Connection, batch: RecordBatch) -> Sequence[Any]:
        """Return the stored outcomes without a task that are about a batch's decisions, calls and root runs."""
        o = schema.outcomes.c
        if not (batch.decisions or batch.calls or batch.roots):
            return ()
        if not connection.execute(_WAITS).scalar():
            return ()
        runs = {row.values["run_id"] for row in batch.calls} | set(batch.roots)
        runs |= {call.values["run_id"] for row in batch.decisions for call in row.calls}
        found: list[Any] = []
        for column, ids in ((o.decision_id, {row.values["id"] for row in batch.decisions}), (o.run_id, runs - {None})):
            for some in chunks(sorted(ids)):
                found += connection.execute(select(schema.outcomes).where(o.task.is_(None), among(connection, column, some))).all()
        return found

    def _adopt(self, connection: Connection, orphans: Sequence[Any]) -> set[int]:
        """Link outcomes to what they are about, and return the tasks."""
        adopted: set[int] = set()
        told = [Outcome(decision_id=row.decision_id, run_id=row.run_id) for row in orphans]
        known = KnownSubjects(connection, told, self.privacy)
        for row, outcome in zip(orphans, told, strict=True):
            task, decision = known.of(outcome)
            if task is not None:
                outcomes = schema.outcomes
                connection.execute(update(outcomes).where(outcomes.c.n == row.n).values(task=task, decision=decision))
                adopted.add(task)
        return adopted

    def adopt(self, connection: Connection) -> set[int]:
        """Link outcomes to tasks that were recorded after them, and return the days that change."""
        o = schema.outcomes.c
        # Only outcomes with a matching task: feedback on untracked runs may accumulate here without ever finding one.
        found = or_(
            exists().where(schema.decisions.c.id == o.decision_id),
            exists().where(schema.calls.c.run_id == o.run_id),
            exists().where(schema.roots.c.run_id == o.run_id),
        )
        adopted = sorted(self._adopt(connection, connection.execute(select(schema.outcomes).where(o.task.is_(None), found)).all()))
        self.summarize_again(connection, adopted)
        return self.days_of(connection, adopted)

    def summarize_again(self, connection: Connection, tasks: Sequence[int]) -> None:
        """Recompute the summaries of the outcomes of some tasks."""
        table, told = schema.tasks, schema.outcomes
        for some in chunks(list(tasks)):
            # Locked first, so that outcomes written by another process meanwhile are read too.
            lock_tasks(connection, some)
            by_task: dict[int, list[Outcome]] = {number: [] for number in some}
            for row in connection.execute(select(told).where(among(connection, told.c.task, some)).order_by(told.c.n)):
                by_task[row.task].append(outcome_of(row))
            results = [
                {
                    "b_n": number,
                    **{f"b_{name}": value for name, value in columns.row_of(columns.RESULTS, summarize_outcomes(outcomes)).items()},
                }
                for number, outcomes in by_task.items()
            ]
            names: dict[str, Any] = {one.name: bindparam(f"b_{one.name}") for one in columns.RESULTS}
            connection.execute(update(table).where(table.c.n == bindparam("b_n")).values(names), results)

    def days_of(self, connection: Connection, tasks: Sequence[int]) -> set[int]:
        """Return the days on which the given tasks began."""
        table = schema.tasks
        days: set[int] = set()
        for some in chunks(sorted(set(tasks))):
            days.update(connection.execute(select(table.c.day).where(among(connection, table.c.n, some)).distinct()).scalars())
        return days
