"""The disk of a ledger and budgets in SQLite is full, or another process keeps their files: afterwards the books are right."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_disk import SmallDisk, mounted
from sqlalchemy import text

from langroute.budgets import SqliteBudgets
from langroute.budgets.settling import SETTLING
from langroute.budgets.store import Balance, Hold
from langroute.core.errors import DegradedWarning
from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger

pytestmark = pytest.mark.filterwarnings("ignore::langroute.core.errors.DegradedWarning")

MADE = 240
"""Decisions of a run."""

# Writes to the file in turns with others, holding it for a while each time, or until it is let go on.
WRITER = """
import sqlite3, sys, time
connections = [sqlite3.connect(name, isolation_level=None, timeout=60) for name in sys.argv[2:]]
print("ready", flush=True)
for line in sys.stdin:
    for one in connections:
        one.execute("BEGIN IMMEDIATE")
    print("held", flush=True)
    time.sleep(float(sys.argv[1]))
    for one in connections:
        one.execute("ROLLBACK")
    print("let go", flush=True)
"""


def answered(name: str) -> Decision:
    attempt = Attempt(Selection("small"), usage=Usage(100, 10), cost_usd=0.25, model="small-1")
    return Decision(name, Step("chat"), "small", (attempt,), cost_usd=0.25, started_at=time.time(), reason="x" * 200)


def hurt(folder: Path, how: Callable[[], None]) -> None:
    """Record and spend, hurt the files in the middle of it, then look at the books."""
    ledger = open_ledger(folder / "ledger.db", flush_interval_s=0.01, batch=20)
    budgets = SqliteBudgets(folder / "budgets.db")
    begun = threading.Event()

    def work() -> None:
        for number in range(MADE):
            with task(f"t{number // 4}", kind="support"):
                ledger.record(answered(f"d{number}"))
            ledger.record_outcome(Outcome(success=True, task_id=f"t{number // 4}", at=time.time()))
            SETTLING.settle(budgets, f"s{number}", [Hold("all", 1)])
            if number == MADE // 4:
                begun.set()
            time.sleep(0.002)

    working = threading.Thread(target=work)
    working.start()
    assert begun.wait(60)
    how()
    working.join()
    SETTLING.wait(budgets)
    ledger.flush()
    ledger.rollup()
    assert ledger.dropped == 0
    with ledger.reading() as connection:
        told = lambda query: tuple(connection.execute(text(query)).one())  # noqa: E731
        assert told("SELECT count(*), count(DISTINCT id) FROM decisions") == (MADE, MADE)
        assert told("SELECT count(*), sum(cost_usd) FROM calls") == (MADE, MADE * 0.25)
        assert told("SELECT count(*), sum(calls), sum(cost_usd) FROM tasks") == (MADE // 4, MADE, MADE * 0.25)
        assert told("SELECT count(*) FROM outcomes") == (MADE,)
        assert told("SELECT sum(calls), sum(cost_usd) FROM daily_calls") == (MADE, MADE * 0.25)
        assert told("PRAGMA integrity_check") == ("ok",)
    assert budgets.balances(["all"]) == [Balance(MADE, 0)]
    ledger.close()
    budgets.close()


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with mounted(12) as disk:
        yield disk


def test_the_disk_is_full_for_a_while(disk: SmallDisk) -> None:
    def full() -> None:
        disk.fill()
        time.sleep(0.5)
        disk.free()

    with pytest.warns(DegradedWarning, match="disk is full"):
        hurt(disk.folder, full)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes to the same files when it is told to."""
    with open_ledger(tmp_path / "ledger.db"):
        SqliteBudgets(tmp_path / "budgets.db").close()
    command = [sys.executable, "-c", WRITER, "0.15", str(tmp_path / "ledger.db"), str(tmp_path / "budgets.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def told(writer: subprocess.Popen[str], *answers: str) -> None:
    """Have it write, and read what it says."""
    assert writer.stdin is not None
    assert writer.stdout is not None
    if answers[0] == "held":
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for answer in answers:
        assert writer.stdout.readline() == f"{answer}\n"


def test_another_writer_is_slow(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    hurt(tmp_path, lambda: [told(writer, "held", "let go") for _ in range(4)] and None)


def test_another_writer_is_stopped_while_it_writes(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    def stopped() -> None:
        told(writer, "held")
        writer.send_signal(signal.SIGSTOP)
        time.sleep(1.0)
        writer.send_signal(signal.SIGCONT)
        told(writer, "let go")

    hurt(tmp_path, stopped)


def test_another_writer_is_killed_while_it_writes(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    def killed() -> None:
        told(writer, "held")
        writer.kill()

    hurt(tmp_path, killed)
