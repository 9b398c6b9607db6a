"""What a failed call cost is unknown, which is no unknown price; what was no call is not counted as one; and how long things took."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from langroute import Budget, ChatRouter, Route, task
from langroute.core.errors import BudgetExceededError
from langroute.core.records import Attempt, Decision, Selection, Step, Usage
from langroute.hooks import PrometheusHook
from langroute.ledger import open_ledger
from langroute.ledger.facts import CallRecord
from langroute.ledger.sql import SqlLedger
from langroute.policies import Fixed
from langroute.reports import Window, build_report
from langroute.reports.alerts import PriceUnknown, SuccessDrop, check
from langroute.reports.model import Range
from langroute.reports.pagedata import page_data
from langroute.reports.stats import Rate, difference
from langroute.reports.timeline import timeline_of
from langroute.testing import ScriptedModel
from langroute.tracking.outcomes import record_outcome

# Until long after today: the day may change while the tests run.
ALL = Window.since("all", "2100-01-01")
PRICE = {"input": 1, "output": 2}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    with open_ledger(tmp_path / "ledger.db") as opened:
        yield opened


def ask(router: Any, name: str) -> None:
    with task(name, kind="support"), suppress(TimeoutError):
        router.invoke(f"Question {name}")


# Unknown costs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
def test_a_timeout_is_no_unknown_price(ledger: SqlLedger, streamed: bool) -> None:
    model = ScriptedModel("ok", TimeoutError("no answer in time"), "ok", model="m-1")
    router = ChatRouter({"a": Route(model, price=PRICE)}, policy=Fixed("a"), ledger=ledger, max_retries=0)
    for number in range(3):
        ask(router, f"t{number}")
        record_outcome(ledger, True, task_id=f"t{number}", source="tests", baseline_minutes=10)
    report = build_report(ledger, ALL, hourly_usd=Range(40, 80), raw=streamed)

    assert report.unknown_prices == ()
    assert check(ledger, [PriceUnknown()]) == []
    assert "UNKNOWN" not in report.first_line
    assert report.total.spend.unknown == report.total.unknown_failed == 1
    assert report.worth.return_share is None
    assert any("What 1 call cost is unknown" in note and "no return" in note for note in report.notes)


def test_an_unknown_price_is_still_told_beside_it(ledger: SqlLedger) -> None:
    ledger.record_call(CallRecord("t1", at=time.time(), model="mystery", usage=Usage(10, 2)))
    # It broke off, but said what it used: only its price is missing.
    ledger.record_call(CallRecord("t1", at=time.time(), model="mystery", usage=Usage(10, 2), error_type="AnswerCutOffError"))
    ledger.record_call(CallRecord("t1", at=time.time(), model="known", error_type="TimeoutError"))
    report = build_report(ledger, ALL)

    assert [(one.model, one.calls) for one in report.unknown_prices] == [("mystery", 2)]
    assert report.first_line.startswith("UNKNOWN PRICES: 2 of 3 calls have no known price (mystery)")
    assert len(check(ledger, [PriceUnknown()])) == 1


def test_a_stream_that_is_left_is_no_unknown_price(ledger: SqlLedger) -> None:
    router = ChatRouter({"a": Route(ScriptedModel("many words " * 20), price=PRICE)}, policy=Fixed("a"), ledger=ledger)
    with task("t1"):
        stream = router.stream("Hi.")
        next(stream)
        stream.close()
    report = build_report(ledger, ALL)
    assert report.unknown_prices == ()
    assert (report.total.calls, report.total.spend.unknown) == (1, report.total.unknown_failed)


# Who failed ---------------------------------------------------------------------------------------------------------------


def test_a_failed_call_has_the_model_that_was_asked(ledger: SqlLedger) -> None:
    registry = CollectorRegistry()
    model = ScriptedModel("ok", TimeoutError("no answer in time"), model="gpt-5-nano", provider="openai")
    router = ChatRouter(
        {"cheap": Route(model, price=PRICE)}, policy=Fixed("cheap"), ledger=ledger, max_retries=0, hooks=[PrometheusHook(registry)]
    )
    for number in range(2):
        ask(router, f"t{number}")
    lines = {line.key: line for line in build_report(ledger, ALL, by="model").lines}
    assert (lines["gpt-5-nano"].calls, lines["gpt-5-nano"].errors) == (2, 1)
    failed = {"route": "cheap", "model": "gpt-5-nano", "result": "error", "error_type": "TimeoutError"}
    assert registry.get_sample_value("langroute_calls_total", failed) == 1


def test_the_asked_model_is_stored_where_another_served(ledger: SqlLedger) -> None:
    same, other = (
        Attempt(Selection("a"), model="m-1", usage=Usage(1, 1), cost_usd=0.1, asked_model=asked) for asked in (None, "m")
    )
    for name, attempt in (("d1", same), ("d2", other)):
        ledger.record(Decision(name, Step(task="t1"), "a", (attempt,), model="m-1", started_at=time.time()))
    assert [ledger.get(name).attempts[0].asked_model for name in ("d1", "d2")] == [None, "m"]
    assert [line.key for line in build_report(ledger, ALL, by="model").lines] == ["m-1"]


# Closing texts ------------------------------------------------------------------------------------------------------------


def test_a_closing_text_is_no_call(ledger: SqlLedger) -> None:
    registry = CollectorRegistry()
    model = ScriptedModel(*["An answer. " * 20] * 50, max_tokens=100)
    budget = Budget(usd=0.02, per="all", at_limit="finish")
    router = ChatRouter(
        {"large": Route(model, price={"input": 5, "output": 25})}, ledger=ledger, budget=budget, hooks=[PrometheusHook(registry)]
    )
    asked = 0
    for number in range(40):
        with task(f"t{number}"):
            asked += router.invoke("Why is the sky blue?").response_metadata["langroute"]["route"] != "budget"
        record_outcome(ledger, True, task_id=f"t{number}")
    assert 0 < asked < 40
    report = build_report(ledger, ALL, by="route")

    assert report.total.calls == asked
    assert report.total.decisions == 40
    assert {line.key: line.calls for line in report.lines}.get("budget", 0) == 0
    assert "budget" not in [single.route for single in report.savings.singles]
    with ledger.reading() as connection:
        assert connection.exec_driver_sql("SELECT SUM(closings) FROM daily_decisions").scalar() == 40 - asked
        assert connection.exec_driver_sql("SELECT SUM(unknown_baselines) FROM tasks").scalar() == 0
    counted = [sample.value for metric in registry.collect() for sample in metric.samples if sample.name == "langroute_calls_total"]
    assert sum(counted) == asked


def test_a_route_that_is_named_budget_is_a_route(ledger: SqlLedger) -> None:
    router = ChatRouter({"budget": Route(ScriptedModel("Hm."), price=PRICE)}, ledger=ledger)
    with task("t1"):
        router.invoke("Hi.")
    assert (ledger.task("t1").calls, build_report(ledger, ALL).total.calls) == (1, 1)


def test_without_a_closing_text_nothing_is_counted_twice(ledger: SqlLedger) -> None:
    route = Route(ScriptedModel("Hm.", max_tokens=9), price=PRICE)
    router = ChatRouter({"a": route}, ledger=ledger, budget=Budget(usd=0, per="all"))
    with pytest.raises(BudgetExceededError), task("t1"):
        router.invoke("Hi.")
    assert build_report(ledger, ALL).total.calls == 0


# Times --------------------------------------------------------------------------------------------------------------------


def answered(ledger: SqlLedger, seconds: list[float], **fields: Any) -> Any:
    for number, latency in enumerate(seconds):
        attempt = Attempt(Selection("a"), usage=Usage(9, 9), cost_usd=0.01, latency_s=latency, model="m", **fields)
        at = time.time() - 7200
        ledger.record(Decision(f"d{number}", Step("answer", task=f"t{number}"), "a", (attempt,), cost_usd=0.01, started_at=at))
    return build_report(ledger, ALL).total


@pytest.mark.parametrize("scale", [0.4, 4.0, 40.0, 400.0])
def test_percentiles_are_near_the_truth(ledger: SqlLedger, scale: float) -> None:
    chance = random.Random(7)
    seconds = sorted(scale * chance.lognormvariate(0, 0.5) for _ in range(500))
    total = answered(ledger, seconds)
    assert total.p50_s == pytest.approx(seconds[250], rel=0.2)
    assert total.p95_s == pytest.approx(seconds[475], rel=0.2)


def test_answers_from_the_cache_take_no_part_in_latencies(ledger: SqlLedger) -> None:
    answered(ledger, [0.001] * 30, cache="hit")
    for number in range(5):
        ledger.record_call(CallRecord("t1", at=time.time(), latency_s=2.0, cost_usd=0.1, model="m", run_id=f"r{number}"))
    assert 1.5 <= build_report(ledger, ALL).total.p50_s <= 2.5


def test_a_task_without_an_observed_end_took_until_its_last_call(ledger: SqlLedger) -> None:
    at = time.time() - 3600
    for number in range(3):
        for step in range(number + 1):
            attempt = Attempt(Selection("a"), cost_usd=0.01, latency_s=2.0, model="m")
            decision = Decision(
                f"d{number}-{step}", Step(task=f"t{number}"), "a", (attempt,), cost_usd=0.01, started_at=at + 10 * step
            )
            ledger.record(decision)
        # What comes late does not shorten it.
        ledger.flush()
        ledger.record_call(CallRecord(f"t{number}", at=at, latency_s=0.5, cost_usd=0.0))
    assert page_data(ledger, ALL)["lists"]["slowest"] == ["t2", "t1", "t0"]
    assert [timeline_of(ledger, f"t{number}")["wall_s"] for number in range(3)] == [2.0, 12.0, 22.0]


# False alarms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [1, 5, 20, 60])
def test_many_task_kinds_raise_no_more_false_alarms_than_one(kinds: int) -> None:
    chance = random.Random(kinds)

    def rate(of: int) -> Rate:
        return Rate(sum(chance.random() < 0.85 for _ in range(of)), of)

    weeks = alarms = 0
    for _ in range(300 if kinds < 20 else 100):
        weeks += 1
        alarms += any(difference(rate(160), rate(40), kinds).high < 0 for _ in range(kinds))
    assert alarms / weeks <= 0.07


def test_a_real_drop_is_told_among_many_kinds(ledger: SqlLedger) -> None:
    now = time.time()
    for kind in range(12):
        for number in range(60):
            days = 10 if number % 2 else 1
            name, at = f"{kind}-{number}", now - days * 86_400
            with task(name, kind=f"kind-{kind}"):
                ledger.record_call(CallRecord(name, at=at, cost_usd=0.1))
            good = number // 2 % 5 != 0
            success = good if kind or days == 10 else not good
            record_outcome(ledger, success, task_id=name, source="tests")
    alerts = check(ledger, [SuccessDrop()], now=now)
    assert "task_kind kind-0" in [alert.subject for alert in alerts]
    assert not {alert.subject for alert in alerts} - {"task_kind kind-0", "all tasks"}
