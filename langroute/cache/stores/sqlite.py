"""Store in an SQLite file, for all processes of one machine; it survives crashes."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast
from weakref import WeakSet

from langroute.cache.codec import MAX_BYTES, Codec
from langroute.cache.stores.base import LONGEST_LEASE, Store, StoreBusyError, StoreStats
from langroute.core.degradation import Degradations
from langroute.core.errors import CacheError, ConfigurationError, ConfigurationWarning, DataError
from langroute.core.files import make_folder
from langroute.core.locks import at_fork, give_way, new_lock, new_rlock
from langroute.core.sqlite import check_owner, check_path, connect, leave, tables_of
from langroute.core.urls import shown_url

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, size INTEGER NOT NULL, created REAL NOT NULL, expires REAL, used REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_used ON entries (used);
CREATE INDEX IF NOT EXISTS entries_created ON entries (created);
CREATE INDEX IF NOT EXISTS entries_expires ON entries (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS tags (tag TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (tag, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_key ON tags (key);
CREATE TABLE IF NOT EXISTS leases (key TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS totals (id INTEGER PRIMARY KEY CHECK (id = 1), entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT OR IGNORE INTO totals VALUES (1, 0, 0);
CREATE TRIGGER IF NOT EXISTS entry_added AFTER INSERT ON entries BEGIN
    UPDATE totals SET entries = entries + 1, bytes = bytes + new.size WHERE id = 1;
END;
CREATE TRIGGER IF NOT EXISTS entry_gone AFTER DELETE ON entries BEGIN
    UPDATE totals SET entries = entries - 1, bytes = bytes - old.size WHERE id = 1;
    DELETE FROM tags WHERE key = old.key;
END;
"""

TABLES = frozenset({"entries", "tags", "leases", "totals"})
"""Tables of a cache file."""

ACQUIRE = """
INSERT INTO leases VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE leases.until <= ? OR leases.owner = excluded.owner OR leases.until > ? OR typeof(leases.until) NOT IN ('real', 'integer')
"""

OPENING_SECONDS = 0.5
"""Seconds to wait for other processes that open the file at the same moment. After that, it is opened at first use."""

FIND = "SELECT CASE WHEN length(value) <= ? THEN value END, expires FROM entries WHERE key = ?"
NAMES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
FOREIGN = (
    "The cache {path} holds answers that are damaged or were sealed by another user; they are not used. Users who share answers need one "
    'secret: SqliteStore(..., codec=Codec(secret="...")).'
)

TOUCHES = 256
"""Most uses that are kept in memory before they are written along with the next value; a read never writes."""


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return "locked" in str(error) or "busy" in str(error)


_Work = TypeVar("_Work", bound=Callable[..., Any])


def _unless_busy(work: _Work) -> _Work:
    """Wrap an operation to raise `StoreBusyError` where others hold the file locked, which is not a failure of the file."""

    @wraps(work)
    def tried(*args: Any, **kwargs: Any) -> Any:
        try:
            return work(*args, **kwargs)
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                raise StoreBusyError(f"The cache is locked by another process: {error}") from error
            raise

    return cast("_Work", tried)


class _ResultRows(list[Any]):
    """Rows of an executed statement."""

    rowcount = -1

    def fetchone(self) -> Any:
        """Return the first row, or `None`."""
        return self[0] if self else None


class _ThreadConnection:
    """Connection of one thread; closed when the thread ends, the store is closed, or a child is forked.

    Args:
        open: Function that opens the connection.
    """

    __slots__ = ("__weakref__", "_connection", "_open", "_pid", "lock")

    def __init__(self, open: Callable[[float | None], sqlite3.Connection]) -> None:
        self._open, self._pid = open, os.getpid()
        self._connection: sqlite3.Connection | None = None
        self.lock = new_rlock()
        """Held during each statement and each transaction, so that no child is forked meanwhile."""

    def connected(self, wait_seconds: float | None = None) -> sqlite3.Connection:
        """Return the connection; the caller must hold the lock. A forked child opens its own."""
        if self._connection is None:
            self._connection, self._pid = self._open(wait_seconds), os.getpid()
        return self._connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> _ResultRows:
        """Execute one statement and return all of its rows."""
        give_way()
        with self.lock:
            cursor = self.connected().execute(sql, parameters)
            rows = _ResultRows(cursor.fetchall())
            rows.rowcount = cursor.rowcount
            return rows

    def close(self) -> None:
        """Close the connection; it is opened again at the next use."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._pid != os.getpid():
            leave(connection)
            return
        with self.lock, suppress(sqlite3.Error):
            connection.close()

    __del__ = close


class SqliteStore(Store):
    """Store of values in an SQLite file, in write-ahead mode.

    Args:
        path: The file; created where there is none, readable by its owner only.
        max_entries: Most values kept; the least recently used are evicted first.
        max_bytes: Most bytes of values kept.
        codec: How values are sealed, compressed and encrypted.
        busy_timeout_seconds: How long a read or write waits for another process before it is given up; it should be less than the
            time that a cache hit saves.
        clock: Seconds since the epoch.

    Raises:
        CacheError: The file cannot be opened.

    Example:
        >>> import tempfile, pathlib
        >>> store = SqliteStore(pathlib.Path(tempfile.mkdtemp()) / "cache.db")
        >>> store.put("a", b"1", tags=["title"])
        >>> store.get("a"), store.tagged("title")
        (b'1', ['a'])
    """

    shared = True

    def __init__(
        self,
        path: str | Path,
        *,
        max_entries: int = 1_000_000,
        max_bytes: int = 4 * 1024**3,
        codec: Codec | None = None,
        busy_timeout_seconds: float = 0.05,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if max_entries < 1 or max_bytes < 1:
            raise ConfigurationError(f"A cache of {max_entries} entries and {max_bytes} bytes has room for nothing.")
        self.path = Path(path).expanduser()
        self.max_entries, self.max_bytes = max_entries, max_bytes
        self.codec = codec or Codec()
        self._busy, self._clock = busy_timeout_seconds, clock
        self._local = threading.local()
        self._opened: WeakSet[_ThreadConnection] = WeakSet()
        self._lock = new_lock()
        at_fork(self, before=SqliteStore._before_fork, in_child=SqliteStore._in_child)
        self._touched: dict[str, float] = {}
        self._notices = Degradations()
        try:
            check_path(self.path)
            check_owner(self.path)
            self._prepared = self._is_cache(tables_of(self.path, OPENING_SECONDS))
            make_folder(self.path.parent)
            self._open_first()
        except (sqlite3.Error, OSError, DataError) as error:
            where = shown_url(str(self.path))
            raise CacheError(f"The cache {where} cannot be opened: {error}. Move it away, or name another file.") from error

    def _is_cache(self, tables: set[str]) -> bool:
        """Return whether a file with these tables is a cache already; `False` where it can become one.

        Raises:
            CacheError: The file belongs to another program.
        """
        taken = TABLES & tables
        if taken and taken != TABLES:
            # A ledger file has a table `tags`, too.
            raise CacheError(
                f"{self.path} belongs to another program: it has {', '.join(sorted(taken))} and is no cache. Name another file."
            )
        return bool(taken)

    def _open_first(self) -> None:
        try:
            held = self._connection()
            with held.lock:
                held.connected(OPENING_SECONDS).execute(f"PRAGMA busy_timeout={int(self._busy * 1000)}")
        except sqlite3.OperationalError as error:
            # A file that is locked now may be free when it is needed.
            if not _is_busy(error):
                raise

    def _connection(self) -> _ThreadConnection:
        """Return this thread's connection."""
        held: _ThreadConnection | None = getattr(self._local, "held", None)
        if held is None:
            held = self._local.held = _ThreadConnection(self._open)
            with self._lock:
                self._opened.add(held)
        return held

    def _open(self, wait_seconds: float | None = None) -> sqlite3.Connection:
        wait_seconds = self._busy if wait_seconds is None else wait_seconds
        connection = connect(self.path, wait_seconds, "entries")
        connection.execute("PRAGMA mmap_size=268435456")
        # Triggers that somebody added to the file must not call functions.
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA journal_size_limit=67108864")
        if not self._prepared:
            self._prepare(connection)
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if not self._is_cache({name for (name,) in connection.execute(NAMES)}):
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
        self._prepared = True

    def _before_fork(self) -> None:
        # SQLite's state of file locks would be copied into the child, and be wrong there.
        for held in list(self._opened):
            if held.lock.acquire(blocking=False):
                try:
                    held.close()
                finally:
                    held.lock.release()

    def _in_child(self) -> None:
        for held in list(self._opened):
            held.close()

    @_unless_busy
    def get(self, key: str) -> bytes | None:
        """Return the value, or `None`, also for a value that is damaged or sealed with another key."""
        row = self._connection().execute(FIND, (MAX_BYTES, key)).fetchone()
        if row is None:
            return None
        now = self._clock()
        if row[1] is not None and not (isinstance(row[1], (int, float)) and row[1] > now):
            return None
        try:
            value = self.codec.open(key, row[0])
        except (DataError, TypeError):
            self._notices.warn("sealed", ConfigurationWarning, FOREIGN.format(path=self.path))
            return None
        if len(self._touched) < TOUCHES:
            self._touched[key] = now
        return value

    @_unless_busy
    def put(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Store a value; one that is larger than `max_bytes` is not stored."""
        sealed, now = self.codec.seal(key, value), self._clock()
        if len(sealed) > self.max_bytes:
            return
        with self._lock:
            touched, self._touched = self._touched, {}
        held = self._connection()
        give_way()
        with held.lock:
            self._write(held.connected(), (key, sealed, len(sealed), now, expires, now), tags, touched)

    def _write(self, connection: sqlite3.Connection, row: tuple[Any, ...], tags: Sequence[str], touched: dict[str, float]) -> None:
        key, now = row[0], row[3]
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("DELETE FROM entries WHERE key = ?", (key,))
            connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", row)
            if tags:
                connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [(tag, key) for tag in tags])
            if touched:
                connection.executemany("UPDATE entries SET used = ? WHERE key = ?", [(at, used) for used, at in touched.items()])
            self._make_room(connection, now, key)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @_unless_busy
    def tag(self, key: str, tags: Sequence[str], *, expires: float | None = None) -> None:
        """Add tags to a value, in one statement."""
        chosen = " UNION ALL ".join(["SELECT ?"] * len(tags))
        self._connection().execute(
            f"INSERT OR IGNORE INTO tags SELECT said.*, key FROM ({chosen}) AS said, entries WHERE key = ?",  # noqa: S608
            (*tags, key),
        )

    def _make_room(self, connection: sqlite3.Connection, now: float, newest: str) -> None:
        connection.execute(
            "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE expires IS NOT NULL AND expires <= ? LIMIT 100)",
            (now,),
        )
        while True:
            entries, size = connection.execute("SELECT entries, bytes FROM totals").fetchone()
            if entries <= self.max_entries and size <= self.max_bytes:
                return
            # Evict a few more than needed, so that a full cache does not evict at every write.
            count = max(1, entries - self.max_entries, min(entries // 100, 1000))
            gone = connection.execute(
                "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE key != ? ORDER BY used LIMIT ?)", (newest, count)
            )
            if not gone.rowcount:
                return

    @_unless_busy
    def delete(self, *keys: str) -> int:
        """Delete values; return how many there were."""
        connection, gone = self._connection(), 0
        for begin in range(0, len(keys), 500):
            part = keys[begin : begin + 500]
            marks = ",".join("?" * len(part))
            gone += connection.execute(f"DELETE FROM entries WHERE key IN ({marks})", part).rowcount  # noqa: S608 - question marks only
        return gone

    @_unless_busy
    def tagged(self, tag: str) -> list[str]:
        """Return the keys of the values with a tag."""
        return [key for (key,) in self._connection().execute("SELECT key FROM tags WHERE tag = ?", (tag,))]

    @_unless_busy
    def older(self, before: float) -> list[str]:
        """Return the keys of the values stored before a time, in seconds since the epoch."""
        return [key for (key,) in self._connection().execute("SELECT key FROM entries WHERE created < ?", (before,))]

    def keys(self, limit: int = 100) -> list[str]:
        """Return at most `limit` keys, the most recently stored first."""
        found = self._connection().execute("SELECT key FROM entries ORDER BY created DESC LIMIT ?", (limit,))
        return [key for (key,) in found]

    @_unless_busy
    def clear(self) -> None:
        """Delete everything."""
        self._connection().execute("DELETE FROM entries")

    def stats(self) -> StoreStats:
        """Return how full the store is."""
        entries, size = self._connection().execute("SELECT entries, bytes FROM totals").fetchone()
        return StoreStats(entries, size, self.max_entries, self.max_bytes)

    @_unless_busy
    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take or extend a lease; return `False` while another owner has it."""
        now = self._clock()
        return (
            self._connection().execute(ACQUIRE, (key, owner, now + seconds, now, now + max(LONGEST_LEASE, seconds))).rowcount == 1
        )

    @_unless_busy
    def release(self, key: str, owner: str) -> None:
        """Release a lease, if this owner has it."""
        self._connection().execute("DELETE FROM leases WHERE key = ? AND owner = ?", (key, owner))

    async def aget(self, key: str) -> bytes | None:
        """Async version of `get`, run in place: a read takes microseconds, and in write-ahead mode waits for no writer."""
        return self.get(key)

    def close(self) -> None:
        """Close the connections of this process."""
        with self._lock:
            opened, self._opened = list(self._opened), WeakSet()
        self._local = threading.local()
        for held in opened:
            with held.lock:
                held.close()

    def __getstate__(self) -> dict[str, object]:
        return {
            "path": self.path,
            "max_entries": self.max_entries,
            "max_bytes": self.max_bytes,
            "codec": self.codec,
            "busy_timeout_seconds": self._busy,
        }

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(state.pop("path"), **state)  # type: ignore[misc]
