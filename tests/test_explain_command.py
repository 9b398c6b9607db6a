"""Does `langroute explain` say why a route was chosen, from a ledger file?"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from langroute import ChatRouter, Price, Route
from langroute.cli import cli
from langroute.errors import InputError, LedgerError
from langroute.ledger import open_ledger
from langroute.policies.cascade import Cascade
from langroute.testing import ScriptedModel


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, list[str]]:
    """A ledger with two decisions, and their ids."""
    file = tmp_path / "ledger.db"
    priced = Price(input=1, output=2)
    routes = {"cheap": Route(ScriptedModel("", "Yes."), price=priced), "frontier": Route(ScriptedModel("No."), price=priced)}
    with open_ledger(file) as ledger:
        model = ChatRouter(routes, policy=Cascade(), ledger=ledger)
        ids = [model.invoke("Well?").response_metadata["langroute"]["decision_id"] for _ in range(2)]
    return file, ids


def told(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["explain", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_decision_is_explained_by_its_id(recorded: tuple[Path, list[str]]) -> None:
    file, ids = recorded
    output = told(ids[0], "--ledger", str(file))

    assert "-> frontier: cheap scored 0.00" in output
    assert "attempt 1: cheap" in output
    assert "attempt 2: frontier" in output


def test_without_an_id_the_latest_is_explained(recorded: tuple[Path, list[str]]) -> None:
    assert "-> cheap: cheapest first" in told("--ledger", str(recorded[0]))


def test_the_environment_names_the_ledger(recorded: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGROUTE_LEDGER", str(recorded[0]))

    assert "-> frontier" in told(recorded[1][0])


def test_an_unknown_id_and_an_absent_ledger_are_clear_errors(recorded: tuple[Path, list[str]], tmp_path: Path) -> None:
    unknown = CliRunner().invoke(cli, ["explain", "nothing", "--ledger", str(recorded[0])])
    assert isinstance(unknown.exception, InputError)
    assert "No decision 'nothing'" in str(unknown.exception)

    absent = CliRunner().invoke(cli, ["explain", "--ledger", str(tmp_path / "absent.db")])
    assert isinstance(absent.exception, LedgerError)
    assert not (tmp_path / "absent.db").exists()


def test_a_ledger_without_decisions_says_so(tmp_path: Path) -> None:
    open_ledger(tmp_path / "empty.db").close()
    result = CliRunner().invoke(cli, ["explain", "--ledger", str(tmp_path / "empty.db")])

    assert isinstance(result.exception, InputError)


def test_a_step_that_nobody_answered_says_what_failed() -> None:
    """Also where there was only one attempt."""
    model = ChatRouter({"only": Route(ScriptedModel(ValueError("no")), price={"input": 1, "output": 2})})
    with pytest.raises(ValueError, match="no"):
        model.invoke("Hello?")
    assert "failed: ValueError" in model.explain()
