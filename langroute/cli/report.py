"""`langroute report` and `langroute dashboard`: show spend and outcomes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.cells import cell_len
from rich.table import Table

from langroute.cli.lakes import open_readable
from langroute.cli.ledgers import ledger_option, open_existing
from langroute.cli.options import format_option, since_option
from langroute.cli.terminal import Terminal
from langroute.core.writing import replacing
from langroute.reports.build import build_report
from langroute.reports.chargeback import to_focus
from langroute.reports.columns import TABLE_COLUMNS
from langroute.reports.formats import to_csv, to_json
from langroute.reports.model import DIMENSIONS, Report
from langroute.reports.stats import Range
from langroute.reports.window import Window
from langroute.reports.words import cascade_of, count, errors_of, named, percent, seconds, span, usd


def _window_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--until", metavar="DATE", help="Last day; today by default.")(command)
    return since_option("7d")(command)


def _hourly(_: Any, __: Any, value: str | None) -> Range | None:
    if value is None:
        return None
    low, _dash, high = value.partition("-")
    try:
        found = Range(float(low), float(high or low))
    except ValueError:
        raise click.BadParameter("give a number of USD, or two of them: 40-80") from None
    if not 0 <= found.low <= found.high:
        raise click.BadParameter("the lower number comes first, and neither is below 0")
    return found


@click.command()
@click.option("--by", type=click.Choice(DIMENSIONS), default="task_kind", show_default=True, help="What the lines are.")
@_window_options
@format_option("table", "json", "csv", "html", "focus", help="`focus` is a chargeback in the columns of the FOCUS specification.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Where to write; standard output by default.")
@click.option(
    "--hourly-usd", metavar="USD[-USD]", callback=_hourly, help="What an hour of a person's time is worth, for the return."
)
@click.option("--footprint", is_flag=True, help="Estimate energy and CO2; needs langroute[energy].")
@click.option("--raw", is_flag=True, help="Read raw rows rather than daily sums: slower, the same numbers.")
@ledger_option
def report(
    by: str,
    since: str,
    until: str | None,
    form: str,
    output: Path | None,
    hourly_usd: Range | None,
    footprint: bool,
    raw: bool,
    ledger: str,
) -> None:
    """Show what was spent and what came of it."""
    window = Window.since(since, until)
    with open_readable(ledger) as opened:
        if form == "focus":
            _write(to_focus(opened, window, raw=raw), output)
            return
        if form == "html":
            from langroute.reports.page import write_page
            from langroute.reports.pagedata import page_data

            _write(write_page(page_data(opened, window, hourly_usd=hourly_usd, footprint=footprint, raw=raw)), output)
            return
        made = build_report(opened, window, by=by, hourly_usd=hourly_usd, footprint=footprint, raw=raw)
    if form == "json":
        _write(to_json(made) + "\n", output)
    elif form == "csv":
        _write(to_csv(made), output)
    elif output is not None:
        written = io.StringIO()
        show(made, Terminal(file=written))
        _write(written.getvalue(), output)
    else:
        show(made, Terminal())


@click.command()
@since_option("30d", hours=False)
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="0 takes any free one.")
@click.option(
    "--hourly-usd", metavar="USD[-USD]", callback=_hourly, help="What an hour of a person's time is worth, for the return."
)
@ledger_option
def dashboard(since: str, port: int, hourly_usd: Range | None, ledger: str) -> None:
    """Serve the report as a live page on 127.0.0.1."""
    from langroute.reports.serve import DashboardServer

    Window.since(since)
    with open_existing(ledger) as opened, DashboardServer(opened, since=since, port=port, hourly_usd=hourly_usd) as server:
        click.echo(f"Serving {server.link} until Ctrl-C.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("Stopped.")


def _write(text: str, output: Path | None) -> None:
    if output is None:
        # Written as bytes, because the page declares UTF-8 whatever the terminal's encoding is.
        click.echo(text.encode(), nl=False)
        return
    # Readable by its owner only: it names teams and users.
    with replacing(output) as file:
        file.write(text)
    click.echo(f"Wrote {output} ({len(text.encode()) / 1e6:.2f} MB).", err=True)


def show(made: Report, console: Terminal) -> None:
    """Print a report for people."""
    console.print(made.first_line, style="bold red" if made.unknown_prices else "bold", soft_wrap=True)
    console.print(f"{made.window}; read from {made.source}.", style="dim")
    table, left_out = _lines(made, console.width)
    console.print(table)
    if left_out:
        console.print(f"No room for {', '.join(left_out)}: widen the terminal, or take --format csv.", style="dim", soft_wrap=True)
    for text in (
        *_savings(made),
        *_worth(made),
        *_tiers(made),
        *map(cascade_of, made.subtasks),
        *_errors(made),
        *_prices(made),
        *_footprint(made),
        *made.notes,
    ):
        console.print(text, soft_wrap=True)


NAME_WIDTH = 16
"""Width at which names wrap where space is short."""


def _lines(made: Report, width: int) -> tuple[Table, list[str]]:
    """Return a table with the columns that fit, and the names of those left out."""
    total = made.total
    first = made.by.replace("_", " ")
    names = [named(line.key) for line in made.lines]
    cells = {one.named(made.by): [one.show(line) for line in (*made.lines, total)] for one in TABLE_COLUMNS}
    room = width - 4 - min(NAME_WIDTH, max(cell_len(name) for name in (first, "total", *names)))

    def needed() -> int:
        return sum(3 + max(cell_len(part) for text in (name, *shown) for part in text.split("\n")) for name, shown in cells.items())

    if needed() > room:
        cells = {name: [text.replace("at least ", "at least\n") for text in shown] for name, shown in cells.items()}
    left_out = []
    dispensable = sorted((one.keep, one.named(made.by)) for one in TABLE_COLUMNS if one.keep is not None)
    for _, name in dispensable:
        if needed() > room:
            left_out.append(name)
            del cells[name]
    table = Table(title=f"By {first}", title_justify="left", show_footer=True)
    table.add_column(first, footer="total", overflow="fold")
    for name, shown in cells.items():
        table.add_column(name, footer=shown[-1], justify="right", no_wrap=needed() <= room)
    for place, name in enumerate(names):
        table.add_row(name, *(shown[place] for shown in cells.values()))
    return table, left_out


def _savings(made: Report) -> list[str]:
    saved = made.savings
    if not saved.compared:
        if not saved.decisions:
            return ["Savings: nothing to compare with; no decision of a router was recorded."]
        return ["Savings: unknown; no decision has both a known cost and a known baseline."]
    against = " or ".join(saved.baselines) or "the baseline route"
    share = "" if saved.net_share is None else f" ({percent(saved.net_share)})"
    priced = (
        f"Savings against {against} for everything: {usd(saved.net_usd, sign=True)} net{share} = baseline {usd(saved.baseline_usd)} "
        f"- spent {usd(saved.cost_usd)} (every attempt, of which {count(saved.rejected_calls)} were thrown away, and "
        f"{usd(saved.checks_usd)} for checks) - cold prompt caches {usd(saved.cold_usd)}; "
        f"over {count(saved.compared)} of {count(saved.decisions)} decisions. Deciding took {seconds(saved.overhead_s) or '0 s'}."
    )
    out = [priced]
    measured = saved.measured_per_success
    if measured is not None:
        steps = "" if saved.extra_steps is None else f", with {saved.extra_steps:+.1f} steps a task"
        share = "" if saved.measured_share is None else f" ({percent(abs(saved.measured_share))})"
        kinds = "" if saved.measured_kinds < 2 else f", within {saved.measured_kinds} kinds of task"
        out.append(
            f"Measured on whole tasks: a success cost {usd(abs(measured))}{share} {'less' if measured >= 0 else 'more'} than with "
            f"{saved.best_single} alone, "
            f"the best single route{steps}{kinds}. Tasks were not assigned by chance."
        )
    elif saved.best_single is None:
        out.append(
            "Extra steps are not measured: too few tasks with an outcome were done by one route alone (20 of each kind of task are needed)."
        )
    if saved.best_single is not None and saved.baselines and saved.best_single not in saved.baselines:
        out.append(
            f"Mind the baseline: {saved.best_single} alone did its tasks cheapest with a success that is not clearly lower; "
            f"savings against {against} are larger than against it."
        )
    hits = made.total.response_hits
    if hits:
        out.append(f"Response cache: {count(hits)} hits, whose calls would have cost {usd(made.total.response_saved_usd)}.")
    if saved.prompt_cache_usd is not None:
        out.append(f"Providers' prompt caches saved {usd(saved.prompt_cache_usd)} at list prices (in the spend already).")
    return out


def _worth(made: Report) -> list[str]:
    worth = made.worth
    out = []
    if worth.hours_saved is not None:
        other = f"; people spent {worth.review_hours:,.1f} h on other tasks" if worth.review_hours else ""
        out.append(f"Hours saved: {worth.hours_saved:,.1f}, over {count(worth.tasks_with_baseline)} tasks with a baseline{other}.")
    if worth.return_share is not None:
        low, high = worth.return_share.low, worth.return_share.high
        out.append(f"Return on the spend: {low:+,.1f} to {high:+,.1f} USD for each USD.")
    return out


def _tiers(made: Report) -> list[str]:
    total = sum(share.decisions for share in made.tiers)
    if not total:
        return []
    parts = [f"{named(share.tier)} {percent(share.decisions / total)}" for share in made.tiers]
    return ["Decisions by tier: " + ", ".join(parts) + "."]


def _errors(made: Report) -> list[str]:
    if not made.route_errors:
        return []
    return ["Errors by route: " + "; ".join(errors_of(one) for one in made.route_errors) + "."]


def _prices(made: Report) -> list[str]:
    if not made.unknown_prices:
        return []
    lines = [
        f"  {named(one.model)} (route {named(one.route)}, provider {named(one.provider)}): "
        f"{count(one.calls)} calls, {count(one.tokens)} tokens"
        for one in made.unknown_prices
    ]
    return ["Unknown prices; give them with prices={...} or Route(..., price=...):", *lines]


def _footprint(made: Report) -> list[str]:
    found = made.footprint
    if found is None:
        return []
    left = f" Not covered: {', '.join(found.left_out)}." if found.left_out else ""
    estimate = (
        f"Energy {span(found.energy_kwh, 'kWh', 4)}, greenhouse gases {span(found.co2e_kg, 'kg CO2e', 4)}, "
        f"for {percent(found.covered)} of the output tokens.{left} Method: {found.method}"
    )
    return [estimate]
