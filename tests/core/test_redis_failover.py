"""Nodes of a cluster and masters of sentinels are killed, and stopped as in a partition, under load: no budget is lost, no answer is another's."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from redis_fleet import Cluster, Node, Sentinels, eventually, stopped
from redis_load import Load

from langroute.budgets.redis import RedisBudgets
from langroute.budgets.settling import SETTLING
from langroute.budgets.store import Balance, Hold, UnconfirmedError
from langroute.core.errors import BudgetStoreError
from langroute.state import Change, RedisState

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::langroute.core.errors.DegradedWarning")]

all_failovers = pytest.mark.skipif(
    not os.environ.get("LANGROUTE_TEST_FAILOVERS"), reason="takes some seconds; LANGROUTE_TEST_FAILOVERS=1 runs it"
)

MADE_ON = 50
"""Answers after which a load counts as running."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three masters with a replica each, which notice soon that one is gone."""
    made = Cluster(replicas=1, node_timeout_ms=1500)
    yield made
    made.close()


def hurt(load: Load, hurting: Callable[[], None], healed: Callable[[], bool]) -> None:
    with load.running():
        eventually(lambda: load.answered > MADE_ON)
        hurting()
        eventually(healed)
        done = load.answered
        eventually(lambda: load.answered > done + 4 * MADE_ON)
    assert load.foreign == []
    eventually(lambda: load.balances() == load.expected())
    load.close()


def knows_another(cluster: Cluster, gone: Node) -> Callable[[], bool]:
    other = next(node for node in cluster.nodes if node is not gone and node.process is not None)

    def knows() -> bool:
        return all(int(slots[2][1]) != gone.port for slots in other.ask("CLUSTER SLOTS"))

    return knows


@all_failovers
def test_a_node_that_hangs_is_replaced_and_comes_back(cluster: Cluster) -> None:
    """As behind a partition: when it is heard of again it believes for a moment that it still has its keys."""
    load = Load(cluster.url, replicas=1)
    state = RedisState(cluster.url, prefix="{langroute}:state", timeout_seconds=0.5)
    assert state.commit("s", [Change("a", "before")])
    hanging = cluster.master_of(load.budgets.prefix)

    def partition() -> None:
        with stopped(hanging):
            eventually(knows_another(cluster, hanging))

    hurt(load, partition, lambda: hanging.ask("INFO", "replication")["role"] == "slave")
    eventually(lambda: hanging.ask("INFO", "replication")["master_link_status"] == "up")
    eventually(lambda: [entry.value for entry in state.read("s", ["a"])] == ["before"])
    state.close()


def test_a_node_that_is_killed_is_replaced(cluster: Cluster) -> None:
    """The new one has no replica then: what was spent is there, and the replica that is asked for is waited for."""
    load = Load(cluster.url, replicas=1)
    load.budgets.prefix = f"{{{uuid4().hex}}}"
    gone = cluster.master_of(load.budgets.prefix)
    hurt(load, gone.kill, knows_another(cluster, gone))


def test_what_a_server_has_not_passed_on_is_told_to_its_successor() -> None:
    """The replica is behind a partition when something is spent; then the master that was told is killed, and the replica takes over."""
    sentinels = Sentinels()
    budgets = RedisBudgets(sentinels.url, timeout_seconds=2.0, replicas=1)
    try:
        budgets.settle("before", [Hold("a", 5)])
        with stopped(sentinels.servers[1]):
            # What was sent to it already would wait in its socket.
            sentinels.servers[0].ask("CLIENT", "KILL", "TYPE", "replica")
            with pytest.raises(UnconfirmedError):
                budgets.settle("after", [Hold("a", 7)])
            SETTLING.settle(budgets, "after", [Hold("a", 7)])
            assert budgets.balances(["a"]) == [Balance(12, 0)]
            sentinels.servers[0].kill()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            eventually(lambda: budgets.balances(["a"]) == [Balance(12, 0)])
        assert sentinels.master() is sentinels.servers[1]

        load = Load(sentinels.url)
        with load.running():
            eventually(lambda: load.answered > MADE_ON)
        assert load.foreign == []
        eventually(lambda: load.balances() == load.expected())
        load.close()
    finally:
        budgets.close()
        sentinels.close()


@all_failovers
async def test_a_cluster_is_found_again_after_all_its_nodes_were_away() -> None:
    """By the nodes of its address; and it need not be there when a store is made."""
    cluster = Cluster()
    try:
        budgets = RedisBudgets(cluster.url, timeout_seconds=0.5)
        assert await budgets.abalances(["a"]) == budgets.balances(["a"]) == [Balance()]
        for node in cluster.nodes:
            node.kill()
        for _ in range(2):
            with pytest.raises(BudgetStoreError):
                await budgets.abalances(["a"])
            with pytest.raises(BudgetStoreError):
                budgets.settle_all([("1", [Hold("a", 1)])])
            with pytest.raises(BudgetStoreError):
                budgets.balances(["a"])
        late = RedisBudgets(cluster.url, timeout_seconds=0.5)
        for node in cluster.nodes:
            node.start()
        for store in (budgets, late):
            eventually(lambda store=store: store.balances(["a"]) == [Balance()])
            assert await store.abalances(["a"]) == [Balance()]
            await store.aclose()
            store.close()
    finally:
        cluster.close()
