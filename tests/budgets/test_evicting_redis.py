"""A Redis that evicts keys forgets what was spent, and that is said."""

from __future__ import annotations

import time
import warnings
from typing import Any

import pytest

from langroute.budgets import RedisBudgets
from langroute.budgets.redis import ORDER_SECONDS
from langroute.budgets.store import Hold
from langroute.core.errors import DegradedWarning

pytestmark = pytest.mark.server


def told(call: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in caught if issubclass(one.category, DegradedWarning)]


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-lru", "volatile-ttl"])
def test_a_server_that_evicts_is_told_once(policy: str, mortal_redis: Any) -> None:
    store = RedisBudgets(mortal_redis[0])
    store.client.config_set("maxmemory", "50mb")
    store.client.config_set("maxmemory-policy", policy)

    (said,) = told(lambda: [store.balances(["a"]) for _ in range(3)])
    assert policy in said
    assert "noeviction" in said


@pytest.mark.parametrize(("policy", "limit"), [("noeviction", "50mb"), ("allkeys-lru", "0")])
def test_a_server_that_does_not_evict_is_fine(policy: str, limit: str, mortal_redis: Any) -> None:
    store = RedisBudgets(mortal_redis[0])
    store.client.config_set("maxmemory", limit)
    store.client.config_set("maxmemory-policy", policy)

    assert told(lambda: store.balances(["a"])) == []


def test_a_key_that_is_gone_is_told(redis_url: str) -> None:
    """Whoever deleted it."""
    store = RedisBudgets(redis_url, prefix="{gone}")
    store.settle(None, [Hold("a", 5)])
    store.balances(["a"])
    for key in store.client.keys("{gone}*"):
        store.client.delete(key)
    time.sleep(ORDER_SECONDS + 0.1)

    assert any("forgotten" in said for said in told(lambda: store.balances(["a"])))


def test_a_server_that_does_not_say_is_believed(redis_url: str) -> None:
    store = RedisBudgets(redis_url)
    store.client.info = lambda *_: {}  # as servers do that hide it

    assert told(lambda: store.balances(["a"])) == []
