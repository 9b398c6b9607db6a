"""Real servers for these tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import postgres, postgres_server
from redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where processes share what they know: a file, a database and a server, each in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "state.db")
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


__all__ = ["postgres", "postgres_server", "redis_server"]
