"""Bounded waiting for what another thread, task or process is about to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds after which a test fails rather than waits: far more than anything here takes on a machine under load."""

PAUSE = 0.002

DAY = 86_400.0


def wait_until(condition: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Return what the condition says as soon as that is true.

    Raises:
        AssertionError: It did not become true in time.
    """
    until = time.monotonic() + seconds
    while not (found := condition()):
        _in_time(condition, until, seconds)
        time.sleep(PAUSE)
    return found


async def until(condition: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Async version of `wait_until`: other tasks run meanwhile."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        _in_time(condition, limit, seconds)
        await asyncio.sleep(PAUSE)
    return found


def day_that_lasts(seconds: float = PATIENCE) -> int:
    """Return the number of the UTC day, not in its first second and once it goes on for a time: a test that asks does not see it end.

    A test module that reads the day when it is imported may run on the next one.
    """
    while not 1.0 < time.time() % DAY < DAY - seconds:
        time.sleep(0.1)
    return int(time.time() // DAY)


def _in_time(condition: Callable[[], object], limit: float, seconds: float) -> None:
    if time.monotonic() > limit:
        named = getattr(condition, "__qualname__", repr(condition))
        raise AssertionError(f"{named} did not become true within {seconds:g} seconds.")
