"""PostgreSQL is killed, stopped and full while workers write; afterwards every record is there once, and the books are right."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from postgres_server import OwnServer
from sqlalchemy import text
from waiting import wait_until

from langroute.cli.report import report
from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::langroute.core.errors.DegradedWarning")]

TASKS, STEPS = 60, 5


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnServer]:
    """A server of the test's own, which writes to the disk as it does in service."""
    with OwnServer() as server:
        yield server


def answered(name: str) -> Decision:
    attempt = Attempt(Selection("small"), usage=Usage(100, 10), cost_usd=0.25, model="small-1")
    return Decision(name, Step("chat"), "small", (attempt,), cost_usd=0.25, started_at=time.time(), reason="x" * 100)


def work(ledgers: list[Any], begun: threading.Event, pause_s: float) -> int:
    """Record from two workers at once, and return how many decisions they were."""

    def one(place: int) -> None:
        for number in range(TASKS):
            name = f"t{place}-{number}"
            with task(name, kind="support", team=f"team-{number % 3}"):
                for step in range(STEPS):
                    ledgers[place].record(answered(f"d{place}-{number}-{step}"))
            ledgers[place].record_outcome(Outcome(success=number % 2 == 0, task_id=name, at=time.time()))
            if number == TASKS // 4:
                begun.set()
            time.sleep(pause_s)

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(ledgers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(ledgers) * TASKS * STEPS


def hurt(server: OwnServer, how: Callable[[], None]) -> None:
    """Hurt the server in the middle of the work, then look at the books."""
    ledgers = [open_ledger(server.url, flush_interval_s=0.01, batch=50) for _ in range(2)]
    begun = threading.Event()

    def then() -> None:
        begun.wait(30)
        how()

    hurting = threading.Thread(target=then)
    hurting.start()
    made = work(ledgers, begun, 0.005)
    hurting.join()
    for ledger in ledgers:
        ledger.flush(60)
    ledgers[0].rollup()
    assert [ledger.dropped for ledger in ledgers] == [0, 0]
    with ledgers[0].reading() as connection:

        def told(query: str) -> Any:
            return tuple(connection.execute(text(query)).one())

        assert told("SELECT count(*), count(DISTINCT id) FROM decisions") == (made, made)
        assert told("SELECT count(*) FROM decision_details") == told("SELECT count(*) FROM calls") == (made,)
        assert told("SELECT count(*), sum(decisions), sum(calls), sum(cost_usd), min(calls), max(calls) FROM tasks") == (
            2 * TASKS,
            made,
            made,
            made * 0.25,
            STEPS,
            STEPS,
        )
        assert told("SELECT count(*), sum(success) FROM outcomes") == (2 * TASKS, TASKS)
        assert told("SELECT sum(calls), sum(cost_usd) FROM daily_calls") == (made, made * 0.25)
        assert told("SELECT sum(tasks), sum(succeeded) FROM daily_tasks") == (2 * TASKS, TASKS)
    for ledger in ledgers:
        ledger.close()


def test_the_server_is_killed_in_the_middle_of_writing(server: OwnServer) -> None:
    def killed() -> None:
        for _ in range(2):
            server.kill()
            server.start()
            time.sleep(0.2)

    hurt(server, killed)


def test_a_connection_is_killed_in_the_middle_of_writing(server: OwnServer) -> None:
    def killed() -> None:
        for _ in range(5):
            server.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres' AND pid <> pg_backend_pid()"
            )
            time.sleep(0.05)

    hurt(server, killed)


def test_the_server_stops_for_a_while(server: OwnServer) -> None:
    """As when its machine or the way to it is stuck: connections stay and nothing comes."""

    def stopped() -> None:
        server.signal_all(signal.SIGSTOP)
        time.sleep(1.0)
        server.signal_all(signal.SIGCONT)

    hurt(server, stopped)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, as far as this user may mount one."""
    folder = Path("/tmp") / f"langroute-disk-{os.getpid()}"
    folder.mkdir()
    mount = shutil.which("mount")
    done = subprocess.run([mount or "false", "-t", "tmpfs", "-o", "size=120m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        folder.rmdir()
        pytest.skip("this user may mount no small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)
        folder.rmdir()


def test_the_disk_is_full_for_a_while(small_disk: Path) -> None:
    with OwnServer(small_disk) as server:
        ballast = small_disk / "ballast"

        def full() -> None:
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 65_536)
            time.sleep(1.0)
            ballast.unlink()
            server.start_if_down()

        hurt(server, full)


def test_a_standby_makes_reports(server: OwnServer) -> None:
    """It may write nothing, not even a temporary table; what is not summed yet is read from raw rows."""
    with open_ledger(server.url) as ledger:
        ledger.record(answered("d1"))
        ledger.rollup()
        with OwnServer(standby_of=server) as standby:
            ledger.record(answered("d2"))
            ledger.flush()
            with open_ledger(standby.url) as replica:
                wait_until(lambda: replica.get("d2") is not None)
            for since in ("7d", "30h"):
                done = CliRunner().invoke(report, ["--ledger", standby.url, "--since", since, "--format", "csv"])
                assert done.exit_code == 0, done.output
                header, *lines = done.stdout.strip().splitlines()
                calls = header.split(",").index("calls")
                assert sum(int(line.split(",")[calls]) for line in lines[:1]) == 2
