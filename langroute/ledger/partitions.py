"""Partitions of the raw rows by day, in PostgreSQL.

`decisions`, `calls`, `decision_details` and `texts` of a new ledger are partitioned by `day`, so that old days go by dropping tables. Partitions are made
ahead; rows of days without one (imported, older, far ahead) go to the partition `…_rest`, where they are deleted. Ledgers made before are not partitioned, and
stay so. An older langroute writes to both kinds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlalchemy import (
    Column,
    Connection,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    column,
    func,
    select,
    text,
    update,
)
from sqlalchemy import table as lightweight
from sqlalchemy.exc import SQLAlchemyError

from langroute.ledger import schema
from langroute.ledger.many_rows import is_server

PARTITIONED = (schema.decisions, schema.details, schema.calls, schema.texts)

AHEAD = 3
"""Days that have a partition before they come."""

UNTIL = "partitioned_until"
"""Key of the first day that has no partition yet; a ledger that is not partitioned has none."""

WIDTH = "partition_days"
"""Key of how many days the next partitions have."""

LOCK_WAIT = "2s"
"""Longest wait for a table's lock: who comes next waits behind it."""

_TODAY = text("floor(extract(epoch FROM now()) / 86400)::integer")
"""The day of what an older langroute writes without one."""

_BOUNDS = re.compile(r"FROM \('?(\d+)'?\) TO \('?(\d+)'?\)")


def width_of(raw_days: int | None) -> int:
    """Return how many days a partition has: a query of all days locks every partition and each of its indexes, so that there must not be too many.

    Example:
        >>> width_of(30), width_of(365), width_of(None)
        (1, 7, 30)
    """
    if raw_days is None or raw_days > 400:
        return 30
    return 1 if raw_days <= 60 else 7


def create(connection: Connection, today: int) -> None:
    """Create the tables of a new ledger, with partitions from today on."""
    others = [table for table in schema.metadata.sorted_tables if table not in PARTITIONED]
    schema.metadata.create_all(connection, tables=others)
    for table in PARTITIONED:
        _partitioned(table).create(connection)
        connection.execute(text(f"CREATE TABLE {rest_of(table)} PARTITION OF {table.name} DEFAULT"))
    connection.execute(schema.meta.insert(), [{"key": UNTIL, "value": str(today)}])
    make_ahead(connection, today, 1)


def _partitioned(table: Table) -> Table:
    """Return a table as it is partitioned: the day is part of what is unique."""
    columns = [
        Column(
            one.name,
            one.type,
            nullable=one.nullable and one.name != "day",
            server_default=_TODAY if one.name == "day" else one.server_default,
            autoincrement=False,
        )
        for one in table.columns
    ]
    keys = [PrimaryKeyConstraint(*(one.name for one in table.primary_key), "day")]
    unique = [
        UniqueConstraint(*(one.name for one in known.columns), "day")
        for known in table.constraints
        if isinstance(known, UniqueConstraint)
    ]
    made = Table(table.name, MetaData(), *columns, *keys, *unique, postgresql_partition_by="RANGE (day)")
    for index in table.indexes:
        where = index.dialect_options["postgresql"]["where"]
        Index(index.name, *(made.c[one.name] for one in index.columns), postgresql_where=where)
    return made


def rest_of(table: Table) -> str:
    """Return the name of the partition for all days that have none of their own."""
    return f"{table.name}_rest"


def until_of(connection: Connection) -> int | None:
    """Return the first day that has no partition yet; `None` where the ledger is not partitioned."""
    found = _noted(connection, UNTIL)
    return int(found) if found is not None else None


def _noted(connection: Connection, key: str) -> str | None:
    return connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar()


def make_ahead(connection: Connection, today: int, width: int) -> None:
    """Make the partitions of the days to come, inside the connection's transaction. Days that have rows already stay without one."""
    until = until_of(connection)
    if until is None or until > today + AHEAD:
        return
    first = max(until, today)
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'"))
    while first <= today + AHEAD:
        stray = _last_stray(connection, first, first + width)
        if stray is None:
            make(connection, first, first + width)
            first += width
        else:
            first = stray + 1
    meta = schema.meta
    connection.execute(update(meta).where(meta.c.key == UNTIL).values(value=str(first)))


def _last_stray(connection: Connection, first: int, end: int) -> int | None:
    found = []
    for table in PARTITIONED:
        day = lightweight(rest_of(table), column("day")).c.day
        found.append(connection.execute(select(func.max(day)).where(day >= first, day < end)).scalar())
    return max((int(one) for one in found if one is not None), default=None)


def make(connection: Connection, first: int, end: int) -> None:
    """Make the partitions of some days, inside the connection's transaction; before an import, say. Days that have rows already cannot have one."""
    for table in PARTITIONED:
        # Attached, so that it takes no lock that a writer waits for.
        name = f"{table.name}_from_{first}"
        connection.execute(text(f"CREATE TABLE {name} (LIKE {table.name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
        connection.execute(text(f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({end})"))


def try_make_ahead(connection: Connection, today: int) -> bool:
    """Make the partitions of the days to come, if the role may and the tables are free; otherwise rows go to `…_rest`."""
    if not is_server(connection) or (until_of(connection) or today + AHEAD + 1) > today + AHEAD:
        return True
    try:
        with connection.begin_nested():
            make_ahead(connection, today, int(_noted(connection, WIDTH) or 1))
    except SQLAlchemyError:
        return False
    return True


def note_width(connection: Connection, raw_days: int | None) -> None:
    """Note how many days the next partitions have. A worker that keeps everything leaves the width of one that does not."""
    if until_of(connection) is None:
        return
    meta, noted = schema.meta, _noted(connection, WIDTH)
    if noted is None:
        connection.execute(meta.insert(), [{"key": WIDTH, "value": str(width_of(raw_days))}])
    elif raw_days is not None and int(noted) != width_of(raw_days):
        connection.execute(update(meta).where(meta.c.key == WIDTH).values(value=str(width_of(raw_days))))


def past(connection: Connection, before: int) -> Iterator[str]:
    """Yield the names of the partitions of which every day is before a day."""
    query = text(
        "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits i "
        "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(:parent) ORDER BY c.relname"
    )
    for table in PARTITIONED:
        for row in connection.execute(query, {"parent": table.name}).all():
            found = _BOUNDS.search(row.bounds)
            if found is not None and int(found[2]) <= before:
                yield row.relname


BUSY, NOT_OURS = ("55P03", "40P01"), "42501"
"""SQLSTATEs of a table that somebody reads, and of one that belongs to another role."""


def drop(connection: Connection, name: str) -> None:
    """Drop a partition inside the connection's transaction.

    Raises:
        DBAPIError: Somebody has been reading the table for too long, or the role may not.
    """
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'"))
    connection.execute(text(f"DROP TABLE {name}"))


__all__ = [
    "BUSY",
    "NOT_OURS",
    "PARTITIONED",
    "create",
    "drop",
    "make",
    "make_ahead",
    "past",
    "rest_of",
    "try_make_ahead",
    "until_of",
    "width_of",
]
