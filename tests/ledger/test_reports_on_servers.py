"""Reports on a real PostgreSQL equal those on SQLite."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, inspect

from langroute.cli.report import report
from langroute.core.errors import LedgerError
from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.reports.alerts import BudgetBurn, ModelChanged, PriceUnknown, SuccessDrop, check
from langroute.reports.build import build_report
from langroute.reports.chargeback import to_focus
from langroute.reports.formats import to_csv
from langroute.reports.model import DIMENSIONS
from langroute.reports.page import write_page
from langroute.reports.pagedata import page_data
from langroute.reports.review import candidates
from langroute.reports.timeline import timeline_of
from langroute.reports.window import Window

NOW = 20_600 * 86_400.0 + 43_200.0
WEEK = Window.since("7d", now=NOW)


def fill(ledger: Any) -> None:
    for number in range(30):
        route = "large" if number % 3 else "small"
        with task(
            f"t{number}", kind=f"kind-{number % 2}", team=f"team-{number % 4}" if number % 5 else None, user=f"u{number % 3}"
        ):
            for step in range(2):
                cost = None if number % 11 == 10 else 0.25 * (step + 1)
                attempt = Attempt(
                    Selection(route, confidence=0.1 * (number % 9)),
                    usage=Usage(100, 10),
                    cost_usd=cost,
                    latency_s=0.3 * step,
                    model=f"{route}-{1 + number // 20}",
                    score=1.0,
                )
                ledger.record(
                    Decision(
                        f"d{number}-{step}",
                        Step("act"),
                        route,
                        (attempt,),
                        tier={"small": "cheap", "large": "frontier"}[route],
                        model=attempt.model,
                        cost_usd=cost,
                        baseline_cost_usd=0.75,
                        baseline_route="large",
                        started_at=NOW - 86_400.0 * (number % 10) - step,
                    )
                )
        ledger.record_outcome(
            Outcome(success=number % 4 != 1, task_id=f"t{number}", at=NOW, human_minutes=1.0, baseline_minutes=9.0)
        )


@pytest.mark.server
def test_reports_are_the_same_on_postgresql_and_sqlite(postgres: str, tmp_path: Any) -> None:
    """Every breakdown from sums and raw rows, the page, chargeback, alerts, reviews and timelines."""
    # Users are hashed with each ledger's own key: one key, so that they compare.
    with open_ledger(postgres, hash_key=b"one") as there, open_ledger(tmp_path / "ledger.db", hash_key=b"one") as here:
        for ledger in (there, here):
            fill(ledger)
        for raw in (False, True):
            for by in DIMENSIONS:
                expected = to_csv(build_report(here, WEEK, by=by, raw=raw))
                assert to_csv(build_report(there, WEEK, by=by, raw=raw)) == expected, (by, raw)
            assert to_focus(there, WEEK, raw=raw) == to_focus(here, WEEK, raw=raw)
        hours = Window.since("30h", now=NOW)
        assert to_csv(build_report(there, hours)) == to_csv(build_report(here, hours))
        first, second = page_data(there, WEEK), page_data(here, WEEK)
        assert {**first, "made_at": 0}.keys() == second.keys()
        for cube in ("tasks", "calls", "decisions", "saving"):
            assert sorted(first[cube]) == sorted(second[cube]), cube
        assert first["savings"] == second["savings"]
        assert len(write_page(first)) > 100_000
        assert timeline_of(there, "t3") == timeline_of(here, "t3")
        rules = [BudgetBurn(1.0), SuccessDrop(days=3, before=5), PriceUnknown(), ModelChanged(days=3, before=5)]
        assert check(there, rules, now=NOW) == check(here, rules, now=NOW)
        with pytest.raises(Exception, match="level='full'"):
            candidates(there, WEEK)


@pytest.mark.server
def test_a_report_makes_no_ledger_in_a_database_without_one(postgres: str) -> None:
    """The wrong database's name is as easily written as the wrong path."""
    done = CliRunner().invoke(report, ["--ledger", postgres])
    assert "There is no ledger at 'postgresql" in str(done.exception)
    with create_engine(postgres.replace("postgresql://", "postgresql+psycopg://")).connect() as connection:
        assert inspect(connection).get_table_names() == []
    with open_ledger(postgres):
        pass
    assert CliRunner().invoke(report, ["--ledger", postgres]).exit_code == 0


def test_a_server_that_never_answers_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall that drops what comes is no refusal; a program must not wait for minutes to find that out."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (the extra `postgres`)")
    monkeypatch.setattr("langroute.ledger.connection.PATIENCE_S", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        begun = time.monotonic()
        with pytest.raises(LedgerError, match="timeout"):
            open_ledger(f"postgresql://me@127.0.0.1:{port}/langroute")
        assert time.monotonic() - begun < 20


def test_a_server_that_is_away_is_said_without_its_password() -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed (the extra `postgres`)")
    done = CliRunner().invoke(report, ["--ledger", "postgresql://me:secret@127.0.0.1:9/langroute"])
    assert "Connection refused" in str(done.exception)
    assert "secret" not in str(done.exception)
    assert "sqlalche.me" not in str(done.exception)
