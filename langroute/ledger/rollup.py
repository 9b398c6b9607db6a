"""Daily aggregation of raw rows (rollup), and their deletion after the retention time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    case,
    column,
    delete,
    func,
    literal,
    literal_column,
    select,
    update,
)
from sqlalchemy import table as lightweight

from langroute.ledger import daily_sums, schema
from langroute.ledger.daily_sums import DailySum
from langroute.ledger.facts import PAID
from langroute.ledger.many_rows import among

EMPTY: ColumnElement[Any] = literal_column("''")
"""A literal, because PostgreSQL treats two parameters with equal values as different expressions and rejects the `GROUP BY`."""

DIMENSIONS = ("route", "model", "node", "step_kind", "tier")


def label_of(own: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the label column of a call or a decision, for a query joined to its task.

    A call made before its task had a label, or in a thread without the task context, has no label of its own and takes its task's.
    """
    n = schema.labels.c
    nameless = select(n.id).where(n.team.is_(None), n.project.is_(None), n.environment.is_(None), n.task_kind.is_(None))
    return case((own == nameless.scalar_subquery(), func.coalesce(schema.tasks.c.label, own)), else_=own)


Sums = dict[str, ColumnElement[Any]]


def sums_of(declared: Sequence[DailySum], columns: Any, *keys: ColumnElement[Any]) -> Sums:
    """Return keys and sums by column name, for any grouping of raw rows.

    Args:
        declared: The sums.
        columns: Columns of the raw table.
        keys: Columns that the rows are grouped by.
    """
    return {**{getattr(key, "name", str(key)): key for key in keys}, **{one.name: one.of(columns) for one in declared}}


def calls_by(*keys: ColumnElement[Any]) -> Sums:
    """Return the sums of `daily_calls`, by column name, for any grouping of `calls`."""
    return sums_of(daily_sums.CALL_SUMS, schema.calls.c, *keys)


def decisions_by(*keys: ColumnElement[Any]) -> Sums:
    """Return the sums of `daily_decisions`, by column name, for any grouping of `decisions`."""
    return sums_of(daily_sums.DECISION_SUMS, schema.decisions.c, *keys)


def tasks_by(*keys: ColumnElement[Any]) -> Sums:
    """Return the sums of `daily_tasks`, by column name, for any grouping of `tasks`."""
    return sums_of(daily_sums.TASK_SUMS_BY_DAY, schema.tasks.c, *keys)


def outcomes_by(*keys: ColumnElement[Any]) -> Sums:
    """Return the sums of `daily_outcomes`, by column name, for any grouping of `outcomes` joined to `tasks`."""
    return sums_of(daily_sums.OUTCOME_SUMS, schema.outcomes.c, *keys)


def fill(connection: Connection, table: Table, sums: Sums, source: Any) -> None:
    """Insert sums into a table."""
    connection.execute(table.insert().from_select(list(sums), source))


def sum_day(connection: Connection, day: int) -> bool:
    """Recompute the sums of one day inside the connection's transaction, which nobody else does meanwhile.

    Who writes rows of the day goes on writing: the day stays marked where it was marked again since. Of a day whose calls and decisions are gone, only
    tasks and outcomes are summed; of one whose tasks are gone, nothing.

    Returns:
        Whether the day had changed.
    """
    marked = schema.dirty_days.c
    writes = connection.execute(select(marked.writes).where(marked.day == day)).scalar()
    if writes is None:
        return False
    if day >= kept_since(connection, "tasks_since"):
        _sum_again(connection, day, raw=day >= kept_since(connection, "raw_since"))
    connection.execute(delete(schema.dirty_days).where(marked.day == day, marked.writes == writes))
    return True


def _sum_again(connection: Connection, day: int, *, raw: bool) -> None:
    t, o = schema.tasks.c, schema.outcomes.c
    stale = schema.ROLLUPS if raw else (schema.daily_tasks, schema.daily_outcomes)
    for table in stale:
        connection.execute(delete(table).where(table.c.day == day))
    if raw:
        c, d = schema.calls.c, schema.decisions.c
        of_call, of_decision = label_of(c.label), label_of(d.label)
        sums = calls_by(c.day, of_call.label("label"), c.place, c.what)
        query = select(*sums.values()).join_from(schema.calls, schema.tasks, t.n == c.task, isouter=True)
        fill(connection, schema.daily_calls, sums, query.where(c.day == day).group_by(c.day, of_call, c.place, c.what))
        sums = decisions_by(d.day, of_decision.label("label"), d.place)
        query = select(*sums.values()).join_from(schema.decisions, schema.tasks, t.n == d.task, isouter=True)
        fill(connection, schema.daily_decisions, sums, query.where(d.day == day).group_by(d.day, of_decision, d.place))
        for dimension in DIMENSIONS:
            fill(connection, schema.daily_parts, *parts_by(dimension, t.day == day))
    user = func.coalesce(t.user, EMPTY).label("user")
    sums = tasks_by(t.day, t.label, user)
    fill(
        connection,
        schema.daily_tasks,
        sums,
        select(*sums.values()).where(t.day == day).group_by(t.day, t.label, func.coalesce(t.user, EMPTY)),
    )
    sums = outcomes_by(t.day, t.label, o.key, o.source)
    query = select(*sums.values()).join_from(schema.outcomes, schema.tasks, o.task == t.n).where(t.day == day)
    fill(connection, schema.daily_outcomes, sums, query.group_by(t.day, t.label, o.key, o.source))


def parts_by(dimension: str, *began: ColumnElement[bool]) -> tuple[Sums, Any]:
    """Return the sums of `daily_parts` for one dimension, and the query that computes them.

    Args:
        dimension: `route`, `model`, `node`, `step_kind` or `tier`.
        began: Conditions on the tasks.
    """
    t, c, p = schema.tasks.c, schema.calls.c, schema.places.c
    value_or_none = func.coalesce(p[dimension], EMPTY)
    spent = daily_sums.total(func.coalesce(c.cost_usd, 0) + func.coalesce(c.verify_usd, 0))
    used = (
        select(t.n, t.day, t.label, t.success, value_or_none.label("value"), spent.label("spent"))
        .join_from(schema.tasks, schema.calls, c.task == t.n)
        .join(schema.places, p.id == c.place)
        .where(*began, c.what.in_(PAID))
        .group_by(t.n, t.day, t.label, t.success, value_or_none)
        .subquery()
    )
    u = used.c
    sums = sums_of(daily_sums.PART_SUMS, u, u.day, u.label, literal(dimension).label("dimension"), u.value)
    return sums, select(*sums.values()).group_by(u.day, u.label, u.value)


def dirty(connection: Connection) -> list[int]:
    """Return the days whose sums are older than their rows, oldest first."""
    return list(connection.execute(select(schema.dirty_days.c.day).order_by(schema.dirty_days.c.day)).scalars())


MOST_AT_ONCE = 5000
"""Most rows of a table that one transaction deletes."""


def purge_raw(connection: Connection, before: int, *, partitioned: bool = False) -> bool:
    """Delete some decisions and calls older than a day, with their text, and return whether there are more. Their sums stay.

    Args:
        connection: In a transaction that writes.
        before: The day.
        partitioned: Whether only those are meant that are in no partition of their own days.
    """
    more = False
    for table, beside, key in ((schema.decisions, schema.details, "decision"), (schema.calls, schema.texts, "call")):
        of, texts = (_rest(one) if partitioned else one for one in (table, beside))
        old = list(connection.execute(select(of.c.n).where(of.c.day < before).limit(MOST_AT_ONCE)).scalars())
        if old:
            connection.execute(delete(texts).where(among(connection, texts.c[key], old)))
            connection.execute(delete(of).where(among(connection, of.c.n, old)))
        more = more or len(old) == MOST_AT_ONCE
    return more


def _rest(of: Table) -> Any:
    return lightweight(f"{of.name}_rest", *(column(one.name, one.type) for one in of.columns))


def purge_tasks(connection: Connection, before: int) -> bool:
    """Delete some tasks older than a day, with their outcomes, and return whether there are more. Their sums stay."""
    t = schema.tasks.c
    old = list(connection.execute(select(t.n).where(t.day < before).limit(MOST_AT_ONCE)).scalars())
    if old:
        for table in (schema.outcomes, schema.tags, schema.roots):
            connection.execute(delete(table).where(among(connection, table.c.task, old)))
        connection.execute(delete(schema.tasks).where(among(connection, t.n, old)))
    # Days whose tasks were deleted must not be summed again: their sums would become empty.
    connection.execute(delete(schema.dirty_days).where(schema.dirty_days.c.day < before))
    return len(old) == MOST_AT_ONCE


def kept_since(connection: Connection, key: str) -> int:
    """Return the first day whose rows still exist.

    Args:
        connection: For reading.
        key: `raw_since` (calls and decisions) or `tasks_since`.
    """
    found = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar()
    return int(found) if found is not None else 0


def keep_since(connection: Connection, key: str, day: int) -> int:
    """Note the first day whose rows are kept, and return it: it may be later than the one that is given."""
    day = max(day, kept_since(connection, key))
    changed = connection.execute(update(schema.meta).where(schema.meta.c.key == key).values(value=str(day)))
    if not changed.rowcount:
        connection.execute(schema.meta.insert(), [{"key": key, "value": str(day)}])
    return day
