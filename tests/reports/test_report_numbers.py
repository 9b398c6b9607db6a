"""Numbers of a report, checked against ledgers worked out by hand and against sums computed the slow way."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from by_hand import DAY, NOW, TODAY, decided, tried
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langroute.core.errors import InputError, MissingExtraError
from langroute.core.records import Outcome, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.ledger.facts import CallRecord
from langroute.reports.build import build_report
from langroute.reports.chargeback import COLUMNS, UNALLOCATED, to_focus
from langroute.reports.formats import to_csv, to_json
from langroute.reports.model import DIMENSIONS
from langroute.reports.stats import Range, Rate
from langroute.reports.window import Window

WEEK = Window.since("7d", now=NOW)


def lines(report: Any) -> dict[str | None, Any]:
    return {line.key: line for line in report.lines}


@pytest.mark.parametrize("raw", [False, True], ids=["daily sums", "raw rows"])
class TestGoldenLedger:
    """0.25 + 1.15 + 0.50 + 2.00 + 0 = 3.90 USD, four tasks, two of three told succeeded."""

    def test_the_whole(self, golden: Any, raw: bool) -> None:
        total = build_report(golden, WEEK, raw=raw).total
        assert total.spend.usd == pytest.approx(3.90)
        assert total.spend.complete
        assert (total.tasks, total.success, total.untold) == (4, Rate(2, 3), 1)
        assert total.per_success.usd == pytest.approx(3.90 / 2), "failed attempts, checks and the failed task are in it"
        assert (total.calls, total.errors, total.retries, total.decisions, total.escalated) == (7, 1, 1, 5, 1)

    def test_cost_per_success_moves_with_the_interval(self, golden: Any, raw: bool) -> None:
        total = build_report(golden, WEEK, raw=raw).total
        rate = Rate(2, 3)
        assert total.per_success_range.low == pytest.approx(1.30 / rate.high)
        assert total.per_success_range.high == pytest.approx(1.30 / rate.low)

    def test_by_team(self, golden: Any, raw: bool) -> None:
        found = lines(build_report(golden, WEEK, by="team", raw=raw))
        assert set(found) == {"search", "data", None}
        assert found["search"].spend.usd == pytest.approx(1.90)
        assert found["search"].success == Rate(1, 2)
        assert found["search"].per_success.usd == pytest.approx(1.90)
        assert found["data"].per_success.usd == pytest.approx(2.0)
        assert found[None].spend.usd == 0.0
        assert found[None].per_success.usd is None, "nothing succeeded, so nothing has a cost per success"

    def test_by_user(self, golden: Any, raw: bool) -> None:
        found = build_report(golden, WEEK, by="user", raw=raw)
        named = {line.key: line for line in found.lines}
        assert len([key for key in named if key and key.startswith("user:")]) == 2
        assert named[None].spend.usd == pytest.approx(2.0)

    def test_by_day(self, golden: Any, raw: bool) -> None:
        found = build_report(golden, WEEK, by="day", raw=raw).lines
        assert [(line.key, line.tasks) for line in found] == [("2026-05-26", 2), ("2026-05-27", 2)]
        assert [line.spend.usd for line in found] == [pytest.approx(2.5), pytest.approx(1.4)]

    def test_by_route(self, golden: Any, raw: bool) -> None:
        found = lines(build_report(golden, WEEK, by="route", raw=raw))
        assert found["small"].spend.usd == pytest.approx(0.25 + 0.10 + 0.05 + 0.50)
        assert found["large"].spend.usd == pytest.approx(3.0)
        assert (found["small"].tasks, found["small"].success) == (3, Rate(1, 2))
        assert (found["large"].tasks, found["large"].success) == (2, Rate(2, 2))
        assert found["large"].per_success.usd == pytest.approx(1.5)

    def test_by_tier_counts_what_was_rejected_where_it_went(self, golden: Any, raw: bool) -> None:
        found = lines(build_report(golden, WEEK, by="tier", raw=raw))
        assert set(found) == {"cheap", "frontier"}
        assert found["cheap"].spend.usd == pytest.approx(0.90)

    def test_by_step_kind_and_node(self, golden: Any, raw: bool) -> None:
        found = lines(build_report(golden, WEEK, by="step_kind", raw=raw))
        assert found["plan"].spend.usd == pytest.approx(2.0)
        assert found["act"].spend.usd == pytest.approx(1.9)
        assert lines(build_report(golden, WEEK, by="node", raw=raw))["agent"].spend.usd == pytest.approx(3.9)

    def test_lines_add_up_to_the_total(self, golden: Any, raw: bool) -> None:
        for by in DIMENSIONS:
            report = build_report(golden, WEEK, by=by, raw=raw)
            assert sum(line.spend.usd or 0 for line in report.lines) == pytest.approx(report.total.spend.usd), by

    def test_savings_are_net_of_attempts_checks_and_cold_caches(self, golden: Any, raw: bool) -> None:
        saved = build_report(golden, WEEK, raw=raw).savings
        assert saved.baselines == ("large",)
        assert (saved.decisions, saved.compared) == (5, 5)
        assert saved.baseline_usd == pytest.approx(1 + 1 + 2 + 2 + 0.75)
        assert saved.cost_usd == pytest.approx(3.90)
        assert (saved.checks_usd, saved.cold_usd, saved.rejected_calls) == (pytest.approx(0.05), pytest.approx(0.2), 1)
        assert saved.net_usd == pytest.approx(6.75 - 3.90 - 0.2)
        assert saved.overhead_s == pytest.approx(0.005)

    def test_the_response_cache(self, golden: Any, raw: bool) -> None:
        total = build_report(golden, WEEK, raw=raw).total
        assert (total.response_hits, total.response_saved_usd) == (1, pytest.approx(0.75))

    def test_hours_only_of_successes_with_a_baseline(self, golden: Any, raw: bool) -> None:
        worth = build_report(golden, WEEK, raw=raw).worth
        assert worth.hours_saved == pytest.approx(24 / 60)
        assert worth.tasks_with_baseline == 1
        assert worth.review_hours == pytest.approx(12 / 60)

    def test_the_return_is_a_range(self, golden: Any, raw: bool) -> None:
        worth = build_report(golden, WEEK, hourly_usd=Range(40.0, 80.0), raw=raw).worth
        rate = Rate(2, 3)
        share = 2 / 3
        low = 10 * rate.low / share + (0.4 - 0.2) * 40 * rate.low / share
        high = 10 * rate.high / share + 0.4 * 80 * rate.high / share
        assert worth.return_share.low == pytest.approx((low - 3.9) / 3.9)
        assert worth.return_share.high == pytest.approx((high - 3.9) / 3.9)

    def test_steps_and_tiers(self, golden: Any, raw: bool) -> None:
        report = build_report(golden, WEEK, raw=raw)
        assert {(share.step_kind, share.tier): share.decisions for share in report.steps} == {
            ("act", "cheap"): 3,
            ("act", "frontier"): 1,
            ("plan", "frontier"): 1,
        }
        assert {share.tier: share.decisions for share in report.tiers} == {"cheap": 3, "frontier": 2}


class TestUnknownPrices:
    @pytest.fixture
    def half(self, ledger: Any) -> Any:
        """One call of 0.40 that is known, one that is not, both in tasks that succeeded."""
        with task("t1", team="search"):
            ledger.record(decided("d1", tried("large", 0.4)))
        with task("t2", team="data"):
            ledger.record(decided("d2", tried("small", None, model="mystery")))
        ledger.record_outcome(Outcome(success=True, task_id="t1", at=NOW))
        ledger.record_outcome(Outcome(success=True, task_id="t2", at=NOW))
        return ledger

    def test_unknown_is_none_and_never_0(self, half: Any) -> None:
        found = lines(build_report(half, WEEK, by="team"))
        assert (found["data"].spend.usd, found["data"].spend.unknown) == (None, 1)
        assert found["data"].per_success.usd is None
        assert found["search"].spend.complete

    def test_a_total_with_unknown_parts_says_so(self, half: Any) -> None:
        report = build_report(half, WEEK)
        assert (report.total.spend.usd, report.total.spend.unknown) == (pytest.approx(0.4), 1)
        assert not report.total.per_success.complete
        assert [(one.model, one.route, one.calls) for one in report.unknown_prices] == [("mystery", "small", 1)]

    def test_the_first_line_says_so_in_every_format(self, half: Any) -> None:
        report = build_report(half, WEEK, by="team")
        assert report.first_line.startswith("UNKNOWN PRICES: 1 of 2 calls")
        assert "mystery" in report.first_line
        assert next(iter(json.loads(to_json(report)))) == "first_line"
        assert "spend_usd_at_least" in to_csv(report).splitlines()[0]
        row = next(row for row in csv.DictReader(io.StringIO(to_csv(report))) if row["team"] == "data")
        assert row["spend_usd_at_least"] == ""

    def test_no_saving_is_claimed_for_what_is_unknown(self, half: Any) -> None:
        saved = build_report(half, WEEK).savings
        assert (saved.compared, saved.decisions, saved.net_usd) == (1, 2, pytest.approx(0.6))

    def test_a_return_on_an_unknown_spend_is_unknown(self, half: Any) -> None:
        half.record_outcome(Outcome(task_id="t1", value_usd=100.0, at=NOW))
        assert build_report(half, WEEK).worth.return_share is None

    def test_tools_have_no_price_to_be_unknown(self, half: Any) -> None:
        half.record_call(CallRecord("t1", what="tool", at=NOW, tool="search"))
        assert build_report(half, WEEK).total.spend.unknown == 1

    def test_chargeback_leaves_the_cost_empty(self, half: Any) -> None:
        rows = list(csv.DictReader(io.StringIO(to_focus(half, WEEK))))
        assert [(row["SubAccountName"], row["BilledCost"], row["x_UnknownPriceCalls"]) for row in rows] == [
            ("data", "", "1"),
            ("search", "0.4", "0"),
        ]


class TestChargeback:
    def test_what_has_no_team_goes_to_the_unallocated_bucket(self, golden: Any) -> None:
        rows = list(csv.DictReader(io.StringIO(to_focus(golden, WEEK))))
        spent: dict[str, float] = {}
        for row in rows:
            spent[row["SubAccountName"]] = spent.get(row["SubAccountName"], 0.0) + float(row["BilledCost"])
        assert spent == {"search": pytest.approx(1.9), "data": pytest.approx(2.0), UNALLOCATED: 0.0}

    def test_the_columns_are_those_of_the_specification(self, golden: Any) -> None:
        text = to_focus(golden, WEEK)
        assert tuple(text.splitlines()[0].split(",")) == COLUMNS
        row = next(csv.DictReader(io.StringIO(text)))
        assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-05-26T00:00:00Z", "2026-05-27T00:00:00Z")
        assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z")
        assert (row["BillingCurrency"], row["ChargeCategory"], row["ServiceCategory"]) == (
            "USD",
            "Usage",
            "AI and Machine Learning",
        )

    def test_a_team_named_like_a_formula_is_only_a_name(self, ledger: Any) -> None:
        with task("t1", team="=HYPERLINK(1)"):
            ledger.record(decided("d1", tried("small", 0.1)))
        assert "'=HYPERLINK(1)" in to_focus(ledger, WEEK)
        assert "\n'=HYPERLINK(1)" in to_csv(build_report(ledger, WEEK, by="team"))

    @pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
    def test_no_name_begins_like_a_formula(self, ledger: Any, first: str) -> None:
        """Spreadsheets skip white space at the beginning and run what comes after."""
        with task("t1", team=f"{first}=1+1", kind=f"{first}=1+1"):
            ledger.record(decided("d1", tried("small", 0.1, model=f"{first}=1+1")))
        for text in (to_focus(ledger, WEEK), to_csv(build_report(ledger, WEEK, by="team"))):
            for row in csv.reader(io.StringIO(text, newline="")):
                assert [one for one in row if one.startswith(first + "=")] == []

    @pytest.mark.parametrize("between", ["\r", "\n", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
    def test_no_line_break_within_a_name_begins_a_formula(self, ledger: Any, between: str) -> None:
        """Whoever takes the break for the end of a row finds no formula behind it."""
        with task("t1", team=f"search{between}=1+1", kind=f"docs{between}@SUM(1)"):
            ledger.record(decided("d1", tried("small", 0.1)))
        for text in (to_focus(ledger, WEEK), to_csv(build_report(ledger, WEEK, by="team"))):
            cells = [cell for line in text.splitlines() for cell in next(csv.reader([line]), [])]
            assert [cell for cell in cells if cell[:1] in ("=", "@")] == []

    def test_a_call_without_labels_counts_under_its_task(self, ledger: Any) -> None:
        """A thread that did not carry the task's labels along still spends its team's money."""
        with task("t1", team="search"):
            ledger.record(decided("d1", tried("small", 0.1)))
        ledger.record_call(CallRecord("t1", at=TODAY * DAY + 10, model="m", usage=Usage(1, 1), cost_usd=0.3))
        rows = list(csv.DictReader(io.StringIO(to_focus(ledger, WEEK))))
        assert {row["SubAccountName"] for row in rows} == {"search"}
        assert lines(build_report(ledger, WEEK, by="team"))["search"].spend.usd == pytest.approx(0.4)


class TestBestSingleRoute:
    def fill(self, ledger: Any, name: str, count: int, won: int, *attempts: Any, kind: str | None = None) -> None:
        for number in range(count):
            with task(f"{name}{number}", kind=kind):
                for step, one in enumerate(attempts):
                    ledger.record(decided(f"{name}{number}-{step}", one, second=float(step)))
            ledger.record_outcome(Outcome(success=number < won, task_id=f"{name}{number}", at=NOW))

    def test_savings_are_measured_against_the_best_route_alone(self, ledger: Any) -> None:
        """Large alone: 1.00 for one step, 27 of 30. Routed: 0.20 + 0.50 for two, 27 of 30. Small alone fails clearly."""
        self.fill(ledger, "large", 30, 27, tried("large", 1.0))
        self.fill(ledger, "small", 30, 6, tried("small", 0.1))
        self.fill(ledger, "mixed", 30, 27, tried("small", 0.2), tried("large", 0.5))
        saved = build_report(ledger, WEEK).savings
        assert saved.best_single == "large"
        assert saved.extra_steps == pytest.approx(1.0)
        assert saved.measured_per_success == pytest.approx(30 / 27 - 21 / 27)
        assert saved.measured_share == pytest.approx(0.3)
        assert "measured saving 30 % against large alone" in build_report(ledger, WEEK).first_line

    def test_a_route_that_did_only_the_easy_kind_is_no_best_single_route(self, ledger: Any) -> None:
        """Labels all go to small alone, investigations to both: nobody knows what small alone would have made of these."""
        self.fill(ledger, "label", 50, 50, tried("small", 0.1), kind="label")
        self.fill(ledger, "hard", 50, 50, tried("small", 0.1), tried("large", 1.0), kind="investigate")
        saved = build_report(ledger, WEEK).savings
        assert (saved.best_single, saved.measured_per_success, saved.measured_share) == (None, None, None)
        # Once large alone has done both kinds it can be compared with, but nothing was routed among the labels.
        self.fill(ledger, "label-large", 20, 20, tried("large", 0.5), kind="label")
        self.fill(ledger, "hard-large", 20, 20, tried("large", 2.0), kind="investigate")
        saved = build_report(ledger, WEEK).savings
        assert (saved.best_single, saved.measured_per_success) == ("large", None)

    def test_kinds_are_weighted_alike(self, ledger: Any) -> None:
        """Routing met mostly cheap tasks, large alone mostly dear ones. Within each kind routing costs half, so it saves half."""
        for kind, cost, routed, alone in (("cheap", 0.2, 90, 30), ("dear", 2.0, 30, 90)):
            self.fill(ledger, f"{kind}-alone", alone, alone, tried("large", cost), kind=kind)
            half = tried("small", cost / 4), tried("large", cost / 4)
            self.fill(ledger, f"{kind}-routed", routed, routed, *half, kind=kind)
        saved = build_report(ledger, WEEK).savings
        # Both kinds have half of all 240 tasks.
        assert saved.measured_per_success == pytest.approx((0.2 + 2.0) / 2 / 2)
        assert (saved.measured_share, saved.measured_kinds) == (pytest.approx(0.5), 2)

    def test_a_cheaper_route_that_does_as_well_is_the_one_to_beat(self, ledger: Any) -> None:
        self.fill(ledger, "large", 30, 27, tried("large", 1.0))
        self.fill(ledger, "small", 30, 26, tried("small", 0.1))
        assert build_report(ledger, WEEK).savings.best_single == "small"

    def test_too_few_tasks_prove_nothing(self, ledger: Any) -> None:
        self.fill(ledger, "large", 19, 19, tried("large", 1.0))
        self.fill(ledger, "mixed", 30, 30, tried("small", 0.2), tried("large", 0.5))
        saved = build_report(ledger, WEEK).savings
        assert (saved.best_single, saved.extra_steps, saved.measured_per_success) == (None, None, None)


class TestWindow:
    def test_what_lies_outside_is_left_out(self, golden: Any) -> None:
        today = build_report(golden, Window.since("1d", now=NOW)).total
        assert (today.tasks, today.spend.usd) == (2, pytest.approx(1.4))
        yesterday = build_report(golden, Window.since("2026-05-26", "2026-05-26", now=NOW)).total
        assert (yesterday.tasks, yesterday.spend.usd) == (2, pytest.approx(2.5))

    def test_hours_are_read_from_raw_rows(self, golden: Any) -> None:
        report = build_report(golden, Window.since("24h", now=NOW))
        assert (report.source, report.total.spend.usd) == ("raw rows", pytest.approx(1.4))

    @pytest.mark.parametrize(("since", "raw"), [("2000h", False), ("all", True), ("84d", True)])
    def test_rows_that_were_let_go_are_not_left_out_in_silence(self, tmp_path: Path, since: str, raw: bool) -> None:
        """A spend read from what is left of the rows is too low, and looks like any other."""
        with open_ledger(tmp_path / "l.db", raw_days=30) as ledger:
            for ago in (0, 60):
                with task(f"t{ago}"):
                    ledger.record(decided(f"d{ago}", tried("small", 1.0), day=TODAY - ago))
            ledger.purge(now=NOW)
            assert build_report(ledger, Window.since("84d", now=NOW)).total.spend.usd == pytest.approx(2.0)
            with pytest.raises(InputError, match="were let go"):
                build_report(ledger, Window.since(since, now=NOW), raw=raw)
            assert build_report(ledger, Window.since("24h", now=NOW)).total.spend.usd == pytest.approx(1.0)

    def test_where_no_row_was_let_go_all_can_be_read(self, tmp_path: Path) -> None:
        with open_ledger(tmp_path / "l.db", raw_days=30) as ledger:
            with task("t1"):
                ledger.record(decided("d1", tried("small", 1.0)))
            ledger.purge(now=NOW)
            assert build_report(ledger, Window.since("all", now=NOW), raw=True).total.spend.usd == pytest.approx(1.0)

    @pytest.mark.parametrize("raw", [False, True])
    def test_successes_that_cost_nothing_are_said(self, golden: Any, raw: bool) -> None:
        golden.record_outcome(Outcome(success=True, task_id="tikcet-1", at=NOW))
        report = build_report(golden, WEEK, raw=raw)
        assert report.total.success.of == 4
        assert any(note.startswith("Of 1 task an outcome is known and no call") for note in report.notes)

    def test_tasks_with_calls_are_no_reason_for_a_note(self, golden: Any) -> None:
        assert build_report(golden, WEEK).notes == ()

    @pytest.mark.parametrize("wrong", ["yesterday", "7", "7x", "2026-13-01", ""])
    def test_what_is_no_time_is_refused(self, wrong: str) -> None:
        with pytest.raises(InputError, match="7d, 2w, 36h or a date"):
            Window.since(wrong, now=NOW)

    @pytest.mark.parametrize("since", ["999999999d", "99999999h", "9" * 30 + "w"])
    def test_a_time_before_all_calendars_is_refused(self, since: str) -> None:
        with pytest.raises(InputError, match="Say all"):
            Window.since(since, now=NOW)

    def test_an_empty_ledger_makes_an_honest_report(self, ledger: Any) -> None:
        for by in DIMENSIONS:
            report = build_report(ledger, WEEK, by=by)
            assert report.total.success.share is None
            assert report.savings.net_usd is None
            assert report.worth.return_share is None
        assert report.first_line == "Spend 0.00 USD, 0 tasks, no outcome was told."

    def test_an_unknown_dimension_is_refused(self, ledger: Any) -> None:
        with pytest.raises(InputError, match="by one of team"):
            build_report(ledger, WEEK, by="colour")


class TestFootprint:
    def test_energy_is_a_range_with_its_method(self, ledger: Any) -> None:
        pytest.importorskip("ecologits")
        with task("t1"):
            ledger.record(decided("d1", tried("small", 0.1, model="gpt-4o-mini")))
            ledger.record(decided("d2", tried("large", 0.1, model="my-own-model")))
        found = build_report(ledger, WEEK, footprint=True).footprint
        assert 0 < found.energy_kwh.low < found.energy_kwh.high
        assert 0 < found.co2e_kg.low < found.co2e_kg.high
        assert (found.covered, found.left_out) == (0.5, ("my-own-model",))
        assert found.method.startswith("ecologits")

    def test_without_the_package_it_says_what_to_install(self, ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "ecologits", None)
        with pytest.raises(MissingExtraError, match=r"langroute\[energy\]"):
            build_report(ledger, WEEK, footprint=True)


CALL = st.tuples(
    st.sampled_from(["small", "large"]),
    st.one_of(st.none(), st.integers(0, 64).map(lambda cents: cents / 64)),
    st.booleans(),
)
TASKS = st.lists(
    st.tuples(
        st.sampled_from(["search", "data", None]),
        st.integers(0, 8),
        st.lists(CALL, min_size=1, max_size=4),
        st.sampled_from([True, False, None]),
        st.one_of(st.none(), st.integers(0, 60)),
    ),
    max_size=8,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tasks=TASKS)
def test_any_ledger_is_summed_as_the_slow_way_does(tmp_path_factory: pytest.TempPathFactory, tasks: list[Any]) -> None:
    """Spend, tasks, successes, cost per success and hours, from sums and from raw rows."""
    path: Path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with open_ledger(path) as ledger:
        for number, (team, ago, calls, success, baseline) in enumerate(tasks):
            with task(f"t{number}", **({"team": team} if team else {})):
                for place, (route, cost, fails) in enumerate(calls):
                    failed = (tried(route, 0.0, error="TimeoutError"),) if fails else ()
                    ledger.record(decided(f"d{number}-{place}", *failed, tried(route, cost), day=TODAY - ago))
            if success is not None or baseline is not None:
                ledger.record_outcome(Outcome(success=success, task_id=f"t{number}", baseline_minutes=baseline, at=NOW))
        within = [one for one in tasks if one[1] < 7]
        for raw in (False, True):
            report = build_report(ledger, WEEK, by="team", raw=raw)
            found = lines(report)
            for team in {one[0] for one in within}:
                own = [one for one in within if one[0] == team]
                costs = [cost for one in own for _, cost, _ in one[2]]
                line = found[team]
                assert line.spend.unknown == costs.count(None)
                if None not in costs:
                    assert line.spend.usd == pytest.approx(sum(costs))
                told = [one for one in own if one[3] is not None]
                won = [one for one in told if one[3]]
                assert (line.tasks, line.success) == (len(own), Rate(len(won), len(told)))
                if won and None not in costs:
                    assert line.per_success.usd == pytest.approx(sum(cost for one in told for _, cost, _ in one[2]) / len(won))
                declared = [one[4] for one in won if one[4] is not None]
                assert line.hours_saved == (pytest.approx(sum(declared) / 60) if declared else None)
            assert report.total.tasks == len(within)
