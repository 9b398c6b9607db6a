"""Access to pending calls that others wait for: the only place where these tests read private state of a cache."""

from __future__ import annotations

from typing import Any


def followers(model: Any) -> int:
    """How many wait for the one call that is under way."""
    (flight,) = model.response_cache._flights._open.values()
    return int(flight.followers)


def open_calls(cache: Any) -> list[str]:
    """Keys of the calls that others may still wait for."""
    return list(cache._flights._open)
