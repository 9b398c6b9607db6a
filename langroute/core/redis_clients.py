"""Awaited clients of Redis or Valkey, one for each event loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from langroute.core.loop_clients import LoopClients
from langroute.core.redis_client import connection_options, pools_of, sentinel_options
from langroute.core.redis_url import RedisAddress, parse_redis_url


def redis_of_loops(url: Any, timeout_s: float, client: Any) -> LoopClients:
    """Return awaited clients for a URL; the `redis` package is imported with the first.

    Args:
        url: An address as `parse_redis_url` reads it.
        timeout_s: How long to wait for an answer. Nothing is tried again: the next call will do that.
        client: The client of the same URL that is not awaited; that of a cluster knows the nodes.
    """

    def make() -> Any:
        address = parse_redis_url(url)
        if address.kind == "cluster":
            return _of_cluster(address, timeout_s, client)
        if address.kind == "sentinel":
            return _of_sentinels(address, timeout_s)
        from redis.asyncio import Redis

        return Redis.from_url(address.url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=_once())

    return LoopClients(make, _closed, _dropped)


def _once() -> Any:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return Retry(NoBackoff(), 0)


def _of_cluster(address: RedisAddress, timeout_s: float, client: Any) -> Any:
    from langroute.core.redis_async_cluster import AwaitedCluster

    options = connection_options(address.url, timeout_seconds=timeout_s)
    options.pop("db", None)
    return AwaitedCluster(client, options)


def _of_sentinels(address: RedisAddress, timeout_s: float) -> Any:
    from redis.asyncio.sentinel import Sentinel

    options = connection_options(address.url, timeout_seconds=timeout_s)
    asked = Sentinel(list(address.hosts), sentinel_kwargs={**sentinel_options(address, options), "retry": _once()})  # type: ignore[no-untyped-call]
    return asked.master_for(address.service, **options, retry=_once())


async def _closed(client: Any) -> None:
    await client.aclose()
    for pool in pools_of(client):
        await pool.disconnect()


def _connections(client: Any) -> Iterator[Any]:
    for pool in pools_of(client):
        yield from (*pool._available_connections, *pool._in_use_connections)


def _dropped(client: Any) -> None:
    """Close the sockets of a client whose event loop is closed, where nothing can be awaited."""
    for connection in _connections(client):
        writer, connection._writer, connection._reader = connection._writer, None, None
        with suppress(AttributeError, OSError):
            writer.transport.get_extra_info("socket")._sock.close()


__all__ = ["redis_of_loops"]
