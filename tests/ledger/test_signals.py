"""A process that is ended by a signal writes what waits in its ledger, whoever else listens to the signal."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from langroute.ledger import open_ledger, schema

PROGRAM = """
    import os, signal, sys, threading, time

    # A test run under `nohup` hands on that SIGHUP is ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

    from langroute.core.records import Decision, Step
    from langroute.ledger import open_ledger

    def record(name):
        ledger.record(Decision(name, Step(task="t1"), "small", ()))

    {before}
    ledger = open_ledger(sys.argv[1], flush_interval_s=30)
    for number in range(21):
        record(f"d{{number}}")
    print("ready", flush=True)
    {after}
    while True:
        time.sleep(0.05)
"""

LIKE_UVICORN = """
    ended = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
"""
"""It notes the signal, ends gracefully, puts the handler of before back and raises the signal again."""

AGAIN = """
    while not ended:
        time.sleep(0.05)
    record("answered while it ends")
    signal.signal(signal.SIGTERM, before)
    signal.raise_signal(signal.SIGTERM)
"""


def ended(where: Path, sent: signal.Signals, *, before: str = "", after: str = "") -> tuple[int, int]:
    """How a program ends by a signal, and how many decisions are in its ledger."""
    parts = {name: textwrap.indent(textwrap.dedent(part), "    ").strip() for name, part in (("before", before), ("after", after))}
    code = textwrap.dedent(PROGRAM.format(**parts))
    with subprocess.Popen([sys.executable, "-c", code, str(where)], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        program.send_signal(sent)
        try:
            returned = program.wait(50)
        finally:
            program.kill()
    with open_ledger(where) as ledger, ledger.reading() as connection:
        return returned, connection.execute(select(func.count()).select_from(schema.decisions)).scalar_one()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_lost_by_a_signal(tmp_path: Path, sent: signal.Signals) -> None:
    """And the process dies of it all the same."""
    assert ended(tmp_path / "l.db", sent) == (-sent, 21)


def test_a_web_server_that_raises_the_signal_again_loses_nothing(tmp_path: Path) -> None:
    """Neither what waits when it is told to end, nor what the last requests record."""
    assert ended(tmp_path / "l.db", signal.SIGTERM, before=LIKE_UVICORN, after=AGAIN) == (-signal.SIGTERM, 22)


def test_a_handler_of_ones_own_is_called(tmp_path: Path) -> None:
    assert ended(tmp_path / "l.db", signal.SIGTERM, before="signal.signal(signal.SIGTERM, lambda *_: os._exit(7))") == (7, 21)


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    ignored = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    survived = "time.sleep(0.5); os._exit(3)"
    assert ended(tmp_path / "l.db", signal.SIGTERM, before=ignored, after=survived)[0] == 3


def test_a_reload_by_sighup_is_left_alone(tmp_path: Path) -> None:
    reload = "signal.signal(signal.SIGHUP, lambda *_: os._exit(0 if type(signal.getsignal(signal.SIGHUP)).__name__ == 'function' else 1))"
    assert ended(tmp_path / "l.db", signal.SIGHUP, before=reload)[0] == 0


def test_a_database_that_is_away_does_not_hold_up_the_end_for_long(tmp_path: Path) -> None:
    begun = time.monotonic()
    held = "import sqlite3; other = sqlite3.connect(sys.argv[1], isolation_level=None); other.execute('BEGIN IMMEDIATE')"
    code = textwrap.dedent(PROGRAM.format(before="", after="")).replace(
        'print("ready", flush=True)', held + '; print("ready", flush=True)'
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "l.db")], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.send_signal(signal.SIGTERM)
        try:
            assert program.wait(50) == -signal.SIGTERM
        finally:
            program.kill()
    assert time.monotonic() - begun < 30


def test_a_child_that_is_terminated_loses_nothing(tmp_path: Path) -> None:
    """`multiprocessing.Process.terminate` sends SIGTERM."""
    code = """
        import multiprocessing, sys, time
        from langroute.core.records import Decision, Step
        from langroute.ledger import open_ledger

        def work(where, ready):
            ledger = open_ledger(where, flush_interval_s=30)
            for number in range(5):
                ledger.record(Decision(f"d{number}", Step(), "small", ()))
            ready.set()
            time.sleep(60)

        if __name__ == "__main__":
            context = multiprocessing.get_context("fork")
            ready = context.Event()
            child = context.Process(target=work, args=(sys.argv[1], ready))
            child.start()
            ready.wait()
            child.terminate()
            child.join()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "l.db")], check=True, timeout=100)
    with open_ledger(tmp_path / "l.db") as ledger, ledger.reading() as connection:
        assert connection.execute(select(func.count()).select_from(schema.decisions)).scalar_one() == 5
