"""SQLite files: private creation, connections for several processes, and read-only access."""

from __future__ import annotations

import sqlite3
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import Any

from langroute.core.errors import DataError
from langroute.core.files import checked, private, tighten
from langroute.core.locks import at_fork, begin_work, end_work, is_at_work, new_rlock
from langroute.core.urls import holds_password, shown_url

_opening = new_rlock()

ASKING_S = 0.02
"""How long SQLite waits for another writer before it is asked again; its own pauses are a half of that at most."""


class _Cursor(sqlite3.Cursor):
    lock: Any

    def execute(self, *arguments: Any) -> Any:
        with self.lock:
            return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        with self.lock:
            return super().executemany(*arguments)

    def fetchone(self) -> Any:
        with self.lock:
            return super().fetchone()

    def fetchmany(self, *arguments: Any) -> Any:
        with self.lock:
            return super().fetchmany(*arguments)

    def fetchall(self) -> Any:
        with self.lock:
            return super().fetchall()

    def close(self) -> None:
        with self.lock:
            super().close()


class Quiet(sqlite3.Connection):
    """A connection that is idle while the process forks, for connections without a lock of their own.

    SQLite has internal locks in memory: one that a thread held at the fork would block the child for ever. It also keeps there which locks
    this process has on a file. With a transaction open at the fork, the child would find the file locked for ever, by nobody; with an
    idle connection, the child would take no lock of its own, and another process might throw away the log that the child writes to. So a
    fork waits until the connection is released, and closes it then.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.lock = new_rlock()
        self.is_closed = False
        self._wait_s: float | None = None
        begin_work(id(self))
        try:
            # A fork that has begun knows `_opening`, but perhaps not yet this new lock.
            with _opening, self.lock:
                super().__init__(*arguments, **more)
                _connections.add(self)
        except BaseException:
            self.release()
            raise

    def cursor(self, *_: Any) -> Any:
        """Return a cursor that holds the lock while it works."""
        made = super().cursor(_Cursor)
        made.lock = self.lock
        return made

    def execute(self, *arguments: Any) -> Any:
        """Execute a statement; SQLite's own method would make a cursor that takes no lock."""
        return self.cursor().execute(*arguments)

    def commit(self) -> None:
        """Commit the transaction."""
        with self.lock:
            super().commit()

    def rollback(self) -> None:
        """Roll the transaction back."""
        with self.lock:
            super().rollback()

    def close(self) -> None:
        """Close the connection."""
        with self.lock:
            self.is_closed = True
            super().close()
        self.release()

    def wait(self, seconds: float) -> None:
        """Set how long its transactions wait for another process that writes to the file."""
        if seconds != self._wait_s:
            self.execute(f"PRAGMA busy_timeout={int(seconds * 1000)}")
            self._wait_s = seconds

    def has_turn(self, seconds: float) -> bool:
        """Begin a writing transaction as soon as no other process writes.

        SQLite's own wait asks every 100 ms in the end, and who has waited longest has no claim: among six processes that write all the
        time the longest waits are twice as long with it.

        Args:
            seconds: How long to wait.

        Returns:
            Whether it has begun.
        """
        self.wait(ASKING_S)
        until = time.monotonic() + seconds
        while True:
            try:
                self.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:  # noqa: PERF203
                if "locked" not in str(error) or time.monotonic() >= until:
                    return False
            else:
                return True

    def use(self) -> bool:
        """Let forks wait for what is done with the connection from now on, as after opening it.

        Returns:
            Whether it is open: a fork may have closed it.
        """
        with self.lock:
            if not self.is_closed:
                begin_work(id(self))
            return not self.is_closed

    def release(self) -> None:
        """Let forks no longer wait: no transaction is open."""
        end_work(id(self))


class _Connections:
    """The open connections of this process; a fork closes those that are not in use."""

    def __init__(self) -> None:
        self._open: dict[int, weakref.ref[Quiet]] = {}
        at_fork(self, before=_Connections._close_idle, in_child=lambda connections: connections._open.clear())

    def add(self, connection: Quiet) -> None:
        key = id(connection)
        self._open[key] = weakref.ref(connection, lambda _: self._open.pop(key, None))

    def _close_idle(self) -> None:
        for reference in list(self._open.values()):
            connection = reference()
            if connection is None or not connection.lock.acquire(blocking=False):
                continue
            try:
                if not is_at_work(id(connection)):
                    connection.close()
            finally:
                connection.lock.release()


_connections = _Connections()

_inherited: list[Any] = []


def leave(connection: Any) -> None:
    """Drop an inherited connection in a forked child without closing it: closing the file would release the locks of its process.

    Args:
        connection: A connection, or a pool of them.
    """
    _inherited.append(connection)


BESIDE = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps beside a database, created with the database's own mode."""


def open_readonly(path: Path) -> AbstractContextManager[sqlite3.Connection]:
    """Open a read-only connection to a file that may belong to another program; nothing is created or changed.

    Raises:
        sqlite3.OperationalError: The file does not exist or cannot be read.
    """
    if path.exists() and not path.is_file():
        # Opening a pipe would block.
        raise sqlite3.OperationalError("it is no file")
    return closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))


def tables_of(path: Path, wait_seconds: float = 5.0) -> set[str]:
    """Return the names of a file's tables; an empty set where it is not a database or cannot be read. Nothing is changed.

    Args:
        path: The file.
        wait_seconds: How long another process may hold it locked.
    """
    try:
        with open_readonly(path) as connection:
            connection.execute(f"PRAGMA busy_timeout={int(wait_seconds * 1000)}")
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
            return {name for (name,) in found}
    except sqlite3.Error:
        # There is no such file yet, or it is damaged or locked: opening it says so.
        return set()


def check_path(path: Path) -> None:
    """Raise if a path looks like a mistyped URL, which may hold a password and must not become a file's name.

    Raises:
        DataError: The path looks like a URL.
    """
    if holds_password(str(path)) and not path.exists():
        raise DataError(f"{shown_url(str(path))} is no path. Was it meant as a URL?")


def check_owner(path: Path) -> None:
    """Raise if a database, or a file that SQLite keeps beside it, belongs to another user. Nothing is changed.

    Raises:
        DataError: The file belongs to another user, or is not a regular file.
        OSError: Its status cannot be read.
    """
    for one in (path, *_beside(path)):
        with suppress(FileNotFoundError):
            checked(one)


def _beside(path: Path) -> list[Path]:
    # SQLite puts them beside the file itself, not beside a link to it.
    real = path.resolve()
    return [real.with_name(real.name + ending) for ending in BESIDE]


def make_private(path: Path, table: str) -> None:
    """Create a database file if it is missing; make it and the files beside it readable by their owner alone.

    Args:
        path: The file.
        table: A table that identifies langroute's own database; the mode of another program's file is left unchanged.

    Raises:
        DataError: A file belongs to another user or is not a regular file, or the path is a mistyped URL.
        OSError: It cannot be made.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "some.db"
        >>> make_private(path, "entries")
        >>> oct(path.stat().st_mode)[-3:]
        '600'
    """
    check_path(path)

    def is_meant(_: Path) -> bool:
        return path.stat().st_size == 0 or table in tables_of(path)

    private(path, is_meant)
    for one in _beside(path):
        with suppress(FileNotFoundError):
            tighten(one, is_meant)


def connect(path: Path, timeout_seconds: float, table: str) -> sqlite3.Connection:
    """Open a database for several writing processes with short transactions each; created if missing.

    Args:
        path: The file.
        timeout_seconds: How long to wait for another writer.
        table: As for `make_private`.

    Raises:
        DataError: As `make_private`.
        OSError: As `make_private`.
        sqlite3.Error: It cannot be opened.
    """
    make_private(path, table)
    connection = sqlite3.connect(path, timeout=timeout_seconds, isolation_level=None, check_same_thread=False)
    try:
        tune(connection.execute, timeout_seconds)
    except BaseException:
        connection.close()
        raise
    return connection


def tune(execute: Callable[[str], Any], timeout_seconds: float) -> None:
    """Set a new connection to write-ahead logging.

    A crash of the machine may lose the latest transactions but does not damage the file; a crash of the process loses nothing.

    Args:
        execute: A connection's or cursor's `execute`.
        timeout_seconds: How long to try.

    Raises:
        sqlite3.OperationalError: The file stayed locked, or has another problem.
    """
    enable_wal(execute, timeout_seconds)
    execute("PRAGMA synchronous=NORMAL")


def enable_wal(execute: Callable[[str], Any], timeout_seconds: float) -> None:
    """Switch a database to write-ahead logging, so that readers and a writer do not wait for each other.

    SQLite's busy timeout does not cover this switch: of two processes that open a new file at once, one gets "locked" immediately.

    Args:
        execute: A connection's or cursor's `execute`.
        timeout_seconds: How long to try.

    Raises:
        sqlite3.OperationalError: The file stayed locked, or has another problem.

    Example:
        >>> connection = sqlite3.connect(":memory:")
        >>> enable_wal(connection.execute, 1.0)
    """
    until = time.monotonic() + timeout_seconds
    while True:
        try:
            execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:  # noqa: PERF203
            if "locked" not in str(error) or time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return
