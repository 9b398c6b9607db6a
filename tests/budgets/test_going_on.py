"""Calls that go on without a budget's store: they wait for it now and then, and what they cost is charged when it is back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from waiting import wait_until

from langroute import Budget, ChatRouter, Route
from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.settling import SETTLING
from langroute.budgets.store import Hold
from langroute.testing import ScriptedModel


class Distant(MemoryBudgets):
    """A store on another machine, to which the way can be cut."""

    local = False

    def __init__(self) -> None:
        super().__init__()
        self.away, self.asked = False, 0

    def balances(self, keys: Sequence[str]) -> Any:
        self.asked += 1
        self._there()
        return super().balances(keys)

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        self._there()
        super().settle(id, spent)

    def _there(self) -> None:
        if self.away:
            raise TimeoutError("no answer")

    def spent(self) -> int:
        """What was spent of all limits."""
        return sum(MemoryBudgets.balances(self, [key])[0].spent for key in self.known)

    def reserve(self, id: str, holds: Sequence[Hold], *given: Any) -> int | None:
        self.known = [hold.key for hold in holds]
        return super().reserve(id, holds, *given)


def router(store: Distant) -> ChatRouter:
    own = Route(ScriptedModel("Yes.", max_tokens=100), price={"input": 0, "output": 0, "per_call": 0.01})
    return ChatRouter({"own": own}, budget=Budget(usd=1, per="all", store=store, if_unavailable="go_on"))


def test_what_calls_cost_meanwhile_is_charged_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langroute.engine.funding.REST_S", 0.0)
    store = Distant()
    model = router(store)
    model.invoke("Hello.")
    SETTLING.wait(store)
    once = store.spent()
    assert once > 0
    store.away = True
    for _ in range(3):
        told = model.invoke("Hello.").response_metadata["langroute"]
        assert told["problems"] == ["budgets were not looked at: TimeoutError: no answer"]
    assert store.spent() == once
    store.away = False
    SETTLING.wait(store)
    wait_until(lambda: store.spent() == 4 * once)
    assert not model.invoke("Hello.").response_metadata["langroute"]["problems"]


def test_a_store_that_has_just_failed_is_not_waited_for_by_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langroute.engine.funding.REST_S", 3600.0)
    store = Distant()
    model = router(store)
    store.away = True
    problems = [model.invoke("Hello.").response_metadata["langroute"]["problems"] for _ in range(4)]
    assert store.asked == 1
    assert problems[1:] == [["budgets were not looked at: their store has just failed"]] * 3


def test_a_budget_in_this_process_that_fails_is_charged_nothing() -> None:
    class Broken(MemoryBudgets):
        def balances(self, keys: Any) -> Any:
            raise OSError("disk full")

        def settle(self, *given: Any) -> Any:
            raise OSError("disk full")

    own = Route(ScriptedModel("Yes."), price={"input": 1, "output": 1})
    model = ChatRouter({"own": own}, budget=Budget(usd=1, store=Broken(), if_unavailable="go_on"))
    assert model.invoke("Hello.").content == "Yes."
