"""Does `langroute report` write what was asked for, where it was asked?"""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from by_hand import decided, tried
from click.testing import CliRunner

from langroute.cli.report import dashboard, report
from langroute.context import task
from langroute.errors import InputError, LedgerError
from langroute.reports.model import DIMENSIONS


def run(ledger: Any, *more: str) -> Any:
    ledger.flush()
    return CliRunner().invoke(
        report, ["--ledger", str(ledger.url.database), "--since", "2026-05-20", "--until", "2026-05-27", *more]
    )


def test_the_first_line_says_what_matters(golden: Any) -> None:
    done = run(golden)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "Spend 3.90 USD, 4 tasks, 67 % of 3 successful, 1.95 USD per successful task."
    assert lines[1] == "2026-05-20 to 2026-05-27 (UTC); read from daily sums."
    assert "Savings against large for everything: +2.65 USD net" in done.output
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


def test_a_wrong_time_is_said_in_a_line(golden: Any) -> None:
    done = CliRunner().invoke(report, ["--ledger", str(golden.url.database), "--since", "soon"])
    assert isinstance(done.exception, InputError)


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
        found = re.match(r"Serving (http://127\.0\.0\.1:\d+/) until", server.stdout.readline())
        page = urllib.request.urlopen(found[1], timeout=30).read().decode()
        assert "Spend 3.90 USD, 4 tasks" in page
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait(10)
