"""Commits whose answer was lost: whether a transaction is committed is asked before its records are written again.

A connection that breaks while PostgreSQL commits tells nothing. A decision that is there is noticed by its id; calls and outcomes have none
and would be there twice. The server knows what became of a transaction by its number (`txid_status`,
https://www.postgresql.org/docs/current/functions-info.html). A standby that took over gives the numbers that it has not seen to others, on a
timeline of its own: what it says of a number counts only on the timeline of the transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from langroute.ledger.batch import QueuedRecord, SentCommit
from langroute.ledger.trouble import UnknownCommitError

_IN_THE_FUTURE = "22023"
"""SQLSTATE of a transaction number that the server has not reached: it is another server than the one that was told."""

_UNTOLD = ("0A000", "42501", "42883")
"""SQLSTATEs where a server says nothing of its timeline: not supported, not allowed, no such function."""

_TIMELINE = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
"""Not that of `pg_control_checkpoint`, which is the old one until the first checkpoint after a failover."""

_CURRENT = text(f"SELECT txid_current(), {_TIMELINE}")
_NUMBER = text("SELECT txid_current(), NULL")
_HERE = "CASE WHEN NOT pg_is_in_recovery() THEN"
_STATUS = text(f"SELECT {_HERE} txid_status(:number) END, {_HERE} {_TIMELINE} END, pg_is_in_recovery()")
_STATUS_ALONE = text("SELECT txid_status(:number), NULL, false")


class Commits:
    """What became of the commits that a ledger sent.

    Args:
        engine: Of its database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._current: Any = None
        """The question for a transaction; `None` before the first one."""

    def of(self, connection: Connection, heard: Sequence[int] = ()) -> SentCommit | None:
        """Return the current transaction; `None` in SQLite, which answers before anything can be lost.

        Args:
            connection: It, about to be committed.
            heard: Rows of outcomes in it whose listeners have heard them.
        """
        if connection.dialect.name != "postgresql":
            return None
        if self._current is None:
            self._current = _question(connection)
        number, timeline = connection.execute(self._current).one()
        return SentCommit(int(number), timeline, tuple(heard))

    def missing(self, entries: Sequence[QueuedRecord], rolled_back: Callable[[Sequence[int]], Any]) -> Sequence[QueuedRecord]:
        """Return the entries that are in no committed transaction yet.

        Args:
            entries: Records to write.
            rolled_back: Called with the rows of outcomes that were in a transaction which is not committed.

        Raises:
            UnknownCommitError: That cannot be told yet.
        """
        sent = {entry.sent_in for entry in entries if entry.sent_in is not None}
        if not sent:
            return entries
        there = {one for one in sent if self._is_committed(one)}
        for entry in entries:
            if entry.sent_in not in there:
                entry.sent_in = None
        for one in sent - there:
            rolled_back(one.heard)
        return [entry for entry in entries if entry.sent_in is None]

    def _is_committed(self, sent: SentCommit) -> bool:
        try:
            with self._engine.connect() as connection:
                question = _STATUS_ALONE if sent.timeline is None else _STATUS
                status, timeline, standby = connection.execute(question, {"number": sent.number}).one()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == _IN_THE_FUTURE:
                return False
            raise
        if standby:
            raise UnknownCommitError("The server is a standby, which cannot say whether the last records are stored.")
        if timeline != sent.timeline:
            return False
        if status == "in progress":
            raise UnknownCommitError("The server has not said yet whether the last records are stored.")
        return bool(status == "committed")


def _question(connection: Connection) -> Any:
    """Return what to ask for the current transaction: its timeline too, where the server tells it."""
    try:
        with connection.begin_nested():
            connection.execute(_CURRENT)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _UNTOLD:
            raise
        return _NUMBER
    return _CURRENT


__all__ = ["Commits"]
