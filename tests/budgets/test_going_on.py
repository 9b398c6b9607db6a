"""Calls that go on without a budget's store: they wait for it now and then, and what they cost is charged when it is back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from waiting import wait_until

from langroute import Budget, ChatRouter, Route
from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.queries import Query
from langroute.budgets.settling import SETTLING
from langroute.budgets.store import Hold
from langroute.engine.resting import is_resting, watched
from langroute.testing import ScriptedModel


class Distant(MemoryBudgets):
    """A store on another machine, to which the way can be cut."""

    local = False

    def __init__(self) -> None:
        super().__init__()
        self.away, self.asked, self.takes_s = False, 0, 0.0
        self.timeout = 3600.0

    def balances(self, keys: Sequence[str]) -> Any:
        self.asked += 1
        self._there()
        return super().balances(keys)

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        self._there()
        super().settle(id, spent)

    def _there(self) -> None:
        if self.away:
            time.sleep(self.takes_s)
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
    monkeypatch.setattr("langroute.engine.resting.REST_S", 0.0)
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
    monkeypatch.setattr("langroute.engine.resting.REST_S", 3600.0)
    store = Distant()
    store.takes_s = store.timeout = 0.05
    model = router(store)
    store.away = True
    problems = [model.invoke("Hello.").response_metadata["langroute"]["problems"] for _ in range(4)]
    assert store.asked == 1
    assert problems[1:] == [["budgets were not looked at: their store has just failed"]] * 3


async def test_a_store_that_is_awaited_rests_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langroute.engine.resting.REST_S", 3600.0)

    class Awaited(Distant):
        awaited = True

        async def abalances(self, keys: Sequence[str]) -> Any:
            return self.balances(keys)

    store = Awaited()
    store.takes_s = store.timeout = 0.05
    store.away = True
    model = router(store)
    for _ in range(3):
        await model.ainvoke("Hello.")
    assert store.asked == 1


def test_a_rest_is_not_prolonged_by_calls_that_waited_already(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("langroute.engine.resting.monotonic", lambda: now)
    store = Distant()

    def question() -> Any:
        yield Query(store, "balances", (["key"],))

    first, second = watched(question), watched(question)
    for asked in (first, second):
        next(asked)
    for asked in (first, second):
        now += 1.5
        with pytest.raises(TimeoutError):
            asked.throw(TimeoutError("no answer"))
        assert is_resting(store)
    now += 1.0
    assert not is_resting(store)


def test_a_store_that_fails_at_once_for_one_owner_limits_the_others() -> None:
    """As one with shards, of which one is down."""

    class Sharded(Distant):
        def __init__(self) -> None:
            super().__init__()
            self.down: set[str] = set()
            self.last: Sequence[str] = ()

        def balances(self, keys: Sequence[str]) -> Any:
            self.last = keys
            if self.down & set(keys):
                raise ConnectionError("the shard of this key is down")
            return super().balances(keys)

    store = Sharded()
    own = Route(ScriptedModel("Yes."), price={"input": 1, "output": 1})
    budget = Budget(usd=1e-9, per="user", store=store, if_unavailable="go_on", at_limit="finish", message="Nothing is left.")
    model = ChatRouter({"own": own}, budget=budget)

    def answered(user: str) -> object:
        return model.invoke("Hello.", {"metadata": {"langroute_user": user}}).content

    assert answered("ann") == "Nothing is left."
    store.down = set(store.last)
    assert answered("ann") == "Yes."
    assert answered("bob") == "Nothing is left."


def test_only_the_store_that_was_waited_for_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langroute.engine.resting.REST_S", 3600.0)
    hangs, works = Distant(), Distant()
    hangs.takes_s = hangs.timeout = 0.05
    hangs.away = True
    both = [Budget(usd=1, per="all", store=store, if_unavailable="go_on") for store in (works, hangs)]
    own = Route(ScriptedModel("Yes."), price={"input": 1, "output": 1})
    ChatRouter({"own": own}, budget=both).invoke("Hello.")
    assert not router(works).invoke("Hello.").response_metadata["langroute"]["problems"]
    assert router(hangs).invoke("Hello.").response_metadata["langroute"]["problems"]
    assert hangs.asked == 1


def test_a_store_that_cannot_be_hashed_fails_as_any_other() -> None:
    class Compared(Distant):
        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = None  # type: ignore[assignment]

    assert router(Compared()).invoke("Hello.").content == "Yes."


def test_a_budget_in_this_process_that_fails_is_charged_nothing() -> None:
    class Broken(MemoryBudgets):
        def balances(self, keys: Any) -> Any:
            raise OSError("disk full")

        def settle(self, *given: Any) -> Any:
            raise OSError("disk full")

    own = Route(ScriptedModel("Yes."), price={"input": 1, "output": 1})
    model = ChatRouter({"own": own}, budget=Budget(usd=1, store=Broken(), if_unavailable="go_on"))
    assert model.invoke("Hello.").content == "Yes."
