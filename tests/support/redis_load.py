"""Threads and coroutines that keep answers and spend money in Redis, and note what they did."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from langroute.budgets.redis import RedisBudgets
from langroute.budgets.settling import SETTLING
from langroute.budgets.store import Hold
from langroute.cache.stores.redis import RedisStore

LIMITS = ("team", "all")


class Load:
    """What was asked of a cache and of budgets, and what came of it.

    Args:
        url: Where both are.
        replicas: Replicas that must have what was spent.
        prefix: Prefix of the cache's keys, in the place of one of its own.
    """

    def __init__(self, url: str, *, replicas: int = 0, prefix: str | None = None) -> None:
        self.store = RedisStore(url, prefix=prefix or f"t{uuid4().hex[:8]}", timeout_seconds=0.5)
        self.budgets = RedisBudgets(url, timeout_seconds=0.5, replicas=replicas)
        self.spent = self.answered = self.failed = 0
        self.foreign: list[str] = []
        """Keys that had another one's value."""

        self._stop = threading.Event()
        self._lock = threading.Lock()

    def _count(self, name: str, amount: int = 1) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + amount)

    def _read(self, key: str, value: bytes | None) -> None:
        if value not in (None, key.encode()):
            self.foreign.append(key)
        self._count("answered")

    def _settle(self, id: str, amount: int) -> None:
        SETTLING.settle(self.budgets, id, [Hold(name, amount) for name in LIMITS])
        self._count("spent", amount)

    def _thread(self, name: str) -> None:
        turn = 0
        while not self._stop.is_set():
            turn, hold, key = turn + 1, uuid4().hex, f"{name} {turn % 40}"
            try:
                self._read(key, self.store.get(key))
                self.store.put(key, key.encode(), tags=["a", "b"], expires=time.time() + 60)
            except Exception:
                self._count("failed")
            try:
                self.budgets.reserve(hold, [Hold(name, 10, 10**9) for name in LIMITS])
                self._settle(hold, 7)
            except Exception:
                self._settle(hold, 0)
            time.sleep(0.005)

    async def _task(self, name: str) -> None:
        turn = 0
        while not self._stop.is_set():
            turn, hold, key = turn + 1, uuid4().hex, f"{name} {turn % 40}"
            try:
                self._read(key, await self.store.aget(key))
                await self.store.aput(key, key.encode(), tags=["a", "b"], expires=time.time() + 60)
            except Exception:
                self._count("failed")
            try:
                await self.budgets.areserve(hold, [Hold(name, 10, 10**9) for name in LIMITS])
                self._settle(hold, 7)
            except Exception:
                self._settle(hold, 0)
            await asyncio.sleep(0.005)

    async def _tasks(self) -> None:
        await asyncio.gather(*(self._task(f"task {number}") for number in range(4)))
        await self.store.aclose()
        await self.budgets.aclose()

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Three threads, and a fourth one with four coroutines, for as long as this lasts."""
        threads = [threading.Thread(target=self._thread, args=(f"thread {number}",)) for number in range(3)]
        threads.append(threading.Thread(target=lambda: asyncio.run(self._tasks())))
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def balances(self) -> list[Any]:
        return [(one.spent, one.held) for one in self.budgets.balances(LIMITS)]

    def expected(self) -> list[Any]:
        return [(self.spent, 0)] * len(LIMITS)

    def close(self) -> None:
        self.store.close()
        self.budgets.close()


__all__ = ["Load"]
