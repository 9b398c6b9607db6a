"""Contract test of cache stores: a test class that every store, including your own, has to pass.

Subclass `StoreContract` in a test module, give it a fixture `store` that returns an empty store, and pytest does the rest.
"""

# ruff: noqa: S101 - a contract is made of assertions
from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langroute.cache.stores.base import Store


class StoreContract:
    """Tests of what a cache relies on in a store.

    A fixture `store` returns an empty store; `make_full(store)` may be overridden where a store can be bounded.
    """

    def test_what_was_put_can_be_got(self, store: Store) -> None:
        """A value is returned unchanged; a second put replaces the first."""
        store.put("a", b"one")
        store.put("a", bytes(range(256)))
        assert store.get("a") == bytes(range(256))

    def test_what_was_never_put_is_not_there(self, store: Store) -> None:
        """A miss is `None`, not an error."""
        assert store.get("nothing") is None

    def test_a_value_that_ran_out_is_gone(self, store: Store) -> None:
        """An expired value is a miss."""
        store.put("old", b"1", expires=time.time() + 0.05)
        store.put("new", b"2", expires=time.time() + 60)
        time.sleep(0.1)
        assert (store.get("old"), store.get("new")) == (None, b"2")

    def test_large_values_survive(self, store: Store) -> None:
        """A large value is returned unchanged."""
        value = bytes(range(256)) * 2000
        store.put("large", value)
        assert store.get("large") == value

    def test_deleting_says_how_many_there_were(self, store: Store) -> None:
        """`delete` removes values and returns how many there were."""
        store.put("a", b"1")
        store.put("b", b"2")
        assert store.delete("a", "nothing") == 1
        assert (store.get("a"), store.get("b")) == (None, b"2")

    def test_values_are_found_by_their_tags(self, store: Store) -> None:
        """`tagged` returns the right keys, also after a value was replaced under another tag."""
        store.put("a", b"1", tags=["red", "x"])
        store.put("b", b"2", tags=["red"])
        store.put("c", b"3", tags=["blue, red"])
        assert sorted(store.tagged("red")) == ["a", "b"]
        store.delete("a")
        assert [key for key in store.tagged("red") if store.get(key) is not None] == ["b"]
        assert store.tagged("blue, red") == ["c"]

    async def test_tags_can_be_added(self, store: Store) -> None:
        """`tag` adds tags to a value that is there, and to nothing else."""
        store.put("a", b"1", expires=time.time() + 60, tags=["red"])
        store.tag("a", ["blue", "green"], expires=time.time() + 60)
        await store.atag("a", ["blue"], expires=time.time() + 60)
        assert (store.tagged("red"), store.tagged("blue"), store.tagged("green")) == (["a"], ["a"], ["a"])
        assert store.get("a") == b"1"
        store.tag("nothing", ["blue"])
        assert [key for key in store.tagged("blue") if store.get(key) is not None] == ["a"]

    def test_values_are_found_by_their_age(self, store: Store) -> None:
        """`older` returns the keys of values stored before a time, so that they can be purged."""
        store.put("old", b"1")
        time.sleep(0.05)
        between = time.time()
        time.sleep(0.05)
        store.put("new", b"2")
        assert store.older(between) == ["old"]

    def test_keys_can_be_listed(self, store: Store) -> None:
        """`keys` returns the keys of the values."""
        for name in ("a", "b", "c"):
            store.put(name, b"1")
        assert sorted(store.keys(10)) == ["a", "b", "c"]
        assert len(store.keys(2)) == 2

    def test_clearing_leaves_nothing(self, store: Store) -> None:
        """`clear` removes values and tags."""
        store.put("a", b"1", tags=["red"])
        store.clear()
        assert (store.get("a"), store.stats().entries, store.tagged("red")) == (None, 0, [])

    def test_it_says_how_full_it_is(self, store: Store) -> None:
        """`stats` returns at least the number of values."""
        store.put("a", b"1")
        store.put("b", b"2")
        store.put("b", b"3")
        assert store.stats().entries == 2

    def test_a_lease_has_one_owner(self, store: Store) -> None:
        """A lease has one owner until it is released or expires; its owner may extend it."""
        assert store.acquire("k", "one", 5)
        assert not store.acquire("k", "two", 5)
        assert store.acquire("k", "one", 5)
        store.release("k", "two")
        assert not store.acquire("k", "two", 5)
        store.release("k", "one")
        assert store.acquire("k", "two", 0.05)
        time.sleep(0.1)
        assert store.acquire("k", "three", 5)

    def test_many_threads_get_one_lease(self, store: Store) -> None:
        """Of many threads that ask at once, one gets the lease."""
        with ThreadPoolExecutor(16) as pool:
            got = list(pool.map(lambda owner: store.acquire("crowd", str(owner), 30), range(64)))
        assert sum(got) == 1

    def test_threads_do_not_disturb_each_other(self, store: Store) -> None:
        """Values put by one thread can be read by another."""

        def work(number: int) -> bool:
            store.put(f"k{number}", str(number).encode(), tags=["crowd"])
            return store.get(f"k{number}") == str(number).encode()

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(100)))
        assert len(store.tagged("crowd")) == 100

    async def test_awaited_calls_do_the_same(self, store: Store) -> None:
        """Each async method does the same as its sync version."""
        await store.aput("a", b"1", tags=["red"])
        assert await store.aget("a") == b"1"
        assert store.get("a") == b"1"
        await store.aput("gone", b"1", expires=time.time() - 1)
        assert await store.aget("gone") is None
        assert await store.aacquire("k", "one", 5)
        assert not await store.aacquire("k", "two", 5)
        await store.arelease("k", "one")
        assert await store.aacquire("k", "two", 5)

    def test_keys_with_odd_signs_stay_apart(self, store: Store) -> None:
        """Keys and tags with special characters do not collide."""
        names: list[Any] = ["a:b", "a", "a:", "*", "a b", "ü", "'; DROP TABLE entries; --"]
        for name in names:
            store.put(name, name.encode(), tags=[name])
        assert [store.get(name) for name in names] == [name.encode() for name in names]
        assert [store.tagged(name) for name in names] == [[name] for name in names]


__all__ = ["StoreContract"]
