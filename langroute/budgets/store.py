"""What must a place do to keep budgets in?

Amounts are whole numbers, so that sums are exact: billionths of a USD, or tokens. What was spent and what is reserved are kept apart; a
reservation whose owner died lapses with its lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

LEASE_SECONDS = 900.0
"""How long a reservation is kept that nobody settles."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What was taken from one limit so far."""

    spent: int = 0
    held: int = 0
    """Reserved for calls that are under way."""


@dataclass(frozen=True, slots=True)
class Hold:
    """An amount that shall be reserved of one limit, or was spent of it."""

    key: str
    amount: int
    limit: int = 0
    keep_seconds: float | None = None
    """How long the key is kept after its last use; for ever where nothing is given."""


@runtime_checkable
class BudgetStore(Protocol):
    """Keeps what was spent and what is reserved. Every method is atomic, whoever else calls.

    `langroute.budgets.contract.BudgetStoreContract` checks all of this.
    """

    local: bool
    """No method waits for a disk or a network, so an event loop may call them."""

    def balances(self, keys: Sequence[str]) -> list[Balance]:
        """What was taken from each limit."""
        ...

    def reserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        """Reserve all or nothing: `None` when granted, else the place of the first hold that does not fit."""
        ...

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        """Let go of a reservation, if there is one, and add what was really spent, whatever the limits.

        What is spent is charged all the same when the reservation has lapsed meanwhile.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
