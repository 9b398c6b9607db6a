"""Commits whose answer was lost: whether a transaction is committed is asked before its records are written again.

A connection that breaks while PostgreSQL commits tells nothing. A decision that is there is noticed by its id; calls and outcomes have none
and would be there twice. The server knows what became of a transaction by its number (`txid_status`,
https://www.postgresql.org/docs/current/functions-info.html). A standby that took over without it does not know the number: what it had was lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from langroute.ledger.batch import QueuedRecord
from langroute.ledger.trouble import UnknownCommitError

_IN_THE_FUTURE = "22023"
"""SQLSTATE of a transaction number that the server has not reached: it is another server than the one that was told."""


def transaction_of(connection: Connection) -> int | None:
    """Return the number of the current transaction; `None` in SQLite, which answers before anything can be lost."""
    if connection.dialect.name != "postgresql":
        return None
    return int(connection.execute(_CURRENT).scalar_one())


_CURRENT = text("SELECT txid_current()")
_STATUS = text("SELECT txid_status(:number)")


def not_committed(engine: Engine, entries: Sequence[QueuedRecord]) -> Sequence[QueuedRecord]:
    """Return the entries that are in no committed transaction yet.

    Raises:
        UnknownCommitError: That cannot be told yet.
    """
    sent = {entry.sent_in for entry in entries if entry.sent_in is not None}
    if not sent:
        return entries
    there = {number for number in sent if _is_committed(engine, number)}
    for entry in entries:
        if entry.sent_in not in there:
            entry.sent_in = None
    return [entry for entry in entries if entry.sent_in is None]


def _is_committed(engine: Engine, number: int) -> bool:
    try:
        with engine.connect() as connection:
            status = connection.execute(_STATUS, {"number": number}).scalar()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _IN_THE_FUTURE:
            return False
        raise
    if status == "in progress":
        raise UnknownCommitError("The server has not said yet whether the last records are stored.")
    return bool(status == "committed")


__all__ = ["not_committed", "transaction_of"]
