"""An exported ledger is valid traffic for fitting."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langchain_core.messages import ChatMessage

from langroute import ChatRouter
from langroute.cli.ledger import export
from langroute.core.errors import InputError
from langroute.core.task_context import task
from langroute.learning.traffic import read_traffic
from langroute.ledger import open_ledger
from langroute.ledger.export import export_traffic
from langroute.ledger.schema import details
from langroute.policies.cascade import Cascade
from langroute.testing import ScriptedModel
from langroute.tracking.outcomes import record_outcome


def fill(path: Path, level: str) -> None:
    with open_ledger(path, level=level) as ledger:
        model: Any = ChatRouter(
            {"small": ScriptedModel("Hm.", "41"), "large": ScriptedModel("42")},
            policy=Cascade(["small", "large"]),
            verifier=lambda message: "4" in message.text,
            prices={"scripted": {"input": 1, "output": 1}},
            ledger=ledger,
        )
        with task("t1", kind="sums", team="search"):
            model.invoke("What is 6 * 7?")
            record_outcome(model, True, task_id="t1", source="tests")
        with task("t2", kind="sums"):
            answer = model.invoke("What is 6 * 7?")
            record_outcome(model, False, message=answer, source="user")


def test_traffic_has_what_was_tried_and_how_it_went(tmp_path: Path) -> None:
    """A rejected answer scores below an accepted one, a told outcome above what a verifier said."""
    fill(tmp_path / "l.db", "full")
    done = CliRunner().invoke(export, ["--ledger", str(tmp_path / "l.db"), "-o", str(tmp_path / "traffic.jsonl")])
    assert done.exit_code == 0, done.output
    first, second = read_traffic([tmp_path / "traffic.jsonl"])
    assert {route: outcome.score for route, outcome in first.outcomes.items()} == {"small": 0.0, "large": 1.0}
    assert {route: outcome.score for route, outcome in second.outcomes.items()} == {"small": 0.0}
    assert first.messages == ({"role": "user", "content": "What is 6 * 7?"},)
    assert (first.task, first.step["team"], first.step["served"]) == ("sums", "search", "large")
    assert first.outcomes["large"].output_tokens > 0
    assert stat.S_IMODE((tmp_path / "traffic.jsonl").stat().st_mode) == 0o600


def test_messages_of_a_role_by_name_are_read_back(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db", level="full") as ledger:
        model: Any = ChatRouter({"small": ScriptedModel("42")}, prices={"scripted": {"input": 1, "output": 1}}, ledger=ledger)
        model.invoke([ChatMessage(role="user", content="What is 6 * 7?")])
    done = CliRunner().invoke(export, ["--ledger", str(tmp_path / "l.db"), "-o", str(tmp_path / "traffic.jsonl")])

    assert done.exit_code == 0, done.output
    (one,) = read_traffic([tmp_path / "traffic.jsonl"])
    assert one.messages == ({"role": "user", "content": "What is 6 * 7?"},)


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """A part of it could be fitted as if it were all."""
    fill(tmp_path / "l.db", "full")
    (tmp_path / "traffic.jsonl").write_text("the last one\n", encoding="utf-8")
    table = details.name
    with closing(sqlite3.connect(tmp_path / "l.db")) as database, database:
        database.execute(f"UPDATE {table} SET record = 'broken' WHERE decision = (SELECT max(decision) FROM {table})")

    done = CliRunner().invoke(export, ["--ledger", str(tmp_path / "l.db"), "-o", str(tmp_path / "traffic.jsonl")])

    assert done.exit_code != 0
    assert (tmp_path / "traffic.jsonl").read_text(encoding="utf-8") == "the last one\n"
    assert not (tmp_path / ".traffic.jsonl.new").exists()


@pytest.mark.parametrize("level", ["minimal", "metadata"])
def test_without_text_it_is_traffic_without_words(level: str, tmp_path: Path) -> None:
    fill(tmp_path / "l.db", level)
    done = CliRunner().invoke(export, ["--ledger", str(tmp_path / "l.db")])
    assert done.exit_code == 0
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["messages"] for line in lines] == [[{"role": "user", "content": ""}]] * 2
    assert "6 * 7" not in done.stdout
    assert lines[0]["step"]["kind"] == "answer"


def test_a_long_ledger_is_exported_page_by_page(tmp_path: Path) -> None:
    from langroute.core.records import Attempt, Decision, Selection, Step, Usage

    with open_ledger(tmp_path / "l.db") as ledger:
        for number in range(2500):
            tried = Attempt(Selection("small"), usage=Usage(1, 1), cost_usd=0.1, latency_s=0.1)
            ledger.record(Decision(f"d{number}", Step(), "small", (tried,), started_at=float(number)))
        assert [line["id"] for line in export_traffic(ledger)] == [f"d{number}" for number in range(2500)]
        assert [line["id"] for line in export_traffic(ledger, since=10, until=12)] == ["d10", "d11"]


def test_no_letter_is_lost_on_the_way_into_a_pipe(tmp_path: Path) -> None:
    """A program in a plain locale gets the same bytes as a file."""
    with open_ledger(tmp_path / "l.db", level="full") as ledger:
        ChatRouter({"small": ScriptedModel("é")}, prices={"scripted": {"input": 1, "output": 1}}, ledger=ledger).invoke(
            "Prüfe 検索"
        )
    command = [sys.executable, "-c", "from langroute.cli import main; main()", "export", "--ledger", str(tmp_path / "l.db")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    piped = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60).stdout
    subprocess.run([*command, "-o", str(tmp_path / "f.jsonl")], env=environment, capture_output=True, check=True, timeout=60)
    assert "Prüfe 検索" in piped.decode()
    assert piped == (tmp_path / "f.jsonl").read_bytes()


def test_a_place_that_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db"):
        pass
    done = CliRunner().invoke(export, ["--ledger", str(tmp_path / "l.db"), "-o", str(tmp_path / "nowhere" / "traffic.jsonl")])
    assert isinstance(done.exception, InputError)
    assert "cannot be written: No such file" in str(done.exception)


def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    done = CliRunner().invoke(export, ["--ledger", str(tmp_path / "typo.db")])
    assert done.exit_code != 0
    assert not (tmp_path / "typo.db").exists()
