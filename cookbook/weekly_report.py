"""Send a team its weekly report: spend, outcomes, and what to review.

Two teams' tickets are answered through one router that records into a ledger; each ticket's outcome is recorded when it is known. On Monday
each team gets a few lines of its own and the page with all of it. The models are scripted so that the recipe runs offline. `langroute
report --by team` and `langroute report --format html -o report.html` do the same from the terminal.

Output:
    To help desk:
      6 tasks for 0.0261 USD; success 83 % (44–97), 0.00523 USD for each success; 1.1 hours saved.
      0.000956 USD less than with frontier for everything.
    To writers:
      4 tasks for 0.0174 USD; success not told, unknown for each success; no baseline was declared.
      0.000637 USD less than with frontier for everything.
    Worst: ticket-5 (help desk), 0.00436 USD, 2 steps.
    The page is one file of ... MB.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from langroute import ChatRouter, Route
from langroute.core.records import Outcome
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.policies import Rule, Rules
from langroute.reports import Window, build_report
from langroute.reports.page import write_page
from langroute.reports.pagedata import page_data
from langroute.reports.words import money, rate, usd
from langroute.testing import ScriptedModel


def work(ledger: Any) -> None:
    """Simulate a week of two teams."""
    # With real models:
    #   model = ChatRouter({"cheap": "openai:gpt-5-mini", "frontier": "anthropic:claude-opus-4-6"}, policy=..., ledger=ledger)
    model = ChatRouter(
        {
            "cheap": Route(ScriptedModel("Printer on fire"), price={"input": 0.25, "output": 2}),
            "frontier": Route(ScriptedModel("First unplug it, then put it out. " * 20), price={"input": 5, "output": 25}),
        },
        policy=Rules([Rule("cheap", kind="title")], default="frontier"),
        ledger=ledger,
    )
    for number in range(1, 11):
        team = "help desk" if number <= 6 else "writers"
        with task(f"ticket-{number}", kind="support", team=team):
            model.invoke("Give this conversation a short title: the printer is on fire")
            model.invoke("Why does a printer catch fire, and what should be done first?")
        if team == "help desk":
            # The ticket system tells whether the ticket was opened again.
            done = Outcome(success=number != 5, task_id=f"ticket-{number}", source="tickets", baseline_minutes=15, human_minutes=2)
            ledger.record_outcome(done)


def main() -> None:
    """Record a week, then write to each team."""
    with tempfile.TemporaryDirectory() as folder, open_ledger(Path(folder) / "ledger.db") as ledger:
        work(ledger)
        week = Window.since("7d")
        for line in sorted(build_report(ledger, week, by="team").lines, key=lambda line: line.key or ""):
            print(f"To {line.key}:")
            hours = "no baseline was declared" if line.hours_saved is None else f"{line.hours_saved:.1f} hours saved"
            success = f"success {rate(line.success)}, {money(line.per_success)} for each success"
            print(f"  {line.tasks} tasks for {money(line.spend)}; {success}; {hours}.")
            print(f"  {usd(line.saved_usd)} less than with frontier for everything.")
        page = page_data(ledger, week)
        worst = page["timelines"][page["lists"]["worst"][0]]
        print(f"Worst: {worst['id']} ({worst['team']}), {usd(worst['usd'])}, {worst['count']} steps.")
        print(f"The page is one file of {len(write_page(page)) / 1e6:.2f} MB.")


if __name__ == "__main__":
    main()
