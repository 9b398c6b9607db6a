"""Contract test of state stores: a test class that every store, including your own, has to pass."""

# ruff: noqa: S101 - a contract is made of assertions
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langroute.state.shared import SharedState
from langroute.state.store import Change, StateEntry, StateStore


class Counting:
    """A fold that counts events by name, each number once."""

    keep_seconds = 60.0

    def keys(self, event: tuple[Any, ...]) -> Iterable[str]:
        """Return the key under which a number is remembered."""
        return (str(event[1]),)

    def follows(self, entry: Mapping[str, Any]) -> str | None:
        """Point nowhere."""
        return None

    def add(self, document: dict[str, Any], sides: dict[str, Any], event: tuple[Any, ...]) -> None:
        """Count an event whose number is new."""
        if not sides[str(event[1])]:
            sides[str(event[1])] = {"seen": True}
            document[event[0]] = document.get(event[0], 0) + 1


class StateStoreContract:
    """Tests of a `StateStore`. Inherit from it and define a fixture `store`; `wait` lets time pass for the store.

    Example:
        >>> import pytest
        >>> from langroute.state.memory import MemoryState
        >>> class TestMyStore(StateStoreContract):
        ...     @pytest.fixture
        ...     def store(self):
        ...         return MemoryState()
    """

    def test_a_store_is_one(self, store: StateStore) -> None:
        """It has every method, and says whether it waits."""
        assert isinstance(store, StateStore)
        assert isinstance(store.local, bool)

    def test_nothing_is_there_at_first(self, store: StateStore) -> None:
        """An unknown key is an empty entry without a version."""
        assert store.read("s", ["a", "b"]) == [StateEntry(), StateEntry()]
        assert store.read("s", []) == []
        assert store.commit("s", [])

    def test_what_is_stored_is_read_in_its_own_space_and_in_order(self, store: StateStore) -> None:
        """Texts of any letters come back as they are, each with a version."""
        assert store.commit("s", [Change("a", "1 2  3"), Change("b", '{"ä": "\\u0000 {x} 🦉"}')])

        found = store.read("s", ["b", "c", "a"])
        assert [entry.value for entry in found] == ['{"ä": "\\u0000 {x} 🦉"}', "", "1 2  3"]
        assert [bool(entry.version) for entry in found] == [True, False, True]
        assert store.read("other", ["a"]) == [StateEntry()]

    def test_a_change_of_another_version_changes_nothing(self, store: StateStore) -> None:
        """Neither the key nor those that are changed with it."""
        store.commit("s", [Change("a", "old")])
        (first,) = store.read("s", ["a"])
        assert not store.commit("s", [Change("z", "new"), Change("a", "new")])
        assert store.commit("s", [Change("a", "newer", first.version)])
        assert not store.commit("s", [Change("z", "late"), Change("a", "late", first.version)])
        assert not store.commit("s", [Change("a", None)])

        assert [entry.value for entry in store.read("s", ["a", "z"])] == ["newer", ""]

    def test_what_is_removed_and_stored_again_has_another_version(self, store: StateStore) -> None:
        """Whoever read it before is told, though the text is the same."""
        store.commit("s", [Change("a", "same")])
        (first,) = store.read("s", ["a"])
        assert store.commit("s", [Change("a", None, first.version)])
        assert store.read("s", ["a"]) == [StateEntry()]
        assert store.commit("s", [Change("a", "same")])

        assert not store.commit("s", [Change("a", "late", first.version)])

    def test_a_key_is_forgotten_after_its_time(self, store: StateStore, wait: Callable[[float], None]) -> None:
        """It is absent then, and can be stored anew; a key without a time is kept."""
        store.commit("s", [Change("short", "x", keep_seconds=1), Change("ever", "y")])
        wait(1.1)

        assert [entry.value for entry in store.read("s", ["short", "ever"])] == ["", "y"]
        assert store.commit("s", [Change("short", "z")])
        assert store.read("s", ["short"])[0].value == "z"

    def test_many_keys_are_read_and_changed_at_once(self, store: StateStore) -> None:
        """A commit of a batch of events."""
        changes = [Change(f"k{number}", str(number), keep_seconds=60) for number in range(1500)]
        assert store.commit("s", changes)

        assert [entry.value for entry in store.read("s", [change.key for change in changes])] == [str(n) for n in range(1500)]

    def test_no_change_of_many_at_once_is_lost(self, store: StateStore) -> None:
        """Eight threads add one to a number as fast as they can."""

        def work(_: int) -> None:
            for _ in range(10):
                for _ in range(10_000):
                    (entry,) = store.read("s", ["n"])
                    if store.commit("s", [Change("n", str(int(entry.value or 0) + 1), entry.version)]):
                        break

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))

        assert store.read("s", ["n"])[0].value == "80"

    def test_what_several_hear_is_counted_by_all_of_them_once(self, store: StateStore) -> None:
        """Three that share a state tell it overlapping events."""
        three = [SharedState(store, "s", Counting(), refresh_s=0.01) for _ in range(3)]

        def work(one: int) -> None:
            for number in range(one * 20, one * 20 + 60):
                three[one].tell(("n", number))
            three[one].now()

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, range(3)))

        assert [json.dumps(one.now()) for one in three] == ['{"n": 100}'] * 3
        for one in three:
            one.close()
