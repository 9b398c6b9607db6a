"""`langroute report` writes the requested format to the requested place."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from by_hand import NOW, decided, tried
from click.testing import CliRunner

from langroute.cli.report import dashboard, report, show
from langroute.cli.terminal import Terminal
from langroute.core.errors import InputError, LedgerError
from langroute.core.records import Outcome, Step
from langroute.core.task_context import task
from langroute.reports.build import build_report
from langroute.reports.model import DIMENSIONS
from langroute.reports.window import Window

WEEK = Window.since("2026-05-20", "2026-05-27")


def run(ledger: Any, *more: str) -> Any:
    ledger.flush()
    return CliRunner().invoke(
        report, ["--ledger", str(ledger.url.database), "--since", "2026-05-20", "--until", "2026-05-27", *more]
    )


def test_the_first_line_says_what_matters(golden: Any) -> None:
    done = run(golden)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert (
        lines[0] == "Spend 3.90 USD, 4 tasks, 67 % of 3 successful, 1.95 USD per successful task; priced saving 39 % against large."
    )
    assert lines[1] == "2026-05-20 to 2026-05-27 (UTC); read from daily sums."
    assert "Savings against large for everything: +2.65 USD net (39 %) = baseline 6.75 USD" in done.output
    assert "Extra steps are not measured" in done.output


def test_unknown_prices_come_first(ledger: Any) -> None:
    with task("t1"):
        ledger.record(decided("d1", tried("small", None, model="mystery")))
    done = run(ledger)
    assert done.output.startswith("UNKNOWN PRICES: 1 of 1 calls have no known price (mystery)")
    assert "mystery (route small, provider openai): 1 calls, 1,100 tokens" in done.output


@pytest.mark.parametrize("by", DIMENSIONS)
def test_every_breakdown_can_be_shown(golden: Any, by: str) -> None:
    done = run(golden, "--by", by)
    assert done.exit_code == 0, done.output
    assert f"By {by.replace('_', ' ')}" in done.output


def test_a_range_of_hourly_rates_makes_a_return(golden: Any) -> None:
    assert "Return on the spend:" in run(golden, "--hourly-usd", "40-80").output
    assert run(golden, "--hourly-usd", "80-40").exit_code == 2
    assert run(golden, "--hourly-usd", "much").exit_code == 2


def test_json_and_csv_are_for_programs(golden: Any) -> None:
    found = json.loads(run(golden, "--format", "json", "--by", "team").output)
    assert found["total"]["spend"] == {"usd": pytest.approx(3.9), "unknown": 0}
    assert found["total"]["success"]["share"] == pytest.approx(2 / 3)
    rows = list(csv.DictReader(io.StringIO(run(golden, "--format", "csv", "--by", "team").output)))
    assert [row["team"] for row in rows] == ["data", "search", "", "TOTAL"]
    assert float(rows[-1]["spend_usd"]) == pytest.approx(3.9)


@pytest.mark.parametrize("form", ["table", "json", "csv", "html", "focus"])
def test_each_format_can_go_to_a_file(golden: Any, tmp_path: Path, form: str) -> None:
    file = tmp_path / "out"
    done = run(golden, "--format", form, "-o", str(file))
    assert done.exit_code == 0, done.output
    assert len(file.read_text(encoding="utf-8")) > 200
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_ledger_that_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    for command in (report, dashboard):
        done = CliRunner().invoke(command, ["--ledger", str(tmp_path / "typo.db")])
        assert isinstance(done.exception, LedgerError)
    assert not (tmp_path / "typo.db").exists()


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_narrow_terminal_gets_fewer_columns_and_whole_numbers(ledger: Any, width: int) -> None:
    """`1,7…` calls for `6…` USD are worse than no number."""
    for number in range(3):
        with task(f"t{number}", team=f"a-team-with-a-name-that-goes-on-{number}"):
            ledger.record(decided(f"d{number}", tried("small", None if number else 1234.5), baseline=4321.0))
        ledger.record_outcome(Outcome(success=True, task_id=f"t{number}", at=NOW, baseline_minutes=900, human_minutes=3))
    written = io.StringIO()
    show(build_report(ledger, WEEK, by="team"), Terminal(file=written, width=width))
    text = written.getvalue()
    assert "…" not in text
    assert all(len(line) <= width for line in text.splitlines() if line.startswith(("│", "┃")))
    for whole in ("1,234.50", "success", "USD"):
        assert whole in text
    assert ("No room for p50" in text) == (width < 150)


def test_what_has_no_success_has_no_price_for_one(ledger: Any) -> None:
    """`unknown` says that a price is missing, which is another matter."""
    for name, success in (("lost", False), ("open", None)):
        with task(name, kind=name):
            ledger.record(decided(name, tried("small", 0.25)))
        if success is not None:
            ledger.record_outcome(Outcome(success=success, task_id=name, at=NOW))
    done = run(ledger)
    assert "unknown" not in done.output
    assert re.search(r"│ lost +│.*│ none succeeded │", done.output)


@pytest.mark.parametrize("by", ["team", "model", "node"])
def test_names_are_shown_as_they_are(ledger: Any, by: str) -> None:
    """Square brackets are no markup, colons no pictures, and a name gives the terminal no orders."""
    hostile = ("[/team]", "[bold]loud", ":key:", "\x1b]52;c;aGk=\x07wiped\x1b[2J", "\u202egnp.exe")
    for number, name in enumerate(hostile):
        with task(f"t{number}", team=name):
            ledger.record(replace(decided(f"d{number}", tried(name, None, model=name)), step=Step(node=name), tier=name))
    done = run(ledger, "--by", by)
    assert done.exit_code == 0, done.output
    for shown in ("[/team]", "[bold]loud", ":key:", "]52;c;aGk=wiped[2J", "gnp.exe"):
        assert shown in done.output
    assert re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.output) is None


@pytest.mark.parametrize("form", ["table", "json", "csv", "html", "focus"])
def test_a_terminal_without_unicode_gets_its_report(ledger: Any, form: str) -> None:
    with task("t1", kind="Prüfung", team="検索"):
        ledger.record(decided("d1", tried("small", 0.1)))
    ledger.record_outcome(Outcome(success=True, task_id="t1", at=NOW))
    ledger.flush()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from langroute.cli import main; main()",
            "report",
            "--since",
            "all",
            "--by",
            "team",
            "--format",
            form,
        ],
        env={
            "LANGROUTE_LEDGER": str(ledger.url.database),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PATH": "/usr/bin:/bin",
            "PYTHONIOENCODING": "ascii",
        },
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert ("??" if form == "table" else "検索") in done.stdout.decode()


@pytest.mark.parametrize("table", ["bookmarks", "tasks"])
def test_another_programs_database_is_left_as_it_is(tmp_path: Path, table: str) -> None:
    """A mistyped path must not put seventeen tables into a browser's history."""
    path = tmp_path / "places.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, title TEXT)")
        connection.commit()
    before = path.read_bytes()
    done = CliRunner().invoke(report, ["--ledger", str(path)])
    assert isinstance(done.exception, LedgerError)
    assert "There is no ledger" in str(done.exception)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_damaged_ledger_is_said_in_a_line(golden: Any, tmp_path: Path) -> None:
    golden.flush()
    damaged = tmp_path / "damaged.db"
    with closing(sqlite3.connect(golden.url.database)) as connection:
        connection.execute("VACUUM INTO ?", (str(damaged),))
    whole = bytearray(damaged.read_bytes())
    whole[8192:] = b"\xde\xad" * ((len(whole) - 8192) // 2)
    damaged.write_bytes(whole)
    done = CliRunner().invoke(report, ["--ledger", str(damaged)])
    assert isinstance(done.exception, LedgerError)
    assert re.search(r"malformed\. The file is damaged", str(done.exception))
    assert "SELECT" not in str(done.exception)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("words", [("report", "--format", "html"), ("export",), ("alert",)])
def test_a_full_disk_is_no_alert_and_no_traceback(golden: Any, words: tuple[str, ...]) -> None:
    golden.flush()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from langroute.cli import main; main()", *words],
            env={
                "LANGROUTE_LEDGER": str(golden.url.database),
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "PATH": "/usr/bin:/bin",
            },
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert "langroute: [Errno 28] No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_time_is_said_in_a_line(golden: Any) -> None:
    done = CliRunner().invoke(report, ["--ledger", str(golden.url.database), "--since", "soon"])
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == "A time is given as 7d, 2w, 36h or a date such as 2026-11-01, not 'soon'."
    assert done.output == ""


def test_it_runs_as_a_program_with_the_ledger_from_the_environment(golden: Any) -> None:
    golden.flush()
    done = subprocess.run(
        [sys.executable, "-c", "from langroute.cli import main; main()", "report", "--since", "all", "--format", "csv"],
        env={"LANGROUTE_LEDGER": str(golden.url.database), "PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("TOTAL,3.9,0,4,3,2,")


def test_the_dashboard_serves_until_it_is_stopped(golden: Any) -> None:
    golden.flush()
    server = subprocess.Popen(
        [sys.executable, "-u", "-c", "from langroute.cli import main; main()", "dashboard", "--port", "0", "--since", "all"],
        env={"LANGROUTE_LEDGER": str(golden.url.database), "PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        found = re.match(r"Serving (http://127\.0\.0\.1:\d+/\?token=\S{32}) until", server.stdout.readline())
        page = urllib.request.urlopen(found[1], timeout=30).read().decode()
        assert "Spend 3.90 USD, 4 tasks" in page
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait(10)
