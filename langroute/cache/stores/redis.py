"""Store in Redis or Valkey, single server or cluster, for many machines.

Each command touches one key, so that a cluster can spread them over its nodes. Expiry is left to the server, and so is eviction when it is
full (`maxmemory-policy allkeys-lru` suits a cache).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from langroute.cache.codec import MAX_BYTES, Codec
from langroute.cache.stores.base import LONGEST_LEASE, Store, StoreStats
from langroute.core.degradation import Degradations
from langroute.core.errors import ConfigurationError, ConfigurationWarning, DataError
from langroute.core.redis_client import close_client, redis_client
from langroute.core.redis_clients import redis_of_loops
from langroute.core.storable import text_of

ACQUIRE = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
  local left = redis.call('PTTL', KEYS[1])
  if left >= 0 and left <= tonumber(ARGV[3]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
INDEX = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
local last = tonumber(redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2])
if last >= tonumber(ARGV[4]) then redis.call('PERSIST', KEYS[1])
else redis.call('PEXPIRE', KEYS[1], math.max(1, math.ceil((last - tonumber(ARGV[1])) * 1000))) end
return 1
"""
"""Add a key to an index that is sorted by expiry, and let the index expire with the last of its keys: what never expires cannot be evicted
by `volatile-lru`, and fills a server that evicts nothing.
"""

LISTED = """
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
local left = redis.call('PTTL', KEYS[1])
if ARGV[3] == '' then redis.call('PERSIST', KEYS[1])
elseif redis.call('ZCARD', KEYS[1]) == 1 or (left >= 0 and left < tonumber(ARGV[3])) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
"""
"""Add a key to a list that is sorted by age."""

TRIMMED = 1000
"""Most expired keys that one put removes from the lists of all keys."""

FOREVER = 1e15
FOREIGN = (
    "The Redis cache holds answers that are damaged or were sealed by another user or machine; they are not used. Machines that share "
    'answers need one secret: RedisStore(..., codec=Codec(secret="...")).'
)


class RedisStore(Store):
    """Store of values in Redis or Valkey.

    Args:
        url: `redis://host:6379/0`, `redis+cluster://…`, `redis+sentinel://…` and others (see `parse_redis_url`).
        client: A `redis.Redis` or `redis.RedisCluster` of your own, instead of a URL.
        async_client: The matching async client; without one, async calls run the sync client in a thread.
        prefix: Prefix of all keys.
        codec: How values are sealed, compressed and encrypted. Machines that share answers need one with the same secret.
        timeout_seconds: Longest wait for the server. A client of your own keeps its own timeouts.
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
        if client is not None and _waits_for_ever(client):
            warnings.warn(
                "The Redis client has no socket_timeout: calls wait for as long as the server hangs. Make it with socket_timeout=1.",
                ConfigurationWarning,
                stacklevel=2,
            )
        self._client = redis_client(url if client is None else client, timeout_seconds, "Keeping answers in Redis or Valkey")
        self._given_async = async_client
        self._async = redis_of_loops(self.url, timeout_seconds, self._client)
        self._notices = Degradations()

    def __getstate__(self) -> dict[str, Any]:
        if self.url is None:
            raise TypeError("A Redis store with a client of your own cannot be pickled; give it a URL.")
        return {"url": self.url, "prefix": self.prefix, "codec": self.codec, "timeout_seconds": self._timeout, "clock": self._clock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _aclient(self) -> Any:
        return self._given_async if self._given_async is not None or self.url is None else self._async.get()

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
        if not sealed:
            return None
        try:
            return self.codec.open(key, sealed.encode() if isinstance(sealed, str) else sealed)
        except DataError:
            self._notices.warn("sealed", ConfigurationWarning, FOREIGN)
            return None

    def get(self, key: str) -> bytes | None:
        """Return the value, or `None`."""
        try:
            # Read no more than the longest value that this store writes.
            return self._opened(key, self._client.getrange(self._entry(key), 0, MAX_BYTES))
        except Exception as error:
            if _is_no_value(error):
                return None
            raise

    async def aget(self, key: str) -> bytes | None:
        """Async version of `get`."""
        if (client := self._aclient()) is None:
            return await super().aget(key)
        try:
            return self._opened(key, await client.getrange(self._entry(key), 0, MAX_BYTES))
        except Exception as error:
            if _is_no_value(error):
                return None
            raise

    def _queue(self, pipe: Any, key: str, value: bytes, expires: float | None, tags: Sequence[str]) -> bool:
        """Queue the commands of a put in a pipeline; return `False` for a value that is expired already."""
        now = self._clock()
        left = None if expires is None else int((expires - now) * 1000)
        if left is not None and left <= 0:
            return False
        # The first answer is of what is expired by now; see `_expired`.
        pipe.execute_command("ZRANGEBYSCORE", self._all, "-inf", now, "LIMIT", 0, TRIMMED)
        until = () if left is None else ("PX", left)
        pipe.execute_command("SET", self._entry(key), self.codec.seal(key, value), *until)
        pipe.execute_command("EVAL", LISTED, 1, self._created, now, key, "" if left is None else left)
        pipe.execute_command(
            "EVAL", LISTED, 1, self._all, FOREVER if expires is None else expires, key, "" if left is None else left
        )
        self._index(pipe, key, now, expires, tags)
        return True

    def _index(self, pipe: Any, key: str, now: float, expires: float | None, tags: Sequence[str]) -> None:
        for tag in tags:
            pipe.execute_command("EVAL", INDEX, 1, self._tag(tag), now, FOREVER if expires is None else expires, key, FOREVER)

    def _expired(self, pipe: Any, answers: Sequence[Any], key: str) -> bool:
        """Queue the removal of expired keys from the lists; return whether there are any. `answers` are those of a put's commands."""
        gone = [one for one in answers[0] if text_of(one) != key]
        if gone:
            pipe.execute_command("ZREM", self._created, *gone)
            pipe.execute_command("ZREM", self._all, *gone)
        return bool(gone)

    def tag(self, key: str, tags: Sequence[str], *, expires: float | None = None) -> None:
        """Add tags to a value."""
        with self._client.pipeline(transaction=False) as pipe:
            self._index(pipe, key, self._clock(), expires, tags)
            pipe.execute()

    async def atag(self, key: str, tags: Sequence[str], *, expires: float | None = None) -> None:
        """Async version of `tag`."""
        if (client := self._aclient()) is None:
            await super().atag(key, tags, expires=expires)
            return
        async with client.pipeline(transaction=False) as pipe:
            self._index(pipe, key, self._clock(), expires, tags)
            await pipe.execute()

    def put(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Store a value."""
        with self._client.pipeline(transaction=False) as pipe:
            if self._queue(pipe, key, value, expires, tags) and self._expired(pipe, pipe.execute(), key):
                pipe.execute()

    async def aput(self, key: str, value: bytes, *, expires: float | None = None, tags: Sequence[str] = ()) -> None:
        """Async version of `put`."""
        if (client := self._aclient()) is None:
            await super().aput(key, value, expires=expires, tags=tags)
            return
        async with client.pipeline(transaction=False) as pipe:
            if self._queue(pipe, key, value, expires, tags) and self._expired(pipe, await pipe.execute(), key):
                await pipe.execute()

    def delete(self, *keys: str) -> int:
        """Delete values; return how many there were."""
        gone = 0
        for begin in range(0, len(keys), 500):
            part = keys[begin : begin + 500]
            with self._client.pipeline(transaction=False) as pipe:
                for key in part:
                    pipe.execute_command("UNLINK", self._entry(key))
                gone += sum(pipe.execute())
            self._client.zrem(self._all, *part)
            self._client.zrem(self._created, *part)
        return gone

    def tagged(self, tag: str) -> list[str]:
        """Return the keys of the values with a tag."""
        return [text_of(key) for key in self._client.zrangebyscore(self._tag(tag), self._clock(), "+inf")]

    def older(self, before: float) -> list[str]:
        """Return the keys of the values stored before a time, in seconds since the epoch."""
        return [text_of(key) for key in self._client.zrangebyscore(self._created, "-inf", f"({before}")]

    def keys(self, limit: int = 100) -> list[str]:
        """Return at most `limit` keys, the most recently stored first."""
        found = [text_of(key) for key in self._client.zrevrange(self._created, 0, limit - 1)]
        with self._client.pipeline(transaction=False) as pipe:
            for key in found:
                pipe.execute_command("EXISTS", self._entry(key))
            alive = pipe.execute() if found else []
        gone = [key for key, there in zip(found, alive, strict=True) if not there]
        if gone:
            self._client.zrem(self._created, *gone)
            self._client.zrem(self._all, *gone)
        return [key for key, there in zip(found, alive, strict=True) if there]

    def clear(self) -> None:
        """Delete all values, tags and leases; what else begins with the prefix, such as shared state, stays."""
        batch: list[Any] = [self._all, self._created]
        for name in self._client.scan_iter(match=f"{_escaped(self.prefix)}:[etl]:*", count=1000):
            batch.append(name)
            if len(batch) >= 500:
                self._unlink(batch)
                batch = []
        self._unlink(batch)

    def _unlink(self, names: list[Any]) -> None:
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.execute_command("UNLINK", name)
            if names:
                pipe.execute()

    def stats(self) -> StoreStats:
        """Return the number of values; their bytes are not known."""
        return StoreStats(int(self._client.zcount(self._all, self._clock(), "+inf")))

    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take or extend a lease; return `False` while another owner has it."""
        return bool(self._client.eval(ACQUIRE, 1, f"{self.prefix}:l:{key}", owner, *_lease(seconds)))

    def release(self, key: str, owner: str) -> None:
        """Release a lease, if this owner has it."""
        self._client.eval(RELEASE, 1, f"{self.prefix}:l:{key}", owner)

    async def aacquire(self, key: str, owner: str, seconds: float) -> bool:
        """Async version of `acquire`."""
        if (client := self._aclient()) is None:
            return await super().aacquire(key, owner, seconds)
        return bool(await client.eval(ACQUIRE, 1, f"{self.prefix}:l:{key}", owner, *_lease(seconds)))

    async def arelease(self, key: str, owner: str) -> None:
        """Async version of `release`."""
        if (client := self._aclient()) is None:
            await super().arelease(key, owner)
            return
        await client.eval(RELEASE, 1, f"{self.prefix}:l:{key}", owner)

    def close(self) -> None:
        """Close the connections that this store opened."""
        self._async.sweep()
        if self._own:
            close_client(self._client)

    async def aclose(self) -> None:
        """Async version of `close`, which also closes the connections of this event loop."""
        await self._async.aclose()
        self.close()


def _lease(seconds: float) -> tuple[int, int]:
    """Return the milliseconds of a lease, and the most that a valid lease of another owner can have left."""
    return max(1, int(seconds * 1000)), int(max(LONGEST_LEASE, seconds) * 1000)


def _waits_for_ever(client: Any) -> bool:
    """Return whether a client's connections are known to have no timeout."""
    settings = getattr(getattr(client, "connection_pool", None), "connection_kwargs", None)
    return isinstance(settings, dict) and settings.get("socket_timeout") is None


def _is_no_value(error: Exception) -> bool:
    """Return whether the key holds another Redis type, which is a miss and not a failure of the server."""
    return str(error).startswith("WRONGTYPE")


def _escaped(prefix: str) -> str:
    return "".join(f"\\{sign}" if sign in "*?[]\\^-" else sign for sign in prefix)
