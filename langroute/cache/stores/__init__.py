"""Stores of cached answers: in memory, in an SQLite file, in Redis or Valkey, and two levels of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langroute.cache.stores.base import Store, StoreStats
from langroute.cache.stores.memory import MemoryStore
from langroute.core.errors import ConfigurationError
from langroute.core.redis_url import is_redis_url
from langroute.core.urls import shown_url, sqlite_file


def open_store(where: Any = None, **options: Any) -> Store:
    """Return the store of a path or URL.

    Args:
        where: Nothing (memory), a store, a path (SQLite), or a URL: `sqlite:///file.db`, `redis://host:6379/0`,
            `valkey://…`, `redis+cluster://…`, `redis+sentinel://…`.
        options: Other arguments of the store.

    Raises:
        CacheError: The store cannot be opened.
        ConfigurationError: `where` is none of these.
        MissingExtraError: The store is Redis and redis-py is not installed.

    Example:
        >>> type(open_store()).__name__
        'MemoryStore'
    """
    if where is None or where is True or where == "memory":
        return MemoryStore(**options)
    if isinstance(where, Store):
        return where
    if not isinstance(where, (str, Path)):
        raise ConfigurationError(f"A cache is kept in memory, in a file or in Redis; {type(where).__name__} is none of these.")
    name = str(where)
    if (file := sqlite_file(name)) is not None:
        from langroute.cache.stores.sqlite import SqliteStore

        return SqliteStore(file, **options)
    if is_redis_url(name):
        from langroute.cache.stores.redis import RedisStore

        return RedisStore(name, **options)
    raise ConfigurationError(f"No store for {shown_url(name)}. Use a path, sqlite:///, redis:// or valkey://.")


__all__ = ["MemoryStore", "Store", "StoreStats", "open_store"]
