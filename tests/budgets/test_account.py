"""Account of one step: a route that was called is never said to have been too dear for the call it made."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langroute import Budget, ChatRouter, Route
from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.store import Balance, Hold
from langroute.core.errors import BudgetExceededError
from langroute.core.records import Request
from langroute.policies import Cascade
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
