"""Every state store keeps the contract, on real servers."""

from __future__ import annotations

import gc
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis_fleet import Cluster
from redis_server import RedisServer

from langroute.ledger import open_ledger
from langroute.ledger.memory import MemoryLedger
from langroute.state import Change, MemoryState, RedisState, SqlState, StateStore, open_state
from langroute.state.contract import StateStoreContract
from langroute.state.resolve import state_of


class TestMemory(StateStoreContract):
    @pytest.fixture
    def now(self) -> list[float]:
        return [0.0]

    @pytest.fixture
    def store(self, now: list[float]) -> MemoryState:
        return MemoryState(clock=lambda: now[0])

    @pytest.fixture
    def wait(self, now: list[float]) -> Callable[[float], None]:
        def pass_(seconds: float) -> None:
            now[0] += seconds

        return pass_


class OfSql(StateStoreContract):
    @pytest.fixture
    def now(self) -> list[float]:
        return [1e9]

    @pytest.fixture
    def wait(self, now: list[float]) -> Callable[[float], None]:
        def pass_(seconds: float) -> None:
            now[0] += seconds

        return pass_


class TestSqlite(OfSql):
    @pytest.fixture
    def store(self, tmp_path: Path, now: list[float]) -> Iterator[SqlState]:
        store = SqlState(tmp_path / "state.db", clock=lambda: now[0])
        yield store
        store.close()


class TestPostgres(OfSql):
    @pytest.fixture
    def store(self, postgres: str, now: list[float]) -> Iterator[SqlState]:
        store = SqlState(postgres, clock=lambda: now[0])
        yield store
        store.close()


class TestLedgersOwn(OfSql):
    """The database of a ledger, by the ledger's connections."""

    @pytest.fixture
    def store(self, tmp_path: Path, now: list[float]) -> Iterator[SqlState]:
        with open_ledger(tmp_path / "ledger.db") as ledger:
            store = SqlState(ledger.engine, clock=lambda: now[0])
            yield store
            store.close()
            assert ledger.get("none") is None


class TestRedis(StateStoreContract):
    @pytest.fixture
    def store(self, redis_server: RedisServer) -> Iterator[RedisState]:
        store = RedisState(redis_server.url, prefix=f"test-{uuid4().hex}")
        yield store
        store.close()

    @pytest.fixture
    def wait(self) -> Callable[[float], None]:
        return time.sleep


class TestRedisCluster(TestRedis):
    @pytest.fixture
    def store(self, redis_cluster: Cluster) -> Iterator[RedisState]:
        store = RedisState(redis_cluster.url, prefix=f"test-{uuid4().hex}")
        yield store
        store.close()

    def test_a_space_of_any_name_is_on_one_node(self, store: RedisState) -> None:
        for space in ("", "}", "{}", "a}b", "a{b", "ä b"):
            assert store.commit(space, [Change(f"k{number}", space) for number in range(20)])
            assert [entry.value for entry in store.read(space, ["k0", "k19"])] == [space] * 2


def carried(store: Any) -> Any:
    return pickle.loads(pickle.dumps(store))


def test_a_store_is_carried_to_another_process_with_its_address(tmp_path: Path, redis_server: RedisServer) -> None:
    for store in (SqlState(tmp_path / "a.db"), RedisState(redis_server.url, prefix=uuid4().hex), MemoryState()):
        store.commit("s", [Change("a", "x"), Change("b", "y", keep_seconds=60)])
        copied = carried(store)

        assert [entry.value for entry in copied.read("s", ["a", "b"])] == ["x", "y"]
        assert not copied.commit("s", [Change("a", "z")])


def test_an_address_opens_the_store_it_names(tmp_path: Path, redis_server: RedisServer) -> None:
    kept = open_state(tmp_path / "b.db")
    assert isinstance(kept, SqlState)
    assert isinstance(kept, StateStore)
    assert isinstance(open_state(redis_server.url), RedisState)
    assert open_state(kept) is kept


def test_a_ledger_that_lasts_keeps_the_state_and_others_share_that_of_the_process(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert isinstance(state_of(ledger), SqlState)
        assert state_of(ledger) is state_of(ledger)
        assert state_of(ledger).engine is ledger.engine
    held = state_of(MemoryLedger())
    assert held is state_of(MemoryLedger())
    held.commit("s", [Change("a", "x")])
    del held
    # Policies of other tests may hold it, too, in cycles.
    gc.collect()
    assert not state_of(MemoryLedger()).read("s", ["a"])[0].value
