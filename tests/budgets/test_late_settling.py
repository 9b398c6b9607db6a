"""What a store does not take while it is away is settled once when it is back, however its answer was lost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from redis_server import binary

from langroute.budgets import MemoryBudgets, RedisBudgets
from langroute.budgets.account import Settling
from langroute.budgets.store import Balance, Hold


class Away(MemoryBudgets):
    """A store over a network that may be away."""

    local = False
    away = False

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        if self.away:
            raise ConnectionError("away")
        super().settle(id, spent)


def test_what_a_store_did_not_take_is_settled_with_the_next_that_it_takes() -> None:
    store, settling = Away(), Settling()
    store.reserve("1", [Hold("a", 70, 1000)])
    store.away = True
    for number in range(1, 4):
        settling.settle(store, str(number), [Hold("a", 10)])
    settling.wait(store)
    assert store.balances(["a"]) == [Balance(0, 70)]
    store.away = False
    settling.settle(store, "4", [Hold("a", 5)])
    settling.wait(store)
    assert store.balances(["a"]) == [Balance(35, 0)]


def test_what_waits_is_settled_when_the_process_ends() -> None:
    store, settling = Away(), Settling()
    store.away = True
    settling.settle(store, None, [Hold("a", 10)])
    while settling.pending(store):
        time.sleep(0.01)
    store.away = False
    settling.wait()
    assert store.balances(["a"]) == [Balance(10, 0)]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Redis that keeps what it acknowledged, on a socket of its own."""
    program = [binary(), "--port", "0", "--unixsocket", str(tmp_path / "redis"), "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(program, stdout=subprocess.DEVNULL)
    yield server
    server.kill()
    server.wait()


def test_a_second_try_of_a_settlement_that_was_taken_charges_nothing(kept: object, tmp_path: Path) -> None:
    while not (tmp_path / "redis").exists():
        time.sleep(0.01)
    store = RedisBudgets(f"unix://{tmp_path / 'redis'}")
    store.reserve("1", [Hold("a", 70, 100), Hold("b", 70, 100)])
    for _ in range(3):
        store.settle("1", [Hold("a", 20), Hold("b", 30)])
    assert store.balances(["a", "b"]) == [Balance(20, 0), Balance(30, 0)]
    # A release is one each time: the reservation may have been granted only after the first.
    store.settle("2", [Hold("a", 0)])
    store.reserve("2", [Hold("a", 10, 100)])
    store.settle("2", [Hold("a", 0)])
    assert store.balances(["a"]) == [Balance(20, 0)]
    store.close()
