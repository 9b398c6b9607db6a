"""Classification of database errors: database unreachable, database busy, or record rejected.

The tables follow the databases' own documentation: SQLSTATE classes and codes of PostgreSQL
(https://www.postgresql.org/docs/current/errcodes-appendix.html), result codes of SQLite
(https://www.sqlite.org/rescode.html). Unlisted errors are decided by testing the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, exc, text
from sqlalchemy.exc import DBAPIError

from langroute.core.errors import LangrouteError, LedgerError

AWAY = "away"
"""The database is unreachable: all queued records stay queued."""

BUSY = "busy"
"""A lock or timeout: the same write may succeed a moment later. If it keeps failing, the record is at fault."""

RECORD = "record"
"""The database works and rejects this record."""

SQLSTATES: Mapping[str, str] = {
    "08": AWAY,  # connection exceptions
    "0A000": BUSY,  # a cached plan whose tables were changed
    "22": RECORD,  # data exceptions
    "23": RECORD,  # broken constraints
    "25": AWAY,  # transaction states: read-only (a standby, a disk that is protected), ended while idle
    "26": BUSY,  # a prepared statement that a pooler between does not know
    "28": AWAY,  # not let in
    "3D": AWAY,  # the database is gone
    "3F": AWAY,  # the schema is gone
    "40": BUSY,  # rolled back: deadlock, serialization
    "42": RECORD,  # statements that cannot be: a value of another type than its column
    "42501": AWAY,  # the right to write was taken
    "42P05": BUSY,  # a prepared statement that a pooler has from somebody else
    "42703": AWAY,  # a column is gone
    "42P01": AWAY,  # a table is gone: a backup is played in
    "53": AWAY,  # disk full, out of memory, too many connections
    "54": RECORD,  # limits: an index row that is too large
    "55": BUSY,  # objects in use, a lock that was not to be had
    "57": AWAY,  # shut down, starting, the database dropped
    "57014": BUSY,  # a statement that took too long, or was cancelled
    "58": AWAY,  # the disk fails
    "XX": BUSY,  # faults of the server itself
}
"""PostgreSQL: by whole code, else by class (its first two characters)."""

RESULT_CODES: Mapping[int, tuple[str, str]] = {
    3: (AWAY, "access permission denied"),
    5: (AWAY, "database is locked"),
    6: (AWAY, "table is locked"),
    7: (AWAY, "out of memory"),
    8: (AWAY, "readonly database"),
    9: (BUSY, "interrupted"),
    10: (AWAY, "disk I/O error"),
    11: (AWAY, "disk image is malformed"),
    13: (AWAY, "disk is full"),
    14: (AWAY, "unable to open"),
    15: (AWAY, "locking protocol"),
    17: (BUSY, "schema has changed"),
    18: (RECORD, "too big"),
    19: (RECORD, "constraint failed"),
    20: (RECORD, "datatype mismatch"),
    23: (AWAY, "authorization denied"),
    25: (RECORD, "out of range"),
    26: (AWAY, "not a database"),
}
"""SQLite: by primary result code; the message is for Python 3.10, which does not expose the code. SQLite has one writer at a time, so a
lock is never about one record. A missing table (`no such table`) also counts as `AWAY`; only the message tells it."""

_GONE = ("no such table", "no such column")


class UnknownCommitError(LedgerError):
    """The server is still at work on a transaction whose commit was sent (`commits`)."""


def verdict_on(error: BaseException, answers: Callable[[], bool]) -> str:
    """Classify an error while writing as `AWAY`, `BUSY` or `RECORD`.

    Args:
        error: The exception.
        answers: Return whether the database is reachable; called only where the error does not tell.
    """
    if isinstance(error, (exc.TimeoutError, UnknownCommitError)):
        # The connection pool was exhausted; or the server is not done with what it was sent before.
        return AWAY
    if not isinstance(error, DBAPIError):
        # Raised before the database was reached: by a value that cannot be bound, or by a method of some object.
        return RECORD
    if error.connection_invalidated:
        return AWAY
    told = _by_table(error.orig)
    if told is not None:
        return told
    if not answers():
        return AWAY
    # Without a code it is no answer of the server: the way to it is free again.
    return BUSY if isinstance(error, exc.OperationalError) and type(error.orig).__module__.startswith("psycopg") else RECORD


def _by_table(said: Any) -> str | None:
    state = getattr(said, "sqlstate", None)
    if isinstance(state, str):
        return SQLSTATES.get(state) or SQLSTATES.get(state[:2])
    words = str(said)
    if any(sign in words for sign in _GONE):
        return AWAY
    code = getattr(said, "sqlite_errorcode", None)
    if isinstance(code, int):
        # The lower byte is the primary result code; the rest only refines it.
        return RESULT_CODES.get(code & 0xFF, (None, ""))[0]
    return next((verdict for verdict, sign in RESULT_CODES.values() if sign in words), None)


def is_readonly(error: BaseException) -> bool:
    """Return whether the database may be read but not written: a role without the right, a standby, a protected file."""
    said = getattr(error, "orig", None)
    state = getattr(said, "sqlstate", None)
    return state in ("42501", "25006") or "readonly database" in str(said)


def may_only_read(connection: Connection) -> bool:
    """Return whether the transaction may write nothing: on a standby, or by the database's or the role's own settings."""
    return connection.dialect.name == "postgresql" and connection.execute(text("SHOW transaction_read_only")).scalar() == "on"


def reason_of(error: BaseException) -> str:
    """Return an error's message without the values that were to be written: databases quote them, and warnings end up in logs."""
    if isinstance(error, LangrouteError):
        return str(error)
    said = getattr(error, "orig", None) or error
    name = type(said).__name__
    state = getattr(said, "sqlstate", None)
    if isinstance(state, str):
        primary = getattr(getattr(said, "diag", None), "message_primary", None)
        return f"{name}: {primary}" if primary and state[:2] not in ("22", "23") else f"{name} ({state})"
    if isinstance(error, DBAPIError) and said.__class__.__module__.startswith("sqlite3"):
        return f"{name}: {said}"
    return name


__all__ = [
    "AWAY",
    "BUSY",
    "RECORD",
    "RESULT_CODES",
    "SQLSTATES",
    "UnknownCommitError",
    "is_readonly",
    "may_only_read",
    "reason_of",
    "verdict_on",
]
