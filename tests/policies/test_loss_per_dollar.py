"""A question goes down where what it is expected to lose is worth what it saves."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langroute import ChatRouter
from langroute.core.errors import ConfigurationError
from langroute.core.records import Attempt, Price, Request, RouteInfo, Selection, Signals, Step
from langroute.policies import Fixed, LossPerDollar
from langroute.policies.difficulty import Difficulty, difficulty_of
from langroute.policies.loss_per_dollar import NEAR_BELOW, loss_and_saving
from langroute.testing import ScriptedModel

QUESTION = "Natalia sold 48 clips in April and half as many in May. How many clips did she sell altogether in April and May?"
SMALL, LARGE = RouteInfo("small", price=Price(0.15, 0.6)), RouteInfo("large", price=Price(2.5, 10))


def question(*routes: RouteInfo, text: str = QUESTION) -> Request:
    return Request((HumanMessage(text),), Step("answer", signals=Signals(language="en", turn=1)), routes or (SMALL, LARGE))


def selected(policy: LossPerDollar, request: Request) -> Selection:
    found = policy.select(request, ())
    assert found is not None
    return found


def test_the_more_tolerance_the_more_goes_down() -> None:
    strict, lax = LossPerDollar(Fixed("large"), tolerance=0), LossPerDollar(Fixed("large"), tolerance=5)

    assert selected(strict, question()).route == "large"
    assert selected(lax, question()).route == "small"
    assert "of a usual call" in selected(lax, question()).reason


def test_what_saves_nothing_stays() -> None:
    same = RouteInfo("small", price=LARGE.price)

    assert selected(LossPerDollar(Fixed("large"), tolerance=5), question(same, LARGE)).route == "large"


@pytest.mark.parametrize("routes", [(RouteInfo("small"), LARGE), (SMALL, RouteInfo("large"))])
def test_without_a_price_nothing_is_guessed(routes: tuple[RouteInfo, RouteInfo]) -> None:
    assert selected(LossPerDollar(Fixed("large"), tolerance=5), question(*routes)).route == "large"


def test_other_requests_are_the_inner_policys() -> None:
    policy = LossPerDollar(Fixed("large"), tolerance=5)
    history = (HumanMessage(QUESTION), AIMessage(""), ToolMessage("72", tool_call_id="1"))

    assert selected(policy, Request(history, Step("observe"), (SMALL, LARGE))).route == "large"
    assert selected(policy, question(text="Fix it.")).route == "large"
    assert policy.name == "LossPerDollar(Fixed(large))"


def test_a_question_whose_mistake_is_costly_stays() -> None:
    text = "My father took twice his dose of warfarin this morning and now bleeds from the nose. Which dose should he take tonight?"
    request = question(text=text)

    assert difficulty_of(request) is not None
    assert selected(LossPerDollar(Fixed("large"), tolerance=5), request).route == "large"


def test_after_an_attempt_the_inner_policy_decides() -> None:
    policy = LossPerDollar(Fixed("large"), tolerance=5)
    first = Attempt(Selection("small", ""), error=TimeoutError())

    assert policy.select(question(), [first]) == Fixed("large").select(question(), [first])


def test_a_short_and_a_long_question_of_equal_loss_are_told_apart_by_what_they_save() -> None:
    short, long = (Difficulty(0.5, 0.7, 0.8, 50, (many, many, many)) for many in (20, 600))

    (loss, saved), (same, more) = (loss_and_saving(one, SMALL, LARGE) or (0, 0) for one in (short, long))

    assert loss == same == pytest.approx(0.1)
    assert more > 10 * saved


def test_a_route_that_costs_far_less_is_expected_to_be_weaker() -> None:
    found = Difficulty(0.5, 0.7, 0.8, 100, (200, 200, 200))
    far = RouteInfo("far", price=Price(2.5 / NEAR_BELOW / 2, 10 / NEAR_BELOW / 2))

    assert (loss_and_saving(found, far, LARGE) or (0, 0))[0] == pytest.approx(0.3)


@pytest.mark.parametrize("tolerance", [-1, float("nan"), True, "much"])
def test_a_tolerance_is_a_number(tolerance: Any) -> None:
    with pytest.raises(ConfigurationError, match="tolerance"):
        LossPerDollar(Fixed("large"), tolerance=tolerance)


def test_a_router_sends_a_question_down() -> None:
    models = {"small": ScriptedModel("72"), "large": ScriptedModel("72")}
    prices = {"small": SMALL.price, "large": LARGE.price}
    router = ChatRouter(models, policy=LossPerDollar(Fixed("large"), tolerance=5), prices=prices)

    assert router.invoke(QUESTION).response_metadata["langroute"]["route"] == "small"
