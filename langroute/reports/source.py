"""Data source of a report: daily sums for whole days, raw rows otherwise.

Both have the same columns: raw rows are summed into temporary tables of this connection, with the ledger's own definitions; where there are none, in
the queries themselves.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, MetaData, Table, false, func, select, text

from langroute.core.errors import DegradedWarning, InputError
from langroute.ledger import rollup, schema
from langroute.ledger.outcome_rows import DAY
from langroute.ledger.trouble import may_only_read
from langroute.reports.window import Window, day_name


@dataclass(frozen=True, slots=True)
class Source:
    """A connection and the tables of sums to read with it."""

    connection: Connection
    window: Window
    calls: Any
    """This and those after it: `daily_calls` and so on, or the same sums of raw rows."""

    decisions: Any
    tasks: Any
    parts: Any
    outcomes: Any
    raw: bool

    def within(self, table: Any) -> ColumnElement[bool]:
        """Return the condition that a row is in the time window."""
        inside: ColumnElement[bool] = table.c.day.between(self.window.first_day, self.window.last_day)
        return inside


def short(value: float) -> float:
    """Return a number with seven significant digits: all that a page shows, and half of what it would weigh.

    Example:
        >>> short(0.00001234567891), short(318.6123456)
        (1.234568e-05, 318.6123)
    """
    return float(f"{value:.7g}")


def number(value: Any) -> Any:
    """Return a sum as a plain number: PostgreSQL returns sums of integers as decimals, and an empty sum as `None`.

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
        window: The time window; one that does not begin and end at midnight is read from raw rows.
        raw: Read raw rows in any case.
        dimension: Dimension of `parts` (`route`, `model`, …), where it is needed: from raw rows it takes as long as all the
            rest.

    Raises:
        InputError: Raw rows are needed for days whose rows were deleted.
    """
    if window.whole_days and not raw and (ledger.try_rollup() or _must_do(ledger, window)):
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
        if _has_gaps(connection, window):
            raise InputError(_GAPS.format(day_name(int(_raw_since(connection) or 0))))
        yield _summed(connection, window, dimension)
        # Temporary tables end with their transaction.
        connection.rollback()


_GAPS = "Calls before {} were let go (raw_days); their daily sums were kept. Ask for whole days, not for raw rows."


def _raw_since(connection: Connection) -> str | None:
    return connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == "raw_since")).scalar()


def _has_gaps(connection: Connection, window: Window) -> bool:
    """Return whether rows of the time window were deleted: they would be missing from every sum without a trace."""
    kept = _raw_since(connection)
    if kept is None or int(kept) <= window.first_day:
        return False
    day = schema.daily_calls.c.day
    gone = select(func.count()).where(day >= window.first_day, day < min(int(kept), window.last_day + 1))
    return bool(connection.execute(gone).scalar_one())


def _must_do(ledger: Any, window: Window) -> bool:
    """Return whether the stored sums have to do, though they may be old: raw rows are gone."""
    with ledger.reading() as connection:
        if not _has_gaps(connection, window):
            return False
    warnings.warn(
        "The ledger may only be read here: the report shows its daily sums as they were made last. Whoever writes the ledger makes them anew "
        "once an hour; `langroute report` with the right to write does so at once.",
        DegradedWarning,
        stacklevel=4,
    )
    return True


def _temporary(connection: Connection, table: Table) -> Table:
    columns = [Column(column.name, column.type, server_default=column.server_default) for column in table.columns]
    made = Table(f"langroute_{table.name}", MetaData(), *columns, prefixes=["TEMPORARY"])
    made.create(connection)
    return made


class _Sums:
    """Sums of raw rows under the names of the daily tables.

    Args:
        connection: Temporary tables are its own.
        stored: Whether sums are stored there, and so made once; otherwise each query that reads them makes them.
    """

    def __init__(self, connection: Connection, stored: bool) -> None:
        self._connection, self._stored = connection, stored

    def of(self, table: Table, sums: rollup.Sums | None = None, query: Any = None) -> Any:
        """Return what a report reads instead of a daily table; without sums it is empty."""
        if not self._stored:
            if sums is None:
                return select(table).where(false()).subquery()
            made = query.subquery()
            return select(*(one.label(name) for name, one in zip(sums, made.c, strict=True))).subquery()
        stored = _temporary(self._connection, table)
        if sums is not None:
            rollup.fill(self._connection, stored, sums, query)
        return stored


def _may_store(connection: Connection) -> bool:
    """Return whether there are temporary tables: not on a standby, and not for every role."""
    if connection.dialect.name != "postgresql":
        return True
    if may_only_read(connection):
        return False
    return bool(connection.execute(text("SELECT has_database_privilege(current_database(), 'TEMPORARY')")).scalar())


def _summed(connection: Connection, window: Window, dimension: str | None) -> Source:
    c, d, t, o = schema.calls.c, schema.decisions.c, schema.tasks.c, schema.outcomes.c
    start, end = window.start or 0.0, window.end
    made = _Sums(connection, _may_store(connection))
    # The days, too: they say which partitions have rows of the time window.
    days = (int(start // DAY), int(end // DAY))
    label = rollup.label_of(c.label)
    sums = rollup.calls_by(c.day, label.label("label"), c.place, c.what)
    query = select(*sums.values()).join_from(schema.calls, schema.tasks, t.n == c.task, isouter=True)
    query = query.where(c.at >= start, c.at < end, c.day.between(*days)).group_by(c.day, label, c.place, c.what)
    calls = made.of(schema.daily_calls, sums, query)
    label = rollup.label_of(d.label)
    sums = rollup.decisions_by(d.day, label.label("label"), d.place)
    query = select(*sums.values()).join_from(schema.decisions, schema.tasks, t.n == d.task, isouter=True)
    query = query.where(d.at >= start, d.at < end, d.day.between(*days)).group_by(d.day, label, d.place)
    decisions = made.of(schema.daily_decisions, sums, query)
    began = (t.started_at >= start, t.started_at < end, t.day.between(*days))
    user = func.coalesce(t.user, rollup.EMPTY)
    sums = rollup.tasks_by(t.day, t.label, user.label("user"))
    tasks = made.of(schema.daily_tasks, sums, select(*sums.values()).where(*began).group_by(t.day, t.label, user))
    sums = rollup.outcomes_by(t.day, t.label, o.key, o.source)
    query = select(*sums.values()).join_from(schema.outcomes, schema.tasks, o.task == t.n).where(*began)
    outcomes = made.of(schema.daily_outcomes, sums, query.group_by(t.day, t.label, o.key, o.source))
    of_parts = rollup.parts_by(dimension, *began) if dimension in rollup.DIMENSIONS else ()
    parts = made.of(schema.daily_parts, *of_parts)
    return Source(connection, window, calls, decisions, tasks, parts, outcomes, raw=True)
