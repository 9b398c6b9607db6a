"""Clients of Redis or Valkey: one way to make them, for whatever keeps something there."""

from __future__ import annotations

from typing import Any

from langroute.core.errors import MissingExtraError
from langroute.core.locks import adopt
from langroute.core.urls import opened


def redis_client(url: Any, timeout_seconds: float, what: str) -> Any:
    """Return a client of the `redis` package that tries once and waits for a stated time; a client that is given is returned as it is.

    Args:
        url: Such as `redis://127.0.0.1:6379/0`, or a client.
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
    client = url
    if isinstance(url, str):
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise MissingExtraError("redis", "redis", what) from error
        # The client's default is three tries with pauses in between: a call would wait many times as long, and a script could run twice.
        once = Retry(NoBackoff(), 0)
        client = opened(
            redis.Redis.from_url, url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds, retry=once
        )
    # The client opens new connections in a forked child, but waits for this lock there.
    adopt(getattr(getattr(client, "connection_pool", None), "_lock", None))
    return client


def redis_error(what: str) -> type[Exception]:
    """Return the base class of the errors of the `redis` package.

    Args:
        what: What needs it, for the error where the package is missing.

    Raises:
        MissingExtraError: The `redis` package is not installed.

    Example:
        >>> redis_error("This example").__name__
        'RedisError'
    """
    try:
        import redis
    except ImportError as error:
        raise MissingExtraError("redis", "redis", what) from error
    return redis.RedisError
