"""Reports on broken data stay machine-readable: infinity, broken records, impossible times."""

from __future__ import annotations

import csv
import io
import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langchain_core.messages import AIMessage, HumanMessage

from langroute.cli import cli
from langroute.core.errors import DataError
from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.reports.timeline import timeline_of

DAMAGE = {
    "infinity": [
        "UPDATE outcomes SET value_usd = 9e999, human_minutes = 9e999, baseline_minutes = -9e999, score = 9e999, at = 9e999",
        "UPDATE tasks SET value_usd = 9e999, human_minutes = 9e999, baseline_minutes = 9e999, cost_usd = 9e999, latency_s = 9e999",
        "UPDATE calls SET cost_usd = 9e999, verify_usd = -9e999, latency_s = 9e999",
        "UPDATE decisions SET cost_usd = 9e999, baseline_usd = 9e999, avoided_usd = 9e999, overhead_s = 9e999",
    ],
    "times": [
        "UPDATE tasks SET started_at = -1e18, ended_at = 1e18",
        "UPDATE calls SET at = -1e18",
        "UPDATE decisions SET at = 1e18",
    ],
    "records": [
        """UPDATE decision_details SET record = '{"id": "x"' WHERE decision = 1""",
        """UPDATE decision_details SET record = '{"id":"x","step":{"node":"a\\ud83d"},"route":"a\\ud83d","reason":"\\ud83d","attempts":[],"baseline_route":"\\ud83d"}' WHERE decision = 2""",
        f"UPDATE decision_details SET record = '{'[' * 5000}' WHERE decision = 3",
    ],
}
"""What an older version, or another program, may have left."""


def refuse(word: str) -> Any:
    raise AssertionError(f"{word} is no JSON")


@pytest.fixture(params=sorted(DAMAGE))
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "l.db"
    with open_ledger(path, level="full") as ledger:
        for number in range(4):
            with task(f"t{number}", kind="support", team="search"):
                attempt = Attempt(Selection("small"), usage=Usage(10, 5), cost_usd=0.25, latency_s=1.0, model="small-1")
                told = {"cost_usd": 0.25, "baseline_cost_usd": 1.0, "baseline_route": "large", "started_at": 1.75e9}
                ledger.record(Decision(f"d{number}", Step("chat"), "small", (attempt,), **told))
            ledger.record_outcome(Outcome(success=number > 0, task_id=f"t{number}", baseline_minutes=9.0, value_usd=2.0, at=1.75e9))
    with closing(sqlite3.connect(path)) as connection:
        for statement in DAMAGE[request.param]:
            connection.execute(statement)
        connection.commit()
    return path


def written(path: Path, *arguments: str) -> str:
    done = CliRunner().invoke(cli, [*arguments, "--ledger", str(path), "--since", "all"])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_json_is_read_by_every_parser(damaged: Path) -> None:
    for more in ([], ["--by", "user"], ["--by", "day"], ["--by", "route"], ["--raw"], ["--hourly-usd", "40-80"]):
        json.loads(written(damaged, "report", "--format", "json", *more), parse_constant=refuse)


def test_the_page_can_be_parsed(damaged: Path) -> None:
    page = written(damaged, "report", "--format", "html")
    json.loads(page.split('id="data">')[1].split("</script>")[0], parse_constant=refuse)


def test_no_cell_holds_infinity(damaged: Path) -> None:
    for form in ("csv", "focus"):
        for row in csv.reader(io.StringIO(written(damaged, "report", "--format", form))):
            assert not {"inf", "-inf", "nan"} & set(row)
    written(damaged, "report")


def test_a_timeline_is_shown(damaged: Path) -> None:
    with open_ledger(damaged, level="full") as ledger:
        assert timeline_of(ledger, "t1") is not None
        assert math.isfinite(ledger.task("t1").cost_usd)
        # What is told from now on counts, whatever was told before.
        ledger.record_outcome(Outcome(success=False, task_id="t1", at=1.76e9))
        assert ledger.task("t1").success is False
        assert ledger.dropped == 0


@pytest.mark.parametrize("damaged", ["infinity"], indirect=True)
def test_an_export_is_traffic_that_can_be_read(damaged: Path) -> None:
    lines = written(damaged, "export").splitlines()
    assert [json.loads(line, parse_constant=refuse)["id"] for line in lines if line.startswith("{")] == ["d0", "d1", "d2", "d3"]


@pytest.mark.parametrize("damaged", ["records"], indirect=True)
def test_an_export_of_what_cannot_be_read_says_so(damaged: Path) -> None:
    """A part of the traffic could be fitted as if it were all."""
    done = CliRunner().invoke(cli, ["export", "--ledger", str(damaged)])
    assert isinstance(done.exception, DataError)
    assert "A stored decision cannot be read" in str(done.exception)


def test_an_export_of_half_a_surrogate_pair_is_a_file(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db", level="full") as ledger:
        attempt = Attempt(Selection("small"), answer=AIMessage("half \ud83d"), usage=Usage(1, 1), cost_usd=0.1)
        ledger.record(Decision("d1", Step(), "small", (attempt,), messages=(HumanMessage("\ud83d?"),), started_at=1.0))
    (line,) = [line for line in written(tmp_path / "l.db", "export").splitlines() if line.startswith("{")]
    assert json.loads(line)["outcomes"]["small"]["output"] == "half ?"
