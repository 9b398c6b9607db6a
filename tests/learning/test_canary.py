"""A canary stops by itself at harm or success, keeps tasks together, and is seldom wrong."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from langchain_core.messages import HumanMessage

from langroute.errors import ConfigurationError
from langroute.policies import Fixed
from langroute.policies.canary import HARM, RUNNING, SUCCESS, Canary
from langroute.records import Attempt, Decision, Outcome, Request, RouteInfo, Selection, Step

ROUTES = (RouteInfo("old"), RouteInfo("new"))


def run(canary: Canary, chances: dict[str, float], tasks: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    for number in range(tasks):
        step = Step(task=f"{seed}/{number}", task_kind="support")
        routes = {canary.select(Request((HumanMessage("Hi."),), step, ROUTES), ()).route for _ in range(3)}
        assert len(routes) == 1, "a task stays on its side"
        route = routes.pop()
        canary.on_decision(Decision(f"{seed}/{number}", step, route, (Attempt(Selection(route)),)))
        canary.on_outcome(Outcome(success=bool(random.random() < chances[route]), task_id=step.task))


def made(**more: float) -> Canary:
    return Canary(Fixed("old"), Fixed("new"), **{"share": 0.5, "margin": 0.05, **more})


def test_harm_is_found_and_everything_goes_back() -> None:
    canary = made()
    run(canary, {"old": 0.9, "new": 0.6}, 1500, 1)

    assert canary.state == HARM
    assert canary.select(Request((HumanMessage("Hi."),), Step(task="later"), ROUTES), ()).route == "old"


def test_a_policy_that_is_as_good_is_a_success() -> None:
    canary = made(margin=0.15)
    run(canary, {"old": 0.9, "new": 0.9}, 4000, 2)

    assert canary.state == SUCCESS
    assert canary.select(Request((HumanMessage("Hi."),), Step(task="later"), ROUTES), ()).route == "new"


def verdicts(chances: dict[str, float], share: float, canaries: int, tasks: int) -> Counter[str]:
    """What many canaries come to that are looked at after every outcome."""
    found: Counter[str] = Counter()
    for seed in range(canaries):
        random, canary = np.random.default_rng(seed), made(share=share, margin=0.02)
        for number, luck in enumerate(random.random(tasks)):
            step = Step(task=f"{seed}/{number}")
            route = "new" if canary.takes_part(step.task) else "old"
            canary.on_decision(Decision(step.task, step, route, ()))
            canary.on_outcome(Outcome(success=bool(luck < chances[route]), task_id=step.task))
            if canary.state != RUNNING:
                break
        found[canary.state] += 1
    return found


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_looking_after_every_outcome_does_not_make_it_wrong(share: float) -> None:
    """Harm where both policies are the same, or success where the new one is worse by the margin, would be a false alarm."""
    assert verdicts({"old": 0.8, "new": 0.8}, share, 100, 800)[HARM] <= 5
    assert verdicts({"old": 0.8, "new": 0.78}, share, 100, 800)[SUCCESS] <= 5


@pytest.mark.parametrize(("share", "tasks"), [(0.1, 1500), (0.5, 500)])
def test_a_fifth_worse_is_found_before_many_tasks_are_lost(share: float, tasks: int) -> None:
    assert verdicts({"old": 0.8, "new": 0.6}, share, 30, tasks)[HARM] >= 27


def test_without_outcomes_it_keeps_running_and_says_how_little_it_knows() -> None:
    canary = made()
    run(canary, {"old": 0.9, "new": 0.9}, 10, 3)

    verdict = canary.verdict("support")
    assert verdict.state == RUNNING
    assert verdict.old + verdict.new == 10
    assert verdict.high - verdict.low > 0.5


def test_the_share_is_a_share_of_tasks() -> None:
    canary = made(share=0.2)

    assert sum(canary.takes_part(str(task)) for task in range(5000)) / 5000 == pytest.approx(0.2, abs=0.02)


def test_mistakes_are_said() -> None:
    with pytest.raises(ConfigurationError):
        made(share=2)
