"""Where do budgets live that the processes of one machine share?"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from langroute.budgets.store import LEASE_SECONDS, Balance, Hold
from langroute.errors import BudgetStoreError
from langroute.wal import write_ahead

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (key TEXT PRIMARY KEY, spent INTEGER NOT NULL DEFAULT 0, until REAL);
CREATE TABLE IF NOT EXISTS holds (id TEXT NOT NULL, key TEXT NOT NULL, amount INTEGER NOT NULL, until REAL NOT NULL);
CREATE INDEX IF NOT EXISTS holds_by_id ON holds (id);
CREATE INDEX IF NOT EXISTS holds_by_key ON holds (key);
"""


class SqliteBudgets:
    """Budgets in one SQLite file, readable by its owner only, shared by every process that opens it.

    Args:
        path: The file; made where it is absent.
        clock: Seconds since the epoch, for tests.
        timeout_seconds: How long to wait for another process that writes.

    Raises:
        BudgetStoreError: The file cannot be opened, or is no database of budgets.

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
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._inherited: sqlite3.Connection | None = None
        self._pid = os.getpid()
        with self._writing():
            pass

    def _open(self) -> sqlite3.Connection:
        try:
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self.path, timeout=self.timeout, isolation_level=None, check_same_thread=False)
            write_ahead(connection.execute, self.timeout)
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise BudgetStoreError(f"The budgets in {self.path} cannot be opened: {error}") from error
        return connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._connection is None or self._pid != os.getpid():
                # A connection must not be used, nor closed, on the other side of a fork.
                self._inherited = self._connection
                self._connection, self._pid = self._open(), os.getpid()
            connection = self._connection
            try:
                # Immediate: nobody else may read a balance between our reading and our writing.
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
        """What was taken from each limit."""
        with self._writing() as connection:
            now = self.clock()
            return [self._balance(connection, key, now) for key in keys]

    def reserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        """Reserve all or nothing."""
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
        """Let go of a reservation and add what was really spent."""
        with self._writing() as connection:
            now = self.clock()
            if id is not None:
                connection.execute("DELETE FROM holds WHERE id = ?", (id,))
            connection.execute("DELETE FROM accounts WHERE until <= ?", (now,))
            for hold in spent:
                until = None if hold.keep_seconds is None else now + hold.keep_seconds
                connection.execute(
                    "INSERT INTO accounts VALUES (?, ?, ?) "
                    "ON CONFLICT (key) DO UPDATE SET spent = spent + excluded.spent, until = excluded.until",
                    (hold.key, hold.amount, until),
                )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "clock": self.clock, "timeout_seconds": self.timeout}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
