"""`langroute alert` raises the alerts that it should, and no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from by_hand import DAY, NOW, TODAY, decided, tried
from click.testing import CliRunner
from waiting import day_that_lasts

from langroute.cli.alert import alert as command
from langroute.cli.report import report
from langroute.core.errors import ConfigurationError, DegradedWarning, InputError
from langroute.core.records import Outcome
from langroute.core.task_context import task
from langroute.hooks.logs import LogHook
from langroute.ledger import open_ledger
from langroute.reports.alerts import Alert, BudgetBurn, ModelChanged, PriceUnknown, RouteFailing, SuccessDrop, check
from langroute.reports.build import build_report
from langroute.reports.formats import to_json
from langroute.reports.window import Window


def spend(
    ledger: Any, *costs: float | None, day: int = TODAY, team: str = "search", model: str | None = None, route: str = "small"
) -> None:
    for number, cost in enumerate(costs):
        name = f"{team}-{day}-{route}-{model}-{number}"
        with task(name, team=team):
            ledger.record(decided(name, tried(route, cost, model=model), day=day))


def tell(ledger: Any, won: int, lost: int, *, day: int, kind: str = "support") -> None:
    for number in range(won + lost):
        name = f"{kind}-{day}-{number}"
        with task(name, kind=kind):
            ledger.record(decided(name, tried("small", 0.01), day=day))
        ledger.record_outcome(Outcome(success=number < won, task_id=name, at=NOW))


def fail(ledger: Any, good: int, bad: int, *, route: str = "small", error: str = "NotFoundError", day: int = TODAY) -> None:
    """Calls of a route; after those that fail another route answers."""
    for number in range(good + bad):
        attempts = [tried(route, 0.0, error=error), tried("spare", 0.01)] if number >= good else [tried(route, 0.01)]
        ledger.record(decided(f"{route}-{error}-{day}-{number}", *attempts, day=day))


class TestRouteFailing:
    """A route that fails while another answers in its place."""

    @pytest.mark.parametrize(("good", "bad"), [(0, 3), (0, 10), (4, 6), (70, 30)])
    def test_a_route_whose_calls_fail_is_told_with_its_errors(self, ledger: Any, good: int, bad: int) -> None:
        fail(ledger, good, bad)
        (alert,) = RouteFailing().check(ledger, NOW)

        assert (alert.kind, alert.subject, alert.limit) == ("route_failing", "small", 0.2)
        assert f"{bad} of {good + bad} calls of small failed ({bad} NotFoundError)" in alert.message
        assert alert.value == pytest.approx(bad / (good + bad))

    @pytest.mark.parametrize(("good", "bad"), [(0, 1), (0, 2), (5, 0), (3, 1), (95, 5), (80, 20)])
    def test_what_chance_explains_is_no_alert(self, ledger: Any, good: int, bad: int) -> None:
        fail(ledger, good, bad)
        assert RouteFailing().check(ledger, NOW) == []

    def test_calls_that_lost_a_race_did_not_fail(self, ledger: Any) -> None:
        fail(ledger, 0, 10, error="RaceLostError")
        assert RouteFailing().check(ledger, NOW) == []
        assert build_report(ledger, Window.since("7d", now=NOW)).route_errors == ()

    def test_earlier_days_do_not_count(self, ledger: Any) -> None:
        fail(ledger, 0, 10, day=TODAY - 8)
        assert RouteFailing().check(ledger, NOW) == []

    def test_the_report_says_it_in_every_form(self, ledger: Any, tmp_path: Path) -> None:
        fail(ledger, 1, 3)
        fail(ledger, 0, 2, error="AuthenticationError")
        fail(ledger, 9, 1, route="middle")
        for raw in (False, True):
            made = build_report(ledger, Window.since("7d", now=NOW), raw=raw)
            assert [(one.route, one.calls, one.errors) for one in made.route_errors] == [("small", 6, 5), ("middle", 10, 1)]
            assert made.route_errors[0].types == (("NotFoundError", 3), ("AuthenticationError", 2))
        assert json.loads(to_json(made))["route_errors"][0]["route"] == "small"
        ledger.close()
        shown = CliRunner().invoke(report, ["--since", "all", "--ledger", str(tmp_path / "ledger.db")]).output
        assert "Errors by route: 5 of 6 calls of small failed (3 NotFoundError, 2 AuthenticationError)" in shown

    def test_nonsense_is_refused(self) -> None:
        with pytest.raises(ConfigurationError):
            RouteFailing(days=0)
        with pytest.raises(ConfigurationError):
            RouteFailing(max_share=1.5)


class TestBudgetBurn:
    """2026-05-27 noon: 26.5 of May's 31 days, 2.5 of the week's 7, and half of the day are over."""

    def test_a_spent_budget_is_told(self, ledger: Any) -> None:
        spend(ledger, 6.0, 4.0)
        (alert,) = BudgetBurn(10.0, per="month").check(ledger, NOW)
        assert (alert.kind, alert.value, alert.limit) == ("budget_burn", 10.0, 10.0)

    def test_a_budget_that_will_be_spent_is_told_before_it_is(self, ledger: Any) -> None:
        spend(ledger, 6.0)
        (alert,) = BudgetBurn(10.0, per="day").check(ledger, NOW)
        assert alert.value == pytest.approx(12.0)
        assert "will have spent about 12.00 USD of 10.00 USD" in alert.message

    def test_a_pace_that_holds_is_no_alert(self, ledger: Any) -> None:
        spend(ledger, 8.0)
        assert BudgetBurn(10.0, per="month").check(ledger, NOW) == []

    def test_what_was_spent_before_the_period_does_not_count(self, ledger: Any) -> None:
        spend(ledger, 100.0, day=TODAY - 1)
        assert BudgetBurn(10.0, per="day").check(ledger, NOW) == []
        assert len(BudgetBurn(10.0, per="week").check(ledger, NOW)) == 1

    def test_the_first_minutes_of_a_day_foretell_nothing(self, ledger: Any) -> None:
        spend(ledger, 1.0)
        assert BudgetBurn(10.0, per="day").check(ledger, TODAY * DAY + 3700.0) == []

    def test_a_team_has_a_budget_of_its_own(self, ledger: Any) -> None:
        spend(ledger, 11.0, team="search")
        spend(ledger, 1.0, team="data")
        assert [alert.subject for alert in BudgetBurn(10.0, team="search").check(ledger, NOW)] == ["search"]
        assert BudgetBurn(10.0, team="data").check(ledger, NOW) == []
        assert BudgetBurn(10.0, team="nobody").check(ledger, NOW) == []

    def test_wrong_budgets_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="above 0"):
            BudgetBurn(0.0)
        with pytest.raises(ConfigurationError, match="'year'"):
            BudgetBurn(1.0, per="year")


class TestSuccessDrop:
    def test_a_clear_drop_is_told_with_its_numbers(self, ledger: Any) -> None:
        tell(ledger, 45, 5, day=TODAY - 10)
        tell(ledger, 15, 15, day=TODAY)
        alerts = SuccessDrop().check(ledger, NOW)
        assert [alert.subject for alert in alerts] == ["all tasks", "task_kind support"]
        assert "fell to 50 %" in alerts[0].message
        assert "from 90 %" in alerts[0].message

    def test_what_chance_explains_is_no_alert(self, ledger: Any) -> None:
        tell(ledger, 9, 1, day=TODAY - 10)
        tell(ledger, 7, 3, day=TODAY)
        assert SuccessDrop().check(ledger, NOW) == []

    def test_a_drop_in_one_kind_is_seen_though_the_whole_holds(self, ledger: Any) -> None:
        tell(ledger, 40, 2, day=TODAY - 10, kind="fix")
        tell(ledger, 10, 20, day=TODAY, kind="fix")
        tell(ledger, 50, 50, day=TODAY - 10)
        tell(ledger, 95, 5, day=TODAY)
        assert [alert.subject for alert in SuccessDrop().check(ledger, NOW)] == ["task_kind fix"]

    def test_a_rise_and_a_small_drop_are_no_alert(self, ledger: Any) -> None:
        tell(ledger, 50, 50, day=TODAY - 10)
        tell(ledger, 90, 10, day=TODAY)
        assert SuccessDrop().check(ledger, NOW) == []

    def test_nothing_to_compare_with_is_no_alert(self, ledger: Any) -> None:
        tell(ledger, 0, 20, day=TODAY)
        assert SuccessDrop().check(ledger, NOW) == []


class TestModelChanged:
    def test_another_model_under_the_same_name_is_told(self, ledger: Any) -> None:
        spend(ledger, 0.1, day=TODAY - 20, model="opus-1")
        spend(ledger, 0.1, day=TODAY - 2, model="opus-2")
        (alert,) = ModelChanged().check(ledger, NOW)
        assert alert.subject == "small"
        assert alert.message == "Route small is served by opus-2 since 2026-05-25; before, by opus-1."

    def test_a_new_route_and_a_model_of_before_are_no_alert(self, ledger: Any) -> None:
        for day in (TODAY - 20, TODAY):
            spend(ledger, 0.1, day=day, model="opus-1")
        spend(ledger, 0.1, model="nano-1", route="large")
        assert ModelChanged().check(ledger, NOW) == []


def test_calls_without_a_price_are_told_by_model(ledger: Any) -> None:
    spend(ledger, None, None, model="mystery")
    spend(ledger, 0.1)
    (alert,) = PriceUnknown().check(ledger, NOW)
    assert (alert.subject, alert.value) == ("mystery", 2.0)


def test_hooks_hear_of_every_alert_and_a_broken_one_costs_none(ledger: Any) -> None:
    spend(ledger, None, model="mystery")
    heard: list[Alert] = []

    class Listens:
        def on_alert(self, alert: Alert) -> None:
            heard.append(alert)

    class Breaks:
        def on_alert(self, alert: Alert) -> None:
            raise RuntimeError("down")

    with pytest.warns(DegradedWarning, match="A hook failed: RuntimeError: down"):
        alerts = check(ledger, [PriceUnknown()], hooks=[Breaks(), object(), Listens()], now=NOW)
    assert heard == alerts
    assert len(alerts) == 1


def test_the_logging_hook_writes_alerts_as_warnings(ledger: Any, caplog: pytest.LogCaptureFixture) -> None:
    spend(ledger, None, model="mystery")
    check(ledger, [PriceUnknown()], hooks=[LogHook()], now=NOW)
    (record,) = [record for record in caplog.records if record.name == "langroute"]
    assert (record.levelname, record.langroute["kind"], record.langroute["subject"]) == ("WARNING", "price_unknown", "mystery")


class TestCommand:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A ledger as of now, with one call of unknown price today."""
        today = day_that_lasts()
        path = tmp_path / "now.db"
        with open_ledger(path) as ledger:
            spend(ledger, 5.0, day=today)
            spend(ledger, None, day=today, model="mystery")
        return path

    def run(self, path: Path, *more: str) -> Any:
        return CliRunner().invoke(command, ["--ledger", str(path), *more])

    def test_it_exits_with_1_and_says_why(self, path: Path) -> None:
        done = self.run(path)
        assert done.exit_code == 1
        assert done.output.startswith("price_unknown: 1 calls of mystery on route small")

    def test_it_exits_with_0_where_all_is_well(self, path: Path) -> None:
        done = self.run(path, "--ignore", "price_unknown", "--budget-usd", "1000000")
        assert (done.exit_code, done.output) == (0, "All is well.\n")

    def test_alerts_are_json_for_programs(self, path: Path) -> None:
        done = self.run(path, "--format", "json", "--budget-usd", "4")
        assert [alert["kind"] for alert in json.loads(done.output)] == ["price_unknown", "budget_burn"]

    def test_a_hook_is_named_by_its_module(self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.path", list(__import__("sys").path))
        (tmp_path / "my_pager.py").write_text(
            "class Pager:\n    def on_alert(self, alert):\n        open('paged.txt', 'a').write(alert.kind)\n"
        )
        assert self.run(path, "--hook", "my_pager:Pager").exit_code == 1
        assert (tmp_path / "paged.txt").read_text() == "price_unknown"

    def test_a_mistyped_team_is_no_team_within_its_budget(self, path: Path) -> None:
        done = self.run(path, "--team", "serach", "--budget-usd", "1", "--ignore", "price_unknown")
        assert isinstance(done.exception, InputError)
        assert "team 'serach' yet. Known teams: search." in str(done.exception)
        assert self.run(path, "--team", "search", "--budget-usd", "1", "--ignore", "price_unknown").exit_code == 1

    def test_silence_is_not_called_well(self, tmp_path: Path) -> None:
        """Recording that has stopped raises no alert."""
        with open_ledger(tmp_path / "old.db") as ledger:
            spend(ledger, 5.0, day=day_that_lasts() - 40)
        done = self.run(tmp_path / "old.db")
        assert done.exit_code == 0
        assert "All is well" not in done.output
        assert "is the ledger still written to?" in done.output

    def test_a_mistyped_ledger_is_not_made(self, tmp_path: Path) -> None:
        done = self.run(tmp_path / "typo.db")
        assert "There is no ledger" in str(done.exception)
        assert not (tmp_path / "typo.db").exists()
