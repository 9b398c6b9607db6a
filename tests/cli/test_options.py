"""Options mean the same, and are written the same, in every command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from langroute.cli import cli
from langroute.core.errors import DataError, InputError, StateError
from langroute.learning.collect import CollectTerms
from langroute.learning.plot import check_plot
from langroute.ledger import open_ledger


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:  # type: ignore[assignment]
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


OPTIONS = [(name, option) for name, command in commands() for option in command.params if isinstance(option, click.Option)]


def test_the_commands_are_these() -> None:
    names = {name.partition(" ")[0] for name, _ in commands()}
    assert "alert" in names
    assert "check" not in names


@pytest.mark.parametrize("name, option", OPTIONS, ids=[f"{name} {option.opts[0]}" for name, option in OPTIONS])
def test_times_and_formats_are_given_in_one_way(name: str, option: click.Option) -> None:
    """Never a number of days here and a time there, or a flag for JSON; `--last` is a number of records."""
    assert not {"--days", "--json", "--hours"} & set(option.opts)
    if "--last" in option.opts:
        assert isinstance(option.type, click.IntRange)
    if "--since" in option.opts:
        assert option.metavar == "TIME"
    if "--format" in option.opts:
        assert isinstance(option.type, click.Choice)
        assert "json" in option.type.choices
        assert option.default == option.type.choices[0] != "json"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    open_ledger(tmp_path / "ledger.db").close()
    return tmp_path / "ledger.db"


@pytest.mark.parametrize("given", [(), ("--since", "2w"), ("--since", "7d", "--before", "4w"), ("--since", "2026-01-01")])
def test_alerts_take_whole_days(given: tuple[str, ...], ledger: Path) -> None:
    done = CliRunner().invoke(cli, ["alert", "--ledger", str(ledger), "--format", "json", *given])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    "given, said",
    [
        (("--since", "36h"), "whole days"),
        (("--since", "all"), "whole days"),
        (("--before", "36h"), "whole days or weeks"),
        (("--before", "2026-01-01"), "whole days or weeks"),
        (("--before", "28"), "whole days or weeks"),
        (("--days", "7"), "No such option"),
    ],
)
def test_alerts_refuse_what_is_no_whole_day(given: tuple[str, ...], said: str, ledger: Path) -> None:
    done = CliRunner().invoke(cli, ["alert", "--ledger", str(ledger), *given])
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize(
    "command",
    [
        ("report", "--format", "csv", "-o"),
        ("report", "--format", "html", "-o"),
        ("report", "--format", "focus", "-o"),
        ("export", "-o"),
        ("collect", "--max-usd", "1", "--routes", "nobody:asks", "-o"),
    ],
)
def test_no_output_takes_the_place_of_the_ledger_that_is_read(command: tuple[str, ...], ledger: Path) -> None:
    before = ledger.read_bytes()
    done = CliRunner().invoke(cli, [*command, str(ledger), "--ledger", str(ledger)])
    assert isinstance(done.exception, (InputError, DataError))
    assert "database" in str(done.exception)
    assert ledger.read_bytes() == before


def test_no_plot_takes_the_place_of_a_database(ledger: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="needs the extra `report`")
    page = tmp_path / "plot.html"
    page.write_bytes(ledger.read_bytes())
    with pytest.raises(DataError, match="this is a database"):
        check_plot(page)


def test_what_is_collected_takes_not_the_place_of_what_was_asked(tmp_path: Path) -> None:
    file = tmp_path / "traffic.jsonl"
    file.write_text("{}\n")
    done = CliRunner().invoke(cli, ["collect", str(file), "--max-usd", "1", "--routes", "nobody:asks", "-o", str(file)])
    assert isinstance(done.exception, InputError)
    assert "is the file that is read" in str(done.exception)


def test_a_mistyped_store_of_an_autopilot_makes_no_file(ledger: Path, tmp_path: Path) -> None:
    for command in ((), ("undo",), ("hold", "small")):
        done = CliRunner().invoke(cli, ["autopilot", "--store", str(tmp_path / "nofile"), *command])
        assert isinstance(done.exception, StateError)
    assert not (tmp_path / "nofile").exists()


NUMBERS = [(name, option) for name, option in OPTIONS if isinstance(option.type, click.types.FloatParamType)]


@pytest.mark.parametrize("name, option", NUMBERS, ids=[f"{name} {option.opts[0]}" for name, option in NUMBERS])
def test_a_limit_is_a_number(name: str, option: click.Option) -> None:
    """Of `nan`, every comparison is false: a budget of that much would bind nothing."""
    if isinstance(option.type, click.FloatRange):
        for value in ("nan", "inf"):
            with pytest.raises(click.BadParameter):
                option.type.convert(value, option, None)
    else:
        assert (name, option.name) in {("outcome", "score"), ("outcome", "minutes"), ("outcome", "value"), ("alert", "budget_usd")}


def test_what_is_collected_has_a_limit_in_programs_too() -> None:
    with pytest.raises(InputError, match="max_usd is a number above 0"):
        CollectTerms(float("nan"))


@pytest.mark.parametrize("given", [("",), (" ",), ("s1", "--key", ""), ("s1", "--source", "")])
def test_an_unset_variable_is_no_session(given: tuple[str, ...], ledger: Path) -> None:
    """A hook that runs `langroute outcome "$SESSION"` without one."""
    done = CliRunner().invoke(cli, ["outcome", *given, "--success", "--ledger", str(ledger)])
    assert done.exit_code == 2
    assert "this is empty" in done.output


def test_the_module_runs_as_the_command_does() -> None:
    told = subprocess.run([sys.executable, "-m", "langroute", "report", "--limit"], capture_output=True, text=True, check=False)
    assert (told.returncode, "Usage: python -m langroute report" in told.stderr) == (2, True)
