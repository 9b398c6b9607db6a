"""Where do a report's numbers come from? Daily sums where whole days are asked for, raw rows otherwise.

Both have the same columns: raw rows are summed into temporary tables of this connection, with the ledger's own definitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, MetaData, Table, func, literal, select

from langroute.errors import InputError
from langroute.ledger import rollup, schema
from langroute.reports.window import Window, day_name


@dataclass(frozen=True, slots=True)
class Source:
    """A connection and the tables of sums to read with it."""

    connection: Connection
    window: Window
    calls: Table
    decisions: Table
    tasks: Table
    parts: Table
    outcomes: Table
    raw: bool

    def within(self, table: Table) -> ColumnElement[bool]:
        """The rows of the window."""
        return table.c.day.between(self.window.first_day, self.window.last_day)


def number(value: Any) -> Any:
    """A sum as a plain number: PostgreSQL adds whole numbers up to decimals, and nothing to `None`.

    Example:
        >>> from decimal import Decimal
        >>> number(Decimal(3)), number(None), number(0.5)
        (3, 0, 0.5)
    """
    if value is None:
        return 0
    return int(value) if isinstance(value, Decimal) else value


@contextmanager
def open_source(ledger: Any, window: Window, *, raw: bool = False, dimension: str | None = None) -> Iterator[Source]:
    """Open a ledger for a report.

    Args:
        ledger: A `SqlLedger`.
        window: Which time; one that does not begin and end at midnight is read from raw rows.
        raw: Read raw rows in any case.
        dimension: What tasks are told apart by in `parts` (`route`, `model`, …), where that is asked for: from raw rows it takes
            as long as all the rest.

    Raises:
        InputError: Raw rows are asked for of days whose rows were let go.
    """
    if window.whole_days and not raw:
        ledger.rollup()
        with ledger.reading() as connection:
            yield Source(
                connection,
                window,
                schema.daily_calls,
                schema.daily_decisions,
                schema.daily_tasks,
                schema.daily_parts,
                schema.daily_outcomes,
                raw=False,
            )
        return
    with ledger.reading() as connection:
        _refuse_gaps(connection, window)
        yield _summed(connection, window, dimension)
        # Temporary tables go with the transaction they were made in.
        connection.rollback()


def _refuse_gaps(connection: Connection, window: Window) -> None:
    """Rows that were let go would be missing from every sum, and nothing in it would show."""
    kept = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == "raw_since")).scalar()
    if kept is None or int(kept) <= window.first_day:
        return
    day = schema.daily_calls.c.day
    gone = select(func.count()).where(day >= window.first_day, day < min(int(kept), window.last_day + 1))
    if connection.execute(gone).scalar_one():
        raise InputError(
            f"Calls before {day_name(int(kept))} were let go (raw_days); their daily sums were kept. Ask for whole days, not for raw rows."
        )


def _temporary(connection: Connection, table: Table) -> Table:
    columns = [Column(column.name, column.type, server_default=column.server_default) for column in table.columns]
    made = Table(f"langroute_{table.name}", MetaData(), *columns, prefixes=["TEMPORARY"])
    made.create(connection)
    return made


def _fill(connection: Connection, table: Table, sums: dict[str, ColumnElement[Any]], query: Any) -> None:
    connection.execute(table.insert().from_select(list(sums), query))


def _summed(connection: Connection, window: Window, dimension: str | None) -> Source:
    c, d, t, o = schema.calls.c, schema.decisions.c, schema.tasks.c, schema.outcomes.c
    start, end = window.start or 0.0, window.end
    calls, decisions, tasks, parts, outcomes = (_temporary(connection, table) for table in schema.ROLLUPS)
    label = rollup.label_of(c.label)
    sums = rollup.calls_by(c.day, label.label("label"), c.place, c.what)
    query = select(*sums.values()).join_from(schema.calls, schema.tasks, t.n == c.task, isouter=True)
    _fill(connection, calls, sums, query.where(c.at >= start, c.at < end).group_by(c.day, label, c.place, c.what))
    label = rollup.label_of(d.label)
    sums = rollup.decisions_by(d.day, label.label("label"), d.place)
    query = select(*sums.values()).join_from(schema.decisions, schema.tasks, t.n == d.task, isouter=True)
    _fill(connection, decisions, sums, query.where(d.at >= start, d.at < end).group_by(d.day, label, d.place))
    began = (t.started_at >= start, t.started_at < end)
    user = func.coalesce(t.user, rollup.EMPTY)
    sums = rollup.tasks_by(t.day, t.label, user.label("user"))
    _fill(connection, tasks, sums, select(*sums.values()).where(*began).group_by(t.day, t.label, user))
    sums = rollup.outcomes_by(t.day, t.label, o.key, o.source)
    query = select(*sums.values()).join_from(schema.outcomes, schema.tasks, o.task == t.n).where(*began)
    _fill(connection, outcomes, sums, query.group_by(t.day, t.label, o.key, o.source))
    if dimension in rollup.DIMENSIONS:
        _fill_part(connection, parts, dimension, began)
    return Source(connection, window, calls, decisions, tasks, parts, outcomes, raw=True)


def _fill_part(connection: Connection, parts: Table, dimension: str, began: tuple[ColumnElement[bool], ...]) -> None:
    """Tasks by what they used of one dimension; see `daily_parts`."""
    t, c, p = schema.tasks.c, schema.calls.c, schema.places.c
    value = func.coalesce(p[dimension], rollup.EMPTY)
    spent = func.sum(func.coalesce(c.cost_usd, 0) + func.coalesce(c.verify_usd, 0))
    used = (
        select(t.n, t.day, t.label, t.success, value.label("value"), spent.label("spent"))
        .join_from(schema.tasks, schema.calls, c.task == t.n)
        .join(schema.places, p.id == c.place)
        .where(*began, c.what.in_(("model", "judge")))
        .group_by(t.n, t.day, t.label, t.success, value)
        .subquery()
    )
    u = used.c
    told = func.coalesce(func.sum(u.spent).filter(u.success.is_not(None)), 0)
    sums: dict[str, ColumnElement[Any]] = {
        "day": u.day,
        "label": u.label,
        "dimension": literal(dimension),
        "value": u.value,
        "tasks": func.count(),
        "succeeded": func.count().filter(u.success == 1),
        "failed": func.count().filter(u.success == 0),
        "cost_usd": func.coalesce(func.sum(u.spent), 0),
        "known_usd": told,
    }
    _fill(connection, parts, sums, select(*sums.values()).group_by(u.day, u.label, u.value))
