"""Two-level store: a small one in memory in front of a file or network store."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from langroute.cache.stores.base import Store, StoreStats
from langroute.cache.stores.memory import MemoryStore


class TwoLevelStore(Store):
    """Store that looks in memory first, then in a far store.

    A value that another process deletes from the far store is served here for at most `near_seconds` more.

    Args:
        far: The authoritative store: SQLite or Redis.
        near: The store in memory.
        near_seconds: Longest time a value is answered from memory alone.
        clock: Seconds since the epoch.

    Example:
        >>> far = MemoryStore()
        >>> store = TwoLevelStore(far)
        >>> store.put("a", b"1")
        >>> store.get("a"), far.get("a")
        (b'1', b'1')
    """

    def __init__(
        self, far: Store, near: MemoryStore | None = None, *, near_seconds: float = 60.0, clock: Callable[[], float] = time.time
    ) -> None:
        self.far, self.near, self.near_seconds, self._clock = (
            far,
            near or MemoryStore(max_entries=10_000, clock=clock),
            near_seconds,
            clock,
        )
        self.shared = far.shared

    @property
    def has_secret(self) -> bool:
        """Whether the far store seals values with a secret of yours."""
        return self.far.has_secret

    def _keep_near(self, key: str, value: bytes, expires: float | None) -> None:
        until = self._clock() + self.near_seconds
        self.near.put(key, value, expires=until if expires is None else min(until, expires))

    def get(self, key: str) -> bytes | None:
        """Return the value, from memory where it is there."""
        value = self.near.get(key)
        if value is None and (value := self.far.get(key)) is not None:
            # The reader of an entry checks its own expiry too, so an entry that expires sooner is not served from memory.
            self._keep_near(key, value, None)
        return value

    async def aget(self, key: str) -> bytes | None:
        """Async version of `get`."""
        value = self.near.get(key)
        if value is None and (value := await self.far.aget(key)) is not None:
            self._keep_near(key, value, None)
        return value

    def put(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Store a value in both stores."""
        self._keep_near(key, value, expires)
        self.far.put(key, value, expires=expires, tags=tags)

    async def aput(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Async version of `put`."""
        self._keep_near(key, value, expires)
        await self.far.aput(key, value, expires=expires, tags=tags)

    def delete(self, *keys: str) -> int:
        """Delete values in both stores; return how many the far one had."""
        self.near.delete(*keys)
        return self.far.delete(*keys)

    def tagged(self, tag: str) -> list[str]:
        """Return the keys of the values with a tag."""
        return self.far.tagged(tag)

    def tag(self, key: str, tags: Sequence[str], *, expires: float | None = None) -> None:
        """Add tags to a value of the far store."""
        self.far.tag(key, tags, expires=expires)

    async def atag(self, key: str, tags: Sequence[str], *, expires: float | None = None) -> None:
        """Async version of `tag`."""
        await self.far.atag(key, tags, expires=expires)

    def older(self, before: float) -> list[str]:
        """Return the keys of the values stored before a time, in seconds since the epoch."""
        return self.far.older(before)

    def keys(self, limit: int = 100) -> list[str]:
        """Return at most `limit` of the keys."""
        return self.far.keys(limit)

    def clear(self) -> None:
        """Delete everything in both stores."""
        self.near.clear()
        self.far.clear()

    def stats(self) -> StoreStats:
        """Return how full the far store is."""
        return self.far.stats()

    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take or extend a lease in the far store; return `False` while another owner has it."""
        return self.far.acquire(key, owner, seconds)

    def release(self, key: str, owner: str) -> None:
        """Release a lease, if this owner has it."""
        self.far.release(key, owner)

    async def aacquire(self, key: str, owner: str, seconds: float) -> bool:
        """Async version of `acquire`."""
        return await self.far.aacquire(key, owner, seconds)

    async def arelease(self, key: str, owner: str) -> None:
        """Async version of `release`."""
        await self.far.arelease(key, owner)

    def close(self) -> None:
        """Close the far store; the one in memory holds nothing open."""
        self.far.close()

    async def aclose(self) -> None:
        """Async version of `close`."""
        await self.far.aclose()
