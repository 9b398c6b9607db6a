"""Several workers on one database: nobody waits in a circle, and feedback finds its task whichever worker hears it first."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langroute.core.records import Attempt, Decision, Outcome, Selection, Step
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.ledger.facts import CallRecord, TaskRecord
from langroute.ledger.sql import SqlLedger


def decision(name: str, *, at: float = 1.0, **fields: Any) -> Decision:
    attempt = Attempt(Selection("a"), cost_usd=0.01, model="m")
    return Decision(name, Step("act"), "a", (attempt,), cost_usd=0.01, started_at=at, **fields)


@pytest.fixture(params=["sqlite", "postgres"])
def workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[SqlLedger]]:
    where = tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres")
    ledgers = [open_ledger(where, flush_interval_s=0.02) for _ in range(4)]
    yield ledgers
    for ledger in ledgers:
        ledger.close()


def told(ledger: SqlLedger, task_id: str) -> bool | None:
    found = ledger.task(task_id)
    return found.success if found is not None else None


def test_feedback_that_comes_before_its_decision_finds_it(workers: list[SqlLedger]) -> None:
    answering, hearing = workers[:2]
    hearing.record_outcome(Outcome(success=True, decision_id="d1", at=2.0))
    hearing.flush()
    with task("ticket"):
        answering.record(decision("d1"))
    answering.flush()
    assert told(hearing, "ticket") is True
    assert [outcome.decision_id for outcome in hearing.outcomes_of("ticket")] == ["d1"]


def test_feedback_that_comes_before_its_run_finds_it(workers: list[SqlLedger]) -> None:
    """Of a call that no router made, of the kept call of a decision, and of a root run."""
    answering, hearing = workers[:2]
    for run in ("call", "decided", "root"):
        hearing.record_outcome(Outcome(success=False, run_id=run, at=2.0))
    hearing.record_outcome(Outcome(success=True, run_id="nobody's", at=2.0))
    hearing.flush()
    answering.record_call(CallRecord("t-call", at=1.0, run_id="call"))
    with task("t-decided"):
        answering.record(decision("d1", run_id="decided"))
    answering.record_task(TaskRecord("t-root", None, 1.0, root_run_id="root"))
    answering.flush()
    assert [told(hearing, f"t-{run}") for run in ("call", "decided", "root")] == [False, False, False]


def test_a_decision_and_its_feedback_in_one_batch(workers: list[SqlLedger]) -> None:
    ledger = workers[0]
    ledger.record_outcome(Outcome(success=True, decision_id="d1", at=2.0))
    ledger.record_outcome(Outcome(success=True, decision_id="d2", task_id="named", at=2.0))
    with task("t1"):
        ledger.record(decision("d1"))
    with task("t2"):
        ledger.record(decision("d2"))
    assert (told(ledger, "t1"), told(ledger, "named")) == (True, None)
    assert told(ledger, "t2") is True


def test_a_claim_in_the_batch_of_its_decision_moves_it(workers: list[SqlLedger]) -> None:
    ledger = workers[0]
    ledger.record(decision("d1"))
    ledger.claim("d1", "t1")
    ledger.record(decision("d2", metadata={"thread_id": "mine"}))
    ledger.claim("d2", "t1")
    assert ledger.task("t1").decisions == 1
    assert ledger.task("d1") is None
    assert ledger.task("mine").decisions == 1


def test_workers_that_share_conversations_do_not_deadlock(workers: list[SqlLedger], recwarn: pytest.WarningsRecorder) -> None:
    names = [f"conversation-{number}" for number in range(25)]
    made = [0] * len(workers)

    def work(place: int) -> None:
        chance, ledger = random.Random(place), workers[place]
        until = time.monotonic() + 4
        while time.monotonic() < until:
            for name in chance.sample(names, 6):
                at = time.time()
                with task(name, kind="support", team=chance.choice(("care", "search"))):
                    ledger.record_task(TaskRecord(name, None, at, None, f"root-{chance.random()}"))
                    ledger.record(decision(os.urandom(8).hex(), at=at))
                    ledger.record_task(TaskRecord(name, "ok", at, time.time(), None))
                own = os.urandom(8).hex()
                ledger.record(decision(own, at=at))
                ledger.claim(own, chance.choice(names))
                ledger.record_outcome(Outcome(success=True, task_id=chance.choice(names), source="user", at=at))
                ledger.record_outcome(Outcome(success=True, task_id=f"new-{chance.randrange(50)}", source="user", at=at))
                made[place] += 2
            time.sleep(0.02)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ledger in workers:
        ledger.flush()
    assert [ledger.dropped for ledger in workers] == [0] * len(workers)
    assert not [str(one.message) for one in recwarn if "deadlock" in str(one.message)]
    with workers[0].reading() as connection:
        assert connection.exec_driver_sql("SELECT SUM(decisions) FROM tasks").scalar() == sum(made)
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM decisions").scalar() == sum(made)
        if connection.dialect.name == "postgresql":
            query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            assert connection.exec_driver_sql(query).scalar() == 0
