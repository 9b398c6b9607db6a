"""Single flight: one computation for concurrent identical requests, within a process and across processes.

In one process, threads and coroutines wait for the leader; a request for a stream listens to the leader's stream. Across processes
a lease in the store says who leads; it is renewed for as long as the leader lives, so that a dead leader is soon replaced, by one
process.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from langroute.cache.stores.base import Store
from langroute.core.locks import at_fork, new_lock, new_rlock

if TYPE_CHECKING:
    from langroute.cache.live import Live


MOST_SILENCES = 3
"""Most consecutive failures of the store to answer for a lease before waiting ends."""


class FlightResult:
    """Result of a flight."""

    __slots__ = ("give_up", "how", "value")

    def __init__(self, value: bytes | None = None, *, how: str = "hit", give_up: bool = False) -> None:
        self.value = value
        """The answer in its stored form, from which each follower makes its own message; `None` when the leader failed."""

        self.how = how
        """`hit`, or `semantic_hit` where it is the answer to a question in other words."""

        self.give_up = give_up
        """Whether there will be no shared answer, so that each follower makes its own call."""


NOTHING = FlightResult()
GIVE_UP = FlightResult(give_up=True)


class InFlight:
    """One running computation that others wait for."""

    __slots__ = ("_aired", "_future", "_home", "_led_by", "followers", "key", "live")

    def __init__(self, key: str, home: Flights) -> None:
        self.key, self._home = key, home
        self.live: Live | None = None
        """The leader's stream, while it runs."""

        self.followers = 0
        """Number of followers that wait for the result."""

        self._future: Future[FlightResult] = uncancellable()
        self._aired: Future[Live | None] = uncancellable()
        self._led_by = (threading.get_ident(), _task())

    def publish(self, live: Live) -> None:
        """Let others listen to the leader's stream."""
        with self._home.lock:
            self.live, waiting = live, self._aired
            if waiting.done():
                return
        waiting.set_result(live)

    def lost(self, live: Live) -> None:
        """Withdraw a stream that broke off before it had content. The leader may begin again, and followers wait for that."""
        with self._home.lock:
            if self.live is live:
                self.live, self._aired = None, uncancellable()

    def resolve(self, landed: FlightResult) -> None:
        """Give the result to all followers; only the first call counts."""
        if self._home.remove(self):
            self._future.set_result(landed)
            with self._home.lock:
                self.live, waiting = None, self._aired
            if not waiting.done():
                waiting.set_result(None)

    def leave(self) -> None:
        """Stop following."""
        with self._home.lock:
            self.followers -= 1

    def given_up(self) -> bool:
        """Close the flight as its leader leaves; return `False` where followers still wait for it."""
        with self._home.lock:
            if self.followers:
                return False
            self._home.drop(self)
            return True

    def would_wait_for_itself(self, *, awaited: bool) -> bool:
        """Return whether the caller is itself the leader (a half-read stream further up), so that waiting would deadlock."""
        thread, task = self._led_by
        return thread == threading.get_ident() and (not awaited or task is _task())

    def wait(self, seconds: float, *, live: bool = False) -> FlightResult | Live:
        """Wait for the result, or with `live` for a stream to listen to; return `GIVE_UP` after `seconds`."""
        if live and (under_way := self.live) is not None and not under_way.stands_still:
            return under_way
        if self.would_wait_for_itself(awaited=False):
            return GIVE_UP
        try:
            if live and (found := self._airing().result(seconds)) is not None:
                return found
            return self._future.result(seconds)
        except (FutureTimeout, TimeoutError):
            return GIVE_UP

    async def await_(self, seconds: float, *, live: bool = False) -> FlightResult | Live:
        """Async version of `wait`."""
        if live and (under_way := self.live) is not None:
            return under_way
        if self.would_wait_for_itself(awaited=True):
            return GIVE_UP
        try:
            if live:
                found: Live | None = await awaited(self._airing(), seconds)
                if found is not None:
                    return found
            landed: FlightResult = await awaited(self._future, seconds)
            return landed
        except (asyncio.TimeoutError, TimeoutError):
            return GIVE_UP

    def _airing(self) -> Future[Live | None]:
        with self._home.lock:
            if self.live is None and not self._future.done():
                return self._aired
            found: Future[Live | None] = Future()
            found.set_result(self.live)
            return found


def uncancellable() -> Future[Any]:
    """Return a future that cannot be cancelled: one waiting coroutine that is cancelled must not cancel it for the others."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


async def awaited(future: Future[Any], seconds: float | None) -> Any:
    """Return the result of a future that belongs to any thread or event loop.

    Raises:
        TimeoutError: There was no result within `seconds`.
    """
    # Not `wait_for`: before Python 3.12 it loses a cancellation that comes as the future finishes.
    mine = asyncio.wrap_future(future)
    done, _ = await asyncio.wait({mine}, timeout=seconds)
    if not done:
        raise TimeoutError
    return mine.result()


def _task() -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


class Follower(NamedTuple):
    """A running stream to listen to; call `flight.leave()` in the end."""

    flight: InFlight
    live: Live


class Flights:
    """The flights of one process, by key.

    Example:
        >>> flights = Flights()
        >>> (first, leads), (same, follows) = flights.join("k"), flights.join("k")
        >>> first is same, leads, follows
        (True, True, False)
        >>> first.resolve(FlightResult(b"answer"))
        >>> flights.join("k")[0] is first
        False
    """

    def __init__(self) -> None:
        self._open: dict[str, InFlight] = {}
        self.lock = new_rlock()
        # In a forked child nobody would finish its parent's flights.
        at_fork(self, in_child=lambda flights: flights._open.clear())

    def join(self, key: str) -> tuple[InFlight, bool]:
        """Return the flight of a key, and whether the caller leads it; a follower has to `leave` it in the end."""
        with self.lock:
            flight = self._open.get(key)
            if flight is not None:
                flight.followers += 1
                return flight, False
            flight = self._open[key] = InFlight(key, self)
            return flight, True

    def remove(self, flight: InFlight) -> bool:
        """Remove a flight, so that nobody can join it; return `False` if it was removed already."""
        with self.lock:
            return self.drop(flight)

    def drop(self, flight: InFlight) -> bool:
        """Version of `remove` for callers that hold the lock."""
        if self._open.get(flight.key) is not flight:
            return False
        del self._open[flight.key]
        return True


class Turn:
    """State of one process that waits for a lease; the sleeping and asking is the caller's.

    Args:
        seconds: Longest wait.

    Example:
        >>> turn = Turn(60.0)
        >>> turn.waits(False), turn.waits(True), turn.won
        (True, False, True)
    """

    def __init__(self, seconds: float) -> None:
        self.won = False
        self.pause = 0.0
        """Seconds to wait before the lease is asked for again."""

        self._until = time.monotonic() + seconds
        self._lent = False
        self._silent = 0

    def waits(self, got: bool | None, *, is_up: bool = True) -> bool:
        """Return whether to wait and ask again.

        Args:
            got: Whether the lease was acquired; `None` where the store did not answer.
            is_up: Whether the store works.
        """
        if got:
            self.won = True
            return False
        self._silent = self._silent + 1 if got is None else 0
        self._lent = self._lent or got is not None
        self.pause = 0.01 if self.pause == 0.0 else min(0.2, self.pause * 1.5)
        # A store that is busy for a moment does not end the wait for a known leader.
        return is_up and self._lent and self._silent < MOST_SILENCES and time.monotonic() <= self._until


class Leases:
    """Leases of one process in a shared store, renewed by a background thread.

    Args:
        store: The shared store.
        seconds: How long a lease lasts without renewal; after that, a dead leader is replaced.
    """

    def __init__(self, store: Store, seconds: float = 5.0) -> None:
        self._store, self.seconds = store, seconds
        self._lock = new_lock()
        self._begin()
        at_fork(self, in_child=Leases._begin)

    def _begin(self) -> None:
        # A forked child has neither its parent's leases nor the thread that renews them.
        self._held: dict[str, str] = {}
        self._thread: threading.Thread | None = None

    def owner(self) -> str:
        """Return a unique owner name."""
        return f"{os.getpid()}-{uuid4().hex[:12]}"

    def hold(self, key: str, owner: str) -> None:
        """Renew an acquired lease until `let_go`."""
        with self._lock:
            self._held[key] = owner
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._renew, name="langroute-cache-leases", daemon=True)
                self._thread.start()

    def let_go(self, key: str) -> str | None:
        """Stop renewing a lease; return its owner."""
        with self._lock:
            return self._held.pop(key, None)

    def _renew(self) -> None:
        idle = 0
        while idle < 3:
            time.sleep(self.seconds / 3)
            with self._lock:
                held = dict(self._held)
                idle = 0 if held else idle + 1
                if idle >= 3:
                    self._thread = None
                    return
            for key, owner in held.items():
                self._prolong(key, owner)

    def _prolong(self, key: str, owner: str) -> None:
        try:
            self._store.acquire(key, owner, self.seconds)
        except Exception:  # noqa: BLE001 - a store that is down lends nothing; the next renewal may work again
            return
