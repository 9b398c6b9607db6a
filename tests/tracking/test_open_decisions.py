"""A tracker that is flushed while a decision waits to try again counts no call twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from langroute import ChatRouter, Route
from langroute.core.open_decisions import is_open
from langroute.core.process_end import is_pausing
from langroute.ledger import open_ledger
from langroute.policies.cascade import Cascade
from langroute.testing import ScriptedModel
from langroute.tracking.callbacks import OutcomeTracker


class Refused(Exception):
    status_code = 429


@pytest.mark.parametrize("streams", [False, True])
def test_between_the_attempts(tmp_path: Path, streams: bool) -> None:
    with open_ledger(tmp_path / "l.db") as ledger:
        tracker = OutcomeTracker(ledger)
        seen: list[bool] = []

        def second(_: Any) -> str:
            tracker.flush()
            seen.append(True)
            return "Hm."

        price = {"input": 1, "output": 2}
        routes = {
            "first": Route(ScriptedModel(Refused("later"), Refused("later"), Refused("later"), Refused("later")), price=price),
            "second": Route(ScriptedModel(second), price=price),
        }
        model = ChatRouter(routes, policy=Cascade(["first", "second"]), ledger=ledger, max_retries=1)
        config = {"callbacks": [tracker], "configurable": {"thread_id": "t1"}}
        if streams:
            list(model.stream("Hello?", config))
        else:
            model.invoke("Hello?", config)
        tracker.flush(final=True)
        totals, decision = ledger.task("t1"), ledger.latest()
    assert seen
    assert decision is not None
    assert totals is not None
    assert (totals.calls, totals.decisions) == (len(decision.attempts), 1)
    assert not is_open(decision.id)


def test_what_a_router_tells_elsewhere_is_recorded_by_a_flush(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "a.db") as here, open_ledger(tmp_path / "b.db") as elsewhere:
        tracker = OutcomeTracker(here)
        model = ChatRouter({"only": ScriptedModel("Hm.")}, ledger=elsewhere)
        model.invoke("Hello?", {"callbacks": [tracker], "metadata": {"thread_id": "t1"}})
        tracker.flush()
        totals = here.task("t1")
        assert totals is not None
        assert totals.calls == 1


def test_nothing_pauses_by_itself() -> None:
    assert not is_pausing()
