"""`langroute autopilot`: how the families of an autopilot stand, its changes of mind, and taking one back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from math import isfinite
from typing import Any

import click
from rich.table import Table

from langroute.cli.ledgers import ledger_option, open_existing
from langroute.cli.options import format_option
from langroute.cli.terminal import Terminal
from langroute.core.errors import InputError, StateError
from langroute.core.plain_text import one_line
from langroute.core.redis_url import is_redis_url
from langroute.ledger.connection import lacks_file, url_of
from langroute.policies.autopilot_status import ArmStatus, FamilyStatus, Undoable, hold_in, names_in, status_of, told_apart, undo_in
from langroute.reports.autopilots import LATEST, goal_of, said_of
from langroute.reports.words import usd
from langroute.state.resolve import open_state, state_of


@click.group(invoke_without_command=True)
@ledger_option
@click.option(
    "--store", metavar="URL", help="Where its state is, if not in the ledger's database: redis://..., postgresql://..., a file."
)
@click.option("--id", "name", help="Which autopilot, where there are several: its id or the beginning of it.")
@format_option("table", "json")
@click.pass_context
def autopilot(context: click.Context, ledger: str, store: str | None, name: str | None, form: str) -> None:
    """Show the families of an autopilot: arms, intervals, what it waits for, and its changes of mind."""
    context.obj = (ledger, store, name)
    if context.invoked_subcommand is not None:
        return
    with _store(ledger, store) as opened:
        chosen = _chosen(opened, name)
        documents = {one: Undoable(opened, f"autopilot:{one}").read() for one in chosen}
    if form == "json":
        click.echo(json.dumps({one: _plain(document) for one, document in documents.items()}, indent=2, allow_nan=False))
        return
    terminal = Terminal()
    for one, document in documents.items():
        show_autopilot(terminal, one, document)


@autopilot.command()
@click.argument("family", required=False)
@click.option("--number", type=int, help="Which change, by its number; by default the family's latest.")
@click.pass_obj
def undo(chosen: tuple[str, str | None, str | None], family: str | None, number: int | None) -> None:
    """Take back the latest change of mind of a FAMILY (`all` where none is given), for all workers."""
    with _one(*chosen) as where:
        change = undo_in(where, family=family, number=number)
    click.echo(f"undone: {said_of(change)}")


@autopilot.command()
@click.argument("arm")
@click.argument("family", required=False)
@click.pass_obj
def hold(chosen: tuple[str, str | None, str | None], arm: str, family: str | None) -> None:
    """Take an ARM off in a FAMILY (`all` where none is given), for all workers, until that is undone."""
    with _one(*chosen) as where:
        change = hold_in(where, arm, family=family)
    click.echo(f"held: {said_of(change)}")


@contextmanager
def _one(ledger: str, store: str | None, name: str | None) -> Iterator[Undoable]:
    with _store(ledger, store) as opened:
        found = _chosen(opened, name)
        if len(found) > 1:
            raise InputError(f"There are several autopilots: {', '.join(found)}. Say which one with --id.")
        yield Undoable(opened, f"autopilot:{found[0]}")


@contextmanager
def _store(ledger: str, store: str | None) -> Iterator[Any]:
    if store is not None:
        if not is_redis_url(store) and lacks_file(url_of(store)):
            # Opening it would make it.
            raise StateError(f"There is no file {store!r}. Name the place that the router has with --store.")
        opened = open_state(store)
        try:
            yield opened
        finally:
            opened.close()
        return
    with open_existing(ledger) as known:
        yield state_of(known)


def _chosen(store: Any, name: str | None) -> list[str]:
    found = [one for one in names_in(store) if name is None or one.startswith(name)]
    if found:
        return found
    if name is not None:
        raise StateError(f"There is no autopilot {name!r} there.")
    raise StateError(
        "No autopilot has its state there yet. A router has one with ChatRouter(routes, policy='autopilot', ledger=...); it is listed "
        "from its first decision on."
    )


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON output has of an autopilot; infinity, which JSON lacks, is left out."""
    families = [asdict(family) for family in status_of(document)]
    for family in families:
        for arm in family["arms"]:
            if arm["more"] is not None and not isfinite(arm["more"]):
                arm["more"] = None
    return {"setup": document.get("setup"), "families": families, "changes": document.get("changes", [])}


def show_autopilot(terminal: Any, name: str, document: Mapping[str, Any]) -> None:
    """Print how an autopilot stands, from its document."""
    terminal.print(f"autopilot {one_line(name)}: {goal_of(document.get('setup', {}))}")
    for family in told_apart(status_of(document)):
        show_family(terminal, family)
    changes = document.get("changes", [])[-LATEST:]
    if changes:
        terminal.print("changes of mind, the latest last")
    for change in changes:
        terminal.print(f"  {said_of(change)}")


def show_family(terminal: Any, family: FamilyStatus) -> None:
    """Print how a family stands."""
    table = Table(title=one_line(family.family), title_justify="left")
    for column in (
        "arm",
        "state",
        "next tasks",
        "given",
        "told",
        "solved",
        "vs baseline (at all times)",
        "may solve less by",
        "USD a task",
    ):
        table.add_column(column, justify="left" if column in ("arm", "state") else "right")
    for arm in family.arms:
        table.add_row(*_row(arm))
    terminal.print(table)
    saved = (
        ""
        if family.saved_usd is None
        else f"; saved {usd(family.saved_usd)}, {family.more_solved:+.1f} solved against the baseline"
    )
    terminal.print(f"{one_line(family.verdict)}; waits for {one_line(family.waits_for)}{saved}")


def _row(arm: ArmStatus) -> tuple[str, ...]:
    unknown = "-"
    compared = arm.state != "baseline"
    return (
        one_line(arm.name),
        arm.state,
        f"{arm.share:.1%}",
        str(arm.given),
        str(arm.told) + (f" + {arm.pairs} pairs" if arm.pairs else ""),
        f"{arm.success:.3f}" if arm.success is not None else unknown,
        f"{arm.low:+.3f} to {arm.high:+.3f}" if compared else unknown,
        f"{arm.tolerated:.3f}" if compared else unknown,
        usd(arm.cost_usd) if arm.cost_usd is not None else unknown,
    )
