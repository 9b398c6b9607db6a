"""Budgets: limits on what may be spent, the stores that count it, and what happens at the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langroute.core.lazy_names import lazy_names

if TYPE_CHECKING:
    from langroute.budgets.budget import Budget as Budget
    from langroute.budgets.memory import MemoryBudgets as MemoryBudgets
    from langroute.budgets.redis import RedisBudgets as RedisBudgets
    from langroute.budgets.sqlite import SqliteBudgets as SqliteBudgets
    from langroute.budgets.store import Balance as Balance
    from langroute.budgets.store import BudgetStore as BudgetStore
    from langroute.budgets.store import Hold as Hold

_PLACES = {
    "Budget": "budget",
    "BudgetStore": "store",
    "Balance": "store",
    "Hold": "store",
    "MemoryBudgets": "memory",
    "SqliteBudgets": "sqlite",
    "RedisBudgets": "redis",
}

__all__ = [*_PLACES]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
