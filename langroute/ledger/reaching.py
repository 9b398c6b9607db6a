"""Where is a ledger's database, how is it reached, and what does it say when it cannot be?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from langroute.errors import ConfigurationError, LedgerError, MissingExtraError
from langroute.ledger import schema
from langroute.wal import write_ahead

CONNECT_TIMEOUT_S = 10
"""How long PostgreSQL may take to answer, where the URL says nothing (`?connect_timeout=3`): by itself libpq waits for minutes."""


def url_of(where: str | Path | URL) -> URL:
    """The URL of a ledger's database.

    Raises:
        ConfigurationError: It is none that a ledger can be kept in.
    """
    if isinstance(where, URL):
        url = where
    elif isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(where))
    else:
        try:
            url = make_url(where)
        except ArgumentError as error:
            raise ConfigurationError(f"A ledger is opened by a path or a URL; {where!r} is neither.") from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigurationError(f"A ledger is kept in SQLite or PostgreSQL, not in {url.get_backend_name()}.")
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigurationError("A SQLite ledger needs a file; for one in memory take MemoryLedger.")
    return url


def engine_of(url: URL) -> Engine:
    """Connections to a ledger's database; a SQLite file is made where there is none.

    Raises:
        LedgerError: The file cannot be opened.
        MissingExtraError: It is PostgreSQL and psycopg is not installed.
    """
    if url.get_backend_name() == "postgresql":
        try:
            if "connect_timeout" not in url.query:
                url = url.update_query_dict({"connect_timeout": str(CONNECT_TIMEOUT_S)})
            return create_engine(url, pool_pre_ping=True, hide_parameters=True)
        except ImportError as error:
            raise MissingExtraError("psycopg", "postgres", "A ledger in PostgreSQL") from error
    path = Path(str(url.database))
    try:
        # Made here, so that nobody else can read it from its first byte on; SQLite gives its other files the same mode.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise LedgerError(f"The ledger {str(path)!r} cannot be opened: {error.strerror}.") from error
    # What is kept stands in a statement's parameters; what a warning says of it ends in some log.
    connect = {"timeout": 60, "check_same_thread": False}
    engine = create_engine(url, connect_args=connect, poolclass=QueuePool, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        write_ahead(cursor.execute, 60.0)
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # Whoever will write takes the lock at once: taking it later fails where another one wrote meanwhile.
        writes = connection.get_execution_options().get("langroute_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def holds_ledger(where: str | Path | URL) -> bool:
    """Whether there is a ledger at a path or URL. Looking makes nothing and changes nothing.

    Where the database does not answer, `True`: whoever opens it is told why.
    """
    url = url_of(where)
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite and not Path(str(url.database)).is_file():
        return False
    engine = create_engine(url) if sqlite else engine_of(url)
    try:
        with engine.connect() as connection:
            return bool(connection.dialect.has_table(connection, schema.meta.name))
    except SQLAlchemyError:
        return True
    finally:
        engine.dispose()


def said_by(error: SQLAlchemyError) -> str:
    """What the database itself said, and what to do about it, without the statement."""
    said = str(getattr(error, "orig", None) or error).strip()
    for sign, advice in _ADVICE.items():
        if sign in said:
            return f"{said}. {advice}"
    return said


_ADVICE = {
    "database is locked": "Another program has been writing to it all the time; try again when it is done.",
    "readonly database": "Reading needs the right to write, too: daily sums are kept in it. Copy it to a place of your own.",
    "malformed": "The file is damaged: take a copy of it from before.",
    "not a database": "It is another kind of file.",
}
"""What to do, by a part of what SQLite says."""
