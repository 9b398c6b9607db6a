"""Which budget store an address means."""

from __future__ import annotations

from pathlib import Path

import pytest

from langroute.budgets.opening import open_budgets
from langroute.budgets.sqlite import SqliteBudgets
from langroute.core.errors import BudgetStoreError, ConfigurationError


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}"])
def test_a_file_is_named_by_path_and_by_url(tmp_path: Path, form: str) -> None:
    store = open_budgets(form.format(tmp_path / "b.db"))
    assert isinstance(store, SqliteBudgets)
    assert (tmp_path / "b.db").exists()


def test_what_is_no_store_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No budget store for postgresql://") as told:
        open_budgets("postgresql://me:secret@db/budgets")
    assert "secret" not in str(told.value)
    for url in ("sqlite:///a.db?mode=ro", "sqlite:///:memory:", "sqlite://"):
        with pytest.raises(ConfigurationError, match=r"names no file alone\. Write sqlite:///file\.db\."):
            open_budgets(url)
    with pytest.raises(BudgetStoreError):
        open_budgets(tmp_path / "no" / "such" / "folder" / "b.db")
