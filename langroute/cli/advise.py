"""`langroute advise`: what recorded traffic, or a ledger, says about routes to leave, cascades and trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from langroute.cli.engines import engine_of, engine_option, resume_option
from langroute.cli.ledgers import ledger_option, open_existing
from langroute.cli.options import NumberRange, format_option, since_option
from langroute.cli.terminal import Terminal
from langroute.core.errors import InputError
from langroute.core.plain_text import one_line
from langroute.core.storable import strict_json

SAME = "the same requests"
"""Where a ratio of costs is taken from, unless it is a guess."""


@click.command()
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
@ledger_option
@since_option("all")
@click.option(
    "--prices", type=click.Path(), metavar="FILE", help="TOML with a table [prices]; routes never asked are candidates by it."
)
@click.option(
    "--frontier", metavar="ROUTE", help="The route in use; the one that served most, else the best single route, by default."
)
@click.option("--by", default="task", show_default=True, metavar="A,B", help="What makes a family: some of task, kind, node, team.")
@click.option(
    "--margin", type=NumberRange(0.001, 0.5), default=0.03, show_default=True, help="Loss of success that a trial accepts."
)
@click.option(
    "--value-usd", type=NumberRange(min=0, min_open=True), help="Worth of a solved task: the margin is what a saving pays for."
)
@click.option("--power", type=NumberRange(0.5, 0.99), default=0.8, show_default=True, help="Chance that a trial proves what is so.")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Lines of each table.")
@format_option("table", "json")
@engine_option
@resume_option
def advise(
    files: tuple[str, ...],
    ledger: str,
    since: str,
    prices: str | None,
    frontier: str | None,
    by: str,
    margin: float,
    value_usd: float | None,
    power: float,
    top: int,
    form: str,
    named: str | None,
    resume: Path | None,
) -> None:
    """Say which routes to leave, what a cascade needs, and which trials are worth it.

    Reads traffic files, or the ledger where no file is named.
    """
    from langroute.learning.families import TrialTerms
    from langroute.learning.prices import read_prices

    dimensions = [part.strip() for part in by.split(",") if part.strip()]
    terms = TrialTerms(margin=margin, value_usd=value_usd, power=power)
    given = {"prices": read_prices(prices) if prices else None, "frontier": frontier, "by": dimensions, "terms": terms}
    result = _of_files(files, ledger, named, resume, given) or _of_ledger(ledger, since, given)
    if form == "json":
        click.echo(strict_json(result))
    else:
        _show(result, top)


def _of_files(
    files: Sequence[str], ledger: str, named: str | None, resume: Path | None, given: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the advice on files, or on a lake; `None` where there is a ledger alone."""
    from langroute.learning.advise import advise_files
    from langroute.ledger.lake import is_lake

    if files or is_lake(ledger):
        return advise_files(files or [ledger], **given, engine=engine_of(named, resume))
    if named is not None or resume is not None:
        raise InputError("A ledger is read in one process: leave out --engine and --resume, or name files.")
    return None


def _of_ledger(ledger: str, since: str, given: Mapping[str, Any]) -> dict[str, Any]:
    from langroute.learning.advise import advise
    from langroute.learning.traffic import parse_exchange
    from langroute.ledger.export import export_traffic
    from langroute.reports.window import Window

    window = Window.since(since)
    with open_existing(ledger) as opened:
        rows = export_traffic(opened, since=window.start or 0.0, until=window.end)
        return advise((parse_exchange(row, f"decision {row['id']}") for row in rows), **given)


def _show(result: Mapping[str, Any], top: int) -> None:
    from langroute.reports.words import usd

    console = Terminal()
    used = f"; in use: {result['frontier']}" if result["frontier"] else ""
    about = "about " if result["sampled"] < 1 else ""
    console.print(f"{result['requests']:,} requests, {about}{usd(result['cost_usd'])}{used}", style="bold", soft_wrap=True)
    if result["sampled"] < 1:
        console.print(f"Told from a sample of {result['sampled']:.1%} of the tasks.", soft_wrap=True)
    console.print(_routes(result, top))
    for text in _line(result):
        console.print(text, soft_wrap=True)
    if result["pairs"]:
        console.print(_pairs(result, top))
        console.print(
            "Break-even: the accuracy of a verifier at which cheap first solves as much as the strong route alone, with its 95 % interval; below "
            "it the cascade loses tasks. Beside it how often verdicts on the cheap route's answers agree with outcomes that were told; where hardly "
            "any rejected answer has one, how often accepted answers are right. `rejects` is what a verifier that accepts every right answer has to "
            "reject of the wrong ones.",
            soft_wrap=True,
        )
    families = [one for one in result["families"] if one["candidate"]]
    if families:
        console.print(_families(families, top))
    if result["luck"]["routes"]:
        console.print(_luck(result, top))
    for text in (*_oracle(result["luck"]["oracle"]), *result["notes"]):
        console.print(text, soft_wrap=True)


def _table(title: str, columns: Sequence[str], left: int = 1) -> Table:
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place < left else "right", overflow="fold")
    return table


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.1%} to {high:.1%})"


def _routes(result: Mapping[str, Any], top: int) -> Table:
    from langroute.reports.words import usd

    table = _table(
        "Routes", ("route", "runs", "success", "a run", "a success", "if it served all", "against random mixes of routes")
    )
    for one in result["routes"][:top]:
        drawn = one["drawn"]
        table.add_row(
            one["route"],
            f"{one['asked']:,}",
            "not told" if one["quality"] is None else f"{one['quality']:.1%}{_range(one['quality_low'], one['quality_high'])}",
            usd(one["cost_usd"]),
            usd(one["success_usd"]),
            "–" if drawn is None else f"{drawn['quality']:.1%}{_range(drawn['quality_low'], drawn['quality_high'])}",
            _stands(one["against_line"]),
        )
    return table


def _stands(against: Mapping[str, Any] | None) -> str:
    if against is None:
        return "not compared"
    if against["on_line"]:
        return "on the line"
    same = f"same success {against['saved_share']:.0%} cheaper by {_mix(against['same_quality'])}"
    return f"dominated: {same}" if against["gain_low"] > 0 else f"below the line, perhaps by chance: {same}"


def _mix(shares: Mapping[str, float]) -> str:
    return " + ".join(f"{share:.0%} {one_line(name)}" if share < 1 else one_line(name) for name, share in shares.items())


def _line(result: Mapping[str, Any]) -> list[str]:
    from langroute.reports.words import usd

    if not result["line"]:
        return []
    corners = ", ".join(f"{one_line(one['route'])} ({one['quality']:.1%} at {usd(one['cost_usd'])})" for one in result["line"])
    return [f"The line to beat, drawn by lot between its neighbours, over {result['compared']:,} compared requests: {corners}."]


def _pairs(result: Mapping[str, Any], top: int) -> Table:
    columns = (
        "cheap first",
        "then",
        "requests",
        "break-even",
        "verifier, measured",
        "rejects",
        "saves there",
        "solves at 90 %",
        "saves at 90 %",
        "above mixes from",
    )
    table = _table("Cheap first with a verifier", columns, left=2)
    for one in result["pairs"][:top]:
        nine = next(point for point in one["at"] if point["accuracy"] == 0.9)
        beats = one["beats_mix_from"]
        table.add_row(
            one["cheap"],
            one["strong"],
            f"{one['requests']:,}",
            f"{one['break_even']:.2f} ({one['break_even_low']:.2f} to {one['break_even_high']:.2f})",
            _verifier(one["verifier"]),
            f"{one['rejects_if_accepts_all']:.0%}",
            _share(one["break_even_saving"]),
            f"{nine['quality'] - one['strong_quality']:+.1%}",
            _share(None if nine["cost_usd"] is None or not one["strong_usd"] else 1 - nine["cost_usd"] / one["strong_usd"]),
            "–" if beats is None else f"{beats:.2f}",
        )
    return table


def _verifier(found: Mapping[str, Any] | None) -> str:
    """Return what outcomes say of the verifier of the cheaper route's answers."""
    if found is None:
        return "not told"
    said = {"enough": "enough", "too low": "too low: loses", "open": "too few to tell"}[found["verdict"]]
    share = f"{found['share']:.2f} ({found['low']:.2f} to {found['high']:.2f}) of {found['of']:,}"
    if found["measured"] == "accuracy":
        return f"{share}: {said}"
    return f"accepted right {share}, needs {found['needed']:.2f}: {said}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _families(families: Sequence[Mapping[str, Any]], top: int) -> Table:
    from langroute.reports.words import usd

    columns = (
        "family",
        "in use",
        "candidate",
        "tasks",
        "success",
        "saves",
        "change in success",
        "what is known",
        "tasks each by lot",
        "tasks on both",
    )
    table = _table("Families, by what a cheaper route would save", columns, left=3)
    for one in families[:top]:
        table.add_row(
            one["name"],
            one["route"],
            one["candidate"],
            f"{one['tasks']:,}",
            "not told" if one["success"] is None else f"{one['success']:.1%}",
            f"{'' if one['cost_ratio_from'] == SAME else 'about '}{usd(one['saving_usd'])} ({one['saving_share']:.1%})",
            "not known"
            if one["change"] is None
            else f"{one['change']:+.1%} ({one['change_low']:+.1%} to {one['change_high']:+.1%})",
            _known(one),
            "–" if one["state"] != "open" else _number(one["tasks_to_assign"]),
            "–" if one["state"] != "open" else _number(one["tasks_to_shadow"]),
        )
    return table


def _known(one: Mapping[str, Any]) -> str:
    margin = f"{one['margin']:.1%}"
    if one["state"] == "proven":
        return f"within {margin}: move it down"
    if one["state"] == "worse":
        return f"loses more than {margin}: leave it"
    return "worth a trial" if one["worth_a_trial"] else "open; saves little"


def _number(count: int | None) -> str:
    return "cannot be shown" if count is None else f"{count:,}"


def _luck(result: Mapping[str, Any], top: int) -> Table:
    columns = ("route", "requests", "runs each", "success", "two runs alike", "luck", "one of two runs")
    table = _table("Luck and skill, from requests that were run repeatedly", columns)
    for one in result["luck"]["routes"][:top]:
        table.add_row(
            one["route"],
            f"{one['requests']:,}",
            f"{one['runs']:.1f}",
            f"{one['quality']:.1%}{_range(one['quality_low'], one['quality_high'])}",
            f"{one['agreement']:.1%}",
            f"{one['luck']:.0%}",
            f"{one['twice']:.1%}",
        )
    return table


def _oracle(oracle: Mapping[str, Any] | None) -> list[str]:
    if oracle is None:
        return []
    best = one_line(oracle["best"])
    said = (
        f"Choosing among {len(oracle['routes'])} routes by request ({oracle['requests']:,} requests): the oracle of one run has "
        f"{oracle['one_run']:.1%}, luck included; one of two runs of {best} has {oracle['best_twice']:.1%} without any choice. The route that is best "
        f"by all other runs of a request has {oracle['known']:.1%}, {best} for everything {oracle['best_alone']:.1%}; no choice has more than about "
        f"{oracle['flattered']:.1%}."
    )
    return [said]
