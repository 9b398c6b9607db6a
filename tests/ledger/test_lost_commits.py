"""The way to PostgreSQL breaks when a commit is on its way, or the server forgets its clients: nothing is lost, nothing is there twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tcp_proxy import Proxy
from waiting import wait_until

from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.ledger.connection import begin_writing
from langroute.ledger.facts import CallRecord

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::langroute.core.errors.DegradedWarning")]


@pytest.fixture
def wire(postgres: str) -> Iterator[Proxy]:
    with Proxy(urlsplit(postgres).port) as wire:
        yield wire


def through(wire: Proxy, postgres: str) -> str:
    return postgres.replace(f":{urlsplit(postgres).port}/", f":{wire.port}/")


def answered(name: str) -> Decision:
    attempt = Attempt(Selection("small"), usage=Usage(100, 10), cost_usd=0.25, model="small-1")
    return Decision(name, Step("chat"), "small", (attempt,), cost_usd=0.25, started_at=time.time())


def test_a_commit_whose_answer_is_lost_is_not_made_again(wire: Proxy, postgres: str) -> None:
    """A decision has an id by which it is known; what a tracker saw and what was told of a task have none."""
    with open_ledger(through(wire, postgres), flush_interval_s=0.01) as ledger:
        for number in range(30):
            if number % 10 == 0:
                wire.lose_the_answer_to(b"COMMIT")
            with task(f"t{number}", kind="support"):
                ledger.record(answered(f"d{number}"))
                ledger.record_call(CallRecord(f"t{number}", at=time.time(), route="own", usage=Usage(100, 10), cost_usd=0.5))
            ledger.record_outcome(Outcome(success=True, task_id=f"t{number}", at=time.time()))
            if number % 10 == 5:
                wait_until(lambda number=number: wire.lost > number // 10)
        ledger.flush()
        ledger.rollup()
        assert wire.lost == 3
        assert ledger.dropped == 0
        with ledger.reading() as connection:
            assert connection.execute(text("SELECT count(*), count(DISTINCT id) FROM decisions")).one() == (30, 30)
            assert connection.execute(text("SELECT count(*), sum(cost_usd) FROM calls")).one() == (60, 22.5)
            assert connection.execute(text("SELECT count(*) FROM outcomes")).scalar() == 30
            assert connection.execute(text("SELECT sum(calls), sum(cost_usd) FROM tasks")).one() == (60, 22.5)
            assert connection.execute(text("SELECT sum(calls), sum(cost_usd) FROM daily_calls")).one() == (60, 22.5)


def test_a_commit_that_never_arrived_is_made_again(wire: Proxy, postgres: str) -> None:
    with open_ledger(through(wire, postgres), flush_interval_s=0.01) as ledger:
        for number in range(40):
            ledger.record_outcome(Outcome(success=True, task_id=f"t{number}", at=time.time()))
            if number % 10 == 5:
                wire.cut()
            time.sleep(0.005)
        ledger.flush()
        with ledger.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM outcomes")).scalar() == 40


def test_a_worker_that_is_cut_off_keeps_nobody_waiting(wire: Proxy, postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transaction holds what others need, and its server hears nothing more of it: neither an end nor a beginning."""
    monkeypatch.setattr("langroute.ledger.connection.IDLE_LIMIT", "500ms")
    with open_ledger(postgres) as here, open_ledger(through(wire, postgres)) as there:
        with task("first"):
            here.record(answered("first"))
        here.flush()
        there.flush()
        lost = there.engine.connect()
        lost.begin()
        begin_writing(lost)
        lost.execute(text("SELECT n FROM tasks FOR UPDATE"))
        with wire.hanging(), task("first"):
            here.record(answered("second"))
            here.flush()
            assert here.get("second") is not None
        with pytest.raises(DBAPIError):
            lost.execute(text("SELECT 1"))
        lost.close()
