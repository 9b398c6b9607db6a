"""Interface of budget stores.

Amounts are whole numbers, so that sums are exact: billionths of a USD, or tokens. Spending and reservations are kept apart; a
reservation whose owner died lapses with its lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from langroute.core.errors import BudgetStoreError

LEASE_SECONDS = 900.0
"""Seconds after which a reservation lapses that nobody settles."""


class UnconfirmedError(BudgetStoreError):
    """What was spent is in the store, but not yet in as many of its replicas as were asked for."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What was spent and reserved of one limit so far."""

    spent: int = 0
    held: int = 0
    """Amount reserved for calls that are running."""


@dataclass(frozen=True, slots=True)
class Hold:
    """An amount to reserve of one limit, or that was spent of it."""

    key: str
    amount: int
    limit: int = 0
    keep_seconds: float | None = None
    """Seconds that the key is kept after its last use; `None` for ever."""


@runtime_checkable
class BudgetStore(Protocol):
    """Store of what was spent and what is reserved. Every method is atomic.

    `langroute.budgets.contract.BudgetStoreContract` tests an implementation.
    """

    local: bool
    """Whether no method waits for a disk or a network, so that an event loop may call them directly."""

    def balances(self, keys: Sequence[str]) -> list[Balance]:
        """Return what was taken from each limit."""
        ...

    def reserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        """Reserve all or nothing. Return `None` when granted, else the index of the first hold that does not fit."""
        ...

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        """Release a reservation, if there is one, and add what was really spent, even above the limits.

        The amount is charged even when the reservation has lapsed meanwhile.
        """
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...
