"""Everything of this package can be used in a child, whatever the threads of its parent were doing at the fork."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from forking import forked, held_elsewhere, held_objects

import langroute
from langroute.budgets import Hold, MemoryBudgets, SqliteBudgets
from langroute.cache.semantic import SemanticCache
from langroute.core.locks import at_fork, live_locks
from langroute.ledger.memory import MemoryLedger
from langroute.policies import Bandit

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")


def test_everything_is_used_in_a_child_while_other_threads_hold_every_lock(tmp_path: Path) -> None:
    """All at once: a child that hung, says at what."""
    objects = held_objects(tmp_path)
    locks = live_locks()
    assert len(locks) > 40
    told, tells = os.pipe()

    def work() -> None:
        for name, use in objects.items():
            os.write(tells, f"{name}\n".encode())
            use()
        os.write(tells, b"done\n")

    with held_elsewhere(locks):
        code = forked(work, 60)
    os.close(tells)
    with os.fdopen(told) as lines:
        *_, last = lines.read().split("\n")[:-1]
    assert (code, last) == (0, "done")


@pytest.mark.parametrize(
    "name", ["sticky", "sqlite budget", "memory ledger", "sqlite ledger", "semantic cache", "sqlite cache", "prometheus"]
)
def test_a_child_is_forked_while_other_threads_make_calls(tmp_path: Path, name: str) -> None:
    use, stop, failed = held_objects(tmp_path)[name], threading.Event(), []

    def busy() -> None:
        while not stop.is_set():
            try:
                use()
            except Exception as error:
                failed.append(error)
                return

    class Probe:
        missed = 0

        def look(self) -> None:
            taken = {id(lock) for lock in langroute.core.locks._fork.taken}
            self.missed += any(id(lock) not in taken for lock in known)

    known, probe = live_locks(), Probe()
    at_fork(probe, before=Probe.look)
    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        codes = [forked(use) for _ in range(8)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert codes == [0] * 8
    assert not failed
    # Nobody was in the middle of anything; a machine that is very busy may not get there in time once.
    assert probe.missed <= 1


def open_files(folder: Path) -> set[str]:
    """Names of a folder's files that this process has open."""
    found = set()
    for number in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            path = number.readlink()
            if path.parent == folder:
                found.add(path.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at the open files of a process")
def test_a_child_inherits_no_file_of_sqlite(tmp_path: Path) -> None:
    """What SQLite remembers of a file's locks holds for one process only; closing an inherited file lets go of locks."""
    objects = held_objects(tmp_path)
    told, tells = os.pipe()
    assert open_files(tmp_path) >= {"budgets.db", "ledger.db", "tracked.db", "store.db"}
    assert forked(lambda: os.write(tells, " ".join(sorted(open_files(tmp_path))).encode())) == 0
    os.close(tells)
    with os.fdopen(told) as names:
        assert names.read() == ""
    for use in objects.values():
        use()


def test_a_sqlite_file_outlives_whoever_opened_it_before_the_fork(tmp_path: Path) -> None:
    """As a daemon does, whose parent is gone: the child's file must not be tidied away under it by who opens it next."""
    script = textwrap.dedent(
        """
        import os, sys, time
        from langroute.budgets import Hold, SqliteBudgets
        store = SqliteBudgets(sys.argv[1])
        store.settle(None, [Hold("a", 1)])
        if os.fork() == 0:
            os.setsid()
            time.sleep(0.3)
            for _ in range(100):
                store.settle(None, [Hold("a", 1)])
                time.sleep(0.005)
            store.settle(None, [Hold("ended", 1)])
            os._exit(0)
        os._exit(0)
        """
    )
    path = tmp_path / "budgets.db"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=60)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        others = SqliteBudgets(path)
        others.settle(None, [Hold("b", 1)])
        ended = others.balances(["ended"])[0].spent
        others.close()
        if ended:
            break
    last = SqliteBudgets(path)
    assert last.balances(["a"])[0].spent == 101
    last.close()


def test_a_reservation_of_the_parents_calls_is_the_parents_to_settle() -> None:
    budgets = MemoryBudgets()
    assert budgets.reserve("call", [Hold("a", 60, limit=100)]) is None
    assert forked(lambda: budgets.balances(["a"])[0].held == 0 or 1 / 0) == 0
    assert budgets.balances(["a"])[0].held == 60


def test_children_draw_numbers_of_their_own() -> None:
    """Celery's child of one task would always make the same first choice."""
    bandit, cache = Bandit(["a", "b"], cost_weight=0.1), SemanticCache(seed=1)
    told, tells = os.pipe()
    for _ in range(4):
        assert forked(lambda: os.write(tells, f"{bandit._random.random()} {cache._chance.random()}\n".encode())) == 0
    os.close(tells)
    with os.fdopen(told) as lines:
        drawn = [line.split() for line in lines]
    assert len({one for one, _ in drawn}) == len({other for _, other in drawn}) == 4


def test_calls_that_wait_for_their_decision_are_written_by_the_parent_only(tmp_path: Path) -> None:
    from langroute.ledger.facts import CallRecord
    from langroute.tracking.pending_calls import PendingCalls

    ledger = MemoryLedger()
    holding = PendingCalls(ledger)
    holding.hold([CallRecord("task", "model", 0.0, decision_id="elsewhere")])
    assert forked(lambda: (holding.flush(), (len(holding) == 0 and ledger.task("task") is None) or 1 / 0)) == 0
    holding.flush()
    assert ledger.task("task").calls == 1
