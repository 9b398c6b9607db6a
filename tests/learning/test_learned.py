"""The learned policies in a router, and one request at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langroute import ChatRouter, Router
from langroute.core.records import Attempt, Price, Request, RouteInfo, Selection, Step, Usage
from langroute.estimators.store import load_policy_file
from langroute.policies.learned import Learned, LearnedCascade, load_policy
from langroute.testing import ScriptedModel

SUM, PROOF = (
    "Add 12 and 13, then tell me the sum.",
    "Prove that the series number 5 converges, and bound its remainder by 3." + 7 * " Use lemma 4.",
)
ROUTES = (RouteInfo("small", "cheap"), RouteInfo("other", "balanced"), RouteInfo("large", "frontier"))


def ask(text: str, routes: tuple[RouteInfo, ...] = ROUTES, task: str | None = None) -> Request:
    return Request((HumanMessage(text),), Step(task_kind=task), routes, "large")


def answered(route: str, text: str, tokens: int = 40) -> Attempt:
    return Attempt(Selection(route), answer=text, usage=Usage(20, tokens))


@pytest.fixture
def learned(fitted: Path) -> Learned:
    return load_policy(fitted, tolerance=0.2)


@pytest.fixture
def cascade(fitted: Path) -> LearnedCascade:
    stored = load_policy_file(fitted)
    plan = next(point.plan for point in stored.groups[0].points if point.plan is not None)
    return LearnedCascade(stored.groups[0], plan=plan)


def test_easy_requests_go_to_a_cheap_route_and_hard_ones_to_the_strong(learned: Learned) -> None:
    assert learned.select(ask(SUM), ()).route in ("small", "other")
    assert learned.select(ask(PROOF), ()).route == "large"


def test_without_tolerance_the_best_route_answers(learned: Learned) -> None:
    strict = Learned(learned.group, tolerance=0.0)
    estimate = strict.estimate(ask(PROOF))

    assert strict.select(ask(PROOF), ()).route == strict.group.routes[int(estimate.success[0].argmax())]


def test_a_route_that_is_not_eligible_is_not_selected(learned: Learned) -> None:
    assert learned.select(ask(SUM, ROUTES[2:]), ()).route == "large"


def test_where_nothing_was_fitted_the_default_answers(learned: Learned) -> None:
    selection = learned.select(Request((HumanMessage(SUM),), routes=(RouteInfo("new"),), default="new"), ())

    assert (selection.route, selection.reason) == ("new", "no eligible route was fitted")


def test_the_price_of_now_counts_and_not_the_fitted_one(learned: Learned) -> None:
    dear = (RouteInfo("small", price=Price(900, 900)), RouteInfo("other", price=Price(900, 900)), ROUTES[2])

    assert learned.select(ask(SUM, dear), ()).route == "large"


def test_an_answer_ends_it_and_a_failure_goes_to_another_route(learned: Learned) -> None:
    first = learned.select(ask(SUM), ())
    failed = Attempt(first, error=ConnectionError("down"), error_type="ConnectionError")

    assert learned.select(ask(SUM), [Attempt(first, answer="25")]) is None
    assert learned.select(ask(SUM), [failed]).route != first.route


def test_a_cascade_accepts_cheap_answers_that_agree(cascade: LearnedCascade) -> None:
    request, attempts = ask(SUM), []
    while (selection := cascade.select(request, attempts)) is not None:
        attempts.append(answered(selection.route, "right"))

    assert "large" not in [attempt.route for attempt in attempts]


def test_a_cascade_goes_up_where_cheap_answers_differ_on_a_hard_request(cascade: LearnedCascade) -> None:
    request, attempts = ask(PROOF), []
    while (selection := cascade.select(request, attempts)) is not None:
        attempts.append(answered(selection.route, f"wrong {len(attempts)}", 120))

    assert attempts[-1].route == "large"


def test_a_cascade_does_not_accept_what_a_verifier_rejected(cascade: LearnedCascade) -> None:
    """The very answer that it would have stopped at; and so for an empty one, which comes first."""
    request, attempts = ask(SUM), []
    while (selection := cascade.select(request, attempts)) is not None:
        attempts.append(answered(selection.route, "right"))
    rejected = replace(attempts[-1], score=0.0)
    instead = cascade.select(request, [*attempts[:-1], rejected])
    assert instead is not None
    assert instead.route not in [attempt.route for attempt in attempts]

    first = cascade.select(request, ())
    empty = Attempt(first, answer="", score=0.0, usage=Usage(20, 40))
    after = cascade.select(request, [empty])
    assert after is not None
    assert after.route != first.route


def test_a_cascade_stops_after_the_last_route_whatever_it_says(cascade: LearnedCascade) -> None:
    attempts = [answered("large", "something")]

    assert cascade.select(ask(PROOF), attempts) is None


def test_a_router_runs_on_a_fitted_policy(fitted: Path) -> None:
    models: dict[str, Any] = {name: ScriptedModel("The answer is 25.") for name in ("small", "other", "large")}
    router = Router(models, policy=load_policy(fitted, target=0.95), default="large")
    message = ChatRouter(router=router).invoke(SUM) if _takes_router() else ChatRouter(models, policy=router.policy).invoke(SUM)

    assert message.content == "The answer is 25."
    assert message.response_metadata["langroute"]["policy"] in ("Learned", "LearnedCascade")
    assert message.response_metadata["langroute"]["policy_version"]


def _takes_router() -> bool:
    return "router" in ChatRouter.model_fields
