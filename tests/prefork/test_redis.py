"""Budgets and answers in Redis, used before a fork, on both of its sides and in threads meanwhile."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest
from redis_server import RedisServer

from langroute.budgets import Hold
from langroute.budgets.redis import RedisBudgets
from langroute.budgets.settling import SETTLING
from langroute.cache.stores.redis import RedisStore

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")


@pytest.fixture(params=["server", "cluster"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "cluster":
        yield request.getfixturevalue("redis_cluster").url
        return
    started = RedisServer()
    yield started.url
    started.stop()


def test_children_use_connections_of_their_own(url: str) -> None:
    budgets, store = RedisBudgets(url, prefix=f"{{{uuid4().hex}}}"), RedisStore(url, prefix=uuid4().hex)
    stop, done, wrong = threading.Event(), [0, 0, 0], []

    def use(name: str, times: int) -> None:
        for place in range(times):
            key = f"{name} {place}"
            SETTLING.settle(budgets, None, [Hold("team", 1)])
            store.put(key, key.encode())
            if store.get(key) != key.encode():
                wrong.append(key)
        SETTLING.wait(budgets)

    def busy(number: int) -> None:
        while not stop.is_set():
            use(f"thread {number} {done[number]}", 1)
            done[number] += 1

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        children = []
        for number in range(4):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
                    signal.alarm(15)
                    use(f"child {number}", 10)
                    status = 2 if wrong else 0
                finally:
                    os._exit(status)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    SETTLING.wait(budgets)
    assert codes == [0] * 4
    assert not wrong
    assert budgets.balances(["team"])[0].spent == sum(done) + 40
    store.close()
    budgets.close()
