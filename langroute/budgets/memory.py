"""Budget store in memory, for one process: compact, and bounded in number.

What was spent of a limit is one number in a dictionary, under a short digest of the limit's key: about 120 bytes each. Entries whose
time is over are removed a few with every call; what still binds is never forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

from langroute.budgets.store import LEASE_SECONDS, Balance, Hold
from langroute.core.degradation import Degradations
from langroute.core.errors import BudgetStoreError, DegradedWarning
from langroute.core.locks import at_fork, new_lock

MAX_KEYS = 1_000_000
"""Most limits that are kept at once, about 120 MB."""

_TIME_BITS = 32
"""Bits for the second at which a limit expires, enough for a century. The rest of the number is the amount spent."""

_FOREVER = (1 << _TIME_BITS) - 1
_DIGEST = (1 << 60) - 1
_AT_ONCE = 2
"""Entries that are checked for expiry with each settlement, so that no call pays for all of them."""


class MemoryBudgets:
    """Budget store in memory. It is not shared between processes and is lost when the process ends.

    Args:
        clock: Seconds, for tests.
        max_keys: Most limits of which something is spent. Those whose time is over leave; where all of them still bind, a call that
            would need one more is refused, because forgetting one would let it be spent again.

    Example:
        >>> store = MemoryBudgets()
        >>> store.reserve("call-1", [Hold("team", 70, limit=100)]) is None
        True
        >>> store.reserve("call-2", [Hold("team", 70, limit=100)])
        0
        >>> store.settle("call-1", [Hold("team", 20)])
        >>> store.balances(["team"])
        [Balance(spent=20, held=0)]
    """

    local = True

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, max_keys: int = MAX_KEYS) -> None:
        self.clock, self.max_keys = clock, max_keys
        self._begun = clock()
        self._accounts: dict[int, int] = {}
        self._holds: dict[int, dict[str, tuple[int, float]]] = {}
        self._unseen: list[int] = []
        self._notices = Degradations()
        self._lock = new_lock()
        # Reservations of the parent process are settled by the parent.
        at_fork(self, in_child=lambda store: store._holds.clear())

    def __len__(self) -> int:
        """Number of limits of which something is spent."""
        return len(self._accounts)

    def balances(self, keys: Sequence[str]) -> list[Balance]:
        """Return what was taken from each limit."""
        with self._lock:
            now = self.clock()
            return [Balance(self._spent(key, now), self._held(key, now)) for key in map(_digest, keys)]

    def every(self) -> list[Balance]:
        """Return what was taken from every limit that is kept, in no particular order."""
        with self._lock:
            now = self.clock()
            return [Balance(self._spent(key, now), self._held(key, now)) for key in {**self._accounts, **self._holds}]

    def reserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        """Reserve all or nothing. Return `None` when granted, else the index of the first hold that does not fit.

        Raises:
            BudgetStoreError: There is no room for another limit.
        """
        with self._lock:
            now = self.clock()
            keys = [_digest(hold.key) for hold in holds]
            for place, (key, hold) in enumerate(zip(keys, holds, strict=True)):
                if self._spent(key, now) + self._held(key, now) + hold.amount > hold.limit:
                    return place
            self._check_room(keys, now)
            # One assignment each, so that an interrupt in between leaves what lapses by itself.
            for key, hold in zip(keys, holds, strict=True):
                held = self._holds.get(key)
                if held is None:
                    held = self._holds[key] = {}
                held[id] = (hold.amount, now + lease_seconds)
            return None

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        """Release a reservation and add what was really spent."""
        with self._lock:
            now = self.clock()
            for hold in spent:
                key = _digest(hold.key)
                # First what was spent, then the reservation: an interrupt in between leaves too much rather than too little.
                if hold.amount or key in self._accounts:
                    self._accounts[key] = self._packed(self._spent(key, now) + hold.amount, now, hold.keep_seconds)
                if id is not None and (held := self._holds.get(key)) is not None:
                    held.pop(id, None)
                    if not held:
                        del self._holds[key]
            self._tidy(now, _AT_ONCE)

    def close(self) -> None:
        """Do nothing: there are no files or connections."""

    def _spent(self, key: int, now: float) -> int:
        packed = self._accounts.get(key)
        return packed >> _TIME_BITS if packed is not None and self._lasts(packed, now) else 0

    def _held(self, key: int, now: float) -> int:
        held = self._holds.get(key)
        if held is None:
            return 0
        taken, lapsed = 0, []
        for name, (amount, until) in held.items():
            if until > now:
                taken += amount
            else:
                lapsed.append(name)
        for name in lapsed:
            del held[name]
        if not held:
            del self._holds[key]
        return taken

    def _packed(self, spent: int, now: float, keep_seconds: float | None) -> int:
        until = _FOREVER if keep_seconds is None else min(_FOREVER - 1, ceil(now - self._begun + keep_seconds))
        return spent << _TIME_BITS | max(0, until)

    def _lasts(self, packed: int, now: float) -> bool:
        until = packed & _FOREVER
        return until == _FOREVER or until > now - self._begun

    def _tidy(self, now: float, count: int) -> None:
        """Remove, among the next `count` entries, those that expired or of which nothing is spent."""
        for _ in range(count):
            if not self._unseen:
                if len(self._accounts) < 64:
                    return
                self._unseen = list(self._accounts)
            key = self._unseen.pop()
            packed = self._accounts.get(key, -1)
            if packed >= 0 and not (packed >> _TIME_BITS and self._lasts(packed, now)):
                del self._accounts[key]

    def _check_room(self, keys: Sequence[int], now: float) -> None:
        known = len(self._accounts)
        if known <= 0.8 * self.max_keys:
            return
        self._notices.warn(
            "room",
            DegradedWarning,
            f"{known} limits are kept in memory, of at most {self.max_keys}: beyond, calls that need another one are refused. "
            "Give MemoryBudgets a larger max_keys, or take SqliteBudgets.",
        )
        if known < self.max_keys or all(key in self._accounts for key in keys):
            return
        self._unseen = []
        self._tidy(now, known)
        if len(self._accounts) >= self.max_keys:
            raise BudgetStoreError(
                f"All {self.max_keys} limits that are kept in memory still bind, so there is no room for another one. "
                "Give MemoryBudgets a larger max_keys, or take SqliteBudgets."
            )

    def __getstate__(self) -> dict[str, Any]:
        return {"clock": self.clock, "max_keys": self.max_keys}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _digest(key: str) -> int:
    """Return a 60-bit digest of a key. Among a million keys, two share one, and with it a limit, in one of two million programs.

    Python's hash of a string depends on a secret of the process, so that nobody can construct colliding names.
    """
    return hash(key) & _DIGEST
