"""Does every ledger keep the same promises?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langroute.ledger import open_ledger
from langroute.ledger.memory import MemoryLedger
from langroute.protocols import Ledger
from langroute.testing import LedgerContract


class TestMemory(LedgerContract):
    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger()


class TestSqlite(LedgerContract):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[Any]:
        with open_ledger(tmp_path / "ledger.db") as ledger:
            yield ledger


@pytest.mark.server
class TestPostgres(LedgerContract):
    @pytest.fixture
    def ledger(self, postgres: str) -> Iterator[Any]:
        with open_ledger(postgres) as ledger:
            yield ledger


def test_they_are_ledgers(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert isinstance(ledger, Ledger)
    assert isinstance(MemoryLedger(), Ledger)
