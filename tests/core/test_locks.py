"""A lock that another thread holds never keeps a forked child waiting."""

from __future__ import annotations

import ast
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forking import forked, held_elsewhere

import langroute
from langroute.core.locks import at_fork, give_way, live_locks, new_lock, new_rlock

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

PACKAGE = Path(langroute.__file__).parent


# No lock is made elsewhere -----------------------------------------------------------------------------------------------

MADE_ANEW = {
    "core/locks.py": "the one place",
    "core/worker_pool.py": "a pool that is forgotten in a child",
    "ledger/outcome_feed.py": "an event of a reader that is made anew in a child",
    "ledger/record_queue.py": "events of a queue that is made anew in a child",
    "learning/collect.py": "a pool of one call",
    "verifiers/base.py": "a pool of one call",
    "budgets/contract.py": "a test",
    "cache/contract.py": "a test",
    "state/contract.py": "a test",
}
"""Where something is made that a child cannot use, and why that is no harm."""

NAMES = {"Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier", "ThreadPoolExecutor", "Timer"}


def makes(source: str) -> set[str]:
    """What a module makes that another thread may hold in a fork, or that needs threads which a child does not have."""
    tree = ast.parse(source)
    own = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("threading", "concurrent")
        for alias in node.names
        if alias.name in NAMES
    }
    dotted = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("threading", "futures")
        and node.attr in NAMES
    }
    return own | dotted


def test_locks_and_pools_are_made_where_a_child_gets_its_own() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): names
        for path in PACKAGE.rglob("*.py")
        if (names := makes(path.read_text(encoding="utf-8")))
    }
    assert not {path: names for path, names in found.items() if path not in MADE_ANEW}, (
        "take new_lock, new_rlock, new_condition or Workers, which a forked child can use"
    )


def test_the_rule_finds_what_it_forbids() -> None:
    assert makes("import threading\nx = threading.Lock()") == {"Lock"}
    assert makes("from threading import RLock as made\nx = made()") == {"made"}
    assert makes("import asyncio\nx = asyncio.Lock()") == set()


# Locks -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [new_lock, new_rlock])
def test_a_lock_that_another_thread_holds_is_free_in_the_child_and_in_its_child(make: Callable[[], Any]) -> None:
    lock = make()

    def work() -> None:
        with lock:
            pass
        with held_elsewhere([lock]):
            assert forked(lambda: lock.acquire(timeout=20) or 1 / 0) == 0

    with held_elsewhere([lock]):
        assert forked(work) == 0
        assert not lock.acquire(blocking=False)
    assert lock.acquire(blocking=False)


@pytest.mark.parametrize("make", [new_rlock])
def test_a_thread_that_forks_while_it_holds_a_lock_holds_it_on_both_sides(make: Callable[[], Any]) -> None:
    lock = make()
    with lock:
        child = os.fork()
    if child == 0:
        os._exit(0 if lock.acquire(timeout=20) else 1)
    assert os.waitpid(child, 0)[1] == 0
    with held_elsewhere([lock]):
        pass


def test_what_a_lock_guards_is_never_seen_half_changed() -> None:
    """A fork waits for who is at it, and so the child needs no luck."""
    lock, pair, stop = new_lock(), [0, 0], threading.Event()

    def change() -> None:
        while not stop.is_set():
            give_way()
            with lock:
                pair[0] += 1
                time.sleep(0.002)
                pair[1] += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(20):
            assert forked(lambda: pair[0] == pair[1] or 1 / 0) == 0
    finally:
        stop.set()
        thread.join()


def test_two_threads_that_take_two_locks_in_turn_do_not_stop_a_fork() -> None:
    first, second, stop, turns = new_lock(), new_lock(), threading.Event(), [0]

    def work() -> None:
        while not stop.is_set():
            with first:
                time.sleep(0.0005)
                with second:
                    turns[0] += 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            before = turns[0]
            assert forked(lambda: (first.acquire(timeout=1) and second.acquire(timeout=1)) or 1 / 0) == 0
            while turns[0] == before:
                time.sleep(0.001)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_locks_and_objects_are_forgotten_with_their_owners() -> None:
    class Thing:
        def __init__(self) -> None:
            self.lock = new_lock()
            at_fork(self, in_child=lambda thing: None)

    gc.collect()
    before, owners = len(live_locks()), len(langroute.core.locks._owners)
    things = [Thing() for _ in range(100)]
    assert len(live_locks()) == before + 100
    del things
    gc.collect()
    assert (len(live_locks()), len(langroute.core.locks._owners)) == (before, owners)


def test_one_object_that_cannot_begin_anew_does_not_keep_the_others_from_it(capfd: pytest.CaptureFixture[str]) -> None:
    class Thing:
        done = 0

    first, second = Thing(), Thing()
    at_fork(first, before=lambda _: 1 / 0, in_child=lambda _: 1 / 0)
    at_fork(second, in_child=lambda thing: setattr(thing, "done", 1))
    assert forked(lambda: second.done or 1 / 0) == 0
    assert second.done == 0


def test_a_module_that_another_thread_imports_can_be_imported_in_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own lock of the module stays taken where its thread is gone, so a fork waits for it."""
    (tmp_path / "slowly_imported.py").write_text("import time\ntime.sleep(0.4)\nready = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    begun = threading.Event()

    def bring() -> None:
        begun.set()
        import slowly_imported  # noqa: F401

    thread = threading.Thread(target=bring)
    thread.start()
    begun.wait()
    time.sleep(0.1)

    def work() -> None:
        from slowly_imported import ready

        assert ready

    try:
        assert forked(work) == 0
    finally:
        thread.join()
        sys.modules.pop("slowly_imported", None)
