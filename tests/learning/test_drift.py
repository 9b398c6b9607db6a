"""Drift is told when outcomes or served models change, and not before, and not without evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from langroute import Router
from langroute.core.records import Attempt, Decision, Outcome, Request, RouteInfo, Selection, Step
from langroute.estimators.store import PolicyFile
from langroute.learning.drift import DRIFT, OK, UNKNOWN, Drift, SafeOnDrift
from langroute.policies import Fixed
from langroute.policies.bandit import Bandit
from langroute.testing import ScriptedModel


def serve(drift: Drift, number: int, right: bool, model: str = "m-1") -> None:
    attempt = Attempt(Selection("small", confidence=0.9), model=model)
    drift.on_decision(Decision(str(number), Step(), "small", (attempt,), model=model))
    drift.on_outcome(Outcome(success=right, decision_id=str(number)))


def test_few_outcomes_are_no_proof_that_all_is_well() -> None:
    drift = Drift(PolicyFile(()))
    for number in range(10):
        serve(drift, number, True)

    assert drift.verdict().state == UNKNOWN


def test_a_stable_route_stays_ok() -> None:
    random, alarms = np.random.default_rng(0), 0
    for _ in range(20):
        drift = Drift(PolicyFile(()))
        for number in range(500):
            serve(drift, number, bool(random.random() < 0.9))
        alarms += drift.verdict().state != OK

    assert alarms <= 1


def test_a_planted_drop_is_found_soon() -> None:
    random, told = np.random.default_rng(1), []
    drift = Drift(PolicyFile(()), on_drift=told.append)
    for number in range(200):
        serve(drift, number, bool(random.random() < 0.9))
    assert not told
    for number in range(200, 300):
        serve(drift, number, bool(random.random() < 0.6))

    assert [one.route for one in told] == ["small"]
    assert drift.verdict("small").state == DRIFT


def test_another_model_behind_the_name_is_drift() -> None:
    drift = Drift(PolicyFile(()))
    serve(drift, 1, True)
    serve(drift, 2, True, model="m-2")

    assert drift.verdict().state == DRIFT
    assert "m-2" in drift.verdict().reason


@pytest.mark.parametrize("drifted, route", [(False, "small"), (True, "large")])
def test_a_drifted_route_gives_way_to_the_safe_one(drifted: bool, route: str) -> None:
    drift = Drift(PolicyFile(()))
    serve(drift, 1, True)
    if drifted:
        serve(drift, 2, True, model="m-2")
    policy = SafeOnDrift(Fixed("small"), drift, safe="large")
    routes = (RouteInfo("small"), RouteInfo("large"))

    assert policy.select(Request("Hi.", routes=routes), ()).route == route


def test_a_router_tells_its_watched_policy_everything() -> None:
    policy = SafeOnDrift(Fixed("small"), Drift(PolicyFile(())), safe="large")
    router = Router({"small": ScriptedModel("a"), "large": ScriptedModel("b")}, policy=policy)

    assert set(router.policy.routes_named()) == {"small", "large"}
    assert router.policy_name.startswith("SafeOnDrift(")


def test_the_policy_inside_hears_of_decisions_and_outcomes() -> None:
    inside = Bandit(["small", "large"], cost_weight=0.0, seed=3)
    policy = SafeOnDrift(inside, Drift(PolicyFile(())), safe="large")
    routes = (RouteInfo("small"), RouteInfo("large"))
    before = dict(inside.beliefs())
    selection = policy.select(Request("Hi.", routes=routes), ())
    assert selection is not None

    attempt = Attempt(selection, answer="Hello.")
    policy.on_decision(Decision("d", Step("act"), selection.route, (attempt,)))
    policy.on_outcome(Outcome(success=True, decision_id="d"))

    after = inside.beliefs()
    assert {name for name in after if after[name] != before.get(name)} == {selection.route}


def test_an_outcome_of_a_task_counts_once_for_each_route_that_took_part() -> None:
    drift = Drift(PolicyFile(()))
    for number in range(40):
        for step, route in enumerate(("small", "small", "large")):
            attempt = Attempt(Selection(route, confidence=0.9))
            drift.on_decision(Decision(f"{number}-{step}", Step(task=f"t{number}"), route, (attempt,)))
        drift.on_outcome(Outcome(success=False, task_id=f"t{number}"))

    assert drift.verdict("small").outcomes == drift.verdict("large").outcomes == 40
    assert drift.verdict("small").state == drift.verdict("large").state == DRIFT


def test_a_decision_with_an_outcome_of_its_own_has_no_part_in_its_tasks() -> None:
    drift = Drift(PolicyFile(()))
    attempt = Attempt(Selection("small", confidence=0.9))
    for step in range(2):
        drift.on_decision(Decision(f"d{step}", Step(task="t"), "small", (attempt,)))
    drift.on_outcome(Outcome(success=True, decision_id="d0"))
    drift.on_outcome(Outcome(success=True, decision_id="d1"))
    drift.on_outcome(Outcome(success=True, task_id="t"))
    assert drift.verdict("small").outcomes == 2
    drift.on_outcome(Outcome(success=True, decision_id="d1"))

    assert drift.verdict("small").outcomes == 2


def test_the_outcome_of_a_conversation_is_heard_by_its_ledgers_name() -> None:
    drift = Drift(PolicyFile(()), least=1)
    attempt = Attempt(Selection("small", confidence=0.9))
    drift.on_decision(Decision("d", Step(thread="c1"), "small", (attempt,)))
    drift.on_outcome(Outcome(success=True, task_id="thread:c1"))

    assert drift.verdict("small").outcomes == 1


def test_workers_watch_together_and_after_a_restart(tmp_path: Path) -> None:
    """Decisions at one worker, outcomes by task at another, and a third that starts later."""
    one, other = (Drift(PolicyFile(()), store=tmp_path / "state.db") for _ in range(2))
    for number in range(40):
        attempt = Attempt(Selection("small", confidence=0.9), model="m")
        one.on_decision(Decision(f"d{number}", Step(task=f"t{number}"), "small", (attempt,), model="m"))
        other.on_outcome(Outcome(success=False, task_id=f"t{number}"))
    other.verdict()
    assert one.verdict("small").state == DRIFT
    assert other.verdict("small").state == DRIFT

    later = Drift(PolicyFile(()), store=tmp_path / "state.db")
    assert later.verdict("small").state == DRIFT
    assert later.drifted("small") is not None
    later.restart()
    assert one.verdict("small").state == UNKNOWN
