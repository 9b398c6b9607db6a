"""Interface of cache stores.

A store keeps bytes under keys, with a time to live and tags, and grants short leases, so that one of many processes computes an
answer. It may lose values at any time and may raise: a cache on a broken store behaves as if it were empty.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from langroute.core.errors import CacheError

LONGEST_LEASE = 60.0
"""Longest plausible lease in seconds, unless one's own leases are longer; a stored lease beyond it is invalid and may be taken."""


class StoreBusyError(CacheError):
    """The store is locked by other writers: this operation was not done, a later one may succeed."""


@dataclass(frozen=True, slots=True)
class StoreStats:
    """How full a store is."""

    entries: int
    bytes: int | None = None
    """Bytes of all values; `None` where the store does not know."""

    max_entries: int | None = None
    max_bytes: int | None = None


class Store(ABC):
    """Store of byte values under keys.

    Every method that may wait has an async version, which by default runs the sync one in a thread.
    """

    shared = False
    """Whether other processes see the values."""

    @property
    def has_secret(self) -> bool:
        """Whether values are sealed with a secret of yours, so that nobody else can forge an answer."""
        return bool(getattr(getattr(self, "codec", None), "has_secret", False))

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """Return the value, or `None` where there is none, it is expired, or it is damaged."""

    @abstractmethod
    def put(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Store a value, replacing an older one.

        Args:
            key: Its key.
            value: The value.
            expires: When it expires, in seconds since the epoch; `None` for never.
            tags: Tags it can be found and deleted by.
        """

    @abstractmethod
    def delete(self, *keys: str) -> int:
        """Delete values; return how many there were."""

    @abstractmethod
    def tagged(self, tag: str) -> list[str]:
        """Return the keys of the values with a tag."""

    def tag(self, key: str, tags: Sequence[str], *, expires: float | None = None) -> None:
        """Add tags to a value that is stored already; without it, what other processes got is not found by their tasks.

        Args:
            key: Its key; nothing is done where there is no value.
            tags: The tags.
            expires: When the value expires, as it was put.
        """
        return

    @abstractmethod
    def older(self, before: float) -> list[str]:
        """Return the keys of the values stored before a time, in seconds since the epoch."""

    @abstractmethod
    def keys(self, limit: int = 100) -> list[str]:
        """Return at most `limit` of the keys, the most recent first where the store knows the order."""

    @abstractmethod
    def clear(self) -> None:
        """Delete everything."""

    @abstractmethod
    def stats(self) -> StoreStats:
        """Return how full the store is."""

    @abstractmethod
    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take or extend a lease; return `False` while another owner has it."""

    @abstractmethod
    def release(self, key: str, owner: str) -> None:
        """Release a lease, if this owner has it."""

    def close(self) -> None:
        """Close files and connections."""
        return

    async def aget(self, key: str) -> bytes | None:
        """Async version of `get`."""
        return await asyncio.to_thread(self.get, key)

    async def aput(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Async version of `put`."""
        await asyncio.to_thread(self.put, key, value, expires=expires, tags=tags)

    async def atag(self, key: str, tags: Sequence[str], *, expires: float | None = None) -> None:
        """Async version of `tag`."""
        await asyncio.to_thread(self.tag, key, tags, expires=expires)

    async def aacquire(self, key: str, owner: str, seconds: float) -> bool:
        """Async version of `acquire`."""
        return await asyncio.to_thread(self.acquire, key, owner, seconds)

    async def arelease(self, key: str, owner: str) -> None:
        """Async version of `release`."""
        await asyncio.to_thread(self.release, key, owner)

    async def aclose(self) -> None:
        """Async version of `close`."""
        self.close()
