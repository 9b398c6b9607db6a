"""A ledger that was opened before its process forks: each process writes what it recorded, over connections of its own."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select

from langroute.core.locks import others_work
from langroute.core.records import Decision, Step
from langroute.core.sqlite import Quiet
from langroute.ledger import open_ledger, schema
from langroute.ledger.sql import SqlLedger

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db") if request.param == "sqlite" else request.getfixturevalue("postgres")


def count(ledger: SqlLedger) -> int:
    with ledger.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(schema.decisions)).scalar_one())


def count_by(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(schema.decisions)).scalar_one())


def forked(work: Callable[[], Any]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def test_forks_of_a_busy_process_lose_and_repeat_nothing(where: str) -> None:
    """Each child forks one of its own."""
    with open_ledger(where, flush_interval_s=0.01, batch=20) as ledger:
        stop, made = threading.Event(), [0, 0]

        def busy(number: int) -> None:
            while not stop.is_set():
                ledger.record(Decision(f"parent {number} {made[number]}", Step(task=f"t{made[number] % 7}"), "small", ()))
                made[number] += 1
                time.sleep(0.0005)

        def work(name: str, *, again: bool = True) -> None:
            for place in range(10):
                ledger.record(Decision(f"{name} {place}", Step(task="t1"), "small", ()))
            if again:
                grandchild = forked(lambda: work(f"{name} again", again=False))
                assert os.waitpid(grandchild, 0)[1] == 0
            ledger.flush(30)

        threads = [threading.Thread(target=busy, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        try:
            children = []
            for number in range(5):
                time.sleep(0.02)
                children.append(forked(lambda number=number: work(f"child {number}")))
            codes = [os.waitpid(child, 0)[1] for child in children]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert codes == [0] * 5
        assert count(ledger) == sum(made) + 5 * 20
        assert ledger.dropped == 0


def test_children_are_forked_while_threads_read(tmp_path: Path) -> None:
    """A thread that is inside SQLite at the fork would leave a lock of the library taken in the child."""
    with open_ledger(tmp_path / "ledger.db") as ledger:
        for number in range(1000):
            ledger.record(Decision(f"d{number}", Step(task=f"t{number % 50}"), "small", ()))
        ledger.flush()
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                with ledger.reading(flush=False) as connection:
                    connection.execute(select(schema.decisions)).all()

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            codes = []
            for number in range(10):
                child = forked(lambda number=number: (ledger.record(Decision(f"c{number}", Step(), "small", ())), ledger.flush(30)))
                codes.append(os.waitpid(child, 0)[1])
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert codes == [0] * 10
        assert count(ledger) == 1010


@pytest.mark.parametrize("writes", [True, False])
def test_a_fork_waits_for_a_transaction_of_another_thread(tmp_path: Path, writes: bool) -> None:
    """SQLite remembers for each process which locks it has: a child would inherit one that nobody gives back."""
    with open_ledger(tmp_path / "ledger.db") as ledger:
        began = threading.Event()

        def work() -> None:
            with ledger.engine.connect().execution_options(langroute_write=writes) as connection, connection.begin():
                connection.execute(select(schema.decisions)).all()
                began.set()
                time.sleep(0.2)

        thread = threading.Thread(target=work)
        thread.start()
        began.wait()
        child = forked(lambda: (ledger.record(Decision("c", Step(), "small", ())), ledger.flush(30)))
        assert os.waitpid(child, 0)[1] == 0
        thread.join()
        assert count(ledger) == 1


def test_a_transaction_of_the_forking_thread_or_a_long_one_delays_a_fork_little(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        stop, began = threading.Event(), threading.Event()

        def work() -> None:
            with ledger.reading():
                began.set()
                stop.wait(30)

        with ledger.reading():
            assert os.waitpid(forked(lambda: None), 0)[1] == 0
            thread = threading.Thread(target=work)
            thread.start()
            began.wait()
            assert os.waitpid(forked(lambda: None), 0)[1] == 0
        assert thread.is_alive()
        stop.set()
        thread.join()


@pytest.mark.parametrize("window", ["checkin", "checkout"])
def test_a_fork_closes_an_idle_connection_that_is_not_in_its_pool(tmp_path: Path, window: str) -> None:
    """A child that inherits an open connection takes no lock of its own: the log that it writes to is thrown away beside it."""
    with open_ledger(tmp_path / "ledger.db") as ledger:
        ledger.record(Decision("parent", Step(), "small", ()))
        ledger.flush()
        began, go = threading.Event(), threading.Event()

        def held(*_: Any) -> None:
            began.set()
            go.wait(60)

        # What the ledger does at the end of a connection's use comes before this, what it does at its beginning comes after it.
        event.listen(ledger.engine, window, held, insert=window == "checkout")
        thread = threading.Thread(target=lambda: count_by(ledger.engine))
        thread.start()
        assert began.wait(60)
        reader, writer = os.pipe()
        goes, says = os.pipe()

        def work() -> None:
            event.remove(ledger.engine, window, held)
            for number in range(2):
                ledger.record(Decision(f"child {number}", Step(), "small", ()))
                ledger.flush(30)
                if not number:
                    os.write(writer, b"w")
                    os.read(goes, 1)

        child = forked(work)
        assert os.read(reader, 1) == b"w"
        go.set()
        thread.join()
        ledger.engine.dispose()
        # A pool that was exchanged meanwhile closes its connections when it is collected.
        gc.collect()
        os.write(says, b"g")
        assert os.waitpid(child, 0)[1] == 0
        assert count(ledger) == 3


def test_a_transaction_that_begins_while_a_process_forks_waits_for_it(tmp_path: Path) -> None:
    connection = Quiet(tmp_path / "some.db", isolation_level=None, check_same_thread=False)
    with ThreadPoolExecutor(1) as other:
        with connection.lock:
            begun = other.submit(connection.has_turn, 10)
            with pytest.raises(TimeoutError):
                begun.result(0.2)
            assert not connection.in_transaction
        assert begun.result()
    connection.close()


def test_a_file_that_cannot_be_opened_delays_no_fork(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        Quiet(tmp_path / "none" / "there.db")
    with ThreadPoolExecutor(1) as other:
        assert not other.submit(others_work).result()


def test_what_is_recorded_after_the_end_of_a_process_is_written_at_once(tmp_path: Path) -> None:
    """A thread that nobody waited for, a function that runs even later: they come after the last flush."""
    # The time limit of a process's end is shared by its ledgers, and earlier tests may have used theirs up.
    ledger = open_ledger(tmp_path / "ledger.db", flush_interval_s=30, exit_timeout_s=3600)
    ledger.record(Decision("before", Step(), "small", ()))
    ledger.finish()
    ledger.record(Decision("after", Step(), "small", ()))
    with open_ledger(tmp_path / "ledger.db") as other:
        assert count(other) == 2
    ledger.flush()
    ledger.close()
