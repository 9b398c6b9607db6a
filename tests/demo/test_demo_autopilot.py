"""`langroute demo --autopilot`, with scripted models: it learns which tasks the cheap way will do for, and says so."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from demo_models import routes

from langroute.cli import cli
from langroute.demo.compare import Comparison, compare
from langroute.demo.learning import learn
from langroute.demo.page import write_page
from langroute.demo.tasks import tasks

CHOSEN = tasks(["is_even", "unique", "primes"])
WEAK, STRONG = ["is_even"], ["is_even", "unique", "primes"]


def test_it_goes_down_where_that_is_proven_and_solves_as_many() -> None:
    given = routes(weak=WEAK, strong=STRONG)
    comparison = Comparison(compare(given, CHOSEN), {})
    learned = learn(given, CHOSEN, comparison, count=70, margin=0.5)

    whole = learned.families[0]
    assert {arm.name: arm.state for arm in whole.arms}["routed"] == "adopted"
    assert {arm.name: arm.state for arm in whole.arms}["cheap"] != "adopted", "it fails two of three"
    first, last = learned.stretches[0], learned.stretches[-1]
    assert first.frontier_usd == pytest.approx(first.tasks * 0.03)
    assert first.saved < last.saved
    assert {arm.name: arm.success for arm in whole.arms}["routed"] == 1.0
    assert learned.by_size["small"]["cheap"] == (1, 1, pytest.approx(0.003))
    assert learned.by_size["large"]["cheap"][:2] == (0, 1)
    page = write_page(comparison, learned)
    assert "routed adopted, not worse than the baseline by 0.5" in page
    assert f"all: {whole.verdict}; waits for" in page


def test_the_command_shows_it_and_leaves_it_in_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def scripted(*_: Any) -> Any:
        yield routes(weak=WEAK, strong=STRONG)

    monkeypatch.setattr("langroute.cli.demo.demo_routes", scripted)
    arguments = ["demo", "--autopilot", "--count", "20", "--task", "is_even", "-o", str(tmp_path)]
    shown = CliRunner().invoke(cli, arguments, catch_exceptions=False, env={"COLUMNS": "200"}).output
    assert "frontier solves" in shown
    assert "langroute autopilot --ledger" in shown
    found = json.loads((tmp_path / "results.json").read_text())
    assert sum(one["tasks"] for one in found["autopilot"]["stretches"]) == 20
    assert "What an autopilot learned on 20 of these tasks" in (tmp_path / "report.html").read_text()
    later = CliRunner().invoke(cli, ["autopilot", "--ledger", str(tmp_path / "ledger.db")], catch_exceptions=False)
    assert "autopilot demo: at most 0.1 less solved, baseline frontier" in later.output
