"""How does a ledger made by an older langroute become one of today?

Each migration brings the tables from one version to the next. They run in one transaction when a ledger is opened, and only one
process at a time runs them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, inspect, select, text, update

from langroute.errors import LedgerError
from langroute.ledger.schema import meta, metadata

Migration = Callable[[Connection], None]


def _refuse_foreign(connection: Connection) -> None:
    """Another program's `tasks` must not be taken for ours, nor written to."""
    taken = sorted(metadata.tables.keys() & set(inspect(connection).get_table_names()))
    if taken:
        raise LedgerError(
            f"The database belongs to another program: it has tables named {', '.join(taken)} and no ledger. "
            "Give the ledger a file, database or schema of its own."
        )


def _first(connection: Connection) -> None:
    metadata.create_all(connection)
    connection.execute(meta.insert(), [{"key": "hash_key", "value": secrets.token_hex(32)}])


def _avoided(connection: Connection) -> None:
    """What answers from the response cache saved."""
    _add_column(connection, "decisions", "avoided_usd", "DOUBLE PRECISION")
    _add_column(connection, "daily_decisions", "avoided_usd", "DOUBLE PRECISION NOT NULL DEFAULT 0")


def _add_column(connection: Connection, table: str, column: str, kind: str) -> None:
    # The first migration makes the tables of today, so that a new ledger has the column already.
    if column not in {found["name"] for found in inspect(connection).get_columns(table)}:
        connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column} {kind}"))


MIGRATIONS: tuple[Migration, ...] = (_first, _avoided)
"""The first makes version 1, and so on. Never change one that was released: add another."""

_LOCK = 0x6C616E67
"""PostgreSQL's advisory lock that migrations hold."""


def version_of(connection: Connection) -> int:
    """The version of the tables; 0 where there are none."""
    if not connection.dialect.has_table(connection, meta.name):
        return 0
    found = connection.execute(select(meta.c.value).where(meta.c.key == "schema_version")).scalar()
    return int(found) if found is not None else 0


def migrate(connection: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Bring the tables up to date inside the connection's transaction; return the version.

    Raises:
        LedgerError: The tables were made by a newer langroute, or some of that name by another program.
    """
    if connection.dialect.name == "postgresql":
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
    return len(migrations)
