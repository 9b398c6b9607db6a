"""`langroute demo` on a real model; Ctrl-C leaves no process running."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from local_models import directory_with
from waiting import wait_until

from langroute import open_ledger, record_outcome
from langroute.cli import cli
from langroute.core.errors import ConfigurationError

SMALL = "smollm2-135m"
ROOT = Path(__file__).parents[2]
PROGRAM = "import sys; sys.path[:0] = [sys.argv.pop(1)]; from langroute.cli import main; main()"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return directory_with(SMALL, at=tmp_path_factory.mktemp("local"))


def started(directory: Path, output: Path) -> subprocess.Popen[bytes]:
    """The demo as a terminal would start it: in a process group of its own, which Ctrl-C reaches as a whole."""
    models = ("--models", f"{SMALL},{SMALL}", "--threads", "1")
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        str(ROOT),
        "demo",
        "--quick",
        *models,
        "--directory",
        str(directory),
        "-o",
        str(output),
    ]
    return (
        subprocess.Popen(command, process_group=0)
        if sys.version_info >= (3, 11)
        else subprocess.Popen(command, start_new_session=True)
    )


def survivors(directory: Path) -> list[str]:
    """Processes that were started with this directory, by their arguments, their files or their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            files = [str(link.readlink()) for link in (process / "fd").iterdir()]
        except OSError:
            continue
        if int(process.name) != os.getpid() and (str(directory) in arguments or any(str(directory) in file for file in files)):
            found.append(f"{process.name}: {arguments}")
    return found


def wait_for_first_task(output: Path, directory: Path, process: subprocess.Popen[bytes]) -> None:
    """Both servers are up, and the ledger has the first step."""

    def begun() -> bool:
        assert process.poll() is None, "the demo ended before its first task"
        servers, ledger = directory / "servers", output / "ledger.db"
        return servers.exists() and len(list(servers.glob("*.json"))) == 2 and ledger.exists() and decisions(ledger) > 0

    wait_until(begun, 90)


def decisions(ledger: Path) -> int:
    """How many are in a ledger that another process writes; none where its tables are not made yet."""
    try:
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM decisions").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


@pytest.mark.server
@pytest.mark.local_model
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["Ctrl-C", "terminate", "kill"])
def test_however_the_demo_is_ended_nothing_is_left_running(sign: signal.Signals, directory: Path, tmp_path: Path) -> None:
    process = started(directory, tmp_path)
    wait_for_first_task(tmp_path, directory, process)
    assert survivors(directory), "two servers are running"
    if sign == signal.SIGINT:
        os.killpg(process.pid, sign)
    else:
        process.send_signal(sign)
    code = process.wait(30)

    wait_until(lambda: not survivors(directory))
    assert code != 0


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.local_model
@pytest.mark.timeout(600)
def test_the_demo_prints_its_numbers_and_writes_page_and_ledger(directory: Path, tmp_path: Path) -> None:
    chosen = ["--task", "is_even", "--task", "primes", "--threads", "1"]
    arguments = [
        "demo",
        *chosen,
        "--format",
        "json",
        "--models",
        f"{SMALL},{SMALL}",
        "--directory",
        str(directory),
        "-o",
        str(tmp_path),
    ]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    found = json.loads(result.stdout)

    assert result.exit_code == 0
    assert [run["name"] for run in found["runs"]] == ["always cheap", "always frontier", "routed"]
    assert all([task["task"] for task in run["tasks"]] == ["is_even", "primes"] for run in found["runs"])
    # It solves what is easy and not what is hard, whoever asks it.
    assert all([task["solved"] for task in run["tasks"]] == [True, False] for run in found["runs"])
    assert all(run["cost_usd"] > 0 and run["seconds"] > 0 for run in found["runs"])
    assert json.loads((tmp_path / "results.json").read_text()) == found
    assert "<svg" in (tmp_path / "report.html").read_text()
    decision = found["runs"][2]["tasks"][0]["decision_id"]
    told = CliRunner().invoke(cli, ["explain", decision, "--ledger", str(tmp_path / "ledger.db")], catch_exceptions=False)
    assert "edit step in node write" in told.output


@pytest.mark.parametrize("mine", ["ledger", "letter"])
def test_no_ledger_but_an_earlier_demos_is_replaced(tmp_path: Path, mine: str) -> None:
    """`-o .` in a project must not cost it its `ledger.db`, which is what a ledger is called by default."""
    path = tmp_path / "ledger.db"
    if mine == "ledger":
        with open_ledger(path) as ledger:
            record_outcome(ledger, True, task_id="ticket-17")
    else:
        path.write_text("Dear langroute, ...")
    before = path.read_bytes()
    arguments = ["demo", "--quick", "--models", "openai:gpt-5-nano", "-o", str(tmp_path)]
    with pytest.raises(ConfigurationError, match="would be lost. Name another directory"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert path.read_bytes() == before


def test_an_earlier_demos_ledger_is_replaced(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        record_outcome(ledger, True, task_id="always cheap/add")
    with pytest.raises(ConfigurationError, match="two names"):
        CliRunner().invoke(cli, ["demo", "--models", "one", "-o", str(tmp_path)], catch_exceptions=False)
    assert not (tmp_path / "ledger.db").exists()


def test_a_directory_that_cannot_be_made_is_said_in_a_line() -> None:
    with pytest.raises(ConfigurationError, match="cannot be made: .* Name another directory with -o"):
        CliRunner().invoke(cli, ["demo", "-o", "/dev/null/demo"], catch_exceptions=False)


def test_one_model_is_not_enough(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["demo", "--models", "openai:gpt-5-nano", "-o", str(tmp_path)])

    assert isinstance(result.exception, ConfigurationError)
    assert "two names" in str(result.exception)


def test_a_model_of_a_provider_without_a_key_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    result = CliRunner().invoke(cli, ["demo", "--models", "openai:gpt-5-nano,openai:gpt-5.1", "-o", str(tmp_path)])

    assert isinstance(result.exception, ConfigurationError)
    assert "openai:gpt-5-nano" in str(result.exception)
