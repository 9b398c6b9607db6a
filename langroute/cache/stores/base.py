"""What must a store do, so that a cache can stand on it?

It keeps bytes under keys, with a time to live and tags, and lends short leases, so that one of many processes computes an answer.
It may forget at any time and may raise: a cache on a broken store answers as if there were none.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreStats:
    """How full a store is."""

    entries: int
    bytes: int | None = None
    """`None` where the store cannot tell."""

    max_entries: int | None = None
    max_bytes: int | None = None


class Store(ABC):
    """Keeps values under keys.

    Every method that may wait has an awaited twin; by default that runs the plain one in a thread.
    """

    shared = False
    """Other processes see what is kept here."""

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """The value, or `None` where there is none, it is too old, or it is damaged."""

    @abstractmethod
    def put(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Keep a value, in place of an older one.

        Args:
            key: Its key.
            value: The value.
            expires: When it is no longer good, in seconds since the epoch.
            tags: Names it can be deleted by.
        """

    @abstractmethod
    def delete(self, *keys: str) -> int:
        """Forget values; how many there were."""

    @abstractmethod
    def tagged(self, tag: str) -> list[str]:
        """Keys of the values with a tag."""

    @abstractmethod
    def older(self, before: float) -> list[str]:
        """Keys of the values put before a time, in seconds since the epoch."""

    @abstractmethod
    def keys(self, limit: int = 100) -> list[str]:
        """Some of the keys, the latest first where the store knows."""

    @abstractmethod
    def clear(self) -> None:
        """Forget everything."""

    @abstractmethod
    def stats(self) -> StoreStats:
        """How full it is."""

    @abstractmethod
    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take or prolong a lease; `False` while somebody else has it."""

    @abstractmethod
    def release(self, key: str, owner: str) -> None:
        """Give a lease back, if it is this owner's."""

    def close(self) -> None:
        """Let go of files and connections."""
        return

    async def aget(self, key: str) -> bytes | None:
        """`get`, awaited."""
        return await asyncio.to_thread(self.get, key)

    async def aput(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """`put`, awaited."""
        await asyncio.to_thread(self.put, key, value, expires=expires, tags=tags)

    async def aacquire(self, key: str, owner: str, seconds: float) -> bool:
        """`acquire`, awaited."""
        return await asyncio.to_thread(self.acquire, key, owner, seconds)

    async def arelease(self, key: str, owner: str) -> None:
        """`release`, awaited."""
        await asyncio.to_thread(self.release, key, owner)

    async def aclose(self) -> None:
        """`close`, awaited."""
        self.close()
