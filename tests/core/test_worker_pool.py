"""Background threads: each asking is followed by a run, and none keeps a program or an object alive."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from langroute.core.worker_pool import RepeatedWork, Workers


def test_who_asks_while_it_works_has_it_done_again() -> None:
    begun, go, runs = threading.Event(), threading.Event(), []

    def work() -> None:
        runs.append(1)
        begun.set()
        go.wait(30)

    repeated = RepeatedWork("test", work)
    repeated.ask()
    assert begun.wait(30)
    for _ in range(3):
        repeated.ask()
    assert not repeated.wait(0.01)
    go.set()
    assert repeated.wait(30)
    assert len(runs) == 2


def test_nothing_asked_is_nothing_to_wait_for() -> None:
    assert RepeatedWork("test", lambda: None).wait(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_child_begins_a_thread_of_its_own() -> None:
    runs: list[int] = []
    repeated = RepeatedWork("test", lambda: runs.append(os.getpid()))
    repeated.ask()
    assert repeated.wait(30)
    child = os.fork()
    if child == 0:
        repeated.ask()
        os._exit(0 if repeated.wait(30) and runs[-1] == os.getpid() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_its_thread_ends_with_the_object() -> None:
    class Owner:
        def __init__(self) -> None:
            self.repeated = RepeatedWork("test-owner", self.work)

        def work(self) -> None:
            """Do nothing."""

    owner = Owner()
    owner.repeated.ask()
    assert owner.repeated.wait(30)
    (thread,) = [one for one in threading.enumerate() if one.name == "test-owner"]
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    thread.join(30)
    assert not thread.is_alive()


PROGRAM = """
import sqlite3, sys, warnings
warnings.simplefilter("ignore")
from langroute import ChatRouter
from langroute.ledger import open_ledger
from langroute.testing import ScriptedModel

model = ChatRouter({"a": ScriptedModel("x", model="s")}, ledger=open_ledger(sys.argv[1], exit_timeout_s=0.5))
model.invoke("one call")
print("locked?", flush=True)
sys.stdin.readline()
model.invoke("another call")
"""


def test_a_program_ends_while_another_one_holds_its_ledger(tmp_path: Path) -> None:
    """The lock is let go only after the program has ended."""
    import sqlite3

    path = tmp_path / "ledger.db"
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == b"locked?\n"
        holder = sqlite3.connect(path, isolation_level=None, timeout=30)
        holder.execute("BEGIN IMMEDIATE")
        program.stdin.write(b"\n")
        program.stdin.close()
        try:
            assert program.wait(45) == 0
        finally:
            program.kill()
            holder.close()


async def test_what_a_job_raises_is_heard_once_and_logged_by_nobody() -> None:
    """Neither at once, nor behind the time limit, nor after the caller left."""
    logged: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: logged.append(told["message"]))
    workers, go = Workers("test-raising", 2), threading.Event()

    def fails(late: bool) -> None:
        assert not late or go.wait(30)
        raise LookupError("the store is down")

    with pytest.raises(LookupError):
        await workers.awithin(30.0, fails, False)
    with pytest.raises(TimeoutError):
        await workers.awithin(0.01, fails, True)
    left = asyncio.ensure_future(workers.awithin(30.0, fails, True))
    while len(workers.pending()) < 2:
        await asyncio.sleep(0.01)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    go.set()
    await asyncio.to_thread(workers.wait, 30.0)
    workers.close()
    for _ in range(3):
        await asyncio.sleep(0)
        gc.collect()
    assert logged == []


def test_how_long_a_job_runs_is_known_while_it_runs() -> None:
    workers, begun, go = Workers("test-running"), threading.Event(), threading.Event()
    assert workers.longest_run_s() == 0.0
    workers.submit(lambda: (begun.set(), go.wait(30)))
    assert begun.wait(30)
    assert workers.longest_run_s() > 0.0
    go.set()
    workers.close()
    assert workers.longest_run_s() == 0.0
