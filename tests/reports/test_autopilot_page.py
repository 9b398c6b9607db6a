"""The page says what an autopilot has proven, what it tries and what it waits for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from by_hand import NOW
from waiting import wait_until

from langroute.core.records import Attempt, Decision, Outcome, Request, Selection, Step
from langroute.policies import Autopilot
from langroute.reports.autopilots import autopilots_of
from langroute.reports.page import write_page
from langroute.reports.pagedata import page_data
from langroute.reports.window import Window

WEEK = Window.since("7d", now=NOW)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x1b[2J"


def flown(ledger: Any, *, arm: str = "small", kind: str = "support") -> Autopilot:
    """An autopilot that has proven an arm for one kind of task, with money spent on the baseline."""
    pilot = Autopilot([arm], baseline="large", margin=0.3, id=f"care of {kind}")
    pilot.use_ledger(ledger)
    step = Step(task="t", task_kind=kind)
    assert pilot.select(Request("Hi.", step), ()) is not None
    pilot.on_decision(Decision("d", step, "large", (Attempt(Selection("large"), answer="x", cost_usd=0.5),), cost_usd=0.5))
    pilot.on_outcome(Outcome(success=True, task_id="t"))
    for _ in range(60):
        pilot.add_pair(arm, 1.0, 1.0, new_cost_usd=0.125, old_cost_usd=0.5, step=step)
    pilot.status()
    wait_until(lambda: bool(autopilots_of(ledger)))
    return pilot


def shown(ledger: Any, browse: Any, folder: Path) -> Any:
    file = folder / "report.html"
    file.write_text(write_page(page_data(ledger, WEEK)), encoding="utf-8")
    return browse(file.as_uri())


def test_verdicts_arms_spend_and_changes_are_on_the_page(ledger: Any, browse: Any, tmp_path: Path) -> None:
    pilot = flown(ledger)
    page = shown(ledger, browse, tmp_path)
    card = page.locator("#autopilots")
    said = " ".join(card.inner_text().split())
    assert "care of support: at most 0.3 less solved, baseline large." in said
    assert "small has 95% of the tasks, by proof nothing $22.50 +0.0" in said
    page.locator("#autopilots summary").first.click()
    rows = [" | ".join(row.locator("th, td").all_inner_texts()) for row in card.locator("details table tbody tr").all()]
    assert rows[0].startswith("all | large | baseline | 5 % | 1 | 1 | 100 % |")
    assert rows[0].endswith("$0.500 | $30.50")
    assert rows[1].startswith("all | small | adopted | 95 % | 0 | 0 + 60 pairs | 100 % |")
    assert rows[1].endswith("$0.125 | $7.50")
    assert len(rows) == 2, "the family of the one kind says the same as that of all, and is not repeated"
    page.locator("#autopilots summary").nth(1).click()
    assert "small adopted, not worse than the baseline by 0.3" in card.locator("li").first.inner_text()

    pilot.undo()
    again = shown(ledger, browse, tmp_path)
    assert "large has 100% of the tasks" in " ".join(again.locator("#autopilots").inner_text().split())


def test_names_are_only_names(ledger: Any, browse: Any, tmp_path: Path) -> None:
    """`browse` fails the test where a dialog opens or the page's program stumbles."""
    flown(ledger, arm=HOSTILE, kind=HOSTILE)
    page = shown(ledger, browse, tmp_path)
    said = page.locator("#autopilots").inner_text()
    assert "<img src=x" in said
    assert page.locator("img").count() == 0
    assert "\u202e" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_without_an_autopilot_nothing_is_shown(ledger: Any, browse: Any, tmp_path: Path) -> None:
    page = shown(ledger, browse, tmp_path)
    assert page.locator("#autopilots").is_hidden()


def test_what_waits_says_what_to_tell(ledger: Any) -> None:
    pilot = Autopilot(["small"], baseline="large", value_usd=5)
    pilot.use_ledger(ledger)
    pilot.on_decision(Decision("d", Step(task="t"), "large", (Attempt(Selection("large"), answer="x"),), cost_usd=0.5))
    pilot.status()
    wait_until(lambda: bool(autopilots_of(ledger)))
    (found,) = autopilots_of(ledger)
    (family,) = found["families"]
    assert found["goal"] == "a solved task is worth 5.00 USD, baseline large"
    assert (family["verdict"], family["waits_for"][:21]) == ("large has 100% of the tasks", "outcomes: record_outc")
    assert [arm["spent_usd"] for arm in family["arms"]] == [None, None]
