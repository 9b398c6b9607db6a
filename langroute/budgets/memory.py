"""Where do budgets live that one process has for itself?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from langroute.budgets.store import LEASE_SECONDS, Balance, Hold

NEVER = float("inf")


@dataclass(slots=True)
class _Account:
    spent: int = 0
    held: int = 0
    until: float = NEVER


class MemoryBudgets:
    """Budgets in memory: gone when the process ends, and known to it alone.

    Args:
        clock: Seconds, for tests.
        max_keys: From so many on, those whose time is over are let go.

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

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, max_keys: int = 10_000) -> None:
        self.clock, self.max_keys = clock, max_keys
        self._accounts: dict[str, _Account] = {}
        self._holds: dict[str, tuple[tuple[Hold, ...], float]] = {}
        self._lock = Lock()

    def balances(self, keys: Sequence[str]) -> list[Balance]:
        """What was taken from each limit."""
        with self._lock:
            now = self._tidy()
            return [Balance(account.spent, account.held) for account in (self._account(key, now) for key in keys)]

    def reserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        """Reserve all or nothing."""
        with self._lock:
            now = self._tidy()
            accounts = [self._account(hold.key, now) for hold in holds]
            for place, (hold, account) in enumerate(zip(holds, accounts, strict=True)):
                if account.spent + account.held + hold.amount > hold.limit:
                    return place
            for hold, account in zip(holds, accounts, strict=True):
                account.held += hold.amount
                self._use(account, hold, now)
            self._holds[id] = (tuple(holds), now + lease_seconds)
            return None

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        """Let go of a reservation and add what was really spent."""
        with self._lock:
            now = self._tidy()
            if id is not None and (found := self._holds.pop(id, None)) is not None:
                self._release(found[0])
            for hold in spent:
                account = self._account(hold.key, now)
                account.spent += hold.amount
                self._use(account, hold, now)

    def close(self) -> None:
        """Nothing to let go of."""

    def _account(self, key: str, now: float) -> _Account:
        account = self._accounts.get(key)
        return account if account is not None and account.until > now else _Account()

    def _use(self, account: _Account, hold: Hold, now: float) -> None:
        account.until = NEVER if hold.keep_seconds is None else now + hold.keep_seconds
        self._accounts[hold.key] = account

    def _release(self, holds: Sequence[Hold]) -> None:
        for hold in holds:
            if (account := self._accounts.get(hold.key)) is not None:
                account.held = max(0, account.held - hold.amount)

    def _tidy(self) -> float:
        now = self.clock()
        while self._holds:
            first, (holds, until) = next(iter(self._holds.items()))
            if until > now:
                break
            self._release(holds)
            del self._holds[first]
        if len(self._accounts) > self.max_keys:
            self._accounts = {key: account for key, account in self._accounts.items() if account.until > now or account.held}
            self.max_keys = max(self.max_keys, 2 * len(self._accounts))
        return now

    def __getstate__(self) -> dict[str, Any]:
        return {"clock": self.clock, "max_keys": self.max_keys}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
