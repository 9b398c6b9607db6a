"""Contract test of budget stores: a test class that every store, including your own, has to pass."""

# ruff: noqa: S101 - a contract is made of assertions
from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from langroute.budgets.store import Balance, BudgetStore, Hold


class BudgetStoreContract:
    """Tests of a `BudgetStore`. Inherit from it and define a fixture `store`; `wait` lets time pass for the store.

    Example:
        >>> import pytest
        >>> from langroute.budgets.memory import MemoryBudgets
        >>> class TestMyStore(BudgetStoreContract):
        ...     @pytest.fixture
        ...     def store(self):
        ...         return MemoryBudgets()
    """

    def test_a_store_is_one(self, store: BudgetStore) -> None:
        """It has every method, and says whether it waits."""
        assert isinstance(store, BudgetStore)
        assert isinstance(store.local, bool)

    def test_nothing_is_spent_at_first(self, store: BudgetStore) -> None:
        """An unknown key is an empty account."""
        assert store.balances(["a", "b"]) == [Balance(), Balance()]

    def test_what_is_reserved_counts_until_it_is_settled(self, store: BudgetStore) -> None:
        """Before settlement the reservation counts, afterwards what was spent."""
        assert store.reserve("1", [Hold("a", 70, 100)]) is None
        assert store.balances(["a"]) == [Balance(0, 70)]
        assert store.reserve("2", [Hold("a", 31, 100)]) == 0
        store.settle("1", [Hold("a", 20)])
        assert store.balances(["a"]) == [Balance(20, 0)]
        assert store.reserve("2", [Hold("a", 80, 100)]) is None

    def test_the_limit_itself_may_be_reached(self, store: BudgetStore) -> None:
        """A reservation up to the limit is granted, one unit more is refused."""
        assert store.reserve("1", [Hold("a", 101, 100)]) == 0
        assert store.reserve("2", [Hold("a", 100, 100)]) is None

    def test_several_limits_are_reserved_together_or_not_at_all(self, store: BudgetStore) -> None:
        """A refusal returns the index of the first hold that does not fit."""
        store.settle(None, [Hold("b", 95)])

        assert store.reserve("1", [Hold("a", 10, 100), Hold("b", 10, 100), Hold("c", 10, 100)]) == 1
        assert store.balances(["a", "b", "c"]) == [Balance(), Balance(95, 0), Balance()]

    def test_a_reservation_is_released_where_nothing_was_spent(self, store: BudgetStore) -> None:
        """Settling nothing, as after a refused request, frees the reservation."""
        store.reserve("1", [Hold("a", 70, 100), Hold("b", 5, 100)])
        store.settle("1", [Hold("a", 0), Hold("b", 0)])

        assert store.balances(["a", "b"]) == [Balance(), Balance()]

    def test_more_may_be_settled_than_was_reserved(self, store: BudgetStore) -> None:
        """An amount above the reservation is charged in full."""
        store.reserve("1", [Hold("a", 70, 100)])
        store.settle("1", [Hold("a", 130)])

        assert store.balances(["a"]) == [Balance(130, 0)]
        assert store.reserve("2", [Hold("a", 0, 100)]) == 0

    def test_spending_without_a_reservation_counts(self, store: BudgetStore) -> None:
        """Spending without an id is charged, such as the cost of an unplanned check."""
        store.settle(None, [Hold("a", 30)])
        store.settle(None, [Hold("a", 12)])

        assert store.balances(["a"]) == [Balance(42, 0)]

    def test_an_unknown_reservation_is_charged_all_the_same(self, store: BudgetStore) -> None:
        """A reservation whose lease ended before the answer came is still charged."""
        store.settle("never-heard-of", [Hold("a", 30)])

        assert store.balances(["a"]) == [Balance(30, 0)]

    def test_giving_back_twice_or_what_was_never_granted_changes_nothing(self, store: BudgetStore) -> None:
        """Releasing is idempotent, because an interrupted caller does not know whether the reservation was granted."""
        store.settle(None, [Hold("a", 5)])
        store.reserve("1", [Hold("a", 70, 100)])
        for _ in range(2):
            store.settle("1", [Hold("a", 0)])
            store.settle("never-heard-of", [Hold("a", 0), Hold("b", 0)])

        assert store.balances(["a", "b"]) == [Balance(5, 0), Balance()]

    def test_large_amounts_are_exact(self, store: BudgetStore) -> None:
        """A million USD in billionths, and one more."""
        store.settle(None, [Hold("a", 10**15)])
        store.settle(None, [Hold("a", 1)])

        assert store.balances(["a"]) == [Balance(10**15 + 1, 0)]

    def test_a_reservation_that_nobody_settles_lapses(self, store: BudgetStore, wait: Callable[[float], None]) -> None:
        """A reservation whose owner died lapses with its lease."""
        store.reserve("1", [Hold("a", 100, 100)], lease_seconds=1)
        assert store.reserve("2", [Hold("a", 1, 100)]) == 0
        wait(1.1)

        assert store.reserve("2", [Hold("a", 1, 100)]) is None
        assert store.balances(["a"]) == [Balance(0, 1)]

    def test_a_key_is_forgotten_after_its_time(self, store: BudgetStore, wait: Callable[[float], None]) -> None:
        """A key expires after its `keep_seconds`; a key without one is kept."""
        store.settle(None, [Hold("day", 30, keep_seconds=1), Hold("ever", 30)])
        wait(1.1)

        assert store.balances(["day", "ever"]) == [Balance(), Balance(30, 0)]

    def test_many_at_once_never_pass_the_limit(self, store: BudgetStore) -> None:
        """Eight threads reserve and settle as fast as they can."""

        def work(name: int) -> int:
            spent = 0
            for number in range(40):
                if store.reserve(f"{name}-{number}", [Hold("a", 7, 1000)]) is None:
                    store.settle(f"{name}-{number}", [Hold("a", 5)])
                    spent += 5
            return spent

        with ThreadPoolExecutor(8) as pool:
            spent = sum(pool.map(work, range(8)))

        assert store.balances(["a"]) == [Balance(spent, 0)]
        assert 990 <= spent <= 1000
