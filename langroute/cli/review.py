"""`langroute review`: rate decisions blindly, without knowing which model answered."""

from __future__ import annotations

import click
from rich.columns import Columns
from rich.panel import Panel
from rich.text import Text

from langroute.cli.ledgers import ledger_option, open_existing
from langroute.cli.options import since_option
from langroute.cli.terminal import Terminal
from langroute.core.errors import InputError
from langroute.core.records import Outcome
from langroute.reports.review import WHY, ReviewCandidate, candidates, rating, summary, tie
from langroute.reports.window import Window

NAMES = "AB"


@click.command()
@since_option("7d", hours=False)
@click.option("--count", type=click.IntRange(1), default=10, show_default=True, help="How many decisions.")
@click.option("--seed", type=int, help="Draw the same ones again.")
@click.option("--reviewer", default="review", show_default=True, help="Who rates; the outcomes' source.")
@ledger_option
def review(since: str, count: int, seed: int | None, reviewer: str, ledger: str) -> None:
    """Rate decisions worth a person's look; ratings become outcomes. Needs a ledger of level `full`."""
    console = Terminal()
    with open_existing(ledger, level="full") as opened:
        drawn = candidates(opened, Window.since(since), count=count, seed=seed)
        if not drawn:
            raise InputError(f"Nothing since {since} is worth a look: nothing cheap failed, nothing disagrees, nothing is unsure.")
        told: list[Outcome] = []
        for place, candidate in enumerate(drawn, 1):
            _show(console, candidate, f"{place} of {len(drawn)}")
            answer = _ask(candidate)
            if answer == "q":
                break
            if answer == "s":
                continue
            outcome = _outcome(candidate, answer, reviewer)
            opened.record_outcome(outcome)
            told.append(outcome)
            routes = ", ".join(f"{NAMES[i]} {one.route}{' (kept)' if one.kept else ''}" for i, one in enumerate(candidate.answers))
            console.print(f"{routes}; drawn because {WHY[candidate.why]}.", style="dim")
        console.print(summary(told))


def _show(console: Terminal, candidate: ReviewCandidate, place: str) -> None:
    console.rule(place)
    question = candidate.question or "(what was asked was not kept)"
    console.print(Panel(Text(question[-3000:]), title="CallOptions", title_align="left"))
    panels = [
        Panel(Text(one.text[:6000]), title=NAMES[i] if len(candidate.answers) > 1 else "Answer", title_align="left")
        for i, one in enumerate(candidate.answers)
    ]
    # Side by side if the terminal is wide enough.
    if len(panels) > 1 and console.width >= 100:
        console.print(Columns(panels, width=console.width // 2 - 1, expand=True))
    else:
        for panel in panels:
            console.print(panel)


def _ask(candidate: ReviewCandidate) -> str:
    if len(candidate.answers) > 1:
        text, choices = "Better: a, b, t(ie), n(either), s(kip), q(uit)", ["a", "b", "t", "n", "s", "q"]
    else:
        text, choices = "Will it do: y, n, s(kip), q(uit)", ["y", "n", "s", "q"]
    found: str = click.prompt(text, type=click.Choice(choices, case_sensitive=False), show_choices=False)
    return found.lower()


def _outcome(candidate: ReviewCandidate, answer: str, reviewer: str) -> Outcome:
    if answer == "t":
        return tie(candidate, reviewer=reviewer)
    preferred = {"a": 0, "y": 0, "b": 1}.get(answer)
    return rating(candidate, preferred, reviewer=reviewer)
