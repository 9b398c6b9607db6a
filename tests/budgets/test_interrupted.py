"""Whatever breaks a call off, what was reserved for it is given back, and what was spent is not forgotten."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage

from langroute import Budget, ChatRouter, Route
from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.settling import SETTLING
from langroute.budgets.sqlite import SqliteBudgets
from langroute.budgets.store import LEASE_SECONDS, Hold
from langroute.core.errors import BudgetStoreError
from langroute.testing import ScriptedModel

PRICE = {"input": 1, "output": 10}
INTERRUPTS = [KeyboardInterrupt, asyncio.CancelledError, GeneratorExit, SystemExit, BudgetStoreError, OSError, MemoryError]


def held(*stores: Any) -> int:
    for store in stores:
        SETTLING.wait(store)
    return sum(balance.held for store in stores for balance in store.every())


def spent(store: Any) -> int:
    return sum(balance.spent for balance in store.every())


class Interrupted(MemoryBudgets):
    """Grants, and is interrupted before it can say so."""

    def __init__(self, error: type[BaseException], *, before: bool = False) -> None:
        super().__init__()
        self.error, self.before = error, before

    def reserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        if not self.before:
            super().reserve(id, holds, lease_seconds)
        raise self.error


def routes(model: Any = None) -> dict[str, Route]:
    return {"a": Route(model or ScriptedModel(AIMessage("ok"), max_tokens=100), price=PRICE)}


# Between reserving and calling -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", INTERRUPTS)
@pytest.mark.parametrize("before", [True, False], ids=["before it granted", "after it granted"])
@pytest.mark.parametrize("awaited", [False, True])
def test_a_store_that_is_interrupted_keeps_nothing_reserved_in_any_store(
    error: type[BaseException], before: bool, awaited: bool
) -> None:
    """The first store has granted already."""
    first, second = MemoryBudgets(), Interrupted(error, before=before)
    budgets = [Budget(usd=1, per="all", store=first), Budget(usd=1, per="user", store=second)]
    router = ChatRouter(routes(), budget=budgets)

    async def call() -> None:
        await router.ainvoke("Hello.")

    with pytest.raises((error, BudgetStoreError, RuntimeError)):
        asyncio.run(call()) if awaited else router.invoke("Hello.")
    assert held(first, second) == 0


def test_a_refusal_by_the_second_store_gives_back_what_the_first_one_granted() -> None:
    first, second = MemoryBudgets(), MemoryBudgets()
    budgets = [Budget(usd=1, per="all", store=first), Budget(usd=0.0001, per="user", store=second, at_limit="finish")]

    ChatRouter(routes(), budget=budgets).invoke("Hello.")
    assert held(first, second) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_what_fails_between_reserving_and_calling_gives_it_back(error: type[BaseException]) -> None:
    """A callback that raises, before anything reached the model: nothing was spent."""
    store = MemoryBudgets()

    class Raises(BaseCallbackHandler):
        raise_error = True

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            raise error

    model = ScriptedModel(AIMessage("ok"), max_tokens=100)
    with pytest.raises(error):
        ChatRouter(routes(model), budget=Budget(usd=1, store=store)).invoke("Hello.", {"callbacks": [Raises()]})
    assert model.calls == []
    assert held(store) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
@pytest.mark.parametrize("way", ["invoke", "stream", "batch"])
def test_a_call_that_is_interrupted_gives_back_what_it_cannot_have_cost(error: type[BaseException], way: str) -> None:
    """The prompt may have been billed and is charged."""
    store = MemoryBudgets()

    def interrupt(_: Any) -> AIMessage:
        raise error

    router = ChatRouter(routes(ScriptedModel(interrupt, max_tokens=100)), budget=Budget(usd=1, store=store))
    with pytest.raises(error):
        _ = {
            "invoke": lambda: router.invoke("Hello."),
            "stream": lambda: list(router.stream("Hello.")),
            "batch": lambda: router.batch(["Hello."]),
        }[way]()
    assert held(store) == 0
    assert 0 < spent(store) < 100_000


def test_a_stream_that_nobody_reads_on_gives_it_back() -> None:
    store = MemoryBudgets()
    router = ChatRouter(routes(ScriptedModel("one two three four", max_tokens=100)), budget=Budget(usd=1, store=store))
    chunks = router.stream("Hello.")
    next(chunks)
    chunks.close()

    assert held(store) == 0
    assert spent(store) > 0


def test_a_router_within_a_route_whose_store_is_away_leaves_nothing_reserved_outside() -> None:
    """Its error is one of budgets, too, but not of the outer ones."""
    store = MemoryBudgets()
    inner = ChatRouter(routes(), budget=Budget(usd=1, store=Interrupted(OSError)))
    outer = ChatRouter({"inner": Route(inner, price=PRICE)}, budget=Budget(usd=1, per="all", store=store))

    with pytest.raises(BudgetStoreError):
        outer.invoke("Hello.")
    assert held(store) == 0


class Slow(MemoryBudgets):
    """Is asked in a thread, and grants when it is let to."""

    local = False

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.granting, self.done = threading.Event(), threading.Event(), threading.Event()

    def reserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        self.asked.set()
        assert self.granting.wait(30)
        found = super().reserve(id, holds, lease_seconds)
        assert found is None
        return found

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        super().settle(id, spent)
        self.done.set()


async def test_what_is_granted_after_the_call_was_cancelled_is_given_back() -> None:
    """A thread cannot be cancelled: it goes on, and reserves for nobody."""
    store = Slow()
    task = asyncio.create_task(ChatRouter(routes(), budget=Budget(usd=1, store=store)).ainvoke("Hello."))
    assert await asyncio.to_thread(store.asked.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.granting.set()

    assert await asyncio.to_thread(store.done.wait, 30)
    assert held(store) == 0


# In the store ----------------------------------------------------------------------------------------------------------

DIES = """
import os, sys
from langroute.budgets.sqlite import SqliteBudgets
from langroute.budgets.store import Hold
store = SqliteBudgets(sys.argv[1], clock=lambda: 1000.0)
assert store.reserve("mine", [Hold("team", 100, 100)]) is None
os._exit(9)
"""


def test_what_a_process_reserved_that_died_lapses(tmp_path: Path) -> None:
    path = tmp_path / "budgets.db"
    assert subprocess.run([sys.executable, "-c", DIES, str(path)], check=False, timeout=60).returncode == 9
    now = [1000.0]
    store = SqliteBudgets(path, clock=lambda: now[0])
    assert store.reserve("other", [Hold("team", 1, 100)]) == 0
    now[0] += LEASE_SECONDS + 1

    assert store.reserve("other", [Hold("team", 1, 100)]) is None
    assert store._connection is not None
    assert store._connection.execute("SELECT count(*) FROM holds").fetchone() == (1,)
    store.close()
