"""The HTML page in a real browser: same content as the report, accessibility, and access only with the token."""

from __future__ import annotations

import importlib.util
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from by_hand import NOW, TODAY, decided, tried
from waiting import day_that_lasts

from langroute import ChatRouter, Route
from langroute.core.errors import ConfigurationError
from langroute.core.records import Outcome
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.reports.build import build_report
from langroute.reports.page import MOST_BYTES, write_page
from langroute.reports.pagedata import NAMES, page_data
from langroute.reports.serve import DashboardServer
from langroute.reports.timeline import timeline_of
from langroute.reports.window import Window
from langroute.testing import ScriptedModel

WEEK = Window.since("7d", now=NOW)


def saved(ledger: Any, folder: Path, window: Window = WEEK) -> str:
    file = folder / "report.html"
    file.write_text(write_page(page_data(ledger, window)), encoding="utf-8")
    return file.as_uri()


def value(page: Any, figure: str) -> str:
    return str(page.locator(f"#{figure} .value").inner_text())


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Any]:
    """Eight hundred tasks of the benchmark's ledger."""
    place = Path(__file__).parents[2] / "benchmarks" / "reports.py"
    spec = importlib.util.spec_from_file_location("reports_benchmark", place)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    benchmark.fill(tmp_path / "many.db", tasks=800, steps=10, days=60, end=NOW, unknown=0.02)
    with open_ledger(tmp_path / "many.db") as ledger:
        yield ledger


class TestNumbers:
    def test_the_figures_are_the_reports(self, golden: Any, browse: Any, tmp_path: Path) -> None:
        page = browse(saved(golden, tmp_path))
        assert value(page, "f-spend") == "$3.90"
        assert value(page, "f-tasks") == "4"
        assert value(page, "f-success") == "67 %"
        assert value(page, "f-per") == "$1.95"
        assert value(page, "f-saved") == "$2.65"
        assert value(page, "f-hours") == "0.4"

    def test_a_filter_changes_every_figure(self, golden: Any, browse: Any, tmp_path: Path) -> None:
        page = browse(saved(golden, tmp_path))
        page.select_option("#team", label="search")
        assert [value(page, name) for name in ("f-spend", "f-tasks", "f-success", "f-per")] == ["$1.90", "2", "50 %", "$1.90"]
        page.select_option("#kind", label="fix")
        assert value(page, "f-tasks") == "0"
        assert page.locator("#spend .empty").inner_text() == "No calls in this selection."

    def test_the_time_filter_begins_on_the_day_it_names(self, ledger: Any, browse: Any, tmp_path: Path) -> None:
        for ago in range(20):
            with task(f"t{ago}"):
                ledger.record(decided(f"d{ago}", tried("small", 0.25), day=TODAY - ago))
        page = browse(saved(ledger, tmp_path, Window.since("30d", now=NOW)))
        page.select_option("#time", label="Since 2026-05-21")
        assert value(page, "f-spend") == "$1.75"
        assert value(page, "f-tasks") == "7"

    def test_unknown_prices_are_said_first(self, ledger: Any, browse: Any, tmp_path: Path) -> None:
        with task("t1"):
            ledger.record(decided("d1", tried("small", None, model="mystery")))
        page = browse(saved(ledger, tmp_path))
        assert page.locator("#first-line").inner_text().startswith("UNKNOWN PRICES: 1 of 1 calls")
        assert value(page, "f-spend") == "unknown"
        assert value(page, "f-per") == "unknown"

    def test_a_spend_of_which_nothing_is_known_is_no_bar_and_no_0(self, ledger: Any, browse: Any, tmp_path: Path) -> None:
        with task("t1", team="search", kind="support"):
            ledger.record(decided("d1", tried("small", None, model="mystery")))
        ledger.record_outcome(Outcome(success=True, task_id="t1", at=NOW))
        page = browse(saved(ledger, tmp_path))
        heights = page.locator("#spend figure rect").evaluate_all("bars => bars.map(bar => bar.getBoundingClientRect().height)")
        assert max(heights, default=0) == 0
        assert "Not drawn: 1 call without a known price." in page.locator("#spend .note").first.inner_text()
        assert "no cost is known: support" in page.locator("#quality .note").first.inner_text()
        for part in ("#spend", "#spenders", "#timeline", "#quality"):
            assert "unknown" in page.locator(part).text_content()
            assert "≥ $0" not in page.locator(part).text_content()

    def test_a_kind_that_only_failed_is_named_beside_the_picture(self, golden: Any, browse: Any, tmp_path: Path) -> None:
        """The worst kind of task has no cost per success to be drawn at; leaving it out in silence would flatter."""
        with task("t5", kind="translate"):
            golden.record(decided("d6", tried("small", 0.25)))
        golden.record_outcome(Outcome(success=False, task_id="t5", at=NOW))
        page = browse(saved(golden, tmp_path))
        assert "Not drawn, because no task succeeded: translate." in page.locator("#quality .note").first.inner_text()

    def test_routing_that_cost_more_is_not_called_a_saving(self, ledger: Any, browse: Any, tmp_path: Path) -> None:
        with task("t1"):
            ledger.record(decided("d1", tried("small", 3.0), baseline=1.0))
            ledger.record(decided("d2", tried("small", 3.0), baseline=None))
        page = browse(saved(ledger, tmp_path))
        assert value(page, "f-saved") == "−$2.00"
        assert page.locator("#f-saved .note").inner_text() == "200 % more than large alone; known for 1 of 2 decisions"

    def test_many_teams_become_others_and_no_money_is_lost(self, ledger: Any, tmp_path: Path) -> None:
        for number in range(40):
            with task(f"t{number}", team=f"team-{number}", kind=f"kind-{number % 20}"):
                ledger.record(decided(f"d{number}", tried("small", 0.25)))
        data = page_data(ledger, WEEK)
        assert len(data["teams"]) == len(data["kinds"]) == NAMES + 1
        assert data["teams"][-1] == data["kinds"][-1] == "(other)"
        assert sum(row[5] for row in data["calls"]) == pytest.approx(10.0)
        assert sum(row[3] for row in data["tasks"]) == 40

    def test_the_sums_of_the_page_are_those_of_the_report(self, many: Any) -> None:
        window = Window.since("60d", now=NOW)
        data, total = page_data(many, window), build_report(many, window).total
        assert sum(row[5] for row in data["calls"]) == pytest.approx(total.spend.usd, rel=1e-4)
        assert sum(row[6] for row in data["calls"]) == total.spend.unknown
        assert sum(row[3] for row in data["tasks"]) == total.tasks == 800
        assert sum(row[4] for row in data["tasks"]) == total.success.hits
        assert sum(row[5] for row in data["decisions"]) == total.decisions
        assert len(write_page(data).encode()) <= MOST_BYTES


class TestSelfContained:
    def test_it_asks_the_network_for_nothing(self, golden: Any, browse: Any, tmp_path: Path) -> None:
        """`browse` fails the test on any request; the policy in the head forbids them too."""
        page = browse(saved(golden, tmp_path))
        assert page.locator("figure svg").count() >= 5
        assert "connect-src 'none'" in page.content()
        text = (tmp_path / "report.html").read_text()
        assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=", text)

    def test_too_large_a_page_shows_fewer_tasks(self, golden: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        data = page_data(golden, WEEK)
        whole = write_page(data)
        monkeypatch.setattr("langroute.reports.page.MOST_BYTES", len(whole.encode()) - 1)
        smaller = write_page(data)
        assert len(smaller) < len(whole)
        assert smaller.startswith("<!doctype html>")

    def test_names_are_only_names(self, ledger: Any, browse: Any, tmp_path: Path) -> None:
        """`browse` fails the test where a dialog opens."""
        hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
        with task(hostile, team=hostile, kind=hostile):
            ledger.record(decided("d1", tried("small", 0.1)))
        ledger.record_outcome(Outcome(success=False, task_id=hostile, at=NOW))
        page = browse(saved(ledger, tmp_path))
        assert page.locator("#tasks tbody th").inner_text() == hostile
        assert page.locator("img").count() == 0

    def test_nothing_anybody_wrote_is_in_it(self, tmp_path: Path) -> None:
        """The default level keeps no prompt, answer, key, name of a user or comment; neither does the page."""
        canaries = (
            "CANARY-PROMPT",
            "CANARY-ANSWER",
            "CANARY-USER",
            "sk-CANARYKEY",
            "CANARY-COMMENT",
            "CANARY-ERROR",
            "CANARY-META",
        )
        with open_ledger(tmp_path / "ledger.db") as ledger:
            price = {"input": 1, "output": 2}
            model = ChatRouter(
                {
                    "small": Route(ScriptedModel(ValueError("CANARY-ERROR sk-CANARYKEY"), "CANARY-ANSWER"), price=price),
                    "large": Route(ScriptedModel("CANARY-ANSWER"), price=price),
                },
                ledger=ledger,
            )
            for name in ("t1", "t2"):
                with task(name, team="search", user="CANARY-USER"):
                    model.invoke("Summarize: CANARY-PROMPT", {"metadata": {"note": "CANARY-META"}})
            ledger.record_outcome(Outcome(success=False, task_id="t1", comment="CANARY-COMMENT"))
            page = write_page(page_data(ledger, Window.since("all")))
        assert '"t1"' in page
        for canary in canaries:
            assert canary not in page


class TestEverybody:
    @pytest.mark.parametrize("what, dark", [("empty", False), ("golden", True), ("golden", False), ("many", True)])
    def test_axe_finds_no_serious_fault(
        self, request: pytest.FixtureRequest, browse: Any, tmp_path: Path, what: str, dark: bool
    ) -> None:
        axe = pytest.importorskip(
            "axe_playwright_python.sync_playwright", reason="axe is not installed (pip install axe-playwright-python)"
        )
        ledger = request.getfixturevalue({"empty": "ledger"}.get(what, what))
        window = Window.since("60d", now=NOW)
        page = browse(saved(ledger, tmp_path, window), dark=dark, bypass_csp=True)
        for summary in page.locator("summary").all():
            summary.click()
        found = axe.Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")] == []

    def test_it_can_be_used_by_keyboard(self, golden: Any, browse: Any, tmp_path: Path) -> None:
        """Skip link, filters, tabs, a task's timeline: each is reached by Tab and opened by Enter."""
        page = browse(saved(golden, tmp_path))
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        reached = []
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.slice(0, 30)"))
            if reached[-1] == "t2":
                break
        assert reached[:4] == ["team", "kind", "time", "theme"]
        assert "Slowest" in reached
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "timeline"
        assert page.locator("#timeline h2").inner_text() == "One task, step by step: t2"

    def test_each_picture_has_a_name_and_a_table(self, golden: Any, browse: Any, tmp_path: Path) -> None:
        page = browse(saved(golden, tmp_path))
        for svg in page.locator("figure svg").all():
            assert svg.get_attribute("role") == "img"
            assert len(svg.get_attribute("aria-label")) > 20
        for card in ("spend", "success", "quality", "steps", "spenders"):
            page.locator(f"#{card} summary").click()
            assert page.locator(f"#{card} tbody tr").count() >= 1

    def test_one_day_is_a_bar_and_no_block(self, ledger: Any, browse: Any, tmp_path: Path) -> None:
        """A day that is alone takes no more room than a mark of the axis needs."""
        with task("t1"):
            ledger.record(decided("d1", tried("small", 0.25)))
        page = browse(saved(ledger, tmp_path), width=1360)
        wide = [bar.bounding_box()["width"] for bar in page.locator("#spend figure svg rect").all()]
        assert [round(one) for one in wide] == [32]

    def test_amounts_of_a_column_have_the_same_decimals(self, ledger: Any, browse: Any, tmp_path: Path) -> None:
        for number, usd in enumerate((0.0103, 0.124, 0.011, 0.00462, 0.0000004)):
            with task(f"t{number}"):
                ledger.record(decided(f"d{number}", tried("small", usd)))
        page = browse(saved(ledger, tmp_path))
        page.get_by_role("button", name="Dearest").click()
        cells = page.locator("#tasks td:nth-child(5)")
        assert cells.all_inner_texts() == ["$0.1240", "$0.0110", "$0.0103", "$0.0046", "<$0.0001"]
        assert {cell.evaluate("node => getComputedStyle(node).textAlign") for cell in cells.all()} == {"right"}

    def test_success_and_failure_have_a_mark_beside_their_colour(self, golden: Any, browse: Any, tmp_path: Path) -> None:
        page = browse(saved(golden, tmp_path))
        page.get_by_role("button", name="Latest").click()
        assert {text[0] for text in page.locator("#tasks .chip.good").all_inner_texts()} == {"✓"}
        assert {text[0] for text in page.locator("#tasks .chip.bad").all_inner_texts()} == {"✗"}

    def test_small_sums_read_alike_in_the_headline_and_in_the_figures(self, ledger: Any, browse: Any, tmp_path: Path) -> None:
        """A new user's first tasks cost a fraction of a cent."""
        for number in range(5):
            with task(f"t{number}", kind=f"kind {number}"):
                ledger.record(decided(f"d{number}", tried("small", 0.0000327)))
        page = browse(saved(ledger, tmp_path))
        assert "0.000164 USD" in page.locator("#first-line").inner_text()
        assert value(page, "f-spend") == "$0.000164"

    def test_a_wide_table_on_a_telephone_scrolls_and_keeps_its_words_whole(self, golden: Any, browse: Any, tmp_path: Path) -> None:
        page = browse(saved(golden, tmp_path), width=390)
        table = page.locator("#timeline .scroll").first
        assert table.evaluate("node => node.scrollWidth > node.clientWidth")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("#timeline td").first.bounding_box()["height"] < 80

    @pytest.mark.parametrize("width", [340, 1600])
    def test_nothing_sticks_out_at_any_width(self, golden: Any, browse: Any, tmp_path: Path, width: int) -> None:
        page = browse(saved(golden, tmp_path), width=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    @pytest.mark.parametrize("width", [320, 390, 1100])
    def test_a_minus_stays_with_its_number(self, ledger: Any, browse: Any, tmp_path: Path, width: int) -> None:
        with task("t1"):
            ledger.record(decided("d1", tried("small", 0.000345), baseline=0.000173))
        page = browse(saved(ledger, tmp_path), width=width)
        shown = page.locator("#f-saved .value")
        assert shown.inner_text() == "−$0.000172"
        assert shown.evaluate("node => node.getBoundingClientRect().height < 1.5 * parseFloat(getComputedStyle(node).lineHeight)")
        assert shown.evaluate("node => node.scrollWidth <= node.clientWidth + 1")

    @pytest.mark.parametrize("width", [390, 1280])
    def test_long_names_stay_in_their_cards(self, ledger: Any, browse: Any, tmp_path: Path, width: int) -> None:
        long = "a-name-that-goes-on-and-on-and-on-for-no-reason-at-all"
        for number in range(3):
            with task(f"{number}-{long}", kind=f"{number}-{long}", team=f"{number}-{long}"):
                ledger.record(decided(f"d{number}", tried("small", 0.1 + number), kind=f"{number}-{long}", tier=f"{number}-{long}"))
            ledger.record_outcome(Outcome(success=True, task_id=f"{number}-{long}", at=NOW))
        page = browse(saved(ledger, tmp_path), width=width)
        for part in ("#quality", "#steps", "#spenders"):
            card, shown = page.locator(part).bounding_box(), []
            for text in page.locator(f"{part} figure svg text").all():
                box = text.bounding_box()
                if box is not None and box["width"]:
                    shown.append(text.text_content())
                    assert box["x"] >= card["x"], (part, text.text_content())
                    assert box["x"] + box["width"] <= card["x"] + card["width"], (part, text.text_content())
            assert [name for name in shown if "a-name" in name], (part, shown)

    def test_it_follows_the_systems_colours_and_the_button(self, golden: Any, browse: Any, tmp_path: Path) -> None:
        page = browse(saved(golden, tmp_path), dark=True)
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        dark = page.evaluate(ground)
        page.get_by_role("button", name="Light colours").click()
        assert page.evaluate(ground) != dark

    def test_an_empty_ledger_says_what_is_missing(self, ledger: Any, browse: Any, tmp_path: Path) -> None:
        page = browse(saved(ledger, tmp_path))
        assert page.locator(".empty").count() >= 6
        assert value(page, "f-saved") == "unknown"
        assert value(page, "f-success") == "not told"


class TestTimeline:
    def test_each_step_says_where_it_went_and_why(self, golden: Any) -> None:
        found = timeline_of(golden, "t1")
        assert (found["success"], found["usd"], found["count"], found["escalations"]) == (True, pytest.approx(1.4), 2, 1)
        first, second = found["steps"]
        assert (first["route"], first["tier"], first["why"], first["usd"]) == ("small", "cheap", "a reason", 0.25)
        assert (second["at"], second["route"]) == (5.0, "large")
        assert [(route, said) for route, said, *_ in second["tried"]] == [("small", "score 0.20: judge"), ("large", "not checked")]

    def test_a_score_without_a_verdict_is_told_as_it_is(self, ledger: Any) -> None:
        """Decisions of one's own code and of another router may have scores that no verifier of ours gave."""
        with task("t1"):
            ledger.record(decided("d1", tried("small", 0.1, score=0.2), tried("large", 1.0)))
        assert timeline_of(ledger, "t1")["steps"][0]["tried"][0][1] == "score 0.20"

    def test_a_task_that_is_not_there_is_none(self, golden: Any) -> None:
        assert timeline_of(golden, "nobody") is None

    def test_the_page_shows_the_reasons(self, golden: Any, browse: Any, tmp_path: Path) -> None:
        page = browse(saved(golden, tmp_path))
        page.fill("#find", "t1")
        page.get_by_role("button", name="Show").click()
        text = page.locator("#timeline").inner_text()
        assert "tried small: score 0.20: judge, $0.10, 1.0 s" in text
        assert "escalations 1" in text
        page.fill("#find", "nobody")
        page.get_by_role("button", name="Show").click()
        assert "not among those this file carries" in page.locator("#timeline").inner_text()


TOKEN = "the-token-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class TestDashboard:
    @pytest.fixture
    def server(self, ledger: Any) -> Iterator[DashboardServer]:
        with DashboardServer(ledger, since="7d", token=TOKEN) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield server
            server.shutdown()
            thread.join(5)

    def now(self, ledger: Any, name: str, cost: float) -> None:
        with task(name, team="search"):
            ledger.record(decided(name, tried("small", cost), day=day_that_lasts()))

    def test_it_shows_what_came_in_since(self, ledger: Any, server: DashboardServer, browse: Any) -> None:
        self.now(ledger, "t1", 0.25)
        page = browse(server.link)
        assert value(page, "f-spend") == "$0.25"
        page.get_by_role("button", name="Pause").click()
        self.now(ledger, "t2", 0.5)
        page.get_by_role("button", name="Go on").click()
        page.locator("#f-spend .value", has_text="$0.75").wait_for()

    def test_any_task_can_be_opened(self, ledger: Any, server: DashboardServer, browse: Any) -> None:
        for number in range(60):
            self.now(ledger, f"t{number}", 0.25)
        page = browse(server.link)
        missing = next(
            name
            for name in (f"t{n}" for n in range(60))
            if name not in json.loads(page.locator("#data").text_content())["timelines"]
        )
        page.fill("#find", missing)
        page.get_by_role("button", name="Show").click()
        page.locator("#timeline h2", has_text=f": {missing}").wait_for()

    def test_it_serves_this_machine_only(self, server: DashboardServer) -> None:
        assert server.server_address[0] == "127.0.0.1"
        asked = urllib.request.Request(server.url + "data", headers={**BEARER, "Host": "evil.example:80"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=5)
        assert refused.value.code == 403

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8787", "LOCALHOST", "[::1]:8787"])
    def test_the_machines_own_names_are_answered(self, server: DashboardServer, host: str) -> None:
        """A browser leaves the port out where it is 80."""
        asked = urllib.request.Request(server.url + "data", headers={**BEARER, "Host": host})
        assert urllib.request.urlopen(asked, timeout=30).status == 200

    @pytest.mark.parametrize(
        "host",
        [
            "",
            "127.0.0.1.evil.example",
            "evil.example:127.0.0.1",
            "localhost.",
            "evil@127.0.0.1:80",
            "localhost:",
            "[::1",
            "127.0.0.1:8787/x",
            "0.0.0.0:8787",
        ],
    )
    def test_no_other_name_is(self, server: DashboardServer, host: str) -> None:
        asked = urllib.request.Request(server.url + "data", headers={**BEARER, "Host": host})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=30)
        assert refused.value.code == 403

    def test_a_ledger_that_fails_is_said_and_the_server_lives_on(
        self, ledger: Any, server: DashboardServer, capfd: pytest.CaptureFixture[str]
    ) -> None:
        ledger.flush()
        with ledger.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE places RENAME TO elsewhere")
        with pytest.raises(urllib.error.HTTPError) as failed:
            urllib.request.urlopen(urllib.request.Request(server.url + "data", headers=BEARER), timeout=30)
        assert failed.value.code == 503
        assert "The ledger cannot be read: no such table" in failed.value.read().decode()
        assert "Traceback" not in capfd.readouterr().err
        with ledger.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO places")
        assert urllib.request.urlopen(urllib.request.Request(server.url + "data", headers=BEARER), timeout=30).status == 200

    def test_old_numbers_do_not_pass_for_live_ones(self, ledger: Any, server: DashboardServer, chromium: Any) -> None:
        self.now(ledger, "t1", 0.25)
        page = chromium.new_page()
        page.goto(server.link)
        page.get_by_role("button", name="Pause").click()
        with ledger.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE places RENAME TO elsewhere")
        page.get_by_role("button", name="Go on").click()
        page.locator("#first-line", has_text="The dashboard does not answer. These numbers are of").wait_for(timeout=10_000)
        with ledger.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO places")
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Go on").click()
        page.locator("#first-line", has_text="Spend 0.25 USD").wait_for(timeout=10_000)
        page.close()

    def test_a_taken_port_is_said(self, ledger: Any, server: DashboardServer) -> None:
        with pytest.raises(ConfigurationError, match="Take another one"):
            DashboardServer(ledger, port=server.server_address[1])

    def test_what_is_not_there_is_not_found(self, server: DashboardServer) -> None:
        for path in ("../etc/passwd", "static/page.js", "task?id=nobody"):
            with pytest.raises(urllib.error.HTTPError) as missing:
                urllib.request.urlopen(urllib.request.Request(server.url + path, headers=BEARER), timeout=5)
            assert missing.value.code == 404
