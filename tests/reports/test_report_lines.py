"""Every figure of a report's lines, of its tables and of what the tasks were worth, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from by_hand import DAY, NOW, TODAY, decided, tried

from langroute import Budget, ChatRouter, Route
from langroute.core.records import Outcome, Usage
from langroute.core.task_context import task
from langroute.ledger.facts import CallRecord
from langroute.reports.build import build_report
from langroute.reports.model import Amount, TokenTotals
from langroute.reports.stats import Range, Rate
from langroute.reports.window import Window
from langroute.testing import ScriptedModel

WEEK = Window.since("7d", now=NOW)
both = pytest.mark.parametrize("raw", [False, True], ids=["daily sums", "raw rows"])


def report_of(ledger: Any, raw: bool = False, **more: Any) -> Any:
    ledger.flush()
    return build_report(ledger, WEEK, raw=raw, **more)


def keys(found: Any) -> list[str | None]:
    return [line.key for line in found.lines]


def spent(ledger: Any, name: str, *attempts: Any, success: bool | None = None, kind: str | None = None, **more: Any) -> None:
    """A task of one decision."""
    with task(name, kind=kind):
        ledger.record(decided(f"d-{name}", *attempts, **more))
    if success is not None:
        ledger.record_outcome(Outcome(success=success, task_id=name, at=NOW))


# Lines -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_users(ledger: Any) -> Any:
    """Ada: 0.25 + (0.10 rejected, 1.00 kept) + (0 failed, 0.50 tried again) = 1.85, for eleven to twelve seconds. Bob: 2.00 in vain."""
    cached = Usage(1000, 100, cache_read=300, cache_write=200, cache_write_1h=100)
    with task("t1", kind="support", user="ada"):
        ledger.record(decided("d1", replace(tried("small", 0.25), usage=cached), switch=0.125))
        ledger.record(decided("d2", tried("small", 0.10, score=0.2), tried("large", 1.0), second=5.0))
        ledger.record(decided("d3", tried("large", 0.0, error="TimeoutError"), tried("large", 0.5), second=10.0))
    with task("t2", kind="fix", user="bob"):
        ledger.record(decided("d4", tried("large", 2.0, tokens=(10, 1)), baseline=None))
    ledger.record_outcome(Outcome(success=True, task_id="t1", at=NOW, baseline_minutes=30.0, human_minutes=6.0))
    ledger.record_outcome(Outcome(success=False, task_id="t2", at=NOW, human_minutes=10.0, baseline_minutes=90.0))
    return ledger


@both
class TestOneLine:
    def test_of_a_user(self, two_users: Any, raw: bool) -> None:
        bob, ada = report_of(two_users, raw, by="user").lines

        assert (ada.spend, ada.tasks, ada.success) == (Amount(pytest.approx(1.85)), 1, Rate(1, 1))
        assert ada.per_success.usd == pytest.approx(1.85)
        assert (ada.per_success_range.low, ada.per_success_range.high) == (
            pytest.approx(1.85 / Rate(1, 1).high),
            pytest.approx(1.85 / Rate(1, 1).low),
        )
        assert (ada.calls, ada.errors, ada.retries, ada.decisions, ada.escalated) == (5, 1, 1, 3, 1)
        assert ada.tokens == TokenTotals(4000, 400, 300, 300)
        assert ada.hours_saved == pytest.approx(24 / 60)
        assert (ada.p50_s, ada.p95_s) == (pytest.approx(12.5), pytest.approx(14.75)), "a task of 10 to 15 seconds"
        assert (bob.spend.usd, bob.success, bob.hours_saved) == (2.0, Rate(0, 1), None)
        assert (bob.per_success.usd, bob.per_success_range) == (None, None)

    def test_of_a_kind_of_task(self, two_users: Any, raw: bool) -> None:
        fix, support = report_of(two_users, raw, by="task_kind").lines

        assert (support.key, fix.key) == ("support", "fix")
        assert (support.spend, support.tasks, support.success) == (Amount(pytest.approx(1.85)), 1, Rate(1, 1))
        assert (support.calls, support.errors, support.retries, support.decisions, support.escalated) == (5, 1, 1, 3, 1)
        assert support.tokens == TokenTotals(4000, 400, 300, 300)
        assert support.saved_usd == pytest.approx(3 * 1.0 - 1.85 - 0.125)
        assert fix.saved_usd is None, "nothing is known that could be compared"
        assert (support.hours_saved, fix.hours_saved) == (pytest.approx(24 / 60), None)

    def test_of_a_route(self, two_users: Any, raw: bool) -> None:
        large, small = report_of(two_users, raw, by="route").lines

        assert (large.key, small.key) == ("large", "small")
        assert (large.spend.usd, large.calls, large.errors, large.retries) == (pytest.approx(3.5), 4, 1, 1)
        assert (small.spend.usd, small.calls, small.errors, small.retries) == (pytest.approx(0.35), 2, 0, 0)
        assert (large.success, small.success) == (Rate(1, 2), Rate(1, 1))
        assert large.per_success.usd == pytest.approx(3.5), "what the failed task spent there is in it"
        assert small.tokens == TokenTotals(2000, 200, 300, 300)

    def test_of_answers_from_the_response_cache(self, ledger: Any, raw: bool) -> None:
        for number, how in enumerate(("hit", "hit", "semantic_hit")):
            stored = tried("small", 0.0, cache=how, tokens=(0, 0))
            ledger.record(decided(f"d{number}", stored, cache=how, baseline=0.25))
        ledger.record(decided("d9", tried("small", 0.5)))
        (line,) = report_of(ledger, raw, by="route").lines

        assert (line.response_hits, line.decisions, line.calls) == (3, 4, 4)
        assert line.response_saved_usd == pytest.approx(0.75)

    def test_of_a_failed_call_of_unknown_cost(self, ledger: Any, raw: bool) -> None:
        for number in range(2):
            ledger.record_call(
                CallRecord("t1", at=TODAY * DAY, route="a", model="m", error_type="TimeoutError", run_id=f"r{number}")
            )
        ledger.record_call(CallRecord("t1", at=TODAY * DAY, route="a", model="m", usage=Usage(9, 9), cost_usd=0.5, run_id="r9"))
        found = report_of(ledger, raw, by="route")

        assert (found.lines[0].spend, found.lines[0].unknown_failed) == (Amount(0.5, 2), 2)
        assert [note for note in found.notes if note.startswith("What 2 calls cost is unknown: they failed")]
        assert found.unknown_prices == ()

    def test_of_a_day_on_which_there_were_calls_and_no_task_began(self, ledger: Any, raw: bool) -> None:
        """Nothing is said of tasks; and of the calls of tasks that are elsewhere, nothing of decisions."""
        with task("t1"):
            ledger.record(decided("d1", tried("small", 0.25), day=TODAY - 1))
        ledger.record_call(CallRecord("t1", at=TODAY * DAY + 60, model="m", usage=Usage(9, 9), cost_usd=0.5))
        line = report_of(ledger, raw, by="day").lines[-1]

        assert (line.key, line.calls, line.spend) == ("2026-05-27", 1, Amount(0.5))
        assert (line.tasks, line.success, line.per_success, line.per_success_range) == (0, Rate(0, 0), Amount(None), None)
        assert (line.decisions, line.escalated, line.response_hits, line.response_saved_usd) == (0, 0, 0, 0.0)
        assert (line.saved_usd, line.hours_saved, line.escalation_rate) == (None, None, None)

    def test_of_a_kind_of_task_without_calls(self, ledger: Any, raw: bool) -> None:
        """Work done without a model: nothing was spent, and nothing took time."""
        with task("t1", kind="by hand"):
            ledger.record_outcome(Outcome(success=True, task_id="t1", at=NOW))
        (line,) = report_of(ledger, raw).lines

        assert (line.spend, line.calls, line.errors, line.retries, line.unknown_failed) == (Amount(0.0), 0, 0, 0, 0)
        assert (line.tokens, line.p50_s, line.p95_s) == (TokenTotals(), None, None)
        assert (line.tasks, line.success, line.per_success) == (1, Rate(1, 1), Amount(0.0))

    def test_of_a_route_that_costs_nothing_known(self, ledger: Any, raw: bool) -> None:
        """Its tasks succeeded, at no known cost."""
        spent(ledger, "t1", tried("odd", None, model="mystery"), success=True)
        spent(ledger, "t2", tried("odd", 0.5, model="mystery"), success=True)
        (line,) = report_of(ledger, raw, by="route").lines
        (user,) = report_of(ledger, raw, by="user").lines

        for one in (line, user):
            assert (one.spend, one.success) == (Amount(0.5, 1), Rate(2, 2))
            assert (one.per_success.usd, one.per_success.unknown) == (pytest.approx(0.25), 1)


@both
class TestOrderOfLines:
    def test_the_dearest_first_and_before_it_what_nobody_knows(self, ledger: Any, raw: bool) -> None:
        """Those that cost the same by name."""
        alike = ["e", "b", "g", "a", "d", "f", "c"]
        for kind, cost in (*((one, 0.5) for one in alike), ("dear", 2.0), ("free", 0.0), ("unknown", None)):
            spent(ledger, kind, tried("small", cost, model="m"), kind=kind)
        assert keys(report_of(ledger, raw, by="task_kind")) == ["unknown", "dear", *sorted(alike), "free"]

    def test_days_in_their_order_whatever_they_cost(self, ledger: Any, raw: bool) -> None:
        for ago, cost in ((0, 0.5), (1, 3.0), (2, 0.25)):
            spent(ledger, f"t{ago}", tried("small", cost), day=TODAY - ago)
        assert keys(report_of(ledger, raw, by="day")) == ["2026-05-25", "2026-05-26", "2026-05-27"]

    def test_what_is_no_users_stands_last_though_it_is_the_dearest(self, ledger: Any, raw: bool) -> None:
        with task("t-old", user="ada"):
            ledger.record(decided("d1", tried("small", 1.0), day=TODAY - 30))
            ledger.record(decided("d2", tried("small", 4.0)))
        with task("t-new", user="bob"):
            ledger.record(decided("d3", tried("small", 0.5)))
        lines = report_of(ledger, raw, by="user").lines
        assert [line.spend.usd for line in lines] == [pytest.approx(0.5), pytest.approx(4.0)]
        assert lines[-1].key == "(tasks of other days)"

    def test_a_call_of_no_tier_has_a_line_with_its_task(self, ledger: Any, raw: bool) -> None:
        """Unlike a rejected attempt, whose tier is that of its route."""
        spent(ledger, "t0", tried("small", 0.25))
        spent(ledger, "t1", tried("small", 0.25, score=0.1), tried("large", 1.0), success=True)
        tiers = [(line.key, line.spend.usd, line.tasks) for line in report_of(ledger, raw, by="tier").lines]
        assert tiers == [("frontier", pytest.approx(1.0), 1), ("cheap", pytest.approx(0.5), 1)]
        ledger.record_call(CallRecord("t2", at=TODAY * DAY, model="m", usage=Usage(9, 9), cost_usd=0.125))
        ledger.record_outcome(Outcome(success=True, task_id="t2", at=NOW))
        line = next(line for line in report_of(ledger, raw, by="tier").lines if line.key is None)
        assert (line.spend.usd, line.calls) == (pytest.approx(0.125), 1)
        assert line.tasks >= 1


# Tables ----------------------------------------------------------------------------------------------------------------


@both
class TestTables:
    def test_tiers_by_decisions_then_by_name_each_with_its_cost(self, ledger: Any, raw: bool) -> None:
        for number, (tier, kind, cost) in enumerate(
            [("own", "act", 0.5), ("big", "act", 2.0), ("own", "plan", 0.25), ("big", "act", 1.0), ("low", "plan", 0.125)]
        ):
            ledger.record(decided(f"d{number}", tried("x", cost), tier=tier, kind=kind))
        found = report_of(ledger, raw)

        assert [(one.tier, one.decisions, one.usd) for one in found.tiers] == [("big", 2, 3.0), ("own", 2, 0.75), ("low", 1, 0.125)]
        assert [(one.step_kind, one.tier, one.decisions, one.usd) for one in found.steps] == [
            ("act", "big", 2, 3.0),
            ("act", "own", 1, 0.5),
            ("plan", "low", 1, 0.125),
            ("plan", "own", 1, 0.25),
        ]

    def test_unknown_prices_by_calls_then_by_name_without_the_calls_that_failed(self, ledger: Any, raw: bool) -> None:
        """Those that failed are of unknown cost, whatever their price."""
        told = [
            ("b", "m-b", None),
            ("a", "m-a", None),
            ("z", "m-a", None),
            ("a", "m-a", "TimeoutError"),
            ("c", "m-c", None),
            ("c", "m-c", None),
        ]
        for number, (route, model, error) in enumerate(told):
            usage = None if error else Usage(100, 10)
            call = CallRecord(
                "t1", at=TODAY * DAY, route=route, model=model, provider="p", usage=usage, error_type=error, run_id=f"r{number}"
            )
            ledger.record_call(call)
        ledger.record_call(CallRecord("t1", at=TODAY * DAY, route="d", model="m-d", error_type="TimeoutError", run_id="r9"))
        found = report_of(ledger, raw).unknown_prices

        assert [(one.route, one.model, one.provider, one.calls, one.tokens) for one in found] == [
            ("c", "m-c", "p", 2, 220),
            ("a", "m-a", "p", 1, 110),
            ("z", "m-a", "p", 1, 110),
            ("b", "m-b", "p", 1, 110),
        ]

    def test_other_outcomes_have_a_rate_each_and_mere_scores_have_none(self, ledger: Any, raw: bool) -> None:
        spent(ledger, "t1", tried("small", 0.25))
        spent(ledger, "t2", tried("small", 0.25))
        for name, solved in (("t1", True), ("t2", False)):
            ledger.record_outcome(Outcome(key="solved", success=solved, task_id=name, at=NOW))
        ledger.record_outcome(Outcome(key="polite", success=True, task_id="t1", at=NOW))
        ledger.record_outcome(Outcome(key="lost", success=False, task_id="t1", at=NOW))
        ledger.record_outcome(Outcome(key="stars", score=4.0, task_id="t1", at=NOW))

        assert list(report_of(ledger, raw).metrics.items()) == [
            ("lost", Rate(0, 1)),
            ("polite", Rate(1, 1)),
            ("solved", Rate(1, 2)),
        ]

    def test_how_the_numbers_were_read_is_said(self, ledger: Any, raw: bool) -> None:
        spent(ledger, "t1", tried("small", 0.25))
        found = report_of(ledger, raw)
        assert (found.source, found.notes) == (("raw rows", ("Read from raw rows.",)) if raw else ("daily sums", ()))


def told_alone(ledger: Any, window: Window = WEEK) -> list[str]:
    ledger.flush()
    return [note.partition(" an outcome")[0] for note in build_report(ledger, window).notes if "and no call" in note]


class TestOutcomesWithoutCalls:
    def test_several_are_counted(self, ledger: Any) -> None:
        for name in ("a", "b"):
            ledger.record_outcome(Outcome(success=name == "a", task_id=name, at=NOW))
        assert told_alone(ledger) == ["Of 2 tasks"]

    def test_those_outside_of_the_window_are_not(self, ledger: Any) -> None:
        ledger.record_outcome(Outcome(success=True, task_id="a", at=NOW - 30 * DAY))
        ledger.record_outcome(Outcome(success=True, task_id="b", at=NOW - 2 * 3600.0))
        ledger.record_outcome(Outcome(success=True, task_id="c", at=NOW - 5 * 3600.0))
        assert told_alone(ledger) == ["Of 2 tasks"]
        assert told_alone(ledger, Window.since("3h", now=NOW)) == ["Of 1 task"]
        assert told_alone(ledger, Window.since("1h", now=NOW)) == []

    def test_what_happens_as_the_window_ends_is_after_it(self, ledger: Any) -> None:
        ledger.record_outcome(Outcome(success=True, task_id="a", at=NOW))
        assert told_alone(ledger, Window.since("3h", now=NOW)) == []
        assert told_alone(ledger, Window.since("3h", now=NOW + 1)) == ["Of 1 task"]

    def test_a_task_that_a_budget_ended_at_once_is_none(self, ledger: Any) -> None:
        """It made no call, and the ledger knows why."""
        routes = {"a": Route(ScriptedModel("ok"), price={"input": 1, "output": 1})}
        with task("t1"):
            ChatRouter(routes, ledger=ledger, budget=Budget(usd=0, at_limit="finish")).invoke("Hello.")
        ledger.record_outcome(Outcome(success=False, task_id="t1"))
        assert told_alone(ledger, Window.since("all")) == []

    def test_a_task_without_an_outcome_is_none(self, ledger: Any) -> None:
        ledger.record_outcome(Outcome(key="stars", score=4.0, task_id="a", at=NOW))
        assert told_alone(ledger) == []


class TestFootprintOfModels:
    def test_calls_that_answered_from_a_cache_used_no_energy(self, ledger: Any) -> None:
        """Twice the calls are twice the energy; a stored answer is none, and each model has its own."""
        pytest.importorskip("ecologits")

        def energy() -> float:
            return float(report_of(ledger, footprint=True).footprint.energy_kwh.high)

        for number in range(2):
            ledger.record(decided(f"a{number}", tried("small", 0.1, model="gpt-4o-mini")))
        twice = energy()
        stored = tried("small", 0.0, model="gpt-4o-mini", cache="hit", tokens=(0, 0), seconds=0.0)
        ledger.record(decided("b", stored, cache="hit"))
        assert energy() == pytest.approx(twice)
        for number in range(2):
            ledger.record(decided(f"c{number}", tried("small", 0.1, model="gpt-4o-mini")))
        assert energy() == pytest.approx(2 * twice)
        assert report_of(ledger).footprint is None, "nobody asked for it"


# What it was worth -----------------------------------------------------------------------------------------------------


def worth_of(ledger: Any, hourly: Range | None = None) -> Any:
    return report_of(ledger, hourly_usd=hourly).worth


class TestWorthOfTasks:
    def test_where_nothing_was_declared_nothing_is_known(self, ledger: Any) -> None:
        spent(ledger, "t1", tried("small", 0.5), success=True)
        worth = worth_of(ledger, Range(40, 80))
        assert (worth.hours_saved, worth.value_usd, worth.return_share) == (None, None, None)
        assert (worth.tasks_with_baseline, worth.tasks_with_value, worth.review_hours) == (0, 0, 0.0)

    def test_declared_values_need_no_hourly_rate(self, ledger: Any) -> None:
        for name, success in (("t1", True), ("t2", True), ("t3", False), ("t4", True)):
            spent(ledger, name, tried("small", 0.5), success=success)
        ledger.record_outcome(Outcome(task_id="t1", value_usd=3.0, at=NOW))
        ledger.record_outcome(Outcome(task_id="t2", value_usd=5.0, at=NOW))
        worth, rate, share = worth_of(ledger), Rate(3, 4), 3 / 4

        assert (worth.value_usd, worth.tasks_with_value) == (8.0, 2)
        assert worth.return_share.low == pytest.approx((8 * rate.low / share - 2.0) / 2.0)
        assert worth.return_share.high == pytest.approx((8 * rate.high / share - 2.0) / 2.0)

    def test_hours_count_only_at_a_rate_that_somebody_gave(self, ledger: Any) -> None:
        spent(ledger, "t1", tried("small", 0.5))
        ledger.record_outcome(Outcome(success=True, task_id="t1", baseline_minutes=90, human_minutes=30, at=NOW))
        assert worth_of(ledger).return_share is None
        worth, rate = worth_of(ledger, Range(10, 20)), Rate(1, 1)
        assert (worth.hours_saved, worth.tasks_with_baseline, worth.hourly_usd) == (1.0, 1, Range(10, 20))
        assert worth.return_share.low == pytest.approx((10 * rate.low - 0.5) / 0.5)
        assert worth.return_share.high == pytest.approx((20 * rate.high - 0.5) / 0.5)

    def test_hours_that_were_lost_count_at_the_higher_rate_and_do_not_shrink_with_success(self, ledger: Any) -> None:
        """An hour saved, two spent on a task that failed: at worst 2 hours less 1, at 20 USD; at best the hour saved."""
        spent(ledger, "t1", tried("small", 0.25))
        spent(ledger, "t2", tried("small", 0.25))
        ledger.record_outcome(Outcome(success=True, task_id="t1", baseline_minutes=60, at=NOW))
        ledger.record_outcome(Outcome(success=False, task_id="t2", human_minutes=120, at=NOW))
        worth, rate = worth_of(ledger, Range(10, 20)), Rate(1, 2)

        assert (worth.hours_saved, worth.review_hours) == (1.0, 2.0)
        assert worth.return_share.low == pytest.approx((-20 - 0.5) / 0.5)
        assert worth.return_share.high == pytest.approx((20 * rate.high / 0.5 - 0.5) / 0.5)

    @pytest.mark.parametrize("hour", [1, 0.01])
    def test_people_who_took_longer_than_without_it_saved_nothing_at_best(self, ledger: Any, hour: float) -> None:
        spent(ledger, "t1", tried("small", 0.5))
        spent(ledger, "t2", tried("small", 0.0), success=False)
        ledger.record_outcome(Outcome(success=True, task_id="t1", baseline_minutes=30, human_minutes=90, at=NOW))
        worth = worth_of(ledger, Range(10 * hour, 20 * hour))

        assert worth.hours_saved == -1.0
        assert worth.return_share.low == pytest.approx((-20 * hour - 0.5) / 0.5)
        assert worth.return_share.high == pytest.approx((-10 * hour - 0.5) / 0.5)

    @pytest.mark.parametrize("case", ["nothing was spent", "a price is unknown", "nothing succeeded"])
    def test_there_is_no_return_where(self, ledger: Any, case: str) -> None:
        cost, model = (0.0, "m") if case == "nothing was spent" else (0.5, "m")
        spent(ledger, "t1", tried("small", cost, model=model), success=case != "nothing succeeded")
        if case == "a price is unknown":
            spent(ledger, "t2", tried("small", None, model="mystery"), success=True)
        ledger.record_outcome(Outcome(task_id="t1", value_usd=3.0, at=NOW))
        worth = worth_of(ledger, Range(10, 20))
        assert (worth.value_usd, worth.return_share) == (3.0, None)
