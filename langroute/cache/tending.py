"""What does a cache do when its store fails? It goes on without it, says so once, and tries again later."""

from __future__ import annotations

import time
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

from langroute.cache.stats import Counts
from langroute.errors import DegradedWarning

FIRST_REST, LONGEST_REST = 0.5, 30.0
"""Seconds in which a store that failed is left alone, growing from the first to the longest."""


class Tended:
    """Work on a store that may fail, for a cache that must not.

    Args:
        counts: Counts the failures.

    Example:
        >>> tended = Tended(Counts())
        >>> tended.ask({"a": 1}.__getitem__, "a", otherwise=None), tended.up
        (1, True)
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._rest, self._rests_until = 0.0, 0.0
        self._warned = False

    @property
    def up(self) -> bool:
        """The store works, or may work again."""
        return self._rests_until == 0.0 or time.monotonic() >= self._rests_until

    def ask(self, work: Callable[..., Any], *args: Any, otherwise: Any, **kwargs: Any) -> Any:
        """Do something; what stands for the answer where that fails."""
        try:
            value = work(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - every store has errors of its own, and none of them is the caller's
            self.failed(error)
            return otherwise
        if self._rests_until:
            self._rest = self._rests_until = 0.0
        return value

    async def aask(self, work: Awaitable[Any], *, otherwise: Any) -> Any:
        """The same, awaited."""
        try:
            value = await work
        except Exception as error:  # noqa: BLE001
            self.failed(error)
            return otherwise
        if self._rests_until:
            self._rest = self._rests_until = 0.0
        return value

    def failed(self, error: Exception) -> None:
        """Leave a failing store alone for a while."""
        self._rest = min(LONGEST_REST, max(FIRST_REST, self._rest * 2))
        self._rests_until = time.monotonic() + self._rest
        self._counts.add("errors", f"{type(error).__name__}: {error}"[:200])
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"The response cache failed ({type(error).__name__}: {error}). Calls go on without it, and it is tried again.",
                DegradedWarning,
                stacklevel=2,
            )
