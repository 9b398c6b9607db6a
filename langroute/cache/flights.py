"""The same thing is asked many times at once: who computes it, and how do the others hear of it?

In one process, threads and coroutines wait for the one that leads; who asks for a stream listens to the leader's. Across processes a lease in the store says who leads; it is renewed
for as long as the leader lives, so that one who dies is followed soon, and by one.
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

if TYPE_CHECKING:
    from langroute.cache.live import Live


class Landed:
    """What a flight came to."""

    __slots__ = ("give_up", "how", "value")

    def __init__(self, value: bytes | None = None, *, how: str = "hit", give_up: bool = False) -> None:
        self.value = value
        """The answer as it is stored, so that each who waits makes a message of its own; `None` when the leader failed."""

        self.how = how
        """`semantic_hit` where it is the answer to other words."""

        self.give_up = give_up
        """There will be none: the answer may not be shared. Whoever waited calls for itself."""


NOTHING = Landed()
GIVE_UP = Landed(give_up=True)


class Flight:
    """One computation that others wait for."""

    __slots__ = ("_aired", "_future", "_home", "_led_by", "followers", "key", "live")

    def __init__(self, key: str, home: Flights) -> None:
        self.key, self._home = key, home
        self.live: Live | None = None
        """The leader's stream, while it runs."""

        self.followers = 0
        """How many others want what it comes to."""

        self._future: Future[Landed] = uncancellable()
        self._aired: Future[Live | None] = uncancellable()
        self._led_by = (threading.get_ident(), _task())

    def air(self, live: Live) -> None:
        """Let others listen to the leader's stream."""
        with self._home.lock:
            self.live, waiting = live, self._aired
            if waiting.done():
                return
        waiting.set_result(live)

    def lost(self, live: Live) -> None:
        """The stream broke off before it said something. The leader may begin again: who listened waits for that."""
        with self._home.lock:
            if self.live is live:
                self.live, self._aired = None, uncancellable()

    def land(self, landed: Landed) -> None:
        """Tell all who wait; only the first time counts."""
        if self._home.remove(self):
            self._future.set_result(landed)
            with self._home.lock:
                self.live, waiting = None, self._aired
            if not waiting.done():
                waiting.set_result(None)

    def leave(self) -> None:
        """One who followed wants nothing of it any more."""
        with self._home.lock:
            self.followers -= 1

    def given_up(self) -> bool:
        """The leader leaves. If nobody else wants the answer, nobody can join any more."""
        with self._home.lock:
            if self.followers:
                return False
            self._home.drop(self)
            return True

    def would_wait_for_itself(self, *, awaited: bool) -> bool:
        """The leader is whoever asks now, further out: a stream that was read half-way, say. It cannot go on while it waits here."""
        thread, task = self._led_by
        return thread == threading.get_ident() and (not awaited or task is _task())

    def wait(self, seconds: float, *, live: bool = False) -> Landed | Live:
        """Wait for it to land, or with `live` for a stream to listen to; after too long, give up."""
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

    async def await_(self, seconds: float, *, live: bool = False) -> Landed | Live:
        """`wait`, awaited."""
        if live and (under_way := self.live) is not None:
            return under_way
        if self.would_wait_for_itself(awaited=True):
            return GIVE_UP
        try:
            if live:
                found: Live | None = await awaited(self._airing(), seconds)
                if found is not None:
                    return found
            landed: Landed = await awaited(self._future, seconds)
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
    """A future that runs cannot be cancelled: one coroutine that is cancelled while it waits must not take the others with it."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


async def awaited(future: Future[Any], seconds: float | None) -> Any:
    """What a future of some thread or event loop comes to.

    Raises:
        TimeoutError: Nothing, in so many seconds.
    """
    # Not `wait_for`: before Python 3.12 it forgets that it was cancelled where the future is done at the same time.
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


class Seat(NamedTuple):
    """Where one listens to a stream that is under way; `flight.leave()` in the end."""

    flight: Flight
    live: Live


class Flights:
    """The flights of one process.

    Example:
        >>> flights = Flights()
        >>> (first, leads), (same, follows) = flights.join("k"), flights.join("k")
        >>> first is same, leads, follows
        (True, True, False)
        >>> first.land(Landed(b"answer"))
        >>> flights.join("k")[0] is first
        False
    """

    def __init__(self) -> None:
        self._open: dict[str, Flight] = {}
        self.lock = threading.RLock()
        self._pid = os.getpid()

    def join(self, key: str) -> tuple[Flight, bool]:
        """The flight of a key, and whether the caller leads it; whoever does not has to `leave` it in the end."""
        with self.lock:
            if self._pid != os.getpid():
                # A forked process has nobody who would land its parent's flights.
                self._open, self._pid = {}, os.getpid()
            flight = self._open.get(key)
            if flight is not None:
                flight.followers += 1
                return flight, False
            flight = self._open[key] = Flight(key, self)
            return flight, True

    def remove(self, flight: Flight) -> bool:
        """Nobody can join any more; `False` if that was so already."""
        with self.lock:
            return self.drop(flight)

    def drop(self, flight: Flight) -> bool:
        """`remove`, for who holds the lock."""
        if self._open.get(flight.key) is not flight:
            return False
        del self._open[flight.key]
        return True


class Leases:
    """Leases of one process in a shared store, renewed by a thread while there are any.

    Args:
        store: Where they are.
        seconds: How long one lasts that nobody renews: after this, a dead leader is followed.
    """

    def __init__(self, store: Store, seconds: float = 5.0) -> None:
        self._store, self.seconds = store, seconds
        self._held: dict[str, str] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._pid = os.getpid()

    def owner(self) -> str:
        """A name for one who asks."""
        return f"{os.getpid()}-{uuid4().hex[:12]}"

    def hold(self, key: str, owner: str) -> None:
        """Renew a lease that was acquired until it is let go."""
        with self._lock:
            if self._pid != os.getpid():
                self._held, self._thread, self._pid = {}, None, os.getpid()
            self._held[key] = owner
            if self._thread is None or not self._thread.is_alive():
                self._wake = threading.Event()
                self._thread = threading.Thread(target=self._renew, name="langroute-cache-leases", daemon=True)
                self._thread.start()

    def let_go(self, key: str) -> str | None:
        """Stop renewing; the owner it was held for."""
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
