"""Program exit with an unreachable database: waits as long as configured, and reports what is lost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from sqlalchemy import event, func, select

from langroute.core.errors import ConfigurationError, DegradedWarning, LedgerError
from langroute.core.records import Decision, Step
from langroute.ledger import open_ledger, schema

PROGRAM = """
    import sqlite3, sys, time, warnings
    from langroute.tracking.callbacks import OutcomeTracker
    from langroute.ledger import open_ledger
    from langroute.core.records import Decision, Step

    warnings.simplefilter("always")
    ledgers = [open_ledger(f"{sys.argv[1]}{place}.db", exit_timeout_s=1.0) for place in range(2)]
    trackers = [OutcomeTracker(ledger) for ledger in ledgers]
    # Kept open until the very end of the process, beyond all that langroute does at the end.
    held = [sqlite3.connect(f"{sys.argv[1]}{place}.db", isolation_level=None) for place in range(2)]
    for one in held:
        one.execute("BEGIN IMMEDIATE")
    for ledger in ledgers:
        for number in range(7):
            ledger.record(Decision(f"d{number}", Step(), "small", ()))
    print(time.time(), flush=True)
"""


def test_the_end_of_a_program_waits_once_and_says_what_is_lost(tmp_path: Path) -> None:
    """Two ledgers and what flushes them share the time."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path / "l")], capture_output=True, text=True, timeout=100
    )
    took = time.time() - float(done.stdout)
    assert done.returncode == 0
    assert took < 30
    assert done.stderr.count("Up to 7 records are lost. The end of the program waits for 1 s (exit_timeout_s)") == 2
    assert "Traceback" not in done.stderr


def test_an_end_waits_for_a_database_that_is_slow_but_there(tmp_path: Path) -> None:
    """The time limit is for one that is away: as long as records are written, more of them are waited for."""
    ledger = open_ledger(tmp_path / "l.db", flush_interval_s=30, batch=10, exit_timeout_s=3.0)
    event.listen(ledger.engine, "commit", lambda _: time.sleep(0.3))
    for number in range(140):
        ledger.record(Decision(f"d{number}", Step(), "small", ()))
    ledger.finish()
    with ledger.reading() as connection:
        assert connection.execute(select(func.count()).select_from(schema.decisions)).scalar_one() == 140
    assert ledger.dropped == 0
    ledger.close()


def test_closing_takes_as_long_as_it_is_given(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "l.db", flush_interval_s=0.01)
    other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(3):
        ledger.record(Decision(f"d{number}", Step(), "small", ()))
    begun = time.monotonic()
    with pytest.raises(LedgerError, match=r"for 0\.1 s"):
        ledger.flush(0.1)
    with pytest.raises(LedgerError, match="Up to 3 records are lost"):
        ledger.close(0.1)
    assert time.monotonic() - begun < 30
    assert ledger.dropped == 3
    with pytest.warns(DegradedWarning, match="is closed"):
        ledger.record(Decision("late", Step(), "small", ()))
    other.execute("COMMIT")
    other.close()


def test_an_exit_that_waits_for_less_than_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="exit_timeout_s"):
        open_ledger(tmp_path / "l.db", exit_timeout_s=-1)
