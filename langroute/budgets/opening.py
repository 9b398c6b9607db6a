"""The budget store that an address means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.redis_url import is_redis_url
from langroute.core.urls import shown_url, sqlite_file


def open_budgets(where: str | Path) -> Any:
    """Return the budget store of a path or URL.

    Args:
        where: A path (SQLite), or a URL: `sqlite:///file.db`, `redis://…` and what else `parse_redis_url` reads.

    Raises:
        BudgetStoreError: The file cannot be opened.
        ConfigurationError: It is none of these.
        MissingExtraError: The store is Redis and redis-py is not installed.
    """
    name = str(where)
    if is_redis_url(name):
        from langroute.budgets.redis import RedisBudgets

        return RedisBudgets(name)
    if (file := sqlite_file(name)) is None:
        raise ConfigurationError(f"No budget store for {shown_url(name)}. Use a path, sqlite:///, redis:// or valkey://.")
    from langroute.budgets.sqlite import SqliteBudgets

    return SqliteBudgets(file)


__all__ = ["open_budgets"]
