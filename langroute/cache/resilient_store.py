"""`ResilientStore`: runs store operations whose failure must not fail a call, with one warning and later retries.

One failure is enough to leave a store alone for a while, since it may have cost the caller a timeout. After that time, one caller
tries it again and the others go on without it. A file that is locked by other writers is still read.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

from langroute.cache.stats import Counts
from langroute.cache.stores.base import StoreBusyError
from langroute.core.errors import DegradedWarning

FIRST_REST, LONGEST_REST = 0.5, 30.0
"""Shortest and longest time in seconds for which a failed store is left alone; it doubles with each failure."""

FIRST_REST_OF_BUSY = 0.1
"""First such time where the store was only locked by others."""


class ResilientStore:
    """Runs operations of a store that may fail.

    Args:
        counts: Counts the failures.
        what: Name of the store in the warning.

    Example:
        >>> tended = ResilientStore(Counts())
        >>> tended.ask({"a": 1}.__getitem__, "a", otherwise=None), tended.up
        (1, True)
    """

    def __init__(self, counts: Counts, what: str = "response cache") -> None:
        self._counts, self._what = counts, what
        self._rest, self._rests_until = 0.0, 0.0
        self._writes_only = False
        """Whether only writes are suspended."""

        self._tried = False
        """Whether a caller is trying the store again after the pause."""

        self._warned = False

    @property
    def up(self) -> bool:
        """Whether the store works or may work again. After a pause only the first caller gets `True`, and has to try the store."""
        return self._writes_only or self._rested()

    @property
    def rests(self) -> bool:
        """Whether the store is being left alone. Unlike `up`, reading this does not make the caller the one that tries it."""
        return time.monotonic() <= self._rests_until and not self._writes_only

    @property
    def writable(self) -> bool:
        """Version of `up` for writes."""
        return self._rested()

    def _rested(self) -> bool:
        if self._rests_until == 0.0:
            return True
        now = time.monotonic()
        if now < self._rests_until:
            return False
        self._rests_until, self._tried = now + max(self._rest, FIRST_REST_OF_BUSY), True
        return True

    def ask(self, work: Callable[..., Any], *args: Any, otherwise: Any, writes: bool = False, **kwargs: Any) -> Any:
        """Run an operation and return its value, or `otherwise` where it fails.

        Args:
            work: The operation.
            args: Its arguments.
            otherwise: Value that is returned after a failure.
            writes: Whether the operation writes.
            kwargs: Its keyword arguments.
        """
        try:
            value = work(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - every store has errors of its own, and none of them is the caller's
            self.failed(error, writes=writes)
            return otherwise
        self.worked(writes=writes)
        return value

    async def aask(self, work: Awaitable[Any], *, otherwise: Any, writes: bool = False) -> Any:
        """Async version of `ask`."""
        try:
            value = await work
        except Exception as error:  # noqa: BLE001
            self.failed(error, writes=writes)
            return otherwise
        self.worked(writes=writes)
        return value

    def worked(self, *, writes: bool = False) -> None:
        """Use a store that works as ever again."""
        if self._rests_until and (writes or not self._writes_only):
            self._rest = self._rests_until = 0.0
            self._writes_only = self._tried = False

    def failed(self, error: Exception, *, writes: bool = False) -> None:
        """Leave a failing store alone for a while."""
        busy, now = isinstance(error, StoreBusyError), time.monotonic()
        # Concurrent operations fail together, which counts as one failure.
        if self._tried or now >= self._rests_until:
            self._rest = min(LONGEST_REST, max(FIRST_REST_OF_BUSY if busy else FIRST_REST, self._rest * 2))
        self._rests_until, self._tried = now + self._rest, False
        self._writes_only = busy and writes
        self._counts.add("errors", f"{type(error).__name__}: {error}"[:200])
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"The {self._what} failed ({type(error).__name__}: {error}). Calls go on without it, and it is tried again.",
                DegradedWarning,
                stacklevel=2,
            )
