"""`langroute explain`: explain why a route was chosen."""

from __future__ import annotations

from datetime import datetime, timezone

import click
from rich.table import Table

from langroute.cli.ledgers import ledger_option, open_existing
from langroute.cli.terminal import PIPED_WIDTH, Terminal
from langroute.core.errors import InputError
from langroute.core.plain_text import one_line, printable
from langroute.core.records import Decision
from langroute.hosts.explain import explain as told
from langroute.hosts.explain import usd

MOST = 1000
"""Most decisions that are listed at once."""


@click.command()
@click.argument("decision_id", metavar="[ID]", required=False)
@click.option(
    "--last", metavar="N", type=click.IntRange(1, MOST), help="List the latest N decisions, a line each, the newest at the end."
)
@ledger_option
def explain(decision_id: str | None, last: int | None, ledger: str) -> None:
    """Say in a few lines why a route was chosen, what was tried and what was rejected.

    ID is a decision's, as in `response_metadata["langroute"]["decision_id"]`; without one, the latest decision is explained.
    """
    if decision_id is not None and last is not None:
        raise click.UsageError("Give the id of a decision or --last, not both.")
    with open_existing(ledger) as opened:
        if last is None:
            click.echo(printable(told(decision_id, opened)))
            return
        decisions = opened.recent(last)
    if not decisions:
        raise InputError("No decision has been recorded yet.")
    # As wide as it takes: an id that was cut in a narrow terminal leads nowhere.
    Terminal(width=PIPED_WIDTH).print(_listed(decisions))


def _listed(decisions: list[Decision]) -> Table:
    """Return a table of a line for each decision; its id leads to the rest."""
    table = Table(box=None, pad_edge=False)
    for name in ("when (UTC)", "id", "step", "route"):
        table.add_column(name, no_wrap=True)
    table.add_column("cost", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for decision in decisions:
        when = datetime.fromtimestamp(decision.started_at, timezone.utc)
        table.add_row(
            f"{when:%Y-%m-%d %H:%M:%S}",
            decision.id,
            one_line(decision.step.kind),
            one_line(decision.route or "no route"),
            usd(decision.cost_usd),
            one_line(decision.reason or "no reason given"),
        )
    return table
