"""How are answers kept in this process? The latest used ones, bounded by number and by bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any, NamedTuple

from cachetools import LRUCache

from langroute.cache.stores.base import Store, StoreStats
from langroute.errors import ConfigurationError

OVERHEAD = 400
"""Bytes that an entry takes beside its value: key, tags, places in tables."""


class _Kept(NamedTuple):
    value: bytes
    created: float
    expires: float | None
    tags: tuple[str, ...]


class _Bounded(LRUCache[str, _Kept]):
    """An LRU cache by bytes that knows what it drops."""

    def __init__(self, max_bytes: int, dropped: Callable[[str, _Kept], None]) -> None:
        super().__init__(max_bytes, getsizeof=lambda kept: len(kept.value) + OVERHEAD)
        self._dropped = dropped

    def popitem(self) -> tuple[str, _Kept]:
        key, kept = super().popitem()
        self._dropped(key, kept)
        return key, kept


class MemoryStore(Store):
    """Keeps values in this process.

    Args:
        max_entries: Most values kept; the least lately used goes first.
        max_bytes: Most bytes kept.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: There is no room for anything.

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
        self._lock = RLock()
        self._kept = _Bounded(max_bytes, self._untag)
        self._tags: dict[str, set[str]] = {}
        self._leases: dict[str, tuple[str, float]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"max_entries": self.max_entries, "max_bytes": self.max_bytes, "clock": self._clock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def get(self, key: str) -> bytes | None:
        """The value, or `None`."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            if kept.expires is not None and kept.expires <= self._clock():
                self._drop(key)
                return None
            return kept.value

    def put(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Keep a value; one that is larger than all the room there is, is not kept."""
        kept = _Kept(value, self._clock(), expires, tuple(tags))
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

    def _untag(self, key: str, kept: _Kept) -> None:
        for tag in kept.tags:
            keys = self._tags.get(tag)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._tags[tag]

    def delete(self, *keys: str) -> int:
        """Forget values; how many there were."""
        with self._lock:
            return sum([self._drop(key) for key in keys])

    def tagged(self, tag: str) -> list[str]:
        """Keys of the values with a tag."""
        with self._lock:
            return list(self._tags.get(tag, ()))

    def older(self, before: float) -> list[str]:
        """Keys of the values put before a time."""
        with self._lock:
            return [key for key, kept in self._items() if kept.created < before]

    def _items(self) -> list[tuple[str, Any]]:
        # Looking at a value through the cache itself would make it the latest used.
        return [(key, LRUCache.__getitem__(self._kept, key)) for key in list(self._kept)]

    def keys(self, limit: int = 100) -> list[str]:
        """Keys, the latest put first."""
        with self._lock:
            return list(self._kept)[: -limit - 1 : -1]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept = _Bounded(self.max_bytes, self._untag)
            self._tags.clear()

    def stats(self) -> StoreStats:
        """How full it is."""
        with self._lock:
            return StoreStats(len(self._kept), int(self._kept.currsize), self.max_entries, self.max_bytes)

    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take or prolong a lease."""
        now = self._clock()
        with self._lock:
            held = self._leases.get(key)
            if held is not None and held[0] != owner and held[1] > now:
                return False
            self._leases[key] = (owner, now + seconds)
            return True

    def release(self, key: str, owner: str) -> None:
        """Give a lease back."""
        with self._lock:
            if self._leases.get(key, ("", 0.0))[0] == owner:
                del self._leases[key]

    async def aget(self, key: str) -> bytes | None:
        """`get`; it never waits."""
        return self.get(key)

    async def aput(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """`put`; it never waits."""
        self.put(key, value, expires=expires, tags=tags)

    async def aacquire(self, key: str, owner: str, seconds: float) -> bool:
        """`acquire`; it never waits."""
        return self.acquire(key, owner, seconds)

    async def arelease(self, key: str, owner: str) -> None:
        """`release`; it never waits."""
        self.release(key, owner)
