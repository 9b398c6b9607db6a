"""`langroute explain` says why a route was chosen, from a ledger file."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from langroute import ChatRouter, Price, Route
from langroute.cli import cli
from langroute.core.errors import InputError, LedgerError
from langroute.core.records import Decision, Step
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


def test_the_last_ones_are_listed_a_line_each_the_newest_at_the_end(recorded: tuple[Path, list[str]]) -> None:
    file, ids = recorded
    lines = told("--last", "20", "--ledger", str(file)).splitlines()
    assert [line.split()[2] for line in lines[1:]] == ids
    assert "frontier" in lines[1]
    assert "USD" in lines[1]
    assert "cheapest first" in lines[2]

    assert [line.split()[2] for line in told("--last", "1", "--ledger", str(file)).splitlines()[1:]] == ids[1:]


def test_an_id_and_a_number_exclude_each_other_and_a_number_is_above_zero(recorded: tuple[Path, list[str]]) -> None:
    for arguments in ([recorded[1][0], "--last", "2"], ["--last", "0"], ["--last", "many"]):
        result = CliRunner().invoke(cli, ["explain", *arguments, "--ledger", str(recorded[0])])
        assert result.exit_code == 2


def test_names_that_would_write_to_the_terminal_are_listed_as_text(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        ledger.record(Decision("d1", Step("answer"), "cheap\x1b[2J", (), reason="[red]two\nlines"))
    output = told("--last", "1", "--ledger", str(tmp_path / "ledger.db"))

    assert "\x1b" not in output
    assert "[red]two lines" in output
    assert len(output.splitlines()) == 2


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
    assert str(result.exception) == "No decision has been recorded yet."
    assert result.output == ""

    listed = CliRunner().invoke(cli, ["explain", "--last", "3", "--ledger", str(tmp_path / "empty.db")])
    assert str(listed.exception) == "No decision has been recorded yet."


def test_a_step_that_nobody_answered_says_what_failed() -> None:
    """Also where there was only one attempt."""
    model = ChatRouter({"only": Route(ScriptedModel(ValueError("no")), price={"input": 1, "output": 2})})
    with pytest.raises(ValueError, match="no"):
        model.invoke("Hello?")
    assert "failed: ValueError" in model.explain()
