"""Budgets that calls bring themselves, and where they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langroute.budgets.budget import Budget, budget_of_call
from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.store import BudgetStore
from langroute.core.task_context import current_task

_PROCESS = MemoryBudgets()
"""For all routers of this process that have no store, so that a user or team is not counted by each of them for itself."""


class CallerBudgets:
    """Makes the budgets that calls bring themselves, in a store that calls share.

    That is a store among what the user gave as `budget`, else that of a budget which other processes share, else that of the first budget.
    Without any it is memory: of the process for users, teams, tags and tasks that the program names; of the router for others.

    Args:
        given: The `budget` argument of a host.

    Example:
        >>> store = MemoryBudgets()
        >>> CallerBudgets([Budget(usd=1), store]).of({"usd": 0.5, "per": "user"}).store is store
        True
    """

    def __init__(self, given: Any) -> None:
        several = list(given) if isinstance(given, (list, tuple)) else [given]
        stores = [one for one in several if isinstance(one, BudgetStore)]
        owned = [one.store for one in several if isinstance(one, Budget)]
        self._store = next(iter([*stores, *(store for store in owned if not store.local), *owned]), None)
        self._own = MemoryBudgets()

    def of(self, asked: Any) -> Budget:
        """Return the budget that a call's config asks for.

        Raises:
            InputError: It is not a number of USD, a mapping or a `Budget`.
        """
        if self._store is not None:
            return budget_of_call(asked, self._store)
        per = asked.get("per", "task") if isinstance(asked, Mapping) else "task"
        named = per not in ("call", "task", "thread") or current_task() is not None
        return budget_of_call(asked, _PROCESS if named else self._own)
