"""Budgets of a great many threads take little room, leave when their time is over, and never forget what still binds."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path

import pytest

from langroute import Budget
from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.sqlite import SqliteBudgets
from langroute.budgets.store import Balance, Hold
from langroute.core.errors import BudgetStoreError, DegradedWarning
from langroute.core.records import Request, Step

MONTH = 30 * 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def use(store: MemoryBudgets, number: int, usd: int = 10_000_000, keep: float | None = MONTH) -> int | None:
    hold = Hold(f"|usd|thread|||{number:020x}", usd, 3_000_000_000, keep)
    refused = store.reserve(str(number), [hold])
    if refused is None:
        store.settle(str(number), [hold])
    return refused


def test_a_thread_takes_little_room() -> None:
    """A quarter of what a text and an object for each would take."""
    budget, count = Budget(usd=3, per="thread"), 20_000
    store = budget.store
    keys = [budget.key(Request("Hi.", Step(thread=f"thread-{number}")), None, "d") for number in range(count)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number, key in enumerate(keys):
            store.reserve(str(number), [Hold(key, 50_000_000, budget.limit, budget.keep_seconds)])
            store.settle(str(number), [Hold(key, 10_000_000 + number, budget.limit, budget.keep_seconds)])
        each = (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()

    assert each < 170
    assert store.balances([keys[7]]) == [Balance(10_000_007, 0)]


def test_threads_whose_time_is_over_leave_while_others_come(clock: Clock) -> None:
    """Without waiting for any number of them."""
    store = MemoryBudgets(clock=clock)
    for number in range(5_000):
        use(store, number, keep=60)
        clock.now += 1

    assert len(store) < 400


def test_what_a_call_that_cost_nothing_leaves_is_nothing() -> None:
    store = MemoryBudgets()
    for number in range(1000):
        use(store, number, usd=0)

    assert len(store) == 0
    assert store.every() == []


def test_what_still_binds_is_not_forgotten_whatever_comes(clock: Clock) -> None:
    """Neither a thread that used up its budget, nor one of a budget without an end, nor a reservation."""
    store = MemoryBudgets(clock=clock, max_keys=100)
    use(store, -1, usd=3_000_000_000)
    use(store, -2, usd=3_000_000_000, keep=None)
    store.reserve("open", [Hold("team", 5, 5, 60)], lease_seconds=1e9)
    for number in range(3_000):
        use(store, number, keep=60)
        clock.now += 1

    assert use(store, -1) == 0
    assert use(store, -2) == 0
    assert store.reserve("more", [Hold("team", 1, 5)]) == 0


def test_beyond_the_bound_a_new_limit_is_refused_and_the_old_ones_bind_on(clock: Clock) -> None:
    store = MemoryBudgets(clock=clock, max_keys=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegradedWarning)
        for number in range(100):
            use(store, number, keep=60)
    with pytest.raises(BudgetStoreError, match="take SqliteBudgets"):
        use(store, 100)
    assert use(store, 7, keep=60) is None
    store.settle(None, [Hold("a call that was billed all the same", 5)])
    assert store.balances(["a call that was billed all the same"]) == [Balance(5, 0)]
    clock.now += 61

    assert use(store, 100) is None
    assert len(store) <= 2


def test_the_warning_comes_once(clock: Clock) -> None:
    store = MemoryBudgets(clock=clock, max_keys=100)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(100):
            use(store, number)
    assert [one.category for one in caught] == [DegradedWarning]
    assert "of at most 100" in str(caught[0].message)


def test_rows_whose_time_is_over_leave_a_file(tmp_path: Path, clock: Clock) -> None:
    store = SqliteBudgets(tmp_path / "budgets.db", clock=clock)
    for number in range(50):
        hold = Hold(f"thread-{number}", 10, 100, keep_seconds=60)
        store.reserve(str(number), [hold])
        store.settle(str(number), [hold])
    store.settle(None, [Hold("ever", 5)])
    clock.now += 61
    store.settle(None, [Hold("now", 5, keep_seconds=60)])
    assert store._connection is not None
    plan = store._connection.execute("EXPLAIN QUERY PLAN DELETE FROM accounts WHERE until <= 5").fetchall()

    assert store._connection.execute("SELECT key FROM accounts ORDER BY key").fetchall() == [("ever",), ("now",)]
    assert "accounts_by_time" in str(plan), "a settling does not read all rows"
    store.close()
