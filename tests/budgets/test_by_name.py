"""Users, teams and tags with limits of their own, and the store of the budgets that calls bring."""

from __future__ import annotations

from typing import Any

import pytest

from langroute import Budget, ChatRouter, Route, task
from langroute.budgets import MemoryBudgets
from langroute.core.errors import BudgetExceededError, ConfigurationError
from langroute.testing import ScriptedModel


def router(**more: Any) -> ChatRouter:
    model = ScriptedModel("An answer. " * 20, max_tokens=60)
    return ChatRouter({"a": Route(model, price={"input": 5, "output": 25})}, **more)


def spend(routed: ChatRouter, config: dict[str, Any], calls: int = 60) -> float:
    usd = 0.0
    for number in range(calls):
        try:
            usd += routed.invoke(f"Why is {number} blue?", config).response_metadata["langroute"]["cost_usd"]  # type: ignore[arg-type]
        except BudgetExceededError:
            break
    return usd


def of(name: str, value: str) -> dict[str, Any]:
    return {"metadata": {name: value}}


@pytest.mark.parametrize(("per", "key"), [("team", "langroute_team"), ("user", "user_id"), ("tag:project", "project")])
def test_each_name_has_its_own_limit(per: str, key: str) -> None:
    routed = router(budget=Budget(usd={"care": 0.01, "search": 0.05}, per=per, store=MemoryBudgets()))
    care, search = spend(routed, of(key, "care")), spend(routed, of(key, "search"))

    assert 0.005 < care <= 0.01 < 0.03 < search <= 0.05


def test_tokens_have_limits_by_name_too() -> None:
    routed = router(budget=Budget(tokens={"care": 400, "*": 4_000}, per="team", store=MemoryBudgets()))

    assert spend(routed, of("langroute_team", "care")) < spend(routed, of("langroute_team", "another"))


def test_who_is_not_named_has_no_limit_and_is_refused_with_what_to_do() -> None:
    routed = router(budget=Budget(usd={"care": 1}, per="team"))
    with pytest.raises(BudgetExceededError, match=r"add it to `usd`, or '\*' for all others"):
        routed.invoke("Hi.", of("langroute_team", "sales"))
    with pytest.raises(BudgetExceededError):
        routed.invoke("Hi.")


def test_who_has_no_limit_of_tokens_is_told_where_to_add_it() -> None:
    with pytest.raises(BudgetExceededError, match="add it to `tokens`"):
        router(budget=Budget(tokens={"care": 1000}, per="team")).invoke("Hi.", of("langroute_team", "sales"))


def test_a_star_is_the_limit_of_all_others_each_for_itself() -> None:
    routed = router(budget=Budget(usd={"care": 1, "*": 0.01}, per="team", store=MemoryBudgets()))
    first, second = spend(routed, of("langroute_team", "sales")), spend(routed, of("langroute_team", "legal"))

    assert 0.005 < first <= 0.01
    assert 0.005 < second <= 0.01


def test_the_team_may_be_a_tag_of_the_task() -> None:
    routed = router(budget=Budget(usd={"care": 0.01}, per="team", store=MemoryBudgets()))
    with task("t", team="care"):
        assert 0 < spend(routed, {}) <= 0.01


@pytest.mark.parametrize(
    "given",
    [
        {"usd": {}, "per": "team"},
        {"usd": {"care": -1}, "per": "team"},
        {"usd": {"care": "1"}, "per": "team"},
        {"usd": {"care": 1}, "per": "task"},
        {"usd": {"care": 1}},
        {"usd": {"care": 1}, "tokens": 5, "per": "team"},
    ],
)
def test_limits_by_name_that_cannot_hold_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Budget(**given)


def test_a_budget_can_be_hashed_and_compared_with_limits_by_name() -> None:
    store = MemoryBudgets()
    assert len({Budget(usd={"care": 1}, per="team", store=store), Budget(usd={"care": 1}, per="team", store=store)}) == 1


# Budgets that calls bring ------------------------------------------------------------------------------------------------

CALL = {"usd": 0.02, "per": "team", "every": "day"}


def asks(team: str) -> dict[str, Any]:
    return {"metadata": {"langroute_team": team, "langroute_budget": CALL}}


@pytest.mark.parametrize("how", ["none", "a store", "a store beside budgets", "the store of a budget"])
def test_routers_share_the_budget_that_a_call_brings(how: str) -> None:
    """A store stands for a server that several processes reach."""
    store = MemoryBudgets()
    given = {
        "none": None,
        "a store": store,
        "a store beside budgets": [Budget(usd=1_000, per="all"), store],
        "the store of a budget": Budget(usd=1_000, per="all", store=store),
    }[how]
    team = how.replace(" ", "-")

    assert 0.01 < sum(spend(router(budget=given), asks(team)) for _ in range(4)) <= 0.02


def test_a_call_may_bring_limits_by_name() -> None:
    config = {"metadata": {"langroute_team": "care", "langroute_budget": {"usd": {"care": 0.01, "search": 5}, "per": "team"}}}
    assert 0 < spend(router(budget=MemoryBudgets()), config) <= 0.01


def test_conversations_that_begin_alike_in_other_routers_are_not_one() -> None:
    """Without a name for the task or thread, a budget of a call is the router's own."""
    config: dict[str, Any] = {"configurable": {"budget": 0.004}}
    assert spend(router(), config, 1) > 0
    assert spend(router(), config, 1) > 0
