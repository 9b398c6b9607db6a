"""Outcomes that another process records to the ledger reach whatever learns here, once each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete
from waiting import wait_until

from langroute import ChatRouter, Route, task
from langroute.cache import ResponseCache
from langroute.core.records import Attempt, Decision, Outcome, Request, RouteInfo, Selection, Step, Usage
from langroute.estimators.store import PolicyFile
from langroute.learning.drift import Drift
from langroute.ledger import open_ledger, schema
from langroute.ledger.listening import listen
from langroute.ledger.sql import SqlLedger
from langroute.policies import Bandit, Canary, Fixed
from langroute.testing import ScriptedModel


class Ear:
    def __init__(self) -> None:
        self.heard: list[Outcome] = []

    def hear(self, outcome: Outcome) -> None:
        self.heard.append(outcome)


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Opens ledgers of one database, as several processes do."""
    where = str(tmp_path / "ledger.db") if request.param == "sqlite" else str(request.getfixturevalue("postgres"))
    ledgers: list[SqlLedger] = []

    def one(**more: Any) -> SqlLedger:
        ledgers.append(SqlLedger(where, flush_interval_s=0.01, **more))
        return ledgers[-1]

    yield one
    for ledger in ledgers:
        ledger.close()


def decided(number: str, **step: Any) -> Decision:
    answered = (Attempt(Selection("large"), answer="x", latency_s=0.1, usage=Usage(3, 1)),)
    return Decision(number, Step(**step), "large", answered, run_id=str(uuid4()), metadata=_ids(step))


def _ids(step: dict[str, Any]) -> dict[str, Any]:
    return {"thread_id": step["thread"]} if "thread" in step else {}


def hearing(ledger: SqlLedger) -> Ear:
    ear = Ear()
    listen(ledger, ear.hear)
    ledger.record(decided(f"first-{id(ear)}"))
    # From its first look on it hears what is new.
    wait_until(lambda: ledger.feed is not None and ledger.feed.heard_to is not None)
    return ear


def test_each_is_heard_once_wherever_it_was_recorded(opened: Callable[..., SqlLedger]) -> None:
    here, there = opened(), opened()
    ear, other = hearing(here), hearing(there)
    for number in range(20):
        (here, there)[number % 2].record_outcome(Outcome(success=True, task_id=f"t{number}", at=1e9 + number))

    for one in (ear, other):
        wait_until(lambda one=one: len(one.heard) >= 20)
    here.feed.poll(here), there.feed.poll(there)
    for one in (ear, other):
        assert sorted(outcome.task_id for outcome in one.heard) == sorted(f"t{number}" for number in range(20))


def test_an_outcome_of_a_run_is_told_of_its_decision(opened: Callable[..., SqlLedger]) -> None:
    here, there = opened(), opened()
    ear = hearing(here)
    decision = decided("d1", task="t1")
    there.record_outcome(Outcome(success=False, run_id=decision.run_id, at=1e9))
    there.flush()
    here.feed.poll(here)
    there.record(decision)
    there.flush()

    wait_until(lambda: bool(ear.heard))
    assert (ear.heard[0].decision_id, ear.heard[0].success) == ("d1", False)


def test_what_is_recorded_while_nobody_runs_is_heard_at_the_next_start(opened: Callable[..., SqlLedger]) -> None:
    first = opened()
    hearing(first)
    first.close()
    job = opened()
    job.record_outcome(Outcome(success=False, task_id="meanwhile", at=1e9))
    job.close()

    again = opened()
    ear = Ear()
    listen(again, ear.hear)
    again.record(decided("d2"))
    wait_until(lambda: [outcome.task_id for outcome in ear.heard] == ["meanwhile"])


def test_a_ledger_that_was_emptied_goes_on(opened: Callable[..., SqlLedger]) -> None:
    here, there = opened(), opened()
    ear = hearing(here)
    for name in ("a", "b"):
        there.record_outcome(Outcome(success=True, task_id=name, at=1e9))
        wait_until(lambda name=name: name in [outcome.task_id for outcome in ear.heard])
    with here.engine.connect().execution_options(langroute_write=True) as connection, connection.begin():
        connection.execute(delete(schema.outcomes))
    here.feed.poll(here)
    there.record_outcome(Outcome(success=True, task_id="c", at=1e9))

    wait_until(lambda: [outcome.task_id for outcome in ear.heard] == ["a", "b", "c"])


def test_a_late_transaction_is_not_passed_over(opened: Callable[..., SqlLedger]) -> None:
    """PostgreSQL gives numbers before it commits: a later one may be seen first."""
    here = opened()
    ear = hearing(here)
    row = {"key": "success", "source": "user", "success": 1, "decision_id": "late", "at": 1e9}
    with here.engine.connect().execution_options(langroute_write=True) as connection:
        with connection.begin():
            connection.execute(schema.outcomes.insert(), [{**row, "n": 1000, "decision_id": "early"}])
        wait_until(lambda: [outcome.decision_id for outcome in ear.heard] == ["early"])
        with connection.begin():
            connection.execute(schema.outcomes.insert(), [{**row, "n": 999}])

    wait_until(lambda: [outcome.decision_id for outcome in ear.heard] == ["early", "late"])


JOB = """
import sys
from langroute.ledger import open_ledger
from langroute.tracking.outcomes import record_outcome
with open_ledger(sys.argv[1]) as ledger:
    for name in sys.argv[2:]:
        record_outcome(ledger, False, task_id=name)
"""


def test_a_job_that_knows_only_the_ledger_withdraws_answers_everywhere(tmp_path: Path) -> None:
    """Caches in memory too, in each worker."""
    where = str(tmp_path / "ledger.db")
    workers = []
    for _ in range(2):
        cache, ledger = ResponseCache(), SqlLedger(where, flush_interval_s=0.01)
        route = Route(ScriptedModel("Wrong.", model="m"), price={"input": 1, "output": 4})
        workers.append(ChatRouter({"only": route}, policy=Fixed("only"), response_cache=cache, ledger=ledger))
    for worker in workers:
        with task("t"):
            worker.invoke("What is the answer?")
        assert worker.invoke("What is the answer?").response_metadata["langroute"]["cache"] == "hit"
        wait_until(lambda worker=worker: worker.router.ledger.feed.heard_to is not None)
    subprocess.run([sys.executable, "-c", JOB, where, "t"], check=True)

    for worker in workers:
        wait_until(lambda worker=worker: worker.response_cache.store.stats().entries == 0)
        worker.router.ledger.close()


@pytest.mark.parametrize(
    ("level", "named"), [("minimal", "task"), ("metadata", "task"), ("metadata", "thread"), ("full", "thread")]
)
def test_those_who_learn_together_count_an_outcome_once_whoever_heard_of_it(tmp_path: Path, level: str, named: str) -> None:
    where = tmp_path / "ledger.db"
    ledgers = [SqlLedger(where, flush_interval_s=0.01, level=level) for _ in range(2)]
    parts: list[list[Any]] = []
    for ledger in ledgers:
        parts.append(
            [Canary(Fixed("large"), Fixed("small"), share=0.5), Drift(PolicyFile(()), least=5), Bandit(["large"], cost_weight=0)]
        )
        for part in parts[-1]:
            part.use_ledger(ledger)
    _decide(ledgers[0], parts[0], named)
    ledgers[1].record(decided("other"))
    ledgers[0].flush()
    with open_ledger(where, level=level) as elsewhere:
        for number in range(10):
            elsewhere.record_outcome(Outcome(success=True, task_id=f"t{number}", at=1e9))

    for canary, drift, bandit in parts:
        wait_until(lambda canary=canary: canary.verdict().old + canary.verdict().new == 10)
        if named == "task":
            wait_until(lambda bandit=bandit: bandit.beliefs()["large"][0] > 0.9)
        wait_until(lambda drift=drift: drift.verdict("large").outcomes == 10)
    for ledger in ledgers:
        ledger.feed.poll(ledger)
    for canary, drift, _ in parts:
        assert (canary.verdict().old + canary.verdict().new, drift.verdict("large").outcomes) == (10, 10)
    for ledger in ledgers:
        ledger.close()


def _decide(ledger: SqlLedger, parts: list[Any], named: str) -> None:
    for number in range(10):
        decision = _explored(parts[2], f"d{number}", **{named: f"t{number}"})
        for hear in (ledger.record, *(part.on_decision for part in parts)):
            hear(decision)


def _explored(bandit: Bandit, number: str, **step: Any) -> Decision:
    selection = bandit.select(Request("Hi.", routes=(RouteInfo("large"),)), ())
    assert selection is not None
    found = decided(number, **step)
    # The estimate that an outcome is compared with.
    chosen = replace(selection, confidence=0.9)
    return replace(found, attempts=(Attempt(chosen, answer="x"),))
