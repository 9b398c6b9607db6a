"""`langroute explain`: why was this route chosen?"""

from __future__ import annotations

import click

from langroute.cli.ledgers import ledger_option, open_existing
from langroute.cli.terminal import printable
from langroute.explain import explain as told


@click.command()
@click.argument("decision_id", metavar="[ID]", required=False)
@ledger_option
def explain(decision_id: str | None, ledger: str) -> None:
    """Say in a few lines why a route was chosen, what was tried and what was rejected.

    ID is a decision's, as in `response_metadata["langroute"]["decision_id"]`; without one, the latest decision is explained.
    """
    with open_existing(ledger) as opened:
        click.echo(printable(told(decision_id, opened)))
