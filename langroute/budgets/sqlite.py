"""Budget store in one SQLite file, for the processes of one machine; expired rows are deleted with the next settlement."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langroute.budgets.store import LEASE_SECONDS, Balance, Hold
from langroute.core.errors import BudgetStoreError, DataError
from langroute.core.locks import at_fork, give_way, new_rlock
from langroute.core.sqlite import connect, leave
from langroute.core.urls import shown_url

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (key TEXT PRIMARY KEY, spent INTEGER NOT NULL DEFAULT 0, until REAL);
CREATE TABLE IF NOT EXISTS holds (id TEXT NOT NULL, key TEXT NOT NULL, amount INTEGER NOT NULL, until REAL NOT NULL);
CREATE INDEX IF NOT EXISTS holds_by_id ON holds (id);
CREATE INDEX IF NOT EXISTS holds_by_key ON holds (key);
CREATE INDEX IF NOT EXISTS holds_by_time ON holds (until);
CREATE INDEX IF NOT EXISTS accounts_by_time ON accounts (until) WHERE until IS NOT NULL;
"""


class SqliteBudgets:
    """Budget store in one SQLite file, readable by its owner only, shared by every process that opens it.

    Args:
        path: The file; created where it is absent.
        clock: Seconds since the epoch, for tests.
        timeout_seconds: How long to wait for another process that writes.

    Raises:
        BudgetStoreError: The file cannot be opened, or is not a budget database.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     store = SqliteBudgets(Path(folder) / "budgets.db")
        ...     store.settle(None, [Hold("team", 30)])
        ...     store.balances(["team"])
        ...     store.close()
        [Balance(spent=30, held=0)]
    """

    local = False

    def __init__(self, path: str | Path, *, clock: Callable[[], float] = time.time, timeout_seconds: float = 10.0) -> None:
        self.path, self.clock, self.timeout = Path(path), clock, timeout_seconds
        self._lock = new_rlock()
        self._connection: sqlite3.Connection | None = None
        at_fork(self, before=SqliteBudgets._before_fork, in_child=SqliteBudgets._in_child)
        with self._writing():
            pass

    def _open(self) -> sqlite3.Connection:
        try:
            connection = connect(self.path, self.timeout, "accounts")
            connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error, DataError) as error:
            raise BudgetStoreError(f"The budgets in {shown_url(str(self.path))} cannot be opened: {error}") from error
        return connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        give_way()
        with self._lock:
            if self._connection is None:
                self._connection = self._open()
            connection = self._connection
            try:
                # An immediate transaction: nobody else may read a balance between our read and our write.
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise BudgetStoreError(f"The budgets in {self.path} cannot be used: {error}") from error
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @staticmethod
    def _balance(connection: sqlite3.Connection, key: str, now: float) -> Balance:
        row = connection.execute("SELECT spent FROM accounts WHERE key = ? AND (until IS NULL OR until > ?)", (key, now)).fetchone()
        held = connection.execute("SELECT total(amount) FROM holds WHERE key = ? AND until > ?", (key, now)).fetchone()[0]
        return Balance(row[0] if row else 0, int(held))

    def balances(self, keys: Sequence[str]) -> list[Balance]:
        """Return what was taken from each limit."""
        with self._writing() as connection:
            now = self.clock()
            return [self._balance(connection, key, now) for key in keys]

    def reserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        """Reserve all or nothing. Return `None` when granted, else the index of the first hold that does not fit."""
        with self._writing() as connection:
            now = self.clock()
            connection.execute("DELETE FROM holds WHERE until <= ?", (now,))
            for place, hold in enumerate(holds):
                balance = self._balance(connection, hold.key, now)
                if balance.spent + balance.held + hold.amount > hold.limit:
                    return place
            rows = [(id, hold.key, hold.amount, now + lease_seconds) for hold in holds]
            connection.executemany("INSERT INTO holds VALUES (?, ?, ?, ?)", rows)
            return None

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        """Release a reservation and add what was really spent."""
        with self._writing() as connection:
            now = self.clock()
            if id is not None:
                connection.execute("DELETE FROM holds WHERE id = ?", (id,))
            connection.execute("DELETE FROM accounts WHERE until <= ?", (now,))
            for hold in spent:
                if not hold.amount and not self._balance(connection, hold.key, now).spent:
                    # Nothing was spent and nothing is reserved, as after a refused call: there is nothing to store.
                    continue
                until = None if hold.keep_seconds is None else now + hold.keep_seconds
                connection.execute(
                    "INSERT INTO accounts VALUES (?, ?, ?) "
                    "ON CONFLICT (key) DO UPDATE SET spent = spent + excluded.spent, until = excluded.until",
                    (hold.key, hold.amount, until),
                )

    def _before_fork(self) -> None:
        # SQLite's state of file locks would be copied into the child, and be wrong there.
        if self._lock.acquire(blocking=False):
            try:
                self.close()
            finally:
                self._lock.release()

    def _in_child(self) -> None:
        if self._connection is not None:
            leave(self._connection)
            self._connection = None

    def close(self) -> None:
        """Close the file; it is opened again at the next use."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "clock": self.clock, "timeout_seconds": self.timeout}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
