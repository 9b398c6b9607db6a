"""The permissions that the documentation lists are enough, and TLS is used where an address says so."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from redis_fleet import Cluster, Node, eventually
from redis_secured import certificate, let, lines_of, tls

from langroute.budgets.redis import RedisBudgets
from langroute.budgets.store import Balance, Hold
from langroute.cache.stores.redis import RedisStore
from langroute.core.errors import BudgetStoreError, StateError
from langroute.state import Change, RedisState

pytestmark = pytest.mark.server

__all__ = ["certificate"]


async def use_cache(url: str) -> None:
    store = RedisStore(url)
    mark = uuid4().hex
    store.put(mark, b"1", tags=["t"], expires=time.time() + 60)
    await store.aput(f"{mark}-2", b"2", tags=["t"])
    assert (store.get(mark), await store.aget(f"{mark}-2")) == (b"1", b"2")
    assert set(store.tagged("t")) >= {mark, f"{mark}-2"}
    await store.atag(mark, ["late"], expires=time.time() + 60)
    assert mark in store.keys(1000)
    assert store.older(time.time() + 1)
    assert store.stats().entries >= 2
    assert store.acquire(mark, "me", 5)
    assert await store.aacquire(mark, "me", 5)
    assert not store.acquire(mark, "you", 5)
    store.release(mark, "me")
    store.put("short", b"1", tags=["t"], expires=time.time() + 0.02)
    time.sleep(0.03)
    store.put("next", b"1", tags=["t"], expires=time.time() + 60)
    assert store.delete(mark) == 1
    store.clear()
    assert store.stats().entries == 0
    await store.aclose()


async def use_budgets(url: str) -> None:
    budgets = RedisBudgets(url)
    key, lasting, one, two = (uuid4().hex for _ in range(4))
    assert await budgets.areserve(one, [Hold(key, 5, 10, keep_seconds=60), Hold(lasting, 5, 10)], 0.01) is None
    time.sleep(0.02)
    assert budgets.reserve(two, [Hold(key, 5, 10, keep_seconds=60)]) is None
    budgets.settle(two, [Hold(key, 3, keep_seconds=60), Hold(lasting, 2)])
    budgets.settle(two, [Hold(key, 3, keep_seconds=60), Hold(lasting, 2)])
    assert await budgets.abalances([key, lasting]) == [Balance(3, 0), Balance(2, 0)]
    with pytest.raises(BudgetStoreError, match="0 of 1 replicas"):
        RedisBudgets(url, timeout_seconds=2.0, replicas=1).settle(one, [Hold(key, 1)])
    await budgets.aclose()
    budgets.close()


async def use_state(url: str) -> None:
    state = RedisState(url)
    space = uuid4().hex
    assert state.commit(space, [Change("a", "x"), Change("b", "y", keep_seconds=60)])
    found = state.read(space, ["a", "b"])
    assert state.commit(space, [Change("a", None, found[0].version)])
    state.close()


PARTS = {"response cache": use_cache, "budgets": use_budgets, "shared state": use_state}


@pytest.mark.parametrize("part", PARTS)
async def test_the_permissions_of_the_page_are_enough(part: str, redis_cluster: Cluster) -> None:
    """In a cluster, where more is asked than of one server."""
    name = f"u{uuid4().hex[:8]}"
    for node in redis_cluster.nodes:
        let(node, name, lines_of(part, "a cluster"))
    await PARTS[part](redis_cluster.url.replace("://", f"://{name}:p%40ss@"))


async def test_what_is_not_permitted_is_an_error_without_the_password(redis_cluster: Cluster) -> None:
    name = f"u{uuid4().hex[:8]}"
    for node in redis_cluster.nodes:
        let(node, name, lines_of("response cache", "a cluster"))
    url = redis_cluster.url.replace("://", f"://{name}:p%40ss@")
    budgets, state = RedisBudgets(url), RedisState(url, prefix="other")
    for ask in (lambda: budgets.balances(["a"]), lambda: state.read("s", ["a"]), lambda: state.commit("s", [Change("a", "x")])):
        with pytest.raises((BudgetStoreError, StateError), match=r"[Pp]ermission") as caught:
            ask()
        assert "p@ss" not in str(caught.value)
    for wrong in ("p%40s", "q"):
        with pytest.raises(BudgetStoreError) as caught:
            RedisBudgets(url.replace("p%40ss", wrong)).balances(["a"])
        assert "p@s" not in str(caught.value)


@pytest.fixture
def tls_server(certificate: tuple[Path, Path]) -> Iterator[Node]:
    settings = tls(certificate)
    node = Node(settings.pop("options"), **settings)
    try:
        assert node.process is not None
        eventually(lambda: node.process.poll() is not None or node.ask("PING"))
        if node.process.poll() is not None:
            pytest.skip("this server was built without TLS")
        yield node
    finally:
        node.close()


async def test_an_address_with_tls_trusts_its_authority_alone(tls_server: Node, certificate: tuple[Path, Path]) -> None:
    let(tls_server, "langroute", lines_of(*PARTS, "another database than 0"))
    base = f"valkeys://langroute:p%40ss@127.0.0.1:{tls_server.port}/1"
    for use in PARTS.values():
        await use(f"{base}?ssl_ca_certs={certificate[0]}")
    budgets = RedisBudgets(base)
    with pytest.raises(BudgetStoreError, match="certificate|Error 1 connecting"):
        budgets.balances(["a"])
    with pytest.raises(BudgetStoreError, match="certificate|Error 1 connecting"):
        await budgets.abalances(["a"])
    with pytest.raises(BudgetStoreError):
        RedisBudgets(base.replace("valkeys", "redis"), timeout_seconds=0.5).balances(["a"])


@pytest.mark.skipif(not os.environ.get("LANGROUTE_TEST_FAILOVERS"), reason="takes some seconds; LANGROUTE_TEST_FAILOVERS=1 runs it")
async def test_a_cluster_with_tls(tls_server: Node, certificate: tuple[Path, Path]) -> None:
    settings = tls(certificate)
    settings["options"] |= {"tls-cluster": "yes", "tls-replication": "yes"}
    cluster = Cluster(**settings)
    try:
        for node in cluster.nodes:
            let(node, "langroute", lines_of(*PARTS, "a cluster"))
        url = cluster.url.replace("redis+cluster://", "rediss+cluster://langroute:p%40ss@")
        for use in PARTS.values():
            await use(f"{url}?ssl_ca_certs={certificate[0]}")
    finally:
        cluster.close()
