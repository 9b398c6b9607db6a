"""What was spent is told to a store until it has it: once, and for as long as its reservation stands."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from waiting import wait_until

from langroute.budgets import settling
from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.redis import RedisBudgets
from langroute.budgets.settling import SETTLING, Settling
from langroute.budgets.store import Balance, Hold, UnconfirmedError
from langroute.core.errors import DegradedWarning


class Far(MemoryBudgets):
    """A store that can be away, take what it is told and say nothing, or refuse one of them for ever."""

    local = False

    def __init__(self) -> None:
        super().__init__()
        self.away, self.refused = threading.Event(), ""
        self.unconfirmed = False
        self.told: list[tuple[str | None, int]] = []
        self.together: list[int] = []

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        self.told.append((id, spent[0].amount))
        if self.away.is_set() or id == self.refused:
            raise ConnectionError("away")
        super().settle(id, spent)

    def settle_all(self, charges: Sequence[tuple[str | None, Sequence[Hold]]]) -> None:
        self.together.append(len(charges))
        for charge in charges:
            self.settle(*charge)
        if self.unconfirmed:
            raise UnconfirmedError("no replica")


@pytest.fixture
def store() -> Iterator[Far]:
    found = Far()
    yield found
    found.away.clear()
    found.unconfirmed = False
    SETTLING.wait(found)


def spent(store: Far) -> Balance:
    return store.balances(["a"])[0]


def test_what_is_spent_while_a_store_is_away_is_settled_when_it_is_back(store: Far) -> None:
    store.reserve("1", [Hold("a", 10, 100)])
    store.away.set()
    for number in range(300):
        SETTLING.settle(store, f"{number}", [Hold("a", 1)])
    # Nobody who looks at a balance waits for a store that is away.
    wait_until(lambda: not SETTLING.pending(store))
    assert spent(store) == Balance(0, 10)
    store.away.clear()
    SETTLING.wait(store)

    assert spent(store) == Balance(300, 0)
    assert max(store.together) > 200, "they are told together"


def test_one_that_is_refused_for_ever_does_not_hold_up_the_others(store: Far) -> None:
    store.away.set()
    store.refused = "3"
    for number in range(6):
        SETTLING.settle(store, f"{number}", [Hold("a", 1)])
    wait_until(lambda: not SETTLING.pending(store))
    store.away.clear()
    wait_until(lambda: spent(store).spent >= 5)
    store.refused = ""


def test_every_charge_has_an_id_so_that_it_counts_once(store: Far) -> None:
    SETTLING.settle(store, None, [Hold("a", 3)])
    SETTLING.settle(store, None, [Hold("a", 3)])
    SETTLING.wait(store)

    assert len(dict(store.told)) == 2
    assert None not in dict(store.told)


def test_what_is_never_settled_is_said(store: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "LEASE_SECONDS", 0.1)
    own = Settling()
    store.away.set()

    def tell() -> None:
        own.settle(store, "1", [Hold("a", 1)])
        own.wait(store)

    with pytest.warns(DegradedWarning, match="the budgets do not have it"):
        tell()


def test_what_no_replica_confirms_is_there_and_is_told_again(store: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "PAUSES", (0.02, 0.05))
    own = Settling()
    store.away.set()
    for number in range(3):
        own.settle(store, f"{number}", [Hold("a", 1)])
    wait_until(lambda: not own.pending(store))
    store.unconfirmed = True
    store.away.clear()
    with pytest.warns(DegradedWarning, match="told again"):
        wait_until(lambda: len(store.told) > 12)
    store.unconfirmed = False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_does_not_settle_what_waits_in_its_parent(store: Far) -> None:
    store.away.set()
    SETTLING.settle(store, "1", [Hold("a", 1)])
    wait_until(lambda: not SETTLING.pending(store))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            store.away.clear()
            SETTLING.settle(store, "2", [Hold("a", 5)])
            SETTLING.wait(store)
            status = 0 if spent(store).spent == 5 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.away.clear()
    SETTLING.wait(store)
    assert spent(store).spent == 1


@pytest.mark.server
def test_redis_counts_a_settlement_once_however_often_it_is_told(redis_url: str) -> None:
    budgets = RedisBudgets(redis_url, prefix=f"{{{uuid4().hex}}}")
    for _ in range(3):
        assert budgets.reserve("1", [Hold("a", 60, 100), Hold("b", 100, 100)]) is None, "its own reservation is not in its way"
    assert budgets.reserve("2", [Hold("a", 60, 100)]) == 0
    for _ in range(3):
        budgets.settle("1", [Hold("a", 7), Hold("b", 8)])
        budgets.settle_all([("1", [Hold("a", 7), Hold("b", 8)]), ("3", [Hold("a", 1)])])
    assert budgets.balances(["a", "b"]) == [Balance(8, 0), Balance(8, 0)]
    budgets.close()


@pytest.mark.server
def test_a_settlement_whose_answer_is_lost_counts_once(mortal_redis: Any) -> None:
    """The server hangs when it is told, and goes on with what waits in its socket."""
    import signal

    budgets = RedisBudgets(mortal_redis[0], timeout_seconds=1.0)
    budgets.settle("0", [Hold("a", 1)])
    os.kill(mortal_redis[1].pid, signal.SIGSTOP)
    SETTLING.settle(budgets, "1", [Hold("a", 7)])
    # It has been told, and has not answered in time.
    time.sleep(1.5)
    os.kill(mortal_redis[1].pid, signal.SIGCONT)
    SETTLING.wait(budgets)

    assert budgets.balances(["a"]) == [Balance(8, 0)]
    budgets.close()
