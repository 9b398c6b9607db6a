"""Budgets in memory that say what is on all their accounts together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langroute.budgets.budget import UNIT
from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.store import Balance, Hold


class Watched(MemoryBudgets):
    """Remembers the keys that were ever reserved or settled; sums them up by asking for their balances."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.keys: set[str] = set()

    def reserve(self, id: str, holds: Sequence[Hold], *args: Any, **kwargs: Any) -> int | None:
        self.keys.update(hold.key for hold in holds)
        return super().reserve(id, holds, *args, **kwargs)

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        self.keys.update(hold.key for hold in spent)
        super().settle(id, spent)

    @property
    def all(self) -> list[Balance]:
        return self.balances(sorted(self.keys))


def spent(store: Watched) -> float:
    """USD spent from all accounts."""
    return sum(balance.spent for balance in store.all) / UNIT


def held(store: Watched) -> int:
    """What is reserved on all accounts."""
    return sum(balance.held for balance in store.all)
