"""Database connections of a ledger: URLs, engines and error messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from langroute.core.errors import ConfigurationError, DataError, LedgerError, MissingExtraError
from langroute.core.sqlite import Quiet, leave, make_private, tune
from langroute.core.urls import holds_password, shown_url
from langroute.ledger import schema

PATIENCE_S = 10
"""Seconds that a PostgreSQL may take to let a client in, and may leave it without a sign of life, unless the URL says otherwise
(`?connect_timeout=3`, `&tcp_user_timeout=…`, `&keepalives_idle=…`). The system's own limits are 2 minutes, 15 minutes and 2 hours."""

IDLE_LIMIT = "20s"
"""How long PostgreSQL keeps a transaction whose client says nothing: one that is cut off would keep its locks, and everybody else waiting."""

SQLITE_WAIT_S = 60.0
"""How long a transaction waits for another process that writes to the same file, unless it says otherwise."""


def url_of(where: str | Path | URL) -> URL:
    """Return the URL of a ledger's database.

    Raises:
        ConfigurationError: The URL is not one of a supported database.
    """
    if isinstance(where, URL):
        url = where
    elif isinstance(where, Path) or "://" not in where:
        if holds_password(str(where)) and not Path(where).exists():
            raise ConfigurationError(_NEITHER.format(shown_url(str(where))))
        return URL.create("sqlite", database=str(where))
    else:
        url = _parsed(where)
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigurationError(f"A ledger is kept in SQLite or PostgreSQL, not in {url.get_backend_name()}.")
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigurationError("A SQLite ledger needs a file; for one in memory take MemoryLedger.")
    return url


_NEITHER = (
    "A ledger is opened by a path or a URL; {!r} is neither. A URL reads postgresql://user:password@host:5432/database; "
    "in a password, @ is written %40, / is %2F and : is %3A."
)


def _parsed(where: str) -> URL:
    url: URL | None
    try:
        url = make_url(where)
        # URLs in which SQLAlchemy does not hide the password.
        if isinstance(password := url.query.get("password"), str):
            url = url.set(password=url.password or password).difference_update_query(["password"])
    except (ArgumentError, ValueError):
        # The original exception may quote the password, and so would an error chained to it.
        url = None
    if url is None:
        raise ConfigurationError(_NEITHER.format(shown_url(where)))
    return url


def shown(url: URL) -> str:
    """Return a ledger's URL in a form that may be displayed."""
    return shown_url(url.render_as_string(hide_password=False))


def engine_of(url: URL, patience_s: int | None = None) -> Engine:
    """Create the SQLAlchemy engine of a ledger's database; a missing SQLite file is created.

    Args:
        url: Where it is.
        patience_s: In the place of `PATIENCE_S`.

    Raises:
        LedgerError: The file cannot be opened.
        MissingExtraError: It is PostgreSQL and psycopg is not installed.
    """
    if url.get_backend_name() == "postgresql":
        try:
            limits = {name: value for name, value in _limits(patience_s or PATIENCE_S).items() if name not in url.query}
            url, connect = _driver_options(url)
            return create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args={**limits, **connect})
        except ImportError as error:
            raise MissingExtraError("psycopg", "postgres", "A ledger in PostgreSQL") from error
        except ArgumentError as error:
            raise ConfigurationError(f"The ledger at {shown(url)} cannot be opened: {error}") from error
    return _sqlite_engine(url)


def _limits(patience_s: int) -> dict[str, int]:
    """Return the options of libpq after which a connection counts as dead, whether something was sent or an answer is waited for."""
    import psycopg

    pause = max(1, patience_s // 5)
    told = {"connect_timeout": patience_s, "keepalives_idle": pause, "keepalives_interval": pause, "keepalives_count": 4}
    if psycopg.pq.version() >= _KNOWS_USER_TIMEOUT:
        told["tcp_user_timeout"] = patience_s * 1000
    return told


_KNOWS_USER_TIMEOUT = 120_000
"""The first libpq with that option; an older one refuses what it does not know."""


def begin_writing(connection: Connection) -> None:
    """Prepare a transaction that writes. What is set holds for it alone, so that a pooler does no harm."""
    if connection.dialect.name == "postgresql":
        # A plan that was kept from when a table was new and empty reads all of it.
        connection.execute(_PREPARED, {"limit": IDLE_LIMIT})


_PREPARED = text(
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('idle_in_transaction_session_timeout', :limit, true)"
)


def _sqlite_engine(url: URL) -> Engine:
    path = Path(str(url.database))
    try:
        # Created here, so that only the owner can read it from the first byte on; SQLite gives its other files the same mode.
        make_private(path, schema.meta.name)
    except DataError as error:
        raise LedgerError(f"The ledger cannot be opened: {error}") from error
    except OSError as error:
        raise LedgerError(f"The ledger {str(path)!r} cannot be opened: {error.strerror}.") from error
    # Statement parameters contain the stored data, and warnings end up in logs.
    connect = {"timeout": SQLITE_WAIT_S, "check_same_thread": False, "factory": Quiet}
    engine = create_engine(url, connect_args=connect, poolclass=QueuePool, hide_parameters=True)
    _follow(engine)
    return engine


def _follow(engine: Engine) -> None:
    """Prepare each connection, tell forks while it is in use, and begin transactions as they are meant."""

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        tune(cursor.execute, SQLITE_WAIT_S)
        cursor.close()

    @event.listens_for(engine, "checkout")
    def _taken(connection: Any, *_: Any) -> None:
        if not connection.use():
            raise DisconnectionError("A fork has closed it.")

    @event.listens_for(engine, "checkin")
    def _returned(connection: Any, _: Any) -> None:
        if connection is not None:
            connection.release()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # A writing transaction takes the lock at once: upgrading a read lock fails if another process wrote meanwhile.
        options = connection.get_execution_options()
        raw: Any = connection.connection.dbapi_connection
        wait_s = options.get("langroute_wait_s", SQLITE_WAIT_S)
        if not options.get("langroute_write"):
            raw.wait(wait_s)
            connection.exec_driver_sql("BEGIN")
        elif not raw.has_turn(wait_s):
            # Once more, for the error.
            connection.exec_driver_sql("BEGIN IMMEDIATE")


_THRESHOLD = "prepare_threshold"


def _driver_options(url: URL) -> tuple[URL, dict[str, Any]]:
    """Return a PostgreSQL URL without the options that psycopg takes as numbers, and these options.

    A pooler in transaction mode (PgBouncer) needs `?prepare_threshold=none`: a statement that was prepared on one connection is unknown
    on the next.

    Raises:
        ConfigurationError: An option is no number.
    """
    given = url.query.get(_THRESHOLD)
    if given is None:
        return url, {}
    said = str(given).strip().lower()
    if said == "none":
        value = None
    elif said.isdecimal():
        value = int(said)
    else:
        raise ConfigurationError(f"The ledger's URL says {_THRESHOLD}={said[:40]}; it is a number, or none (behind PgBouncer).")
    return url.difference_update_query([_THRESHOLD]), {_THRESHOLD: value}


def begin_in_child(engine: Engine) -> None:
    """Give the child of a fork connections of its own; those it has inherited belong to the parent."""
    leave(engine.pool)
    engine.dispose(close=False)


def lacks_file(url: URL) -> bool:
    """Return whether a database is a file that is not there; opening it would make it."""
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file()


def holds_ledger(where: str | Path | URL) -> bool:
    """Return whether there is a ledger at a path or URL, without creating or changing anything.

    Returns `True` where the database does not answer: opening it raises an error that says why.
    """
    url = url_of(where)
    if lacks_file(url):
        return False
    engine = create_engine(url) if url.get_backend_name() == "sqlite" else engine_of(url)
    try:
        with engine.connect() as connection:
            return bool(connection.dialect.has_table(connection, schema.meta.name))
    except SQLAlchemyError:
        return True
    finally:
        engine.dispose()


def said_by(error: SQLAlchemyError) -> str:
    """Return the database's own error message and what to do about it, without the SQL statement."""
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
"""Advice by a part of SQLite's error message."""
