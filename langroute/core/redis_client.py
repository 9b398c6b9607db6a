"""Clients of Redis or Valkey: one way to make them, for whatever keeps something there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langroute.core.errors import MissingExtraError
from langroute.core.locks import adopt
from langroute.core.redis_url import RedisAddress, parse_redis_url
from langroute.core.urls import opened


def redis_client(url: Any, timeout_seconds: float, what: str) -> Any:
    """Return a client of the `redis` package that tries once and waits for a stated time. It connects at its first use.

    Args:
        url: An address as `parse_redis_url` reads it; or a client, which is returned as it is (that of a cluster with a short pipeline).
        timeout_seconds: How long to wait for an answer.
        what: What needs it, for the error where the package is missing.

    Raises:
        ConfigurationError: The URL is malformed.
        MissingExtraError: The `redis` package is not installed.

    Example:
        >>> client = redis_client("redis://127.0.0.1:6379/0", 1.0, "This example")
        >>> redis_client(client, 1.0, "This example") is client
        True
    """
    redis_errors(what)
    from langroute.core.redis_cluster import ClusterClient, is_cluster

    if not isinstance(url, str):
        client = ClusterClient(given=url) if is_cluster(url) else url
        return _adopted(client)
    address = parse_redis_url(url)
    if address.kind == "cluster":
        return ClusterClient(address, opened(connection_options, address.url, timeout_seconds=timeout_seconds))
    if address.kind == "sentinel":
        return _adopted(_of_sentinels(address, opened(connection_options, address.url, timeout_seconds=timeout_seconds)))
    import redis

    return _adopted(opened(redis.Redis.from_url, address.url, **_limits(timeout_seconds), retry=once()))


def once() -> Any:
    """Return the rule that nothing is repeated.

    The package's default is three tries with pauses in between: a call would wait many times as long, and a script could run twice.
    """
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Retry(NoBackoff(), 0)


def _limits(timeout_seconds: float) -> dict[str, Any]:
    return {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}


def connection_options(url: str, *, timeout_seconds: float) -> dict[str, Any]:
    """Return what a URL says of a connection beside the host: user, password, database, TLS and other options.

    Example:
        >>> options = connection_options("rediss://me:p%40w@h/2?ssl_ca_certs=ca.pem", timeout_seconds=1.0)
        >>> options["password"], options["ssl"], options["ssl_ca_certs"]
        ('p@w', True, 'ca.pem')
    """
    from redis.connection import parse_url

    options = {**_limits(timeout_seconds), **parse_url(url)}  # type: ignore[no-untyped-call]
    if options.pop("connection_class", None) is not None:
        options["ssl"] = True
    for name in ("host", "port"):
        options.pop(name, None)
    return options


def sentinel_options(address: RedisAddress, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of connections to the sentinels themselves: the same time limits and certificates, a login of their own."""
    kept = {name: value for name, value in options.items() if name.startswith(("socket_", "ssl"))}
    return {**kept, **address.sentinel_login}


def _of_sentinels(address: RedisAddress, options: dict[str, Any]) -> Any:
    from redis.sentinel import Sentinel

    asked = Sentinel(list(address.hosts), sentinel_kwargs={**sentinel_options(address, options), "retry": once()})  # type: ignore[no-untyped-call]
    return asked.master_for(address.service, **options, retry=once())  # type: ignore[no-untyped-call]


def pools_of(client: Any) -> list[Any]:
    """Return the pools of connections of a client: its own, and those to the sentinels that it asks."""
    if hasattr(client, "pools"):
        return list(client.pools())
    pool = getattr(client, "connection_pool", None)
    sentinels: Iterable[Any] = getattr(getattr(pool, "sentinel_manager", None), "sentinels", ())
    return [pool, *(sentinel.connection_pool for sentinel in sentinels)] if pool is not None else []


def is_spread(client: Any) -> bool:
    """Return whether a client's keys are spread over the nodes of a cluster."""
    return hasattr(client, "found_address")


def node_of(client: Any, key: str) -> Any:
    """Return the client of the one server that has a key: that of a cluster's node, else the client itself."""
    return client.node(key) if is_spread(client) else client


def look_again(client: Any) -> None:
    """Have a cluster's client ask which node has which keys."""
    if is_spread(client):
        client.look_again()


def close_client(client: Any) -> None:
    """Close all connections of a client; it opens others when it is used again."""
    client.close()
    for pool in pools_of(client)[1:]:
        pool.disconnect()


def _adopted(client: Any) -> Any:
    # The client opens new connections in a forked child, but waits for this lock there.
    for pool in pools_of(client):
        adopt(getattr(pool, "_lock", None))
    return client


def redis_errors(what: str) -> tuple[type[Exception], ...]:
    """Return the errors of a client.

    They come from the server, the network, an option in the URL that no connection takes, or a connection that another thread closes.

    Args:
        what: What needs it, for the error where the package is missing.

    Raises:
        MissingExtraError: The `redis` package is not installed.

    Example:
        >>> [error.__name__ for error in redis_errors("This example")]
        ['RedisError', 'RedisClusterException', 'OSError', 'TypeError', 'ValueError', 'AttributeError']
    """
    try:
        from redis.exceptions import RedisClusterException, RedisError
    except ImportError as error:
        raise MissingExtraError("redis", "redis", what) from error
    return (RedisError, RedisClusterException, OSError, TypeError, ValueError, AttributeError)


__all__ = [
    "close_client",
    "connection_options",
    "is_spread",
    "look_again",
    "node_of",
    "once",
    "pools_of",
    "redis_client",
    "redis_errors",
    "sentinel_options",
]
