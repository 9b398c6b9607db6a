"""Budgets in Redis from an event loop: asked by an awaited client, without a thread; nobody overshoots and nothing stays reserved."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any
from uuid import uuid4

import pytest
from waiting import until

from langroute import Budget, ChatRouter, Route
from langroute.budgets.redis import RedisBudgets
from langroute.budgets.settling import SETTLING
from langroute.budgets.store import Hold
from langroute.core.errors import BudgetExceededError, BudgetStoreError
from langroute.testing import ScriptedModel

pytestmark = pytest.mark.server

PRICE = {"input": 1, "output": 10}


def store_of(url: str) -> RedisBudgets:
    return RedisBudgets(url, prefix=f"{{{uuid4().hex}}}")


def model_of(store: Any, usd: float = 1.0, **more: Any) -> ChatRouter:
    return ChatRouter(
        {"only": Route(ScriptedModel(*["An answer."] * 500, max_tokens=50, **more), price=PRICE)},
        budget=Budget(usd=usd, per="all", store=store),
    )


async def test_the_methods_say_what_those_that_are_not_awaited_say(redis_url: str) -> None:
    store = store_of(redis_url)
    holds = [Hold("a", 60, 100), Hold("b", 10, 100)]
    assert await store.areserve("1", holds) is None
    assert await store.areserve("2", [Hold("b", 10, 100), Hold("a", 60, 100)]) == 1
    assert await store.abalances(["a", "b", "c"]) == store.balances(["a", "b", "c"])
    assert (await store.abalances(["a"]))[0].held == 60
    await store.aclose()
    store.close()


async def test_no_thread_waits(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(redis_url)
    model = model_of(store)
    await model.ainvoke("Hello?")
    SETTLING.wait(store)

    async def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("a thread was asked")

    monkeypatch.setattr(asyncio, "to_thread", refused)
    monkeypatch.setattr(store, "reserve", refused)
    monkeypatch.setattr(store, "balances", refused)
    await model.ainvoke("Hello again?")
    assert [chunk async for chunk in model.astream("And again?")]
    await store.aclose()


async def test_many_at_once_stay_within_the_limit(redis_url: str) -> None:
    store = store_of(redis_url)
    model = model_of(store, usd=0.003)

    async def ask(number: int) -> float:
        try:
            answer = await model.ainvoke(f"Why is {number} blue?")
        except BudgetExceededError:
            return 0.0
        return float(answer.response_metadata["langroute"]["cost_usd"])

    spent = sum(await asyncio.gather(*map(ask, range(60))))
    SETTLING.wait(store)
    assert 0 < spent <= 0.003
    (key,) = store.client.keys(f"{store.prefix}:*")
    assert set(store.client.hgetall(key)) == {b"spent"}
    await store.aclose()


async def test_what_is_cancelled_while_it_is_reserved_is_released(redis_url: str) -> None:
    store = store_of(redis_url)
    slow, begun = store.areserve, asyncio.Event()

    async def reserve(*arguments: Any) -> Any:
        begun.set()
        await asyncio.sleep(0.05)
        return await slow(*arguments)

    store.areserve = reserve  # type: ignore[method-assign]
    asking = asyncio.ensure_future(model_of(store).ainvoke("Hello?"))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    def is_released() -> bool:
        SETTLING.wait(store)
        keys = store.client.keys(f"{store.prefix}:*")
        return bool(keys) and all(set(store.client.hgetall(key)) == {b"spent"} for key in keys)

    await until(is_released)
    await store.aclose()


async def test_a_redis_that_is_away_is_the_same_error() -> None:
    store = RedisBudgets("redis://127.0.0.1:1/0", timeout_seconds=0.2)
    with pytest.raises(BudgetStoreError, match="cannot be reached"):
        await store.abalances(["a"])
    with pytest.raises(BudgetStoreError, match="cannot be reached"):
        await model_of(store).ainvoke("Hello?")


def test_each_loop_has_its_own_connections(redis_url: str) -> None:
    store = store_of(redis_url)
    model = model_of(store)
    for _ in range(3):
        asyncio.run(model.ainvoke("Hello?"))
    threads = [threading.Thread(target=lambda: asyncio.run(model.ainvoke("Hello?"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    SETTLING.wait(store)
    assert store.balances([]) == []
    store.close()


async def test_a_client_of_ones_own_is_asked_by_a_thread(redis_url: str) -> None:
    import redis

    store = RedisBudgets(redis.Redis.from_url(redis_url), prefix=f"{{{uuid4().hex}}}")
    assert not store.awaited
    await model_of(store).ainvoke("Hello?")
    begun = time.monotonic()
    SETTLING.wait(store)
    assert time.monotonic() - begun < 10
