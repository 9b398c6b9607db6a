"""Awaited clients of Redis or Valkey, one for each event loop."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from langroute.core.loop_clients import LoopClients


def redis_of_loops(url: Any, timeout_s: float) -> LoopClients:
    """Return awaited clients for a URL; the `redis` package is imported with the first.

    Args:
        url: Such as `redis://127.0.0.1:6379/0`.
        timeout_s: How long to wait for an answer. Nothing is tried again: the next call will do that.
    """

    def make() -> Any:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        return Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0))

    return LoopClients(make, lambda made: made.aclose(), _dropped)


def _dropped(client: Any) -> None:
    """Close the sockets of a client whose event loop is closed, where nothing can be awaited."""
    pool = client.connection_pool
    for connection in (*pool._available_connections, *pool._in_use_connections):
        writer, connection._writer, connection._reader = connection._writer, None, None
        with suppress(AttributeError, OSError):
            writer.transport.get_extra_info("socket")._sock.close()


__all__ = ["redis_of_loops"]
