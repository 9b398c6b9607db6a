"""PostgreSQL is killed, stopped and full while workers write; afterwards every record is there once, and the books are right."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bouncer import Bouncer
from click.testing import CliRunner
from postgres_server import OwnServer
from small_disk import mounted
from sqlalchemy import text
from tcp_proxy import Proxy
from waiting import wait_until

from langroute.cli.report import report
from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::langroute.core.errors.DegradedWarning")]

TASKS, STEPS = 60, 5

SPARE = pytest.mark.skipif(
    not os.environ.get("LANGROUTE_TEST_FAILOVERS"), reason="takes some seconds; LANGROUTE_TEST_FAILOVERS=1 runs it"
)


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


def hurt(server: OwnServer, how: Callable[[], None], url: str | None = None) -> None:
    """Hurt the server, or what is at another URL before it, in the middle of the work, then look at the books."""
    ledgers = [open_ledger(url or server.url, flush_interval_s=0.01, batch=50) for _ in range(2)]
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


def test_the_disk_is_full_for_a_while() -> None:
    with mounted(120) as disk, OwnServer(disk.folder) as server:

        def full() -> None:
            disk.fill()
            time.sleep(1.0)
            disk.free()
            server.start_if_down()

        hurt(server, full)


def test_answers_are_slow(server: OwnServer) -> None:
    with Proxy(server.port) as wire:

        def slow() -> None:
            wire.delay_s = 0.1
            time.sleep(1.0)
            wire.delay_s = 0.0

        hurt(server, slow, server.url.replace(f":{server.port}/", f":{wire.port}/"))


@pytest.fixture
def pooler(server: OwnServer) -> Iterator[Bouncer]:
    pooler = Bouncer(server.url)
    yield pooler
    pooler.close()


def pooler_killed(server: OwnServer, pooler: Bouncer) -> None:
    pooler.kill()
    time.sleep(0.3)
    pooler.start()


def pooler_stopped(server: OwnServer, pooler: Bouncer) -> None:
    pooler.send(signal.SIGSTOP)
    time.sleep(1.0)
    pooler.send(signal.SIGCONT)


def killed_behind(server: OwnServer, pooler: Bouncer) -> None:
    server.kill()
    server.start()


def slow_behind(server: OwnServer, pooler: Bouncer) -> None:
    """Statements of everybody wait for a lock that somebody keeps."""
    for _ in range(3):
        server.ask("BEGIN; LOCK TABLE tasks; SELECT pg_sleep(0.3); COMMIT")


@pytest.mark.parametrize(
    "how", [pooler_killed, *(pytest.param(one, marks=SPARE) for one in (pooler_stopped, killed_behind, slow_behind))]
)
def test_behind_a_pooler(how: Callable[..., None], server: OwnServer, pooler: Bouncer) -> None:
    """PgBouncer in transaction mode is hurt itself, or what is behind it."""
    hurt(server, lambda: how(server, pooler), f"{pooler.url}/postgres?prepare_threshold=none")


@SPARE
def test_a_full_disk_behind_a_pooler() -> None:
    with mounted(120) as disk, OwnServer(disk.folder) as server:
        pooler = Bouncer(server.url)

        def full() -> None:
            disk.fill()
            time.sleep(1.0)
            disk.free()
            server.start_if_down()

        hurt(server, full, f"{pooler.url}/postgres?prepare_threshold=none")
        pooler.close()


def reported(url: str, since: str = "7d") -> int:
    """The calls in a report."""
    done = CliRunner().invoke(report, ["--ledger", url, "--since", since, "--format", "csv"])
    assert done.exit_code == 0, done.output
    header, *lines = done.stdout.strip().splitlines()
    calls = header.split(",").index("calls")
    return sum(int(line.split(",")[calls]) for line in lines[:1])


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
                assert reported(standby.url, since) == 2


@SPARE
def test_a_standby_that_is_hurt(server: OwnServer) -> None:
    """Slow, killed, stopped: reports come late or not at all, nobody who writes waits for it, and afterwards it has everything."""
    with open_ledger(server.url) as ledger:
        for name in ("d1", "d2"):
            ledger.record(answered(name))
        ledger.flush()
        with OwnServer(standby_of=server) as standby:
            wait_until(lambda: reported(standby.url) == 2)
            with Proxy(standby.port, delay_s=0.02) as slow:
                assert reported(standby.url.replace(f":{standby.port}/", f":{slow.port}/")) == 2
            standby.kill()
            ledger.record(answered("d3"))
            ledger.flush()
            done = CliRunner().invoke(report, ["--ledger", standby.url])
            assert "Connection refused" in str(done.exception)
            standby.start()
            wait_until(lambda: reported(standby.url) == 3)
            standby.signal_all(signal.SIGSTOP)
            ledger.record(answered("d4"))
            # Nobody who writes waits for it.
            ledger.flush()
            standby.signal_all(signal.SIGCONT)
            wait_until(lambda: reported(standby.url) == 4)


@SPARE
def test_a_standby_whose_disk_is_full(server: OwnServer) -> None:
    """It is behind, or gives up; nobody who writes waits for it, and afterwards it has everything."""
    with open_ledger(server.url) as ledger, mounted(120) as disk:
        ledger.record(answered("d1"))
        ledger.flush()
        with OwnServer(disk.folder, standby_of=server) as standby:
            disk.fill()
            for number in range(2, 400):
                ledger.record(answered(f"d{number}"))
            server.ask("SELECT pg_switch_wal()")
            ledger.flush()
            time.sleep(1.0)
            disk.free()
            standby.start_if_down()
            wait_until(lambda: reported(standby.url) == 399, 60)
