"""How are answers kept on one machine, for all of its processes? In an SQLite file that survives whatever kills them."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from langroute.cache.codec import Codec
from langroute.cache.stores.base import Store, StoreStats
from langroute.errors import CacheError, ConfigurationError, DataError
from langroute.wal import looked_at, write_ahead

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
"""What a cache has, and another program may have of the same name."""

ACQUIRE = """
INSERT INTO leases VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE leases.until <= ? OR leases.owner = excluded.owner
"""

TOUCHES = 256
"""Uses that are noted before they are written with the next value; a read writes nothing."""


class _Held:
    """A thread's connection; closed when the thread ends, or the store is closed."""

    __slots__ = ("__weakref__", "connection", "pid")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection, self.pid = connection, os.getpid()

    def close(self) -> None:
        # What a forked process inherited is its parent's to close.
        if self.pid == os.getpid():
            with suppress(sqlite3.Error):
                self.connection.close()

    __del__ = close


def tables_of(path: Path) -> set[str]:
    """The tables of a file; none where it is no database, or does not say. Looking changes nothing."""
    try:
        with looked_at(path) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
            return {name for (name,) in found}
    except sqlite3.Error:
        # There is no such file yet, or it is damaged or locked: opening it says so.
        return set()


class SqliteStore(Store):
    """Keeps values in an SQLite file, in write-ahead mode.

    Args:
        path: The file; made where there is none, readable by its owner alone.
        max_entries: Most values kept; the least lately used go first.
        max_bytes: Most bytes of values kept.
        codec: How values are sealed, compressed and encrypted.
        busy_timeout_seconds: How long a write waits for another process.
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
        busy_timeout_seconds: float = 2.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if max_entries < 1 or max_bytes < 1:
            raise ConfigurationError(f"A cache of {max_entries} entries and {max_bytes} bytes has room for nothing.")
        self.path = Path(path).expanduser()
        self.max_entries, self.max_bytes = max_entries, max_bytes
        self.codec = codec or Codec()
        self._busy, self._clock = busy_timeout_seconds, clock
        self._local = threading.local()
        self._opened: WeakSet[_Held] = WeakSet()
        self._lock = threading.Lock()
        self._touched: dict[str, float] = {}
        taken = TABLES & tables_of(self.path)
        if taken and taken != TABLES:
            # A ledger has `tags`, too.
            raise CacheError(
                f"{self.path} belongs to another program: it has {', '.join(sorted(taken))} and is no cache. Name another file."
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = self._connection()
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
        except (sqlite3.Error, OSError) as error:
            raise CacheError(f"The cache {self.path} cannot be opened: {error}. Move it away, or name another file.") from error

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection; a forked process must not use its parent's."""
        local = self._local
        held: _Held | None = getattr(local, "held", None)
        if held is None or held.pid != os.getpid():
            connection = sqlite3.connect(self.path, timeout=self._busy, isolation_level=None, check_same_thread=False)
            write_ahead(connection.execute, self._busy)
            # A crash of the machine may cost the latest answers, never the file; a crash of the process costs nothing.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA mmap_size=268435456")
            connection.execute("PRAGMA journal_size_limit=67108864")
            held = local.held = _Held(connection)
            with self._lock:
                self._opened.add(held)
        return held.connection

    def get(self, key: str) -> bytes | None:
        """The value, or `None`; a damaged one is forgotten."""
        row = self._connection().execute("SELECT value, expires FROM entries WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        now = self._clock()
        if row[1] is not None and row[1] <= now:
            return None
        try:
            value = self.codec.open(key, row[0])
        except (DataError, TypeError):
            self.delete(key)
            return None
        if len(self._touched) < TOUCHES:
            self._touched[key] = now
        return value

    def put(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Keep a value; one that is larger than all the room there is, is not kept."""
        sealed, now = self.codec.seal(key, value), self._clock()
        if len(sealed) > self.max_bytes:
            return
        connection = self._connection()
        with self._lock:
            touched, self._touched = self._touched, {}
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("DELETE FROM entries WHERE key = ?", (key,))
            connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", (key, sealed, len(sealed), now, expires, now))
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

    def _make_room(self, connection: sqlite3.Connection, now: float, newest: str) -> None:
        connection.execute(
            "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE expires IS NOT NULL AND expires <= ? LIMIT 100)",
            (now,),
        )
        while True:
            entries, size = connection.execute("SELECT entries, bytes FROM totals").fetchone()
            if entries <= self.max_entries and size <= self.max_bytes:
                return
            # A few more than needed, so that a full cache does not pay for this at every write.
            count = max(1, entries - self.max_entries, min(entries // 100, 1000))
            gone = connection.execute(
                "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE key != ? ORDER BY used LIMIT ?)", (newest, count)
            )
            if not gone.rowcount:
                return

    def delete(self, *keys: str) -> int:
        """Forget values; how many there were."""
        connection, gone = self._connection(), 0
        for begin in range(0, len(keys), 500):
            part = keys[begin : begin + 500]
            marks = ",".join("?" * len(part))
            gone += connection.execute(f"DELETE FROM entries WHERE key IN ({marks})", part).rowcount  # noqa: S608 - question marks only
        return gone

    def tagged(self, tag: str) -> list[str]:
        """Keys of the values with a tag."""
        return [key for (key,) in self._connection().execute("SELECT key FROM tags WHERE tag = ?", (tag,))]

    def older(self, before: float) -> list[str]:
        """Keys of the values put before a time."""
        return [key for (key,) in self._connection().execute("SELECT key FROM entries WHERE created < ?", (before,))]

    def keys(self, limit: int = 100) -> list[str]:
        """Keys, the latest put first."""
        found = self._connection().execute("SELECT key FROM entries ORDER BY created DESC LIMIT ?", (limit,))
        return [key for (key,) in found]

    def clear(self) -> None:
        """Forget everything."""
        self._connection().execute("DELETE FROM entries")

    def stats(self) -> StoreStats:
        """How full it is."""
        entries, size = self._connection().execute("SELECT entries, bytes FROM totals").fetchone()
        return StoreStats(entries, size, self.max_entries, self.max_bytes)

    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take or prolong a lease."""
        now = self._clock()
        return self._connection().execute(ACQUIRE, (key, owner, now + seconds, now)).rowcount == 1

    def release(self, key: str, owner: str) -> None:
        """Give a lease back."""
        self._connection().execute("DELETE FROM leases WHERE key = ? AND owner = ?", (key, owner))

    async def aget(self, key: str) -> bytes | None:
        """`get`: a read of some microseconds, which in write-ahead mode waits for nobody."""
        return self.get(key)

    def close(self) -> None:
        """Close the connections of this process."""
        with self._lock:
            opened, self._opened = list(self._opened), WeakSet()
        self._local = threading.local()
        for held in opened:
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
