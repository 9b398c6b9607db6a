"""Fixtures shared by tests of budgets."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis_server import RedisServer


@contextmanager
def running() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real server on loopback: its address and its process."""
    server = RedisServer()
    assert server.process is not None
    try:
        yield server.url, server.process
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A server for this session."""
    with running() as (url, _):
        yield url


@pytest.fixture
def mortal_redis() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server that the test may kill."""
    with running() as found:
        yield found
