"""How much may be spent, by whom, and what happens at the limit?"""

from __future__ import annotations

from importlib import import_module
from typing import Any

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


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"langroute.budgets.{_PLACES[name]}"), name)
