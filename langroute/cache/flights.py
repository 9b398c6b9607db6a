"""The same thing is asked many times at once: who computes it, and how do the others hear of it?

In one process, threads and coroutines wait for the one that leads. Across processes a lease in the store says who leads; it is renewed
for as long as the leader lives, so that one who dies is followed soon, and by one.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from uuid import uuid4

from langroute.cache.stores.base import Store


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

    __slots__ = ("_future", "_home", "key")

    def __init__(self, key: str, home: Flights) -> None:
        self.key, self._home = key, home
        self._future: Future[Landed] = Future()
        # A future that runs cannot be cancelled: one coroutine that is cancelled while it waits must not take the others with it.
        self._future.set_running_or_notify_cancel()

    def land(self, landed: Landed) -> None:
        """Tell all who wait; only the first time counts."""
        if self._home.remove(self):
            self._future.set_result(landed)

    def wait(self, seconds: float) -> Landed:
        """Wait for it to land; after too long, give up."""
        try:
            return self._future.result(seconds)
        except (FutureTimeout, TimeoutError):
            return GIVE_UP

    async def await_(self, seconds: float) -> Landed:
        """`wait`, awaited."""
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._future)), seconds)
        except (asyncio.TimeoutError, TimeoutError):
            return GIVE_UP


class Flights:
    """The flights of one process.

    Example:
        >>> flights = Flights()
        >>> (first, leads), (same, follows) = flights.join("k"), flights.join("k")
        >>> first is same, leads, follows
        (True, True, False)
        >>> first.land(Landed(b"answer"))
        >>> same.wait(1).value
        b'answer'
    """

    def __init__(self) -> None:
        self._open: dict[str, Flight] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def join(self, key: str) -> tuple[Flight, bool]:
        """The flight of a key, and whether the caller leads it."""
        with self._lock:
            if self._pid != os.getpid():
                # A forked process has nobody who would land its parent's flights.
                self._open, self._pid = {}, os.getpid()
            flight = self._open.get(key)
            if flight is not None:
                return flight, False
            flight = self._open[key] = Flight(key, self)
            return flight, True

    def remove(self, flight: Flight) -> bool:
        """Nobody can join any more; `False` if that was so already."""
        with self._lock:
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
