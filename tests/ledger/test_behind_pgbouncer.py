"""A ledger behind PgBouncer in transaction mode: each transaction may be on another connection to the server."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from sqlalchemy import text

from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.reports import Window, build_report

pytestmark = pytest.mark.server

DAY = 86_400.0


def answered(name: str, at: float) -> Decision:
    attempt = Attempt(Selection("small"), usage=Usage(100, 10), cost_usd=0.25, model="small-1")
    return Decision(name, Step("chat"), "small", (attempt,), cost_usd=0.25, started_at=at, baseline_cost_usd=1.0, tier="cheap")


def test_workers_write_sum_and_report_through_a_pooler(bouncer: str, postgres: str, recwarn: pytest.WarningsRecorder) -> None:
    """More ledgers than the pooler has connections, each with batches of more rows than one statement takes."""
    now = time.time()
    ledgers = [open_ledger(f"{bouncer}?prepare_threshold=none", flush_interval_s=0.01, batch=60, raw_days=3) for _ in range(5)]

    def work(place: int) -> None:
        ledger = ledgers[place]
        for number in range(60):
            with task(f"t{place}-{number // 2}", kind="support", team=f"team-{number % 3}"):
                ledger.record(answered(f"d{place}-{number}", now - 60.0 - DAY * (number % 5)))
            ledger.record_outcome(Outcome(success=number % 2 == 0, decision_id=f"d{place - 1}-{number}", at=now))
            if number == 30:
                ledger.rollup()
        ledger.flush()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledgers[0].purge(now)
    report: Any = build_report(ledgers[1], Window.since("7d", now=now), by="team")
    hours: Any = build_report(ledgers[2], Window.since("47h", now=now))
    assert (report.total.calls, report.total.spend.usd) == (300, 75.0)
    assert hours.total.calls == 120
    assert [ledger.dropped for ledger in ledgers] == [0] * 5
    for ledger in ledgers:
        ledger.close()
    assert not [str(one.message) for one in recwarn if "ledger" in str(one.message).lower()]
    with open_ledger(postgres) as ledger, ledger.reading() as connection:
        # The day of the border is the first that is kept.
        assert connection.execute(text("SELECT count(*), count(DISTINCT id) FROM decisions")).one() == (240, 240)
        # Outcomes of the fourth worker's neighbour to the right wait for none: the first one's are of no worker.
        assert connection.execute(text("SELECT count(*) FROM outcomes WHERE task IS NULL")).scalar() == 60
        # No session of the pooler is left with anything.
        assert connection.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar() == 0
        assert (
            connection.execute(text("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")).scalar() == 0
        )


def test_a_pooler_is_noticed_without_being_told(bouncer: str) -> None:
    """Prepared statements of one connection to the server are unknown on the next; nothing is lost, whoever forgot the option."""
    ledgers = [open_ledger(bouncer, flush_interval_s=0.01) for _ in range(4)]
    for number in range(80):
        ledgers[number % 4].record(answered(f"d{number}", time.time()))
        if number % 8 == 7:
            for ledger in ledgers:
                ledger.flush()
    assert [ledger.dropped for ledger in ledgers] == [0] * 4
    with ledgers[0].reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM decisions")).scalar() == 80
    for ledger in ledgers:
        ledger.close()
