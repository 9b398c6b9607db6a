"""`langroute alert`: alert rules for CI and cron. Exit code 0: no alert; 1: at least one alert; 2: they could not be checked."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from langroute.cli.ledgers import ledger_option, open_existing
from langroute.cli.objects import working_directory_counts
from langroute.cli.options import NumberRange, days_since, format_option, length_in_days
from langroute.core.errors import InputError
from langroute.core.object_names import object_at
from langroute.core.plain_text import one_line
from langroute.core.storable import strict_json
from langroute.estimators.store import load_policy_file
from langroute.learning.drift import UNKNOWN
from langroute.ledger.schema import labels
from langroute.reports.alerts import (
    PERIODS,
    Alert,
    AlertRule,
    BudgetBurn,
    ModelChanged,
    PriceUnknown,
    RouteFailing,
    SuccessDrop,
    check,
)
from langroute.reports.build import build_report
from langroute.reports.drift import PolicyDrift
from langroute.reports.model import TASK_DIMENSIONS
from langroute.reports.window import Window

KINDS = ("budget_burn", "success_drop", "price_unknown", "model_changed", "route_failing", "drift")


@click.command()
@click.option("--budget-usd", type=float, help="Tell when this is spent, or will be at this pace.")
@click.option("--per", type=click.Choice(PERIODS), default="month", show_default=True, help="The time the budget is for.")
@click.option("--team", help="The team whose budget it is; all by default.")
@click.option(
    "--since",
    "days",
    metavar="TIME",
    default="7d",
    show_default=True,
    callback=days_since,
    help="What is looked at: 7d, 2w, or a date such as 2026-11-01.",
)
@click.option(
    "--before",
    metavar="TIME",
    default="28d",
    show_default=True,
    callback=length_in_days,
    help="The time before that, to compare with: 28d, 4w.",
)
@click.option(
    "--by", type=click.Choice(TASK_DIMENSIONS[:4]), default="task_kind", show_default=True, help="Within what success is compared."
)
@click.option("--min-drop", type=NumberRange(0, 1), default=0.0, show_default=True, help="Smallest drop that matters, as a share.")
@click.option(
    "--policy", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A fitted policy: tell when it drifts."
)
@click.option("--ignore", multiple=True, type=click.Choice(KINDS), help="Leave this out; may be given several times.")
@click.option(
    "--hook", "hooks", multiple=True, metavar="MODULE:OBJECT", help="Tell this object's on_alert; may be given several times."
)
@format_option("text", "json")
@ledger_option
def alert(
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
    """Exit with 1 on budget burn, a drop in success, an unknown price, a changed model, a route that fails or a policy that drifts."""
    rules: dict[str, AlertRule] = {
        "success_drop": SuccessDrop(days=days, before=before, by=by, min_drop=min_drop),
        "price_unknown": PriceUnknown(days=days),
        "model_changed": ModelChanged(days=days, before=before),
        "route_failing": RouteFailing(days=days),
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
        alerts = check(opened, asked, hooks=listeners)
        if drift is not None and "drift" not in ignore:
            for verdict in drift.verdicts(opened, time.time()):
                if verdict.state == UNKNOWN:
                    # Reported beside the alerts: too little evidence is not the same as no problem.
                    of = f" of {verdict.route}" if verdict.route else ""
                    click.echo(one_line(f"drift: cannot tell{of}: {verdict.reason}"), err=True)
    _say(alerts, form, quiet)
    sys.exit(1 if alerts else 0)


def _drift(policy: Path | None) -> PolicyDrift | None:
    return None if policy is None else PolicyDrift(load_policy_file(policy))


def _known_team(ledger: Any, team: str) -> None:
    """Raise if a team has no recorded calls: a budget for a misspelled team would never be spent."""
    with ledger.reading() as connection:
        teams = sorted(connection.execute(select(labels.c.team).where(labels.c.team.is_not(None)).distinct()).scalars())
    if team not in teams:
        raise InputError(f"Nothing was recorded of team {team!r} yet. Known teams: {', '.join(teams) or 'none'}.")


def _quiet(ledger: Any, days: int) -> bool:
    """Return whether nothing was recorded lately: a program that stopped recording raises no alerts either."""
    total = build_report(ledger, Window.since(f"{days}d")).total
    return not (total.calls or total.tasks)


def _say(alerts: list[Alert], form: str, quiet: bool) -> None:
    if quiet:
        click.echo("Nothing was recorded in the latest days: is the ledger still written to?", err=True)
    if form == "json":
        click.echo(strict_json([asdict(alert) for alert in alerts], indent=2))
        return
    for alert in alerts:
        click.echo(one_line(f"{alert.kind}: {alert.message}"))
    if not alerts:
        click.echo("Nothing to tell of." if quiet else "All is well.")


def _named(name: str) -> Any:
    """Import the object that `module:object` names; the working directory is on the module path."""
    working_directory_counts()
    return object_at(name, "hook", "on_alert")
