"""A budget lets through no more than its limit, whatever shape the provider's bill has."""

from __future__ import annotations

from typing import Any

import pytest
from golden_bills import BILLS, HAS_TIERS, Bill, at_noon  # noqa: F401 - a fixture of every test here
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from langroute import Budget, ChatRouter, Route, task
from langroute.budgets import MemoryBudgets
from langroute.core.errors import BudgetExceededError
from langroute.routes import pricing
from langroute.testing import ScriptedModel

pytestmark = pytest.mark.skipif(not HAS_TIERS, reason="this list has no rates of tiers")

BILLED = [bill for bill in BILLS if bill.true_usd]


def prompt_of(bill: Bill) -> list[Any]:
    """A prompt of as many tokens as the bill has; four characters are one."""
    text = "wrd " * (bill.prompt or bill.input)
    media = [{"type": "audio", "base64": "UklGRg==", "mime_type": "audio/wav"}] if bill.hears else []
    return [HumanMessage([{"type": "text", "text": text}, *media])]


def routed(bill: Bill, **more: Any) -> ChatRouter:
    answer = AIMessage(bill.content, usage_metadata=bill.usage, response_metadata=dict(bill.response))  # type: ignore[arg-type]
    longest = max(bill.output or 1_000, (bill.total or 0) - bill.input, bill.told.get("reasoning", 0) + bill.output)
    model = ScriptedModel(answer, model=bill.model, provider=bill.provider or bill.profile, max_tokens=longest)
    return ChatRouter({"a": Route(model.bind(**bill.asked))}, **more)


def calls_through(router: ChatRouter, prompt: list[Any], most: int = 12) -> int:
    with task("golden"):
        for calls in range(most):
            try:
                router.invoke(prompt)
            except BudgetExceededError:
                return calls
    return most


@pytest.mark.parametrize("share", [0.4, 1.7, 4.2])
@pytest.mark.parametrize("bill", BILLED, ids=lambda bill: bill.name)
def test_no_more_is_billed_than_the_limit(bill: Bill, share: float) -> None:
    limit = share * bill.true_usd
    router = routed(bill, budget=Budget(usd=limit, store=MemoryBudgets()))

    assert calls_through(router, prompt_of(bill)) * bill.true_usd <= limit


@pytest.mark.parametrize("bill", [bill for bill in BILLED if bill.usd], ids=lambda bill: bill.name)
def test_a_budget_that_is_wide_enough_lets_calls_through(bill: Bill) -> None:
    """Unless the name that was asked for has no price, so that nothing can be reserved."""
    router = routed(bill, budget=Budget(usd=60 * bill.true_usd + 0.5, store=MemoryBudgets()))
    priced = pricing.price_of(bill.model, bill.provider or bill.profile) is not None

    assert calls_through(router, prompt_of(bill), 2) == (2 if priced else 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bills=st.lists(st.sampled_from([bill for bill in BILLED if bill.shape != "stated"]), min_size=1, max_size=4),
    share=st.floats(0.05, 4),
    order=st.randoms(use_true_random=False),
)
def test_no_mix_of_bills_passes_the_limit(bills: list[Bill], share: float, order: Any) -> None:
    """Several providers, whatever each one's bill looks like, spend from one budget, in any order.

    Bills that state a cost are left out: what was reserved follows the list price, and theirs are above it on purpose.
    """
    limit = share * sum(bill.true_usd for bill in bills)
    budget = Budget(usd=limit, store=MemoryBudgets())
    ways = [(bill, routed(bill, budget=budget), prompt_of(bill)) for bill in bills]
    spent = 0.0
    with task("golden"):
        for bill, router, prompt in order.choices(ways, k=8):
            try:
                router.invoke(prompt)
            except BudgetExceededError:
                continue
            spent += bill.true_usd

    assert spent <= limit * (1 + 1e-12)
