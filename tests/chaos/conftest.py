"""One failing provider for the whole folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from weather import Weather, routes


@pytest.fixture(scope="session")
def provider() -> Iterator[Weather]:
    """The server, stopped at the end."""
    weather = Weather()
    # The first call of each SDK is slow: it imports, and opens its connections.
    for route in routes(weather, "warm").values():
        route.model.invoke("Hello?")
        list(route.model.stream("Hello?"))
    yield weather
    weather.stop()


@pytest.fixture
def weather(provider: Weather) -> Weather:
    """The server, with nothing going wrong."""
    provider.clear()
    return provider
