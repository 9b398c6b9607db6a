"""In-memory store: the most recently used values, bounded by number and by bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cachetools import LRUCache

from langroute.cache.stores.base import Store, StoreStats
from langroute.core.errors import ConfigurationError
from langroute.core.locks import new_rlock

OVERHEAD = 400
"""Estimated bytes of an entry beside its value: key, tags and table slots."""


class _StoredValue(NamedTuple):
    value: bytes
    created: float
    expires: float | None
    tags: tuple[str, ...]


class _Bounded(LRUCache[str, _StoredValue]):
    """LRU cache bounded by bytes that reports what it evicts."""

    def __init__(self, max_bytes: int, dropped: Callable[[str, _StoredValue], None]) -> None:
        super().__init__(max_bytes, getsizeof=lambda kept: len(kept.value) + OVERHEAD)
        self._dropped = dropped

    def popitem(self) -> tuple[str, _StoredValue]:
        key, kept = super().popitem()
        self._dropped(key, kept)
        return key, kept


class MemoryStore(Store):
    """Store of values in this process.

    Args:
        max_entries: Most values kept; the least recently used is evicted first.
        max_bytes: Most bytes kept.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: A limit is so low that nothing could be stored.

    Example:
        >>> store = MemoryStore(max_entries=1)
        >>> store.put("a", b"1")
        >>> store.put("b", b"2")
        >>> store.get("a"), store.get("b")
        (None, b'2')
    """

    def __init__(
        self, *, max_entries: int = 100_000, max_bytes: int = 256 * 1024 * 1024, clock: Callable[[], float] = time.time
    ) -> None:
        if max_entries < 1 or max_bytes < 1:
            raise ConfigurationError(f"A cache of {max_entries} entries and {max_bytes} bytes has room for nothing.")
        self.max_entries, self.max_bytes, self._clock = max_entries, max_bytes, clock
        self._lock = new_rlock()
        self._kept = _Bounded(max_bytes, self._untag)
        self._tags: dict[str, set[str]] = {}
        self._leases: dict[str, tuple[str, float]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"max_entries": self.max_entries, "max_bytes": self.max_bytes, "clock": self._clock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def get(self, key: str) -> bytes | None:
        """Return the value, or `None`."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            if kept.expires is not None and kept.expires <= self._clock():
                self._drop(key)
                return None
            return kept.value

    def put(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Store a value; one that is larger than `max_bytes` is not stored."""
        kept = _StoredValue(value, self._clock(), expires, tuple(tags))
        with self._lock:
            self._drop(key)
            if len(value) + OVERHEAD > self.max_bytes:
                return
            while len(self._kept) >= self.max_entries:
                self._kept.popitem()
            self._kept[key] = kept
            for tag in kept.tags:
                self._tags.setdefault(tag, set()).add(key)

    def _drop(self, key: str) -> bool:
        kept = self._kept.pop(key, None)
        if kept is None:
            return False
        self._untag(key, kept)
        return True

    def _untag(self, key: str, kept: _StoredValue) -> None:
        for tag in kept.tags:
            keys = self._tags.get(tag)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._tags[tag]

    def delete(self, *keys: str) -> int:
        """Delete values; return how many there were."""
        with self._lock:
            return sum([self._drop(key) for key in keys])

    def tagged(self, tag: str) -> list[str]:
        """Return the keys of the values with a tag."""
        with self._lock:
            return list(self._tags.get(tag, ()))

    def tag(self, key: str, tags: Sequence[str], *, expires: float | None = None) -> None:
        """Add tags to a value."""
        with self._lock:
            if key in self._kept:
                kept = LRUCache.__getitem__(self._kept, key)
                self._kept[key] = kept._replace(tags=tuple(dict.fromkeys([*kept.tags, *tags])))
                for tag in tags:
                    self._tags.setdefault(tag, set()).add(key)

    def older(self, before: float) -> list[str]:
        """Return the keys of the values stored before a time, in seconds since the epoch."""
        with self._lock:
            return [key for key, kept in self._items() if kept.created < before]

    def _items(self) -> list[tuple[str, Any]]:
        # Reading a value through the cache itself would mark it as recently used.
        return [(key, LRUCache.__getitem__(self._kept, key)) for key in list(self._kept)]

    def keys(self, limit: int = 100) -> list[str]:
        """Return at most `limit` keys, the most recently stored first."""
        with self._lock:
            return list(self._kept)[: -limit - 1 : -1]

    def clear(self) -> None:
        """Delete everything."""
        with self._lock:
            self._kept = _Bounded(self.max_bytes, self._untag)
            self._tags.clear()

    def stats(self) -> StoreStats:
        """Return how full the store is."""
        with self._lock:
            return StoreStats(len(self._kept), int(self._kept.currsize), self.max_entries, self.max_bytes)

    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take or extend a lease; return `False` while another owner has it."""
        now = self._clock()
        with self._lock:
            held = self._leases.get(key)
            if held is not None and held[0] != owner and held[1] > now:
                return False
            self._leases[key] = (owner, now + seconds)
            return True

    def release(self, key: str, owner: str) -> None:
        """Release a lease, if this owner has it."""
        with self._lock:
            if self._leases.get(key, ("", 0.0))[0] == owner:
                del self._leases[key]

    async def aget(self, key: str) -> bytes | None:
        """Async version of `get`; it never waits."""
        return self.get(key)

    async def aput(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Async version of `put`; it never waits."""
        self.put(key, value, expires=expires, tags=tags)

    async def aacquire(self, key: str, owner: str, seconds: float) -> bool:
        """Async version of `acquire`; it never waits."""
        return self.acquire(key, owner, seconds)

    async def arelease(self, key: str, owner: str) -> None:
        """Async version of `release`; it never waits."""
        self.release(key, owner)
