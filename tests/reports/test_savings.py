"""Savings of a report, worked out by hand: against one route alone, and what providers' prompt caches saved at list prices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from by_hand import NOW, TODAY, decided, tried

from langroute.core.records import Outcome, Usage
from langroute.core.task_context import task
from langroute.ledger.facts import CallRecord
from langroute.reports.build import build_report
from langroute.reports.model import Amount, Savings
from langroute.reports.savings import LATEST_DECISIONS
from langroute.reports.stats import Rate
from langroute.reports.window import Window
from langroute.routes.pricing import price_of

WEEK = Window.since("7d", now=NOW)

HAIKU = ("claude-haiku-4-5", "anthropic")
"""Reads for less than fresh input, writes for more, and writes for an hour for more still."""

GPT = ("gpt-4.1-mini", "openai")
"""Reads for less; writes cost what fresh input costs, so no price of theirs is listed."""


def used(ledger: Any, of: tuple[str, str], day: int = TODAY, **cached: int) -> None:
    model, provider = of
    seen = Usage(10_000_000, 100, **cached)
    ledger.record_call(CallRecord("t1", model=model, provider=provider, usage=seen, cost_usd=0.1, at=day * 86_400.0 + 60))


def saved(ledger: Any, raw: bool) -> float | None:
    ledger.flush()
    return build_report(ledger, WEEK, raw=raw).savings.prompt_cache_usd


@pytest.mark.parametrize("raw", [False, True], ids=["daily sums", "raw rows"])
class TestPromptCache:
    @pytest.fixture(autouse=True)
    def _listed(self) -> None:
        """The list prices that the numbers below were worked out with, per million tokens."""
        haiku, gpt = price_of(*HAIKU), price_of(*GPT)
        assert (haiku.input, haiku.cache_read, haiku.cache_write) == (1.0, 0.1, 1.25)
        assert (gpt.input, gpt.cache_read, gpt.cache_write) == (0.4, 0.1, None)

    def test_a_read_saves_what_fresh_input_would_have_cost_more(self, ledger: Any, raw: bool) -> None:
        used(ledger, HAIKU, cache_read=2_000_000)
        assert saved(ledger, raw) == pytest.approx(2 * (1.0 - 0.1))

    def test_a_write_costs_more_than_fresh_input_and_is_taken_off(self, ledger: Any, raw: bool) -> None:
        used(ledger, HAIKU, cache_read=2_000_000, cache_write=1_000_000)
        assert saved(ledger, raw) == pytest.approx(2 * 0.9 - 1 * 0.25)

    def test_writes_alone_are_a_loss(self, ledger: Any, raw: bool) -> None:
        used(ledger, HAIKU, cache_write=4_000_000)
        assert saved(ledger, raw) == pytest.approx(-4 * 0.25)

    def test_a_write_for_an_hour_is_taken_off_at_its_own_price(self, ledger: Any, raw: bool) -> None:
        haiku = price_of(*HAIKU)
        hour = haiku.cache_write if haiku.cache_write_1h is None else haiku.cache_write_1h
        used(ledger, HAIKU, cache_read=5_000_000, cache_write=1_000_000, cache_write_1h=2_000_000)
        assert saved(ledger, raw) == pytest.approx(5 * 0.9 - 1 * 0.25 - 2 * (hour - 1.0))

    def test_where_writes_have_no_price_they_cost_what_fresh_input_does(self, ledger: Any, raw: bool) -> None:
        used(ledger, GPT, cache_read=1_000_000, cache_write=3_000_000, cache_write_1h=2_000_000)
        assert saved(ledger, raw) == pytest.approx(1 * (0.4 - 0.1))

    def test_models_are_added_up_each_at_its_price(self, ledger: Any, raw: bool) -> None:
        used(ledger, HAIKU, cache_read=1_000_000)
        used(ledger, HAIKU, cache_read=1_000_000, day=TODAY - 1)
        used(ledger, GPT, cache_read=1_000_000)
        assert saved(ledger, raw) == pytest.approx(2 * 0.9 + 0.3)

    def test_a_model_without_a_price_is_left_out_and_hides_no_other(self, ledger: Any, raw: bool) -> None:
        used(ledger, ("a-nobody-knows", "nobody"), cache_read=9_000_000)
        used(ledger, GPT, cache_read=1_000_000)
        used(ledger, ("zz-nobody-knows", "nobody"), cache_read=9_000_000)
        assert saved(ledger, raw) == pytest.approx(0.3)

    def test_where_no_price_is_known_nothing_is_said(self, ledger: Any, raw: bool) -> None:
        used(ledger, ("nobody-knows", "nobody"), cache_read=9_000_000)
        assert saved(ledger, raw) is None

    def test_calls_that_used_no_prompt_cache_say_nothing(self, ledger: Any, raw: bool) -> None:
        used(ledger, HAIKU)
        assert saved(ledger, raw) is None

    def test_calls_outside_the_window_do_not_count(self, ledger: Any, raw: bool) -> None:
        used(ledger, GPT, cache_read=1_000_000)
        used(ledger, HAIKU, day=TODAY - 30, cache_read=9_000_000)
        assert saved(ledger, raw) == pytest.approx(0.3)


def test_net_savings_are_unknown_where_nothing_can_be_compared(ledger: Any) -> None:
    ledger.record(decided("d1", tried("small", 0.25), baseline=None))
    ledger.flush()
    assert build_report(ledger, WEEK).savings.net_usd is None


# Measured against one route alone ---------------------------------------------------------------------------------------


def done(ledger: Any, name: str, count: int, won: int, *attempts: Any, kind: str | None = None, **more: Any) -> None:
    """Tasks of one decision for each attempt."""
    for number in range(count):
        with task(f"{name}{number}", kind=kind):
            for step, one in enumerate(attempts):
                tries = one if isinstance(one, tuple) else (one,)
                ledger.record(decided(f"{name}{number}-{step}", *tries, second=float(step), **more))
        ledger.record_outcome(Outcome(success=number < won, task_id=f"{name}{number}", at=NOW))


def savings(ledger: Any) -> Savings:
    ledger.flush()
    return build_report(ledger, WEEK).savings


class TestRoutesAlone:
    def test_each_route_alone_has_its_tasks_steps_and_costs_and_the_others_come_last(self, ledger: Any) -> None:
        done(ledger, "b", 3, 2, tried("b", 0.5), tried("b", 0.25))
        done(ledger, "a", 2, 1, tried("a", 1.0))
        done(ledger, "u", 1, 1, tried("a", None, model="mystery"))
        done(ledger, "m", 1, 1, tried("a", 0.5), tried("b", 0.25))

        a, b, mixed = savings(ledger).singles
        assert (a.route, a.tasks, a.success, a.cost, a.steps) == ("a", 3, Rate(2, 3), Amount(2.0, 1), 3)
        assert (b.route, b.tasks, b.success, b.cost, b.steps) == ("b", 3, Rate(2, 3), Amount(pytest.approx(2.25)), 6)
        assert (mixed.route, mixed.tasks, mixed.steps) == (None, 1, 2)
        assert b.per_success.usd == pytest.approx(2.25 / 2)

    def test_a_task_in_which_an_answer_was_rejected_or_a_call_failed_over_used_several(self, ledger: Any) -> None:
        """Though all its answers came from one route."""
        done(ledger, "escalated", 1, 1, (tried("small", 0.1, score=0.2), tried("large", 1.0)), tried("large", 1.0))
        done(ledger, "failed", 1, 1, (tried("small", 0.0, error="TimeoutError"), tried("large", 1.0)))
        done(ledger, "alone", 1, 1, tried("large", 1.0))

        assert [(one.route, one.tasks) for one in savings(ledger).singles] == [("large", 1), (None, 2)]

    def test_closing_texts_of_budgets_are_no_route(self, ledger: Any) -> None:
        done(ledger, "closed", 2, 0, tried("budget", 0.0), cache="closing", tier="low")
        done(ledger, "a", 1, 1, tried("a", 1.0))
        assert [one.route for one in savings(ledger).singles] == ["a"]

    def test_tasks_outside_of_the_window_and_without_an_outcome_do_not_count(self, ledger: Any) -> None:
        done(ledger, "old", 2, 2, tried("a", 1.0), day=TODAY - 30)
        with task("open"):
            ledger.record(decided("d-open", tried("a", 1.0)))
        ledger.record_outcome(Outcome(success=True, task_id="no calls", at=NOW))
        done(ledger, "a", 1, 1, tried("a", 1.0))
        assert [(one.route, one.tasks) for one in savings(ledger).singles] == [("a", 1)]

    def test_twenty_tasks_are_enough(self, ledger: Any) -> None:
        """On either side; routing takes a step more, and costs a quarter."""
        done(ledger, "alone", 20, 20, tried("large", 1.0))
        done(ledger, "mixed", 20, 20, tried("small", 0.125), tried("large", 0.125))
        saved = savings(ledger)
        assert (saved.best_single, saved.extra_steps, saved.measured_kinds) == ("large", 1.0, 1)
        assert (saved.measured_per_success, saved.measured_share) == (pytest.approx(0.75), pytest.approx(0.75))

    def test_routing_that_costs_more_is_a_loss(self, ledger: Any) -> None:
        """Fewer steps, too: the route alone needs two."""
        done(ledger, "alone", 20, 20, tried("large", 0.25), tried("large", 0.25))
        done(ledger, "mixed", 20, 10, (tried("small", 0.25, score=0.1), tried("large", 0.5)))
        saved = savings(ledger)
        assert (saved.extra_steps, saved.measured_per_success) == (-1.0, pytest.approx(0.5 - 1.5))
        assert saved.measured_share == pytest.approx(-2.0)

    def test_against_a_route_that_costs_nothing_there_is_no_share(self, ledger: Any) -> None:
        done(ledger, "alone", 20, 20, tried("own", 0.0))
        done(ledger, "mixed", 20, 20, tried("own", 0.0), tried("large", 0.5))
        saved = savings(ledger)
        assert (saved.best_single, saved.measured_per_success, saved.measured_share) == ("own", pytest.approx(-0.5), None)

    def test_where_what_routing_cost_is_unknown_only_its_steps_are_told(self, ledger: Any) -> None:
        done(ledger, "alone", 20, 20, tried("large", 1.0))
        done(ledger, "mixed", 19, 19, tried("small", 0.125), tried("large", 0.125))
        done(ledger, "unknown", 1, 1, tried("odd", None, model="mystery"), tried("large", 0.125))
        saved = savings(ledger)
        assert (saved.best_single, saved.extra_steps, saved.measured_per_success) == ("large", 1.0, None)
        assert (saved.measured_share, saved.measured_kinds) == (None, 0)

    def test_a_route_whose_costs_are_unknown_or_that_never_succeeded_is_not_the_one_to_beat(self, ledger: Any) -> None:
        done(ledger, "unknown", 20, 20, tried("odd", None, model="mystery"))
        done(ledger, "known", 20, 20, tried("large", 1.0))
        assert savings(ledger).best_single == "large"

    def test_where_all_failed_no_route_is_the_best(self, ledger: Any) -> None:
        done(ledger, "failed", 20, 0, tried("large", 1.0))
        assert savings(ledger).best_single is None

    @pytest.mark.parametrize(("rare", "compared"), [(5, True), (6, False)])
    def test_the_compared_kinds_must_be_four_fifths_of_the_tasks(self, ledger: Any, rare: int, compared: bool) -> None:
        """Twenty of a kind that is frequent enough, and five, or six, of kinds that are not."""
        done(ledger, "often", 20, 20, tried("large", 1.0), kind="often")
        done(ledger, "rare", rare, rare, tried("large", 9.0), kind="rare")
        assert savings(ledger).best_single == ("large" if compared else None)

    def test_among_routes_that_succeed_as_often_the_cheapest_success_counts(self, ledger: Any) -> None:
        """The cheapest task is not the cheapest success; what clearly fails more often is not looked at, however cheap."""
        done(ledger, "a", 40, 40, tried("a", 1.0))
        done(ledger, "b", 40, 36, tried("b", 0.95))
        done(ledger, "c", 40, 4, tried("c", 0.01))
        assert savings(ledger).best_single == "a"

    @pytest.mark.parametrize(("won", "best"), [(34, "b"), (32, "a")])
    def test_a_route_that_may_succeed_as_often_is_the_one_to_beat_where_it_is_cheaper(
        self, ledger: Any, won: int, best: str
    ) -> None:
        """Wilson's intervals at 95%: 40 of 40 is at least 91.2%, 34 of 40 is at most 92.9%, and 32 of 40 at most 89.5%."""
        done(ledger, "a", 40, 40, tried("a", 1.0))
        done(ledger, "b", 40, won, tried("b", 0.5))
        assert savings(ledger).best_single == best

    @pytest.mark.parametrize(("won", "best"), [(36, "b"), (34, "a")])
    def test_over_several_kinds_of_tasks_more_is_certain(self, ledger: Any, won: int, best: str) -> None:
        """Half of each kind: 40 of 40 twice is at least 93.8%; 36 of 40 twice is at most 94.6%, and 34 of 40 at most 90.6%."""
        for kind in ("k1", "k2"):
            done(ledger, f"a-{kind}-", 40, 40, tried("a", 1.0), kind=kind)
            done(ledger, f"b-{kind}-", 40, won, tried("b", 0.5), kind=kind)
        assert savings(ledger).best_single == best

    def test_tasks_without_a_decision_take_no_place_of_the_latest_ones(self, ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only so many are looked at; outcomes that were told of other programs' tasks are none of them."""
        monkeypatch.setattr("langroute.reports.savings.MOST_TASKS", 3)
        done(ledger, "old", 1, 1, tried("b", 1.0))
        ledger.flush()
        done(ledger, "a", 3, 2, tried("a", 1.0))
        ledger.flush()
        for number in range(5):
            ledger.record_outcome(Outcome(success=True, task_id=f"elsewhere-{number}", at=NOW))
        assert [(one.route, one.success) for one in savings(ledger).singles] == [("a", Rate(2, 3))]


class TestBaselinesOfDecisions:
    def test_they_are_those_that_the_windows_decisions_name(self, ledger: Any) -> None:
        def named(id: str, route: str | None, **more: Any) -> None:
            ledger.record(replace(decided(id, tried("small", 0.25), **more), baseline_route=route))

        named("d1", "large")
        named("d2", "huge", day=TODAY - 1)
        named("d3", "large")
        named("d4", "of-another-time", day=TODAY - 30)
        named("d5", "without-a-price", baseline=None)
        named("d6", None)
        assert savings(ledger).baselines == ("huge", "large")

    def test_the_latest_decisions_tell(self, ledger: Any) -> None:
        """A baseline that was changed long ago is not named any more."""
        ledger.record(replace(decided("old", tried("small", 0.25), day=TODAY - 3), baseline_route="former"))
        assert savings(ledger).baselines == ("former",)
        for number in range(LATEST_DECISIONS):
            ledger.record(decided(f"d{number}", tried("small", 0.25)))
        assert savings(ledger).baselines == ("large",)

    def test_calls_of_judges_are_not_rejected_answers(self, ledger: Any) -> None:
        ledger.record(decided("d1", tried("small", 0.25, score=0.1), tried("large", 1.0)))
        for what, kept in (("judge", False), ("model", True), ("model", False)):
            ledger.record_call(CallRecord("t1", what=what, model="m", usage=Usage(9, 9), cost_usd=0.1, kept=kept, at=NOW - 60))
        assert savings(ledger).rejected_calls == 2


def test_where_nothing_was_decided_nothing_was_saved_or_spent(ledger: Any) -> None:
    saved = savings(ledger)
    assert (saved.decisions, saved.compared, saved.rejected_calls, saved.baselines, saved.singles) == (0, 0, 0, (), ())
    assert (saved.baseline_usd, saved.cost_usd, saved.checks_usd, saved.cold_usd, saved.overhead_s) == (0, 0, 0, 0, 0)
    assert (saved.net_usd, saved.net_share, saved.best_single, saved.measured_kinds) == (None, None, None, 0)
