"""What one server, sentinels and a cluster cost a call: cache and budgets, by threads and awaited, in turns.

    python benchmarks/redis_kinds.py server=redis://127.0.0.1:6379/1 cluster=redis+cluster://127.0.0.1:7000

Medians in microseconds. An entry of 2,000 bytes has three tags; a reservation has two limits. For a single server also the processor time that it
used itself, as it counts it: what the page on capacity reckons with.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import redis

from langroute.budgets.redis import RedisBudgets
from langroute.budgets.store import Hold
from langroute.cache.stores.redis import RedisStore

WARM = 40


def holds(amount: int) -> list[Hold]:
    return [Hold(name, amount, 10**12, keep_seconds=600) for name in ("team", "all")]


class Kind:
    """One address, with the times of its calls."""

    def __init__(self, name: str, url: str) -> None:
        replicas = int(name.rpartition("+")[2]) if "+" in name else 0
        self.name, self.times = name, dict[str, list[float]]()
        self.server = redis.Redis.from_url(url) if url.startswith(("redis://", "rediss://")) else None
        self.budgets = RedisBudgets(url, prefix=f"{{bench{uuid4().hex[:8]}}}", replicas=replicas)
        self.store = RedisStore(url, prefix=f"bench{uuid4().hex[:8]}")

    def server_cpu(self) -> float:
        """Seconds of processor time that a single server has used; 0 of others, which are several."""
        if self.server is None:
            return 0.0
        told: Any = self.server.info("cpu")
        return float(told["used_cpu_user"] + told["used_cpu_sys"])

    async def _timed(self, what: str, ask: Callable[[], Any | Awaitable[Any]]) -> None:
        begun = time.perf_counter()
        found = ask()
        if asyncio.iscoroutine(found):
            await found
        self.times.setdefault(what, []).append((time.perf_counter() - begun) * 1e6)

    async def turn(self) -> None:
        key, value, until = uuid4().hex, b"x" * 2000, time.time() + 60
        more: dict[str, Any] = {"tags": ["a", "b", "c"], "expires": until}
        await self._timed("get", lambda: self.store.get(key))
        await self._timed("put", lambda: self.store.put(key, value, **more))
        await self._timed("reserve", lambda: self.budgets.reserve(key, holds(10)))
        await self._timed("settle", lambda: self.budgets.settle(key, holds(7)))
        await self._timed("get, awaited", lambda: self.store.aget(key))
        await self._timed("put, awaited", lambda: self.store.aput(key, value, **more))
        await self._timed("reserve, awaited", lambda: self.budgets.areserve(f"{key}-2", holds(10)))
        self.budgets.settle(f"{key}-2", holds(7))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="+", metavar="NAME=URL", help="NAME+1 waits for one replica when it settles")
    parser.add_argument("--turns", type=int, default=400)
    options = parser.parse_args()
    kinds = [Kind(*one.split("=", 1)) for one in options.kinds]
    before = [kind.server_cpu() for kind in kinds]
    for _ in range(options.turns + WARM):
        for kind in kinds:
            await kind.turn()
    print(f"{'':18}" + "".join(f"{kind.name:>14}" for kind in kinds))
    for what in kinds[0].times:
        print(f"{what:18}" + "".join(f"{statistics.median(kind.times[what][WARM:]):14.0f}" for kind in kinds))
    for kind, used in zip(kinds, before, strict=True):
        if kind.server is not None:
            each = (kind.server_cpu() - used) / (options.turns + WARM) * 1e6
            print(f"{kind.name}: {each:.0f} us of the server's processor a turn (2 gets, 2 puts, 2 reservations, 2 settlements)")
        kind.store.clear()
        await kind.store.aclose()
        await kind.budgets.aclose()


if __name__ == "__main__":
    asyncio.run(main())
