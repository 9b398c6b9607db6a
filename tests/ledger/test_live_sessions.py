"""Sessions that are under way, as a ledger in either database knows them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from langroute import ChatRouter, Price, Route
from langroute.ledger import open_ledger
from langroute.reports.live import live_sessions
from langroute.testing import ScriptedModel


def record(ledger: Any, task: str) -> None:
    """Two steps of a session, the second from the cache."""
    prices = {"small": 1, "large": 100}
    routes = {name: Route(ScriptedModel("Fine."), price=Price(input=price, output=price)) for name, price in prices.items()}
    model = ChatRouter(routes, ledger=ledger, response_cache=True)
    for _ in range(2):
        model.invoke("Well?", {"metadata": {"langroute_task": task, "langroute_project": task}})
    ledger.flush()


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres")


def test_only_sessions_of_the_window_are_there_the_latest_first(where: Any) -> None:
    with open_ledger(where) as ledger:
        for name in ("first", "second"):
            record(ledger, name)
        second, first = live_sessions(ledger, 600)
        assert [one.project for one in (second, first)] == ["second", "first"]
        assert (first.route, first.steps, first.cache_hits, first.cache, first.errors) == ("small", 2, 1, "hit", 0)
        assert first.saved_usd is not None
        assert first.saved_usd > first.cost_usd > 0
        assert [one.project for one in live_sessions(ledger, 600, most=1)] == ["second"]
        assert live_sessions(ledger, 60, now=time.time() + 100) == []


def test_a_look_takes_the_latest_steps_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are."""
    monkeypatch.setattr("langroute.reports.live.MOST_STEPS", 3)
    with open_ledger(tmp_path / "ledger.db") as ledger:
        for name in ("first", "second", "third"):
            record(ledger, name)
        assert [one.project for one in live_sessions(ledger, 600)] == ["third", "second"]


def test_a_step_that_no_route_answered_has_none(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        with pytest.raises(Exception, match="down"):
            ChatRouter({"only": ScriptedModel(ValueError("down"))}, ledger=ledger, max_retries=0).invoke("Well?")
        ledger.flush()
        (session,) = live_sessions(ledger, 600)
        assert (session.route, session.errors, session.saved_usd) == (None, 1, None)
