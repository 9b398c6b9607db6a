"""Response cache: exact and semantic look-up of stored answers, and the stores behind it."""

from __future__ import annotations

from langroute.cache.codec import Codec
from langroute.cache.namespaces import cache_namespace
from langroute.cache.policy import CachePolicy
from langroute.cache.response import ResponseCache
from langroute.cache.stats import CacheStats
from langroute.cache.stores import MemoryStore, Store, StoreStats, open_store

__all__ = [
    "CachePolicy",
    "CacheStats",
    "Codec",
    "MemoryStore",
    "ResponseCache",
    "Store",
    "StoreStats",
    "cache_namespace",
    "open_store",
]


def __dir__() -> list[str]:
    return sorted(__all__)
