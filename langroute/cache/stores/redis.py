"""How are answers kept for many machines? In Redis or Valkey, alone or as a cluster.

Each command touches one key, so that a cluster can spread them. Times to live are the server's own; so is what goes first when it is
full (`maxmemory-policy allkeys-lru` suits a cache).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from langroute.cache.codec import Codec
from langroute.cache.stores.base import Store, StoreStats
from langroute.errors import ConfigurationError, DataError, MissingExtraError

ACQUIRE = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
FOREVER = 1e15


class RedisStore(Store):
    """Keeps values in Redis or Valkey.

    Args:
        url: `redis://host:6379/0`, `rediss://…` or `unix://…`.
        client: A `redis.Redis` or `redis.RedisCluster` of your own, instead of a URL.
        async_client: Its awaited twin; without one, awaited calls run the plain client in a thread.
        prefix: What all keys begin with.
        codec: How values are sealed, compressed and encrypted.
        timeout_seconds: Longest wait for the server; a cache that is slower than this is no help.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: Neither or both of URL and client were given.
        MissingExtraError: redis-py is not installed.
    """

    shared = True

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Any = None,
        async_client: Any = None,
        prefix: str = "langroute",
        codec: Codec | None = None,
        timeout_seconds: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if (url is None) == (client is None):
            raise ConfigurationError("Give a Redis store either a URL or a client.")
        self.url, self.prefix, self.codec, self._clock, self._timeout = url, prefix, codec or Codec(), clock, timeout_seconds
        self._own = client is None
        if client is None:
            try:
                import redis
            except ImportError as error:
                raise MissingExtraError("redis", "redis", "Keeping answers in Redis or Valkey") from error
            client = redis.Redis.from_url(url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds)  # type: ignore[arg-type]
        self._client = client
        self._given_async = async_client
        # A connection belongs to the event loop it was made in.
        self._async: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        if self.url is None:
            raise TypeError("A Redis store with a client of your own cannot be pickled; give it a URL.")
        return {"url": self.url, "prefix": self.prefix, "codec": self.codec, "timeout_seconds": self._timeout, "clock": self._clock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _aclient(self) -> Any:
        if self._given_async is not None or self.url is None:
            return self._given_async
        loop = asyncio.get_running_loop()
        client = self._async.get(loop)
        if client is None:
            from redis.asyncio import Redis

            client = self._async[loop] = Redis.from_url(
                self.url, socket_timeout=self._timeout, socket_connect_timeout=self._timeout
            )
        return client

    def _entry(self, key: str) -> str:
        return f"{self.prefix}:e:{key}"

    def _tag(self, tag: str) -> str:
        return f"{self.prefix}:t:{tag}"

    @property
    def _all(self) -> str:
        return f"{self.prefix}:all"

    @property
    def _created(self) -> str:
        return f"{self.prefix}:created"

    def _opened(self, key: str, sealed: Any) -> bytes | None:
        if sealed is None:
            return None
        try:
            return self.codec.open(key, sealed.encode() if isinstance(sealed, str) else sealed)
        except DataError:
            return None

    def get(self, key: str) -> bytes | None:
        """The value, or `None`."""
        return self._opened(key, self._client.get(self._entry(key)))

    async def aget(self, key: str) -> bytes | None:
        """`get`, awaited."""
        if (client := self._aclient()) is None:
            return await super().aget(key)
        return self._opened(key, await client.get(self._entry(key)))

    def _queue(self, pipe: Any, key: str, value: bytes, expires: float | None, tags: Sequence[str]) -> bool:
        """Write a put into a pipeline; `False` where there is nothing left to keep."""
        now = self._clock()
        left = None if expires is None else int((expires - now) * 1000)
        if left is not None and left <= 0:
            return False
        pipe.set(self._entry(key), self.codec.seal(key, value), px=left)
        until = FOREVER if expires is None else expires
        for name in (self._all, *[self._tag(tag) for tag in tags]):
            # What has run out is dropped from the lists whenever something is added to them.
            pipe.zremrangebyscore(name, "-inf", now)
            pipe.zadd(name, {key: until})
        pipe.zadd(self._created, {key: now})
        return True

    def put(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Keep a value."""
        with self._client.pipeline(transaction=False) as pipe:
            if self._queue(pipe, key, value, expires, tags):
                pipe.execute()

    async def aput(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """`put`, awaited."""
        if (client := self._aclient()) is None:
            await super().aput(key, value, expires=expires, tags=tags)
            return
        async with client.pipeline(transaction=False) as pipe:
            if self._queue(pipe, key, value, expires, tags):
                await pipe.execute()

    def delete(self, *keys: str) -> int:
        """Forget values; how many there were."""
        gone = 0
        for begin in range(0, len(keys), 500):
            part = keys[begin : begin + 500]
            with self._client.pipeline(transaction=False) as pipe:
                for key in part:
                    pipe.unlink(self._entry(key))
                gone += sum(pipe.execute())
            self._client.zrem(self._all, *part)
            self._client.zrem(self._created, *part)
        return gone

    def tagged(self, tag: str) -> list[str]:
        """Keys of the values with a tag."""
        return [_text(key) for key in self._client.zrangebyscore(self._tag(tag), self._clock(), "+inf")]

    def older(self, before: float) -> list[str]:
        """Keys of the values put before a time."""
        return [_text(key) for key in self._client.zrangebyscore(self._created, "-inf", f"({before}")]

    def keys(self, limit: int = 100) -> list[str]:
        """Keys, the latest put first."""
        found = [_text(key) for key in self._client.zrevrange(self._created, 0, limit - 1)]
        with self._client.pipeline(transaction=False) as pipe:
            for key in found:
                pipe.exists(self._entry(key))
            alive = pipe.execute() if found else []
        gone = [key for key, there in zip(found, alive, strict=True) if not there]
        if gone:
            self._client.zrem(self._created, *gone)
            self._client.zrem(self._all, *gone)
        return [key for key, there in zip(found, alive, strict=True) if there]

    def clear(self) -> None:
        """Forget everything under the prefix."""
        batch: list[Any] = []
        for name in self._client.scan_iter(match=f"{_escaped(self.prefix)}:*", count=1000):
            batch.append(name)
            if len(batch) >= 500:
                self._unlink(batch)
                batch = []
        self._unlink(batch)

    def _unlink(self, names: list[Any]) -> None:
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.unlink(name)
            if names:
                pipe.execute()

    def stats(self) -> StoreStats:
        """How many values there are; how many bytes, only the server knows."""
        return StoreStats(int(self._client.zcount(self._all, self._clock(), "+inf")))

    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take or prolong a lease."""
        return bool(self._client.eval(ACQUIRE, 1, f"{self.prefix}:l:{key}", owner, max(1, int(seconds * 1000))))

    def release(self, key: str, owner: str) -> None:
        """Give a lease back."""
        self._client.eval(RELEASE, 1, f"{self.prefix}:l:{key}", owner)

    async def aacquire(self, key: str, owner: str, seconds: float) -> bool:
        """`acquire`, awaited."""
        if (client := self._aclient()) is None:
            return await super().aacquire(key, owner, seconds)
        return bool(await client.eval(ACQUIRE, 1, f"{self.prefix}:l:{key}", owner, max(1, int(seconds * 1000))))

    async def arelease(self, key: str, owner: str) -> None:
        """`release`, awaited."""
        if (client := self._aclient()) is None:
            await super().arelease(key, owner)
            return
        await client.eval(RELEASE, 1, f"{self.prefix}:l:{key}", owner)

    def close(self) -> None:
        """Close the connections that were made here."""
        if self._own:
            self._client.close()

    async def aclose(self) -> None:
        """`close`, with the connections of this event loop."""
        client = self._async.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()
        self.close()


def _text(key: Any) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)


def _escaped(prefix: str) -> str:
    return "".join(f"\\{sign}" if sign in "*?[]\\^-" else sign for sign in prefix)
