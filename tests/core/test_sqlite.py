"""Several open a new SQLite file at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from langroute.budgets.sqlite import SqliteBudgets
from langroute.cache.stores.sqlite import SqliteStore
from langroute.ledger import open_ledger


@pytest.mark.parametrize("open_one", [SqliteStore, SqliteBudgets, open_ledger], ids=["cache", "budgets", "ledger"])
def test_a_new_file_may_be_opened_by_many_at_once(open_one: Callable[[Path], Any], tmp_path: Path) -> None:
    """None of them is told that it is locked."""
    for place in range(15):
        together = Barrier(6)

        def begin(path: Path = tmp_path / f"{place}.db", together: Barrier = together) -> Any:
            together.wait()
            return open_one(path)

        with ThreadPoolExecutor(6) as pool:
            for opened in [pool.submit(begin) for _ in range(6)]:
                opened.result().close()
