"""Contract tests of all ledgers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langroute import ChatRouter
from langroute.core.protocols import Ledger
from langroute.ledger import open_ledger
from langroute.ledger.facts import TaskLedger
from langroute.ledger.memory import MemoryLedger
from langroute.testing import LedgerContract, ScriptedModel


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
    """By both protocols, and to a router, which asks no more of one than they say."""
    with open_ledger(tmp_path / "ledger.db") as sqlite:
        for ledger in (MemoryLedger(), sqlite):
            assert isinstance(ledger, Ledger)
            assert isinstance(ledger, TaskLedger)
            model = ChatRouter({"small": ScriptedModel("ok")}, ledger=ledger)
            decision_id = model.invoke("Hello?").response_metadata["langroute"]["decision_id"]
            ledger.flush()
            assert (ledger.get(decision_id).route, ledger.knows(decision_id)) == ("small", True)
    assert not isinstance([], Ledger)
    assert not isinstance(Forgetful(), TaskLedger)


class Forgetful:
    """Keeps decisions, and knows nothing of tasks."""

    def record(self, decision: Any) -> None: ...

    def record_outcome(self, outcome: Any) -> None: ...

    def get(self, decision_id: str) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def test_a_ledger_without_tasks_is_a_ledger() -> None:
    assert isinstance(Forgetful(), Ledger)
    assert ChatRouter({"small": ScriptedModel("ok")}, ledger=Forgetful()).invoke("Hello?").text == "ok"
