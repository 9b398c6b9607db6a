"""A ledger by path, by URL and by environment; in one process a path means one ledger."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from langroute import ChatRouter, Router, RouterNode, open_ledger
from langroute.core.errors import DegradedWarning, LedgerError
from langroute.ledger.memory import MemoryLedger
from langroute.ledger.resolve import ENV_VAR, resolve_ledger, shared_ledger
from langroute.testing import ScriptedModel

PRICES = {"cheap": {"input": 1, "output": 2}, "frontier": {"input": 5, "output": 25}}


def routes() -> dict[str, Any]:
    return {"cheap": ScriptedModel("a"), "frontier": ScriptedModel("b")}


def counted(ledger: Any, table: str) -> int:
    with ledger.reading() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() or 0)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV_VAR, raising=False)


@pytest.mark.parametrize("form", [str, Path, lambda path: f"sqlite:///{path}"])
@pytest.mark.parametrize("kind", [ChatRouter, Router])
def test_a_ledger_is_taken_by_path_and_url(kind: Any, form: Any, tmp_path: Path) -> None:
    made = kind(routes(), ledger=form(tmp_path / "ledger.db"), prices=PRICES)
    router = getattr(made, "router", made)
    ChatRouter(routes(), ledger=router.ledger, prices=PRICES).invoke("Hello.")
    router.ledger.flush()
    assert counted(router.ledger, "decisions") == 1


def test_the_same_path_is_the_same_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = ChatRouter(routes(), ledger="ledger.db", prices=PRICES)
    other = ChatRouter(routes(), ledger=tmp_path / "ledger.db", prices=PRICES)
    assert one.ledger is other.ledger is shared_ledger(f"sqlite:///{tmp_path}/ledger.db")
    assert Router(routes(), ledger="another.db").ledger is not one.ledger


def test_a_ledger_that_was_closed_is_opened_again(tmp_path: Path) -> None:
    first = shared_ledger(tmp_path / "ledger.db")
    first.close()
    second = shared_ledger(tmp_path / "ledger.db")
    assert second is not first
    assert not second.is_closed


def test_a_ledger_that_is_open_already_is_found(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db", level="full") as mine:
        assert ChatRouter(routes(), ledger=str(tmp_path / "ledger.db"), prices=PRICES).ledger is mine


def test_the_environments_ledger_is_everybodys_that_was_given_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_VAR, str(tmp_path / "ledger.db"))
    model, own = ChatRouter(routes(), prices=PRICES), MemoryLedger()
    assert model.ledger is Router(routes(), prices=PRICES).ledger is shared_ledger(tmp_path / "ledger.db")
    RouterNode(routes(), prices=PRICES).invoke({"messages": "Hello."})
    model.ledger.flush()
    assert counted(model.ledger, "decisions") == 1
    assert ChatRouter(routes(), ledger=own, prices=PRICES).ledger is own
    monkeypatch.delenv(ENV_VAR)
    assert isinstance(resolve_ledger(), MemoryLedger)


def test_an_environment_that_names_no_ledger_costs_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_VAR, str(tmp_path / "nowhere" / "ledger.db"))
    with pytest.warns(DegradedWarning, match=ENV_VAR):
        model = ChatRouter(routes(), prices=PRICES)
    assert model.invoke("Hello.").content


def test_a_path_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError):
        ChatRouter(routes(), ledger=str(tmp_path / "nowhere" / "ledger.db"), prices=PRICES)


PROGRAM = """
from langroute import ChatRouter{more}
from langroute.testing import ScriptedModel
model = ChatRouter({{"cheap": ScriptedModel("a"), "frontier": ScriptedModel("b")}}, prices={prices})
for number in range(3):
    model.invoke(f"How do I move database {{number}}?")
"""


@pytest.mark.parametrize("more", ["", "\nimport langroute.tracking.callbacks"], ids=["alone", "tracked"])
def test_a_program_under_the_variable_is_in_the_report_once(more: str, tmp_path: Path) -> None:
    """Its end writes what waits; a tracker beside the router counts no call twice."""
    path = tmp_path / "ledger.db"
    environment = {**os.environ, ENV_VAR: str(path)}
    subprocess.run([sys.executable, "-c", PROGRAM.format(more=more, prices=PRICES)], env=environment, check=True, timeout=60)
    with open_ledger(path) as ledger:
        assert counted(ledger, "decisions") == counted(ledger, "calls") == 3
    done = subprocess.run(
        [sys.executable, "-c", "from langroute.cli import main; main()", "report"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "over 3 of 3 decisions" in done.stdout
