"""Servers of the cache tests: one for the session; tests that break one start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pgvector_server import pgvector, pgvector_server
from postgres_server import postgres, postgres_server
from redis_server import RedisServer

__all__ = ["pgvector", "pgvector_server", "postgres", "postgres_server", "redis_server"]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.stop()
