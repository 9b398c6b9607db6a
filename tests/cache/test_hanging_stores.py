"""Stores that hang, are locked, or outlive the event loop that asked them: what they cost a call, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer

from langroute.budgets.redis import RedisBudgets
from langroute.cache import ResponseCache
from langroute.cache.resilient_store import ResilientStore
from langroute.cache.stats import Counts
from langroute.cache.stores.base import StoreBusyError
from langroute.cache.stores.redis import RedisStore
from langroute.cache.stores.sqlite import SqliteStore
from langroute.core.errors import BudgetStoreError, ConfigurationWarning, DegradedWarning
from langroute.core.loop_clients import MOST_AT_REST
from langroute.hosts.chat_model import ChatRouter
from langroute.testing import ScriptedModel

LOCKS = {
    "for writing": "connection.execute('BEGIN IMMEDIATE')",
    "altogether": "connection.execute('PRAGMA locking_mode=EXCLUSIVE'); connection.execute('BEGIN EXCLUSIVE'); "
    "connection.execute('DELETE FROM leases')",
}

HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
{lock}
print("locked", flush=True)
sys.stdin.read()
"""


def routed(cache: ResponseCache) -> ChatRouter:
    return ChatRouter({"a": ScriptedModel("x", model="s")}, response_cache=cache, prices={"a": {"input": 1, "output": 1}})


def seconds(model: Any, text: str) -> float:
    begun = time.perf_counter()
    assert model.invoke(text).content == "x"
    return time.perf_counter() - begun


def said(model: Any, text: str) -> str:
    return str(model.invoke(text).response_metadata["langroute"]["cache"])


@pytest.fixture(params=LOCKS)
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A cache file that another process holds locked."""
    file = tmp_path / "c.db"
    store = SqliteStore(file)
    routed(ResponseCache(store)).invoke("Kept?")
    store.close()
    program = HOLD.format(lock=LOCKS[request.param])
    holder = subprocess.Popen([sys.executable, "-c", program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield file
    finally:
        holder.communicate()


def test_a_locked_file_costs_a_call_next_to_nothing(locked: Path) -> None:
    """Whether it is locked for writers or for all, in every thread, and when the router is made."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        cache = ResponseCache(locked)
        model = routed(cache)
        took = [seconds(model, f"New {number}?") for number in range(40)]
        for number in range(20):
            thread = threading.Thread(target=lambda number=number: took.append(seconds(model, f"Newer {number}?")))
            thread.start()
            thread.join()
    # Each that waited until the file can be opened would wait for a second and more.
    assert sum(took) < 15
    assert len([one for one in warned if one.category is DegradedWarning]) == 1
    stats = cache.stats()
    assert stats.stored + stats.reasons["the store rests"] == 60


async def test_a_locked_file_does_not_hold_up_an_event_loop(locked: Path) -> None:
    model = routed(ResponseCache(locked))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begun = time.perf_counter()
        await asyncio.gather(*(model.ainvoke(f"New {number}?") for number in range(40)))
    assert time.perf_counter() - begun < 15


def test_a_file_that_is_free_again_is_used_again(tmp_path: Path) -> None:
    import sqlite3

    cache = ResponseCache(tmp_path / "c.db")
    model = routed(cache)
    model.invoke("Kept?")
    lock = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with pytest.warns(DegradedWarning):
        model.invoke("Lost?")
    # What is there is still read.
    assert [said(model, "Kept?") for _ in range(3)] == ["hit"] * 3
    lock.execute("ROLLBACK")
    deadline = time.monotonic() + 20
    while said(model, "Back?") != "hit" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert said(model, "Back?") == "hit"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of the test's own."""
    found = RedisServer()
    try:
        yield found
    finally:
        if found.process is not None:
            os.kill(found.process.pid, signal.SIGCONT)
        found.stop()


@pytest.mark.server
def test_a_hung_redis_is_left_alone(server: RedisServer) -> None:
    """One call waits for the time-out, the others go on; when it works again, so does the cache."""
    cache = ResponseCache(RedisStore(server.url, prefix=uuid.uuid4().hex[:8], timeout_seconds=1.0))
    model = routed(cache)
    assert [said(model, "Kept?") for _ in range(2)] == ["miss", "hit"]
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        begun = time.perf_counter()
        took = [seconds(model, f"Hung {number}?") for number in range(100)]

        async def awaited() -> None:
            await asyncio.gather(*(model.ainvoke(f"Hung too {number}?") for number in range(100)))

        asyncio.run(awaited())
        whole = time.perf_counter() - begun
    assert sum(one > 0.5 for one in took) <= 1 + whole / 0.5
    # Two hundred that each wait for the time-out would take 200 s.
    assert whole < 30
    assert len([one for one in warned if one.category is DegradedWarning]) == 1
    os.kill(server.process.pid, signal.SIGCONT)
    deadline = time.monotonic() + 30
    while said(model, "Kept?") != "hit" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert said(model, "Kept?") == "hit"
    cache.close()


@pytest.mark.server
def test_threads_that_find_a_hung_redis_wait_once(server: RedisServer) -> None:
    """All who are out wait for one time-out; after that, one of them tries it at a time."""
    cache = ResponseCache(RedisStore(server.url, prefix=uuid.uuid4().hex[:8], timeout_seconds=1.0))
    model = routed(cache)
    model.invoke("Kept?")
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    waited: list[int] = []

    def work(number: int) -> None:
        took = [seconds(model, f"{number} {turn}?") for turn in range(20)]
        waited.append(sum(one > 0.9 for one in took))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # One after the other, each for as long as the time-out.
    assert sum(waited) <= 8 + (time.perf_counter() - begun) / 1.0


@pytest.mark.server
def test_a_hung_redis_refuses_a_budget_in_time(server: RedisServer) -> None:
    """It waits as long as it was told, and no three times over."""
    budgets = RedisBudgets(server.url, timeout_seconds=3.0)
    budgets.balances(["a"])
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    begun = time.perf_counter()
    with pytest.raises(BudgetStoreError):
        budgets.balances(["a"])
    assert time.perf_counter() - begun < 8
    budgets.close()


def test_of_many_who_wait_for_a_store_one_tries_it() -> None:
    """And failures of those who were out together are one."""
    tended = ResilientStore(Counts())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(50):
            tended.failed(TimeoutError())
        assert tended._rest == 0.5
        assert not tended.up
        tended._rests_until = 1e-9
        assert [tended.up for _ in range(3)] == [True, False, False]
        tended.failed(TimeoutError())
        assert tended._rest == 1.0
        tended._rests_until = 1e-9
        assert tended.up
        assert tended.ask(lambda: 1, otherwise=None) == 1
        assert [tended.up for _ in range(3)] == [True] * 3
        tended.failed(StoreBusyError("locked"), writes=True)
        assert (tended.up, tended.writable) == (True, False)
        assert tended.ask(lambda: 1, otherwise=None) == 1
        assert not tended.writable


# Event loops -------------------------------------------------------------------------------------------------------------


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def cached(server: RedisServer) -> tuple[ChatRouter, RedisStore]:
    store = RedisStore(server.url, prefix=uuid.uuid4().hex[:8], timeout_seconds=10)
    model = routed(ResponseCache(store))
    model.invoke("Warm?")
    return model, store


@pytest.mark.server
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts file descriptors where Linux shows them")
@pytest.mark.parametrize("how", ["run", "closed", "threads"])
def test_event_loops_leave_no_connections(how: str, redis_server: RedisServer) -> None:
    """One after the other, closed with and without `asyncio.run`, and several threads with one each."""
    import redis

    monitor = redis.Redis(port=redis_server.port)
    model, store = cached(redis_server)

    def one(number: int) -> None:
        async def ask() -> None:
            await asyncio.gather(*(model.ainvoke(f"Question {number} {place}?") for place in range(3)))

        if how != "closed":
            asyncio.run(ask())
            return
        loop = asyncio.new_event_loop()
        loop.run_until_complete(ask())
        loop.close()

    def many(first: int) -> None:
        threads = [threading.Thread(target=one, args=(first + number,)) for number in range(20 if how == "threads" else 0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in range(0 if how == "threads" else 20):
            one(first + number)

    many(0)
    gc.collect()
    before, clients = descriptors(), monitor.info("clients")["connected_clients"]
    many(100)
    many(200)
    gc.collect()
    assert descriptors() <= before + 3
    assert monitor.info("clients")["connected_clients"] <= clients + 3
    assert len(store._async) <= 1
    store.close()
    assert len(store._async) == 0
    monitor.close()


@pytest.mark.server
def test_loops_that_nobody_closes_go_all_the_same(redis_server: RedisServer) -> None:
    """A loop that is only at rest goes on with what it has, or makes it again."""
    model, store = cached(redis_server)
    resting = asyncio.new_event_loop()
    resting.run_until_complete(model.ainvoke("First?"))
    for number in range(3 * MOST_AT_REST):
        asyncio.new_event_loop().run_until_complete(model.ainvoke(f"Question {number}?"))
    assert len(store._async) <= MOST_AT_REST + 2
    assert resting.run_until_complete(model.ainvoke("First?")).response_metadata["langroute"]["cache"] == "hit"
    resting.run_until_complete(store.aclose())
    resting.close()
    gc.collect()


@pytest.mark.server
async def test_a_loop_that_lives_keeps_its_client(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, prefix=uuid.uuid4().hex[:8], timeout_seconds=10)
    await store.aput("k", b"1")
    first = store._aclient()
    thread = threading.Thread(target=lambda: asyncio.run(store.aget("k")))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert store._aclient() is first
    assert await store.aget("k") == b"1"
    await store.aclose()
    assert await store.aget("k") == b"1"
    await store.aclose()


@pytest.mark.server
def test_a_client_without_a_time_out_is_said(redis_server: RedisServer) -> None:
    import redis

    with pytest.warns(ConfigurationWarning, match="socket_timeout"):
        RedisStore(client=redis.Redis(port=redis_server.port))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RedisStore(client=redis.Redis(port=redis_server.port, socket_timeout=1))
