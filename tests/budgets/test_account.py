"""Account of one step: what may still be paid for, who is asked for it, what is charged, and what the caller is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langroute import Budget, ChatRouter, Route
from langroute.budgets.account import Account
from langroute.budgets.budget import units
from langroute.budgets.max_cost import MaxCost
from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.queries import carry_out
from langroute.budgets.settling import SETTLING
from langroute.budgets.store import LEASE_SECONDS, Balance, Hold
from langroute.core.errors import BudgetExceededError, BudgetStoreError
from langroute.core.records import Request, Selection, Step
from langroute.policies import Cascade, Fixed
from langroute.testing import ScriptedModel

PRICES = {"tiny": {"input": 0.1, "output": 1}, "cheap": {"input": 1, "output": 10}, "frontier": {"input": 10, "output": 100}}
USED = {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110}
CHEAP_USD, DEAR_USD = 10e-6 + 100 * 10e-6, 100e-6 + 100 * 100e-6
"""What an answer below costs; it may cost twice as much, and a little."""


def router(order: list[str], budget: Budget) -> ChatRouter:
    """Goes through the routes in that order, because no answer is good enough."""
    routes = {
        name: Route(ScriptedModel(AIMessage(name, usage_metadata=USED), max_tokens=200), price=PRICES[name])
        for name in sorted(order, key=list(PRICES).index)
    }
    return ChatRouter(routes, policy=Cascade(order), verifier=lambda _: 0.2, budget=budget)


def told(model: ChatRouter) -> Any:
    return model.invoke("Hello.").response_metadata["langroute"]


def test_a_route_that_was_called_is_not_rejected_for_what_it_would_cost_now() -> None:
    """After its call it would not fit once more: that is no reason why it was not chosen, for it was."""
    decision = told(router(["cheap", "tiny", "frontier"], Budget(usd=0.0025, per="task", soft=1)))

    assert [attempt["route"] for attempt in decision["attempts"]] == ["cheap", "tiny"]
    assert set(decision["rejected"]) == {"frontier"}
    assert "may cost 0.0207 USD" in decision["rejected"]["frontier"]


def test_a_route_that_was_called_is_not_rejected_because_a_soft_limit_was_reached_by_it() -> None:
    decision = told(router(["frontier", "cheap"], Budget(usd=1, per="task", soft=0.01)))

    assert [attempt["route"] for attempt in decision["attempts"]] == ["frontier", "cheap"]
    assert decision["rejected"] == {}
    assert decision["cost_usd"] == pytest.approx(CHEAP_USD + DEAR_USD)


def test_a_route_that_was_not_called_says_what_stood_in_its_way() -> None:
    """The soft limit was reached before this step, so the dearer route was never asked."""
    model = router(["frontier", "cheap"], Budget(usd=1, per="all", soft=0.005))
    told(model)
    decision = told(model)

    assert [attempt["route"] for attempt in decision["attempts"]] == ["cheap"]
    assert set(decision["rejected"]) == {"frontier"}
    assert "cheapest tier only" in decision["rejected"]["frontier"]


def test_what_one_store_granted_is_released_where_another_refuses() -> None:
    """A call that is not made costs nobody anything, and the refusal says who holds the rest."""
    wide = Budget(usd=1, per="all", store=MemoryBudgets(), wait_seconds=0)
    narrow = Budget(usd=0.01, per="all", store=MemoryBudgets(), wait_seconds=0)
    request = Request("Hi.")
    assert narrow.store.reserve("another call", [Hold(narrow.key(request, None, "d"), narrow.limit - 1, narrow.limit)]) is None

    with pytest.raises(BudgetExceededError, match="0 USD spent, 0.01 USD reserved of 0.01 USD"):
        router(["cheap"], [wide, narrow]).invoke("Hello.")  # type: ignore[arg-type]

    assert wide.store.balances([wide.key(request, None, "d")]) == [Balance(0, 0)]


# What a step may still cost --------------------------------------------------------------------------------------------


class FirstSays:
    """A policy that notes what it was offered, and takes the default."""

    def __init__(self) -> None:
        self.offered: list[tuple[tuple[str, ...], str | None]] = []

    def select(self, request: Request, attempts: Any) -> Any:
        self.offered.append((request.route_names, request.default))
        return Selection(request.default or request.routes[0].name)


def three(**more: Any) -> dict[str, Route]:
    return {name: Route(ScriptedModel(AIMessage(name, usage_metadata=USED), max_tokens=200), price=PRICES[name]) for name in PRICES}


@pytest.mark.parametrize(("default", "left"), [("tiny", "tiny"), ("cheap", "cheap"), ("frontier", "cheap")])
def test_the_default_stays_while_it_can_be_paid_and_is_else_the_best_that_can(default: str, left: str) -> None:
    policy = FirstSays()
    model = ChatRouter(three(), policy=policy, default=default, budget=Budget(usd=0.01, per="task"))

    assert model.invoke("Hello.").content == left
    assert policy.offered[0] == (("tiny", "cheap"), left)


def test_a_call_that_takes_the_limit_to_the_last_token_is_made() -> None:
    """The most that it can use is all there is; with one token less it is refused."""
    own = {"own": Route(ScriptedModel(AIMessage("ok", usage_metadata=USED), max_tokens=200))}
    with pytest.raises(BudgetExceededError) as caught:
        ChatRouter(own, budget=Budget(tokens=1)).invoke("Hello.")
    most = int(str(caught.value).split("may cost ")[1].split(" tokens")[0])

    assert most > 200
    assert ChatRouter(own, budget=Budget(tokens=most)).invoke("Hello.").content == "ok"
    with pytest.raises(BudgetExceededError, match=f"may cost {most} tokens; the task's budget has {most - 1} tokens left"):
        ChatRouter(own, budget=Budget(tokens=most - 1)).invoke("Hello.")


def test_the_soft_limit_binds_as_soon_as_it_is_reached() -> None:
    """An answer uses 110 tokens, a twentieth of them all. Every route of the cheapest tier is left."""
    tiers = {"tiny": "low", "cheap": "low", "frontier": "high"}
    routes = {
        name: Route(ScriptedModel(AIMessage(name, usage_metadata=USED), max_tokens=200), price=PRICES[name], tier=tiers[name])
        for name in PRICES
    }
    model = ChatRouter(routes, policy=Fixed("frontier"), budget=Budget(tokens=2200, per="all", soft=0.05))
    first, second = told(model), told(model)

    assert (first["route"], first["rejected"]) == ("frontier", {})
    assert second["route"] in ("tiny", "cheap")
    assert second["rejected"] == {"frontier": "the budget is 5% spent: cheapest tier only"}


def test_a_budget_of_nothing_pays_for_models_that_cost_nothing() -> None:
    """Its soft limit is reached from the start."""
    free = {
        name: Route(ScriptedModel(AIMessage(name, usage_metadata=USED)), price={"input": 0, "output": 0}) for name in ("a", "b")
    }
    model = ChatRouter(free, policy=Fixed("b"), budget=Budget(usd=0))

    decision = told(model)
    assert (decision["route"], decision["cost_usd"]) == ("a", 0)
    assert "0% spent" in decision["rejected"]["b"]


def test_a_step_of_unknown_task_is_refused_with_what_would_name_it() -> None:
    """Counted for that call alone a task's budget would never bind."""
    router = ChatRouter(three()).router
    request = Request("Hi.", routes=router.infos, uninspected=True)

    def asked(of: Request, per: str) -> tuple[Request, Account]:
        account = Account([Budget(usd=1, per=per)], of, "d", MaxCost())
        return carry_out(account.affordable(of, router.routes)), account

    left, account = asked(request, "task")
    error = account.closing(left)
    assert left.routes == ()
    assert isinstance(error, BudgetExceededError)
    assert "the task's budget could not bind: nobody knows which task this is" in str(error)
    assert str(error).endswith("Give the call a `thread_id` in its config, or `langroute_task` in its metadata.")
    for named, per in ((replace(request, step=Step(thread="t")), "task"), (request, "all")):
        assert asked(named, per)[0].routes == router.infos


def test_of_several_budgets_the_one_that_binds_is_told() -> None:
    """Also where another one, that is wide enough, stands first; each with what is left of it."""
    wide, narrow = Budget(usd=1, per="all"), Budget(usd=0.001, per="tag:project", at_limit="finish")
    model = ChatRouter({"cheap": three()["cheap"]}, budget=[wide, narrow])
    message = model.invoke("Hello.", {"metadata": {"project": "search"}})

    assert message.content == "I have to stop here: the budget for this project is used up."
    assert "the project's budget has 0.001 USD left" in message.response_metadata["langroute"]["rejected"]["cheap"]


@pytest.mark.parametrize(
    ("shared", "ending"),
    [
        ({"per": "call"}, ", or begin a new call."),
        ({"per": "thread"}, ", or begin a new thread."),
        ({"per": "team"}, "Raise the limit."),
    ],
)
def test_what_can_be_begun_anew_is_said(shared: dict[str, Any], ending: str) -> None:
    with pytest.raises(BudgetExceededError) as caught:
        ChatRouter(three(), budget=Budget(usd=0, **shared)).invoke("Hello.")
    assert str(caught.value).endswith(ending)
    assert [line.partition(":")[0].strip() for line in str(caught.value).splitlines()[1:-1]] == ["tiny", "cheap", "frontier"]


def test_the_caller_hears_the_reason_of_a_route_that_the_budget_took_out_and_no_other() -> None:
    """A route that another rule took out is not the reason for the closing text."""
    routes = {**three(), "blind": Route(ScriptedModel("hm"), price=PRICES["tiny"], capabilities={"tools": False})}
    model = ChatRouter(routes, budget=Budget(usd=0, at_limit=lambda request, error: "Enough."))
    answer = model.bind_tools([{"type": "function", "function": {"name": "look", "parameters": {}}}]).invoke("Hello.")
    decision = answer.response_metadata["langroute"]

    assert (answer.content, decision["route"]) == ("Enough.", "budget")
    assert decision["reason"].startswith("tiny may cost ")


# Stores ----------------------------------------------------------------------------------------------------------------


class AskedStore(MemoryBudgets):
    """Notes what it is asked, and in which thread."""

    def __init__(self, *, local: bool = True) -> None:
        super().__init__()
        self.local = local  # type: ignore[misc]
        self.asked: list[tuple[str, ...]] = []
        self.threads: set[int] = set()

    def balances(self, keys: Any) -> list[Balance]:
        self.threads.add(threading.get_ident())
        return super().balances(keys)

    def reserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        self.threads.add(threading.get_ident())
        self.asked.append(tuple(hold.key for hold in holds))
        return super().reserve(id, holds, lease_seconds)


async def test_among_stores_in_memory_one_that_waits_is_asked_off_the_event_loop() -> None:
    waits = AskedStore(local=False)
    budgets = [Budget(usd=1, per="all", store=MemoryBudgets()), Budget(usd=1, store=waits)]
    await ChatRouter(three(), policy=Fixed("cheap"), budget=budgets).ainvoke("Hello.")
    await asyncio.to_thread(SETTLING.wait, waits)

    assert waits.threads
    assert threading.get_ident() not in waits.threads


class AwaitedStore(AskedStore):
    """Can be awaited, as those over a network can."""

    awaited = True

    def __init__(self) -> None:
        super().__init__(local=False)
        self.awaits: list[str] = []

    async def abalances(self, keys: Any) -> list[Balance]:
        self.awaits.append("balances")
        return MemoryBudgets.balances(self, keys)

    async def areserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        self.awaits.append("reserve")
        return MemoryBudgets.reserve(self, id, holds, lease_seconds)


async def test_a_store_that_can_be_awaited_is_awaited_beside_stores_in_memory() -> None:
    """No thread waits for it; unless another one of them can only be waited for."""
    near, far, slow = MemoryBudgets(), AwaitedStore(), AskedStore(local=False)
    budgets = [Budget(usd=1, per="all", store=near), Budget(usd=1, per="all", store=far)]
    await ChatRouter(three(), policy=Fixed("cheap"), budget=budgets).ainvoke("Hello.")
    await asyncio.to_thread(SETTLING.wait, far)

    assert (far.awaits, far.asked) == (["balances", "reserve"], [])

    budgets.append(Budget(usd=1, per="all", store=slow))
    await ChatRouter(three(), policy=Fixed("cheap"), budget=budgets).ainvoke("Hello.")
    for store in (far, slow):
        await asyncio.to_thread(SETTLING.wait, store)

    assert (len(far.awaits), len(far.asked), len(slow.asked)) == (2, 1, 1)
    assert threading.get_ident() not in far.threads | slow.threads


def test_budgets_of_one_store_are_reserved_together_in_their_order() -> None:
    """All or nothing, although a budget of another store stands between them."""
    mine, other = AskedStore(), AskedStore()
    budgets = [
        Budget(usd=1, per="all", store=mine),
        Budget(tokens=5_000, per="all", store=other),
        Budget(tokens=4_000, per="all", store=mine),
    ]
    ChatRouter(three(), policy=Fixed("cheap"), budget=budgets).invoke("Hello.")
    keys = [budget.key(Request("Hi."), None, "d") for budget in budgets]

    assert mine.asked == [(keys[0], keys[2])]
    assert other.asked == [(keys[1],)]
    assert mine.balances([keys[0], keys[2]]) == [Balance(units(CHEAP_USD)), Balance(110)]
    assert other.balances([keys[1]]) == [Balance(110)]


def test_a_store_that_answers_for_too_few_limits_lets_nothing_through() -> None:
    """A limit of which nothing is known would count as untouched."""

    class Forgets(MemoryBudgets):
        def balances(self, keys: Any) -> list[Balance]:
            return super().balances(keys)[:-1]

    model = ScriptedModel("ok")
    with pytest.raises(BudgetStoreError):
        ChatRouter({"a": Route(model, price=PRICES["tiny"])}, budget=Budget(usd=1, store=Forgets())).invoke("Hello.")
    assert model.calls == []


class Crowded(AskedStore):
    """Another call reserved all of a limit, or spent it, between the look at it and the reservation."""

    def __init__(self, budget: Budget, *, then: str) -> None:
        super().__init__()
        self.limit, self.then = budget.limit, then

    def reserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        if not self.asked:
            key = holds[0].key
            super().settle(None, [Hold(key, self.limit, self.limit)]) if self.then == "spent" else super().reserve(
                "another", [Hold(key, self.limit, self.limit)]
            )
            self.asked.clear()
        elif self.then == "released":
            super().settle("another", [Hold(holds[0].key, 0, self.limit)])
        return super().reserve(id, holds, lease_seconds)


def crowded(then: str, **more: Any) -> tuple[ChatRouter, Crowded]:
    budget = Budget(usd=0.01, per="all", soft=1)
    store = Crowded(budget, then=then)
    return ChatRouter({"cheap": three()["cheap"]}, budget=[replace(budget, store=store, **more)]), store


def test_what_others_have_only_reserved_is_waited_for() -> None:
    model, store = crowded("released", wait_seconds=60)

    assert model.invoke("Hello.").content == "cheap"
    assert len(store.asked) == 2


def test_what_others_have_spent_is_not_waited_for() -> None:
    model, store = crowded("spent", wait_seconds=3600)

    with pytest.raises(BudgetExceededError, match=r"may cost .* USD; the budget: 0.01 USD spent, 0 USD reserved of 0.01 USD"):
        model.invoke("Hello.")
    assert len(store.asked) == 1


def test_of_several_budgets_the_shortest_wait_holds() -> None:
    model, store = crowded("held", wait_seconds=0)
    patient = Budget(usd=1, per="all", wait_seconds=3600)
    model = ChatRouter({"cheap": three()["cheap"]}, budget=[patient, *model.router.budgets])

    with pytest.raises(BudgetExceededError, match="reserved of 0.01 USD"):
        model.invoke("Hello.")
    assert len(store.asked) == 1


class FailsToSettle(MemoryBudgets):
    """As a full disk does."""

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        raise OSError("disk full")


@pytest.mark.parametrize("first", [True, False])
async def test_where_one_store_fails_to_settle_another_keeps_nothing_reserved(first: bool) -> None:
    """Whichever of them is told first."""
    good = Budget(usd=1, per="all")
    bad = Budget(usd=1, per="all", store=FailsToSettle())
    model = ChatRouter(three(), policy=Fixed("cheap"), budget=[bad, good] if first else [good, bad])
    key = good.key(Request("Hello."), None, "")

    async def read() -> None:
        async for _ in model.astream("Hello."):
            pass

    for call in (lambda: model.invoke("Hello."), lambda: list(model.stream("Hello."))):
        with pytest.raises(OSError, match="disk full"):
            call()
        assert good.store.balances([key])[0].held == 0
    for begin in (lambda: model.ainvoke("Hello."), read):
        with pytest.raises(OSError, match="disk full"):
            await begin()
        assert good.store.balances([key])[0].held == 0


def test_a_store_that_fails_to_release_does_not_hide_why_the_call_was_refused() -> None:
    narrow, store = crowded("held", wait_seconds=0)
    wide = Budget(usd=1, per="all", store=FailsToSettle())
    model = ChatRouter({"cheap": three()["cheap"]}, budget=[wide, *narrow.router.budgets])

    with pytest.raises(BudgetExceededError, match="reserved of 0.01 USD"):
        model.invoke("Hello.")
    assert len(store.asked) == 1
