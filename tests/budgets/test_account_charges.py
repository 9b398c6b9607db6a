"""Account of one step: what a call, its checks and a call that was broken off are charged."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatResult

from langroute import Budget, ChatRouter, Route
from langroute.budgets.account import Account
from langroute.budgets.budget import units
from langroute.budgets.max_cost import MaxCost
from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.queries import carry_out
from langroute.budgets.store import Balance
from langroute.core.errors import BudgetExceededError
from langroute.core.records import Attempt, Request, Selection, Signals, Step, Usage, Verdict
from langroute.policies import Cascade
from langroute.routes.pricing import cost
from langroute.routes.route import build_routes
from langroute.testing import ScriptedModel

PRICES = {"cheap": {"input": 1, "output": 10}, "frontier": {"input": 10, "output": 100}}
USED = {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110}
CHEAP_USD = 10e-6 + 100 * 10e-6
"""What an answer below costs on the cheap route."""


def routes() -> dict[str, Route]:
    return {name: Route(ScriptedModel(AIMessage(name, usage_metadata=USED), max_tokens=200), price=PRICES[name]) for name in PRICES}


# What is charged -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("usage", [Usage(10, 100, terms=("no_such_tier",)), Usage(10, 100, extra_counts=(("searches", 3),))])
def test_a_word_in_an_answer_that_the_price_does_not_know_takes_no_route_out_of_use(usage: Usage) -> None:
    worst, route, request = MaxCost(), routes()["cheap"], Request("Hi.", Step(signals=Signals(tokens=PROMPT)))
    (info,) = [built.info for built in build_routes({"cheap": route}).values()]
    before = worst.usd(info, request, ANSWER)
    worst.learn("cheap", request, usage, price=info.price)

    assert cost(info.price, usage) is None
    assert before is not None
    assert worst.usd(info, request, ANSWER) == before
    assert worst.usd(info, request, ANSWER, terms=("no_such_tier",)) is None


class SaysNoUsage(ScriptedModel):
    """A model that says nothing about what it used."""

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(*args, **kwargs)
        for generation in result.generations:
            generation.message.usage_metadata = None  # type: ignore[attr-defined]
        return result


def silent() -> Route:
    return Route(SaysNoUsage("ok", max_tokens=200), price=PRICES["cheap"])


@pytest.mark.parametrize("limit", [{"usd": 1}, {"tokens": 50_000}])
def test_a_model_that_says_nothing_about_its_usage_is_charged_what_was_reserved(limit: dict[str, Any]) -> None:
    store = MemoryBudgets()
    budget = Budget(per="all", store=store, **limit)
    ChatRouter({"a": silent()}, budget=budget).invoke("Hello.")
    (balance,) = store.every()
    small = Budget(per="all", **dict.fromkeys(limit, 0))
    with pytest.raises(BudgetExceededError) as caught:
        ChatRouter({"a": silent()}, budget=small).invoke("Hello.")

    assert f"may cost {budget.told(balance.spent)}; " in str(caught.value)
    assert balance.held == 0


def test_a_failed_call_that_was_not_billed_uses_nothing_of_either_budget() -> None:
    usd, tokens = MemoryBudgets(), MemoryBudgets()
    budgets = [Budget(usd=1, per="all", store=usd), Budget(tokens=50_000, per="all", store=tokens)]
    model = ChatRouter({"a": Route(ScriptedModel(ConnectionError("down")), price=PRICES["cheap"])}, budget=budgets, max_retries=0)
    with pytest.raises(ConnectionError):
        model.invoke("Hello.")

    assert [(one.spent, one.held) for store in (usd, tokens) for one in store.every()] == []


@pytest.mark.parametrize("price", [PRICES["cheap"], {"input": 0, "output": 0}], ids=["listed", "free"])
@pytest.mark.parametrize("limit", [0.1, 0.9])
def test_a_bill_that_the_provider_states_above_the_list_price_is_said_and_binds_what_follows(price: Any, limit: float) -> None:
    """Nobody knows of it before the first answer; from then on it is reserved."""
    store = MemoryBudgets()
    answer = AIMessage("ok", usage_metadata=USED, response_metadata={"token_usage": {"cost": 0.5}})
    model = ChatRouter(
        {"a": Route(ScriptedModel(answer, max_tokens=200), price=price)}, budget=Budget(usd=limit, per="all", store=store)
    )
    (said,) = model.invoke("Hello.").response_metadata["langroute"]["problems"]
    assert said.startswith("a was billed 0.5 USD, and 0")
    assert said.endswith(" USD was reserved from the budget")
    with pytest.raises(BudgetExceededError) as caught:
        model.invoke("Hello again.")
    assert float(str(caught.value).partition("may cost ")[2].split()[0]) >= 1.1 * 0.5
    assert [(one.spent, one.held) for one in store.every()] == [(units(0.5), 0)]


def test_a_bill_within_its_reservation_is_no_problem() -> None:
    model = ChatRouter(routes(), budget=Budget(usd=1, per="all", store=MemoryBudgets()))
    assert model.invoke("Hello.").response_metadata["langroute"]["problems"] == []


class Checks:
    """A check of a stated price, that says what it cost or does not know it."""

    name = "paid"

    def __init__(self, worst: float | None, cost: float | None) -> None:
        self.worst, self.cost = worst, cost

    def worst_cost_usd(self, request: Request, attempt: Attempt) -> float | None:
        return self.worst

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        return Verdict(self.name, 1.0, cost_usd=self.cost)


@pytest.mark.parametrize(
    ("worst", "cost", "charged"),
    [
        (0.25, 0.125, 0.125),  # what it cost
        (0.25, None, 0.25),  # unknown: all that was reserved for it
        (0.25, 0.5, 0.5),  # more than it said it would
        (None, 0.125, 0.125),  # nothing was reserved, but it was paid
        (None, None, 0.0),
    ],
)
def test_a_check_is_charged_to_budgets_of_dollars(worst: float | None, cost: float | None, charged: float) -> None:
    usd, tokens = MemoryBudgets(), MemoryBudgets()
    budgets = [Budget(usd=2, per="all", store=usd), Budget(tokens=50_000, per="all", store=tokens)]
    model = ChatRouter(routes(), policy=Cascade(["cheap", "frontier"]), verifier=Checks(worst, cost), budget=budgets)
    assert model.invoke("Hello.").content == "cheap"

    assert usd.every() == [Balance(units(CHEAP_USD + charged))]
    assert tokens.every() == [Balance(110)], "a check's price is in dollars"


def test_checks_of_one_answer_are_charged_together() -> None:
    """One of unknown cost and two of known cost: at least what those cost, at most one reservation."""
    store = MemoryBudgets()
    checks = [Checks(0.25, None), Checks(0.25, 0.375), Checks(0.25, 0.5)]
    model = ChatRouter(
        routes(), policy=Cascade(["cheap", "frontier"]), verifier=checks, budget=Budget(usd=9, per="all", store=store)
    )
    model.invoke("Hello.")

    assert store.every() == [Balance(units(CHEAP_USD + 0.875))]


# Cancelled calls -------------------------------------------------------------------------------------------------------

ANSWER = 200
PROMPT = 40


@pytest.fixture
def open_call() -> Any:
    """An account with budgets of both kinds, that has reserved a call on the cheap route."""
    stores = MemoryBudgets(), MemoryBudgets()
    budgets = [Budget(usd=1, per="all", store=stores[0]), Budget(tokens=50_000, per="all", store=stores[1])]
    route = ChatRouter(routes()).router.routes["cheap"]
    request = Request("Hi.", Step(signals=Signals(tokens=PROMPT)))
    account = Account(budgets, request, "d", MaxCost())
    assert carry_out(account.reserve(request, route)) is None
    return account, request, route, stores


def taken(stores: Any) -> list[Balance]:
    return [balance for store in stores for balance in store.every()]


@pytest.mark.parametrize(("seconds", "written"), [(0.0, 0), (0.05, 0), (0.0625, 37), (0.08, 90), (600.0, ANSWER)])
def test_a_cancelled_call_is_charged_for_what_can_have_been_written_meanwhile(open_call: Any, seconds: float, written: int) -> None:
    """At 3,000 tokens a second, after the first twentieth, up to the longest answer."""
    account, request, route, stores = open_call
    account.cancel(request, route, None, seconds)

    assert taken(stores) == [
        Balance(units(PROMPT * 1e-6 + written * 10e-6)),
        Balance(PROMPT + written),
    ]


def test_a_cancelled_stream_is_charged_for_what_was_read_of_it_even_above_the_reservation(open_call: Any) -> None:
    account, request, route, stores = open_call
    left = Attempt(Selection("cheap"), usage=Usage(3_000, 20))
    account.cancel(request, route, left, 600.0)

    assert taken(stores) == [Balance(units(3_000 * 1e-6 + 20 * 10e-6)), Balance(3_020)]


def test_a_cancelled_call_of_unknown_usage_is_charged_no_more_than_was_reserved(open_call: Any) -> None:
    """The prompt alone is longer than what was reserved for it all, and nothing of the answer was read."""
    account, _, route, stores = open_call
    longer = Request("Hi.", Step(signals=Signals(tokens=100_000)))
    account.cancel(longer, route, Attempt(Selection("cheap")), 600.0)
    most = MaxCost().input_tokens(route.info, Request("Hi.", Step(signals=Signals(tokens=PROMPT)))) + ANSWER

    assert taken(stores)[1] == Balance(most)
    assert taken(stores)[0].spent < units(0.005)


def test_what_another_call_has_shown_since_the_routes_were_looked_at_is_reserved() -> None:
    """A policy that asks somebody takes seconds to select."""
    store, worst = MemoryBudgets(), MaxCost()
    built = ChatRouter(routes()).router.routes
    request = Request("Hi.", Step(signals=Signals(tokens=1000)), routes=tuple(route.info for route in built.values()))
    account = Account([Budget(tokens=50_000, per="all", store=store)], request, "d", worst)
    assert carry_out(account.affordable(request, built)) is request
    looked_at = worst.input_tokens(built["cheap"].info, request)
    worst.learn("cheap", request, Usage(3_000, 20))

    assert carry_out(account.reserve(request, built["cheap"])) is None
    (balance,) = store.every()
    assert balance.held == worst.input_tokens(built["cheap"].info, request) + ANSWER > looked_at + ANSWER


def test_a_step_that_is_cancelled_between_calls_pays_nothing(open_call: Any) -> None:
    account, request, _, stores = open_call
    account.cancel(request, None, None, 600.0)

    assert taken(stores) == []


def test_nothing_is_charged_for_a_step_that_had_reserved_nothing() -> None:
    store = MemoryBudgets()
    request = Request("Hi.")
    account = Account([Budget(usd=1, per="all", store=store)], request, "d", MaxCost())
    account.cancel(request, ChatRouter(routes()).router.routes["cheap"], None, 600.0)

    assert taken([store]) == []


def test_a_reservation_of_a_cancelled_step_is_given_back_at_once(open_call: Any) -> None:
    account, request, route, stores = open_call
    account.cancel(request, None)
    assert carry_out(account.reserve(request, route)) is None

    assert taken(stores) == []
    account.settle_checks([])
    account.cancel(request, route, None, 600.0)
    assert taken(stores) == [], "nothing is open any more"
