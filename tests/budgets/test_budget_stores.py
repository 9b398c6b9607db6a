"""Every place that budgets are kept in passes the same contract."""

from __future__ import annotations

import os
import pickle
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from redis_fleet import Cluster

from langroute.budgets.contract import BudgetStoreContract
from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.redis import RedisBudgets
from langroute.budgets.settling import SETTLING
from langroute.budgets.sqlite import SqliteBudgets
from langroute.budgets.store import Balance, Hold
from langroute.core.errors import BudgetStoreError


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestMemoryBudgets(BudgetStoreContract):
    @pytest.fixture
    def store(self, clock: Clock) -> MemoryBudgets:
        return MemoryBudgets(clock=clock)

    @pytest.fixture
    def wait(self, clock: Clock) -> Callable[[float], None]:
        return clock.wait


class TestSqliteBudgets(BudgetStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path, clock: Clock) -> Iterator[SqliteBudgets]:
        store = SqliteBudgets(tmp_path / "budgets.db", clock=clock)
        yield store
        store.close()

    @pytest.fixture
    def wait(self, clock: Clock) -> Callable[[float], None]:
        return clock.wait


@pytest.mark.server
class TestRedisBudgets(BudgetStoreContract):
    @pytest.fixture
    def store(self, redis_url: str) -> Iterator[RedisBudgets]:
        store = RedisBudgets(redis_url, prefix=f"{{{uuid4().hex}}}")
        yield store
        store.close()

    @pytest.fixture
    def wait(self) -> Callable[[float], None]:
        return time.sleep


@pytest.mark.server
class TestRedisClusterBudgets(TestRedisBudgets):
    @pytest.fixture
    def store(self, redis_cluster: Cluster) -> Iterator[RedisBudgets]:
        store = RedisBudgets(redis_cluster.url, prefix=f"{{{uuid4().hex}}}")
        yield store
        store.close()


def test_an_sqlite_file_is_its_owners_alone_and_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "budgets.db"
    first = SqliteBudgets(path)
    first.settle(None, [Hold("a", 5)])
    first.close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SqliteBudgets(path).balances(["a"]) == [Balance(5, 0)]


def test_a_file_that_is_no_database_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "budgets.db"
    path.write_text("This is a letter, not a database. " * 100)

    with pytest.raises(BudgetStoreError, match="cannot be"):
        SqliteBudgets(path)


def test_a_redis_that_is_away_is_an_error_that_says_so() -> None:
    store = RedisBudgets("redis://127.0.0.1:1/0", timeout_seconds=0.2)

    with pytest.raises(BudgetStoreError, match="cannot be reached"):
        store.balances(["a"])


def test_old_keys_are_let_go_from_memory(clock: Clock) -> None:
    store = MemoryBudgets(clock=clock, max_keys=100)
    for number in range(1000):
        store.settle(None, [Hold(f"task-{number}", 1, keep_seconds=60)])
        clock.wait(1)

    assert len(store) <= 220


@pytest.mark.parametrize("make", [lambda folder: MemoryBudgets(), lambda folder: SqliteBudgets(folder / "b.db")])
def test_a_store_can_be_carried_to_another_process(make: Callable[[Path], object], tmp_path: Path) -> None:
    copy = pickle.loads(pickle.dumps(make(tmp_path)))

    assert copy.balances(["a"]) == [Balance()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_worker_goes_on_with_a_connection_and_threads_of_its_own(tmp_path: Path) -> None:
    """As a server does that loads the program first and forks its workers then."""
    store = SqliteBudgets(tmp_path / "budgets.db")
    SETTLING.settle(store, None, [Hold("a", 5)])
    SETTLING.wait(store)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            SETTLING.settle(store, None, [Hold("a", 7)])
            SETTLING.wait(store)
            status = 0 if store.balances(["a"]) == [Balance(12, 0)] else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert store.balances(["a"]) == [Balance(12, 0)]
