"""How is a far store made near? With a small one in memory before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from langroute.cache.stores.base import Store, StoreStats
from langroute.cache.stores.memory import MemoryStore


class TwoLevelStore(Store):
    """Looks into memory first, then into a far store.

    What another process deletes from the far store stays good here for at most `near_seconds`.

    Args:
        far: The store that counts: SQLite or Redis.
        near: The one in memory.
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

    def _keep_near(self, key: str, value: bytes, expires: float | None) -> None:
        until = self._clock() + self.near_seconds
        self.near.put(key, value, expires=until if expires is None else min(until, expires))

    def get(self, key: str) -> bytes | None:
        """The value, from memory where it is there."""
        value = self.near.get(key)
        if value is None and (value := self.far.get(key)) is not None:
            # Whoever reads an entry checks its own time too, so one that runs out sooner is not answered from memory.
            self._keep_near(key, value, None)
        return value

    async def aget(self, key: str) -> bytes | None:
        """`get`, awaited."""
        value = self.near.get(key)
        if value is None and (value := await self.far.aget(key)) is not None:
            self._keep_near(key, value, None)
        return value

    def put(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Keep a value in both."""
        self._keep_near(key, value, expires)
        self.far.put(key, value, expires=expires, tags=tags)

    async def aput(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """`put`, awaited."""
        self._keep_near(key, value, expires)
        await self.far.aput(key, value, expires=expires, tags=tags)

    def delete(self, *keys: str) -> int:
        """Forget values in both; how many the far one had."""
        self.near.delete(*keys)
        return self.far.delete(*keys)

    def tagged(self, tag: str) -> list[str]:
        """Keys of the values with a tag."""
        return self.far.tagged(tag)

    def older(self, before: float) -> list[str]:
        """Keys of the values put before a time."""
        return self.far.older(before)

    def keys(self, limit: int = 100) -> list[str]:
        """Some of the keys."""
        return self.far.keys(limit)

    def clear(self) -> None:
        """Forget everything in both."""
        self.near.clear()
        self.far.clear()

    def stats(self) -> StoreStats:
        """How full the far one is."""
        return self.far.stats()

    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take or prolong a lease of the far store."""
        return self.far.acquire(key, owner, seconds)

    def release(self, key: str, owner: str) -> None:
        """Give a lease back."""
        self.far.release(key, owner)

    async def aacquire(self, key: str, owner: str, seconds: float) -> bool:
        """`acquire`, awaited."""
        return await self.far.aacquire(key, owner, seconds)

    async def arelease(self, key: str, owner: str) -> None:
        """`release`, awaited."""
        await self.far.arelease(key, owner)

    def close(self) -> None:
        """Close both."""
        self.far.close()

    async def aclose(self) -> None:
        """Close both."""
        await self.far.aclose()
