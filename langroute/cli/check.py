"""`langroute check`: is anything wrong? For CI and cron: exit code 0 where all is well, 1 where something is, 2 where nobody can tell."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from langroute.cli.ledgers import ledger_option, open_existing
from langroute.cli.objects import working_directory_counts
from langroute.cli.terminal import printable
from langroute.errors import InputError
from langroute.estimators.store import load_policy_file
from langroute.learning.drift import UNKNOWN
from langroute.ledger.schema import labels
from langroute.naming import object_at
from langroute.reports.alerts import PERIODS, Alert, BudgetBurn, ModelChanged, PriceUnknown, Rule, SuccessDrop
from langroute.reports.alerts import check as ask
from langroute.reports.build import build_report
from langroute.reports.drift import PolicyDrift
from langroute.reports.model import TASK_DIMENSIONS
from langroute.reports.window import Window

KINDS = ("budget_burn", "success_drop", "price_unknown", "model_changed", "drift")


@click.command()
@click.option("--budget-usd", type=float, help="Tell when this is spent, or will be at this pace.")
@click.option("--per", type=click.Choice(PERIODS), default="month", show_default=True, help="The time the budget is for.")
@click.option("--team", help="The team whose budget it is; all by default.")
@click.option("--days", type=click.IntRange(1), default=7, show_default=True, help="Latest days that are looked at.")
@click.option("--before", type=click.IntRange(1), default=28, show_default=True, help="Days before them, to compare with.")
@click.option(
    "--by", type=click.Choice(TASK_DIMENSIONS[:4]), default="task_kind", show_default=True, help="Within what success is compared."
)
@click.option(
    "--min-drop", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Smallest drop that matters, as a share."
)
@click.option(
    "--policy", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A fitted policy: tell when it drifts."
)
@click.option("--ignore", multiple=True, type=click.Choice(KINDS), help="Leave this out; may be given several times.")
@click.option(
    "--hook", "hooks", multiple=True, metavar="MODULE:OBJECT", help="Tell this object's on_alert; may be given several times."
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@ledger_option
def check(
    budget_usd: float | None,
    per: str,
    team: str | None,
    days: int,
    before: int,
    by: str,
    min_drop: float,
    policy: Path | None,
    ignore: tuple[str, ...],
    hooks: tuple[str, ...],
    form: str,
    ledger: str,
) -> None:
    """Exit with 1 on budget burn, a drop in success, an unknown price, a changed model or a policy that drifts."""
    rules: dict[str, Rule] = {
        "success_drop": SuccessDrop(days=days, before=before, by=by, min_drop=min_drop),
        "price_unknown": PriceUnknown(days=days),
        "model_changed": ModelChanged(days=days, before=before),
    }
    if budget_usd is not None:
        rules["budget_burn"] = BudgetBurn(budget_usd, per=per, team=team)
    drift = _drift(policy)
    if drift is not None:
        rules["drift"] = drift
    asked = [rule for kind, rule in rules.items() if kind not in ignore]
    listeners = [_named(name) for name in hooks]
    with open_existing(ledger) as opened:
        if team is not None:
            _known_team(opened, team)
        quiet = _quiet(opened, days)
        alerts = ask(opened, asked, hooks=listeners)
        if drift is not None and "drift" not in ignore:
            for verdict in drift.verdicts(opened, time.time()):
                if verdict.state == UNKNOWN:
                    # Said beside the alerts: too little to tell is not the same as all is well.
                    click.echo(f"drift: cannot tell{f' of {verdict.route}' if verdict.route else ''}: {verdict.reason}", err=True)
    _say(alerts, form, quiet)
    sys.exit(1 if alerts else 0)


def _drift(policy: Path | None) -> PolicyDrift | None:
    return None if policy is None else PolicyDrift(load_policy_file(policy))


def _known_team(ledger: Any, team: str) -> None:
    """A budget of a team that is never heard of would never be spent."""
    with ledger.reading() as connection:
        teams = sorted(connection.execute(select(labels.c.team).where(labels.c.team.is_not(None)).distinct()).scalars())
    if team not in teams:
        raise InputError(f"Nothing was recorded of team {team!r} yet. Known teams: {', '.join(teams) or 'none'}.")


def _quiet(ledger: Any, days: int) -> bool:
    """Nothing was recorded lately: whoever stopped recording has no alerts either."""
    total = build_report(ledger, Window.since(f"{days}d")).total
    return not (total.calls or total.tasks)


def _say(alerts: list[Alert], form: str, quiet: bool) -> None:
    if quiet:
        click.echo("Nothing was recorded in the latest days: is the ledger still written to?", err=True)
    if form == "json":
        click.echo(json.dumps([asdict(alert) for alert in alerts], indent=2))
        return
    for alert in alerts:
        click.echo(printable(f"{alert.kind}: {alert.message}"))
    if not alerts:
        click.echo("Nothing to tell of." if quiet else "All is well.")


def _named(name: str) -> Any:
    """The object that `module:object` names; the working directory counts as a place for modules."""
    working_directory_counts()
    return object_at(name, "hook", "on_alert")
