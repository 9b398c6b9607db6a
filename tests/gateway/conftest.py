"""A gateway on loopback before a scripted provider, both real servers. What they need is imported when a test asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def one_provider() -> Iterator[Any]:
    from provider import Provider

    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def provider(one_provider: Any) -> Any:
    one_provider.reset()
    return one_provider


@pytest.fixture
def gateway(provider: Any) -> Iterator[Callable[..., Any]]:
    """Starts gateways, and ends them after the test."""
    from gateways import CONFIG, Running

    running: list[Any] = []

    def start(
        *,
        more: str = "",
        serve: str = "",
        kind: str = "openai",
        text: str | None = None,
        resend_seconds: float = 0.2,
        **options: Any,
    ) -> Any:
        given = text or CONFIG.format(url=provider.url, provider=kind, more=more, serve=serve, resend_seconds=resend_seconds)
        running.append(Running(given, **options))
        return running[-1]

    yield start
    for one in running:
        one.end()
