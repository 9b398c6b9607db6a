"""Schema migrations of SQL ledgers.

Each migration upgrades the tables from one version to the next. They run in one transaction when a ledger is opened, and only one
process at a time runs them.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, MetaData, delete, inspect, select, text, union, update
from sqlalchemy.schema import CreateColumn

from langroute.core.errors import LedgerError
from langroute.ledger import partitions
from langroute.ledger.many_rows import is_server
from langroute.ledger.outcome_rows import day_of
from langroute.ledger.schema import ROLLUPS, beside, calls, decisions, dirty_days, meta, metadata, outcomes, tasks
from langroute.ledger.trouble import may_only_read

Migration = Callable[[Connection], None]


def _refuse_foreign(connection: Connection) -> None:
    """Raise if the tables belong to another program, so that nothing is written to them."""
    taken = sorted(metadata.tables.keys() & set(inspect(connection).get_table_names()))
    if taken:
        raise LedgerError(
            f"The database belongs to another program: it has tables named {', '.join(taken)} and no ledger. "
            "Give the ledger a file, database or schema of its own."
        )


def _first(connection: Connection) -> None:
    if is_server(connection):
        partitions.create(connection, day_of(time.time()))
    else:
        metadata.create_all(connection)
    connection.execute(meta.insert(), [{"key": "hash_key", "value": secrets.token_hex(32)}])


def _avoided(_: Connection) -> None:
    """Do nothing: the columns for the cost that cache hits avoided are added as any other (`add_columns`)."""


def _waiting(connection: Connection) -> None:
    """Add the indexes of the outcomes that wait for what they are about."""
    for index in outcomes.indexes:
        index.create(connection, checkfirst=True)


def _state(connection: Connection) -> None:
    """Add the table of what workers share."""
    beside.create_all(connection)


MIGRATIONS: tuple[Migration, ...] = (_first, _avoided, _waiting, _state)
"""The first migration creates version 1, and so on. Never change a released migration: add another."""

_COLUMNS = "columns"
"""Key of the digest of the declared columns, so that a ledger that has them all is not searched."""


def add_columns(connection: Connection, tables: MetaData = metadata) -> None:
    """Add the declared columns that the tables do not have yet. Columns of a newer version stay: they have defaults."""
    declared = sorted(f"{table.name}.{column.name}" for table in tables.sorted_tables for column in table.columns)
    digest = hashlib.blake2b("\n".join(declared).encode(), digest_size=8).hexdigest()
    if connection.execute(select(meta.c.value).where(meta.c.key == _COLUMNS)).scalar() == digest:
        return
    there = inspect(connection)
    missing = [
        column
        for table in tables.sorted_tables
        for names in [{found["name"] for found in there.get_columns(table.name)}]
        for column in table.columns
        if column.name not in names
    ]
    if not missing and may_only_read(connection):
        # An older langroute noted its own columns.
        return
    for column in missing:
        added = CreateColumn(column).compile(dialect=connection.dialect)
        connection.execute(text(f"ALTER TABLE {column.table.name} ADD COLUMN {added}"))
    if any(column.table in ROLLUPS for column in missing):
        # The new sums are computed from the rows that are still there.
        days = union(*(select(table.c.day) for table in (calls, decisions, tasks))).subquery()
        known = select(dirty_days.c.day)
        connection.execute(dirty_days.insert().from_select(["day"], select(days.c.day).where(days.c.day.not_in(known))))
    connection.execute(delete(meta).where(meta.c.key == _COLUMNS))
    connection.execute(meta.insert(), [{"key": _COLUMNS, "value": digest}])


_LOCK = 0x6C616E67
"""Key of the PostgreSQL advisory lock that migrations hold."""


def version_of(connection: Connection) -> int:
    """Return the schema version; 0 where there are no tables."""
    if not connection.dialect.has_table(connection, meta.name):
        return 0
    found = connection.execute(select(meta.c.value).where(meta.c.key == "schema_version")).scalar()
    return int(found) if found is not None else 0


def migrate(connection: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Migrate the tables to the current version inside the connection's transaction, and return the version.

    Raises:
        LedgerError: The tables were made by a newer langroute, or some of that name by another program.
    """
    if is_server(connection):
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    before = version_of(connection)
    if before > len(migrations):
        raise LedgerError(
            f"The ledger has tables of version {before}; this langroute knows them up to {len(migrations)}. Upgrade langroute."
        )
    if not before:
        _refuse_foreign(connection)
    for number, step in enumerate(migrations[before:], before + 1):
        step(connection)
        if number == 1:
            connection.execute(meta.insert(), [{"key": "schema_version", "value": "1"}])
        else:
            connection.execute(update(meta).where(meta.c.key == "schema_version").values(value=str(number)))
    add_columns(connection)
    partitions.try_make_ahead(connection, day_of(time.time()))
    return len(migrations)
