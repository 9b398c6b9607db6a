"""Lines of a report: what users spent, what of the spend is no line's, and checks of unknown cost."""

from __future__ import annotations

from typing import Any

import pytest
from by_hand import NOW, TODAY, decided, tried

from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage, Verdict
from langroute.core.task_context import task
from langroute.reports.build import build_report
from langroute.reports.stats import Rate
from langroute.reports.window import Window

WEEK = Window.since("7d", now=NOW)
REST = "(tasks of other days)"


def by_user(ledger: Any, raw: bool) -> list[tuple[str | None, float | None]]:
    ledger.flush()
    found = build_report(ledger, WEEK, by="user", raw=raw).lines
    return [("user" if line.key and line.key.startswith("user:") else line.key, line.spend.usd) for line in found]


@pytest.mark.parametrize("raw", [False, True], ids=["daily sums", "raw rows"])
class TestWhatIsNoUsers:
    def test_a_user_who_spent_nothing_leaves_no_rest(self, ledger: Any, raw: bool) -> None:
        with task("t1", user="ada"):
            ledger.record(decided("d1", tried("small", 0.0)))
        with task("t2", user="bob"):
            ledger.record(decided("d2", tried("small", 0.5)))
        assert by_user(ledger, raw) == [("user", pytest.approx(0.5)), ("user", 0.0)]

    def test_a_user_whose_spend_is_unknown_leaves_no_rest(self, ledger: Any, raw: bool) -> None:
        with task("t1", user="ada"):
            ledger.record(decided("d1", tried("small", None, model="mystery")))
        with task("t2", user="bob"):
            ledger.record(decided("d2", tried("small", 0.5)))
        assert by_user(ledger, raw) == [("user", None), ("user", pytest.approx(0.5))]

    def test_where_all_is_unknown_or_free_there_is_no_rest(self, ledger: Any, raw: bool) -> None:
        with task("t1", user="ada"):
            ledger.record(decided("d1", tried("small", None, model="mystery")))
        assert by_user(ledger, raw) == [("user", None)]

    def test_a_call_of_a_task_of_another_day_is_the_rest_and_is_said(self, ledger: Any, raw: bool) -> None:
        with task("t-old", user="ada"):
            ledger.record(decided("d1", tried("small", 4.0), day=TODAY - 30))
            ledger.record(decided("d2", tried("small", 0.25)))
        with task("t-new", user="bob"):
            ledger.record(decided("d3", tried("small", 0.5)))
        assert by_user(ledger, raw) == [("user", pytest.approx(0.5)), (REST, pytest.approx(0.25))]
        report = build_report(ledger, WEEK, by="user", raw=raw)
        assert report.total.spend.usd == pytest.approx(0.75)
        assert [note for note in report.notes if note.startswith("What users spent is that of tasks that began in the window")]


@pytest.mark.parametrize("raw", [False, True], ids=["daily sums", "raw rows"])
class TestUnknownChecks:
    @pytest.fixture
    def half(self, ledger: Any) -> Any:
        """A call of 0.25 with a check whose cost nobody knows, one of unknown cost with a check of 0.125; both succeeded."""
        for name, cost, check in (("t1", 0.25, None), ("t2", None, 0.125)):
            attempt = Attempt(
                Selection("small"),
                verdicts=(Verdict("judge", 1.0, cost_usd=check),),
                usage=Usage(100, 10),
                cost_usd=cost,
                model="m",
            )
            ledger.record(
                Decision(name, Step("act", task=name), "small", (attempt,), cost_usd=None, started_at=TODAY * 86_400.0 + 60)
            )
            ledger.record_outcome(Outcome(success=True, task_id=name, at=NOW))
        ledger.flush()
        return ledger

    def test_an_unknown_check_adds_nothing_to_what_is_known(self, half: Any, raw: bool) -> None:
        report = build_report(half, WEEK, by="route", raw=raw)
        assert (report.total.spend.usd, report.total.spend.unknown) == (pytest.approx(0.375), 2)
        (line,) = report.lines
        assert (line.key, line.success, line.tasks) == ("small", Rate(2, 2), 2)
        assert line.spend.usd == pytest.approx(0.375)
        assert (line.per_success.usd, line.per_success.unknown) == (pytest.approx(0.375 / 2), 2)


@pytest.mark.parametrize("raw", [False, True], ids=["daily sums", "raw rows"])
class TestAWholeReport:
    @pytest.fixture
    def routes(self, ledger: Any, raw: bool) -> Any:
        """Three cheap calls, a dear one, two of unknown price, and a stored answer of a route that was not called."""
        for number in range(3):
            ledger.record(decided(f"c{number}", tried("small", 0.1, seconds=1.2), tier="cheap"))
        ledger.record(decided("f", tried("large", 1.0, seconds=12.0), tier="frontier"))
        for number in range(2):
            ledger.record(decided(f"m{number}", tried("odd", None, model="mystery"), tier="own"))
        ledger.record(decided("h", tried("kept", 0.0, cache="hit", tokens=(0, 0)), cache="hit", tier="cheap"))
        ledger.flush()
        return build_report(ledger, WEEK, by="route", raw=raw)

    def test_a_routes_latency_is_told_by_its_calls_and_no_others(self, routes: Any) -> None:
        lines = {line.key: line for line in routes.lines}
        assert (lines["small"].p50_s, lines["small"].p95_s) == (pytest.approx(1.25), pytest.approx(1.475))
        assert (lines["large"].p50_s, lines["large"].p95_s) == (pytest.approx(12.5), pytest.approx(14.75))
        assert (lines["kept"].p50_s, lines["kept"].p95_s) == (None, None)

    def test_a_route_whose_answer_was_stored_cost_nothing_and_has_no_unknown_cost(self, routes: Any) -> None:
        kept = next(line for line in routes.lines if line.key == "kept")
        assert (kept.decisions, kept.response_hits, kept.spend.usd, kept.spend.complete) == (1, 1, 0.0, True)

    def test_each_route_has_one_line(self, routes: Any) -> None:
        assert sorted(line.key for line in routes.lines) == ["kept", "large", "odd", "small"]

    def test_the_tiers_with_most_decisions_come_first(self, routes: Any) -> None:
        assert [(share.tier, share.decisions) for share in routes.tiers] == [("cheap", 4), ("own", 2), ("frontier", 1)]

    def test_models_of_unknown_price_are_named_with_their_calls(self, routes: Any) -> None:
        assert [(one.route, one.model, one.calls) for one in routes.unknown_prices] == [("odd", "mystery", 2)]
