"""`langroute analyze`, `langroute fit` and `langroute replay`: learn to route from what happened."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from langroute.cli.objects import working_directory_counts
from langroute.cli.terminal import Terminal
from langroute.errors import DataError, InputError
from langroute.naming import object_at

FILES = click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
PRICES = click.option("--prices", type=click.Path(), metavar="FILE", help="TOML with a table [prices], USD per million tokens.")
EMBEDDINGS = click.option(
    "--embeddings", metavar="MODULE:ATTRIBUTE", help="LangChain embeddings whose word counts as well, in fitting as in use."
)


def _embeddings(name: str | None) -> Any:
    if name is None:
        return None
    working_directory_counts()
    return object_at(name, "model of embeddings", "embed_documents")


def _numbers(_: Any, __: Any, value: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in value.split(",") if part.strip())
    except ValueError:
        raise click.BadParameter("give numbers with commas between them: 1.0,0.99,0.95") from None


def _names(_: Any, __: Any, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    if not found:
        raise click.BadParameter("give names with commas between them")
    return found


def _folder(_: Any, __: Any, value: str) -> str:
    # An empty variable of a script is not the working directory.
    if not value.strip():
        raise click.BadParameter("name a folder")
    return value


@click.command()
@FILES
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False),
    callback=_folder,
    metavar="POLICY_DIR",
    help="Where it is written.",
)
@PRICES
@click.option("--routes", callback=_names, metavar="A,B,C", help="Fit these routes only.")
@click.option(
    "--targets",
    callback=_numbers,
    default="1.0,0.99,0.98,0.95",
    show_default=True,
    metavar="X,Y",
    help="Quality relative to the best single route; one operating point each.",
)
@click.option(
    "--seed", type=click.IntRange(0, (1 << 32) - 1), default=0, show_default=True, help="Same files and seed, same bytes."
)
@EMBEDDINGS
def fit(
    files: tuple[str, ...],
    output: str,
    prices: str | None,
    routes: tuple[str, ...] | None,
    targets: tuple[float, ...],
    seed: int,
    embeddings: str | None,
) -> None:
    """Fit a routing policy on recorded outcomes."""
    from langroute.estimators.store import room_for_policy, save_policy
    from langroute.learning.card import card_of
    from langroute.learning.fit import fit_files
    from langroute.learning.prices import read_prices

    # Minutes of fitting come before anything is written.
    room_for_policy(output)
    policy = fit_files(
        files,
        prices=read_prices(prices) if prices else None,
        routes=routes,
        targets=targets,
        seed=seed,
        embeddings=_embeddings(embeddings),
    )
    policy = save_policy(policy, output, card_of(policy))
    console = Terminal()
    for group in policy.groups:
        table = Table(title=f"{group.facts['requests']} requests, {len(group.routes)} routes, best single: {group.frontier}")
        for name in ("target", "policy", "quality", "of the best", "cost of the best's"):
            table.add_column(name, justify="left" if name == "policy" else "right", overflow="fold")
        for point in group.points:
            said = point.promised
            table.add_row(
                f"{point.target:g}",
                "LearnedCascade" if point.plan else "Learned",
                f"{said['quality']:.1%}",
                f"{said['relative']:.1%} ({said['relative_low']:.1%} to {said['relative_high']:.1%})",
                f"{said['cost_ratio']:.1%}",
            )
        console.print(table)
    click.echo(f"Policy {policy.version} is in {output}; read {Path(output) / 'CARD.md'}.")


@click.command()
@FILES
@click.option(
    "--policy",
    required=True,
    metavar="POLICY_DIR|NAME",
    help="A directory that `fit` wrote; or `default`, `always:ROUTE`, `module:attribute`.",
)
@click.option("--frontier", metavar="ROUTE", help="What costs are compared with; the best single route of this traffic by default.")
@PRICES
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--plot", type=click.Path(dir_okay=False), metavar="FILE", help="Draw the frontier of cost and quality as HTML.")
@click.option("--estimator", type=click.Choice(["ips", "snips", "dr"]), help="Off-policy estimate, from logged propensities.")
@EMBEDDINGS
def replay(
    files: tuple[str, ...],
    policy: str,
    frontier: str | None,
    prices: str | None,
    as_json: bool,
    plot: str | None,
    estimator: str | None,
    embeddings: str | None,
) -> None:
    """Say what a policy would have done on recorded traffic."""
    # Many small products: more threads wait for each other longer than they calculate. Numpy reads this when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from langroute.learning.prices import read_prices
    from langroute.learning.replay import replay as run

    if ":" in policy:
        working_directory_counts()
    table = read_prices(prices) if prices else None
    if estimator is not None and (plot is not None or frontier is not None):
        raise InputError("An off-policy estimate has no frontier: leave out --plot and --frontier, or --estimator.")
    if plot is not None:
        from langroute.learning.plot import check_plot, draw

        check_plot(plot)
    if estimator is not None:
        from langroute.learning.offpolicy import replay_logged

        result = replay_logged(files, policy, estimator=estimator, prices=table, embeddings=_embeddings(embeddings))
        click.echo(json.dumps(result) if as_json else _logged(result))
        return
    result = run(files, policy, frontier=frontier, prices=table, embeddings=_embeddings(embeddings))
    if as_json:
        click.echo(json.dumps(result))
    else:
        _show(result)
    if plot is not None:
        draw(result, plot)
    for known in _fitted_on(files, policy):
        click.echo(f"{known} is what the policy was fitted on: how it does there says little.", err=True)


def _fitted_on(files: tuple[str, ...], policy: str) -> list[str]:
    """Which of the files the policy has learned by heart."""
    from langroute.estimators.store import fitted_on
    from langroute.learning.traffic import digest_of

    known = fitted_on(policy) if Path(policy).is_dir() else frozenset()
    return [file for file in files if known and digest_of(file) in known]


def _logged(result: dict[str, Any]) -> str:
    left_out = f"; {result['left_out']} more were served by other routes or never scored" if result["left_out"] else ""
    rows = [f"{result['requests']} logged requests, judged by {result['estimator']}{left_out}"]
    rows += [
        f"target {one['target']:g}: quality {one['value']:.1%}, 95 % from {one['low']:.1%} to {one['high']:.1%}; "
        f"says as much as {one['effective']:.0f} requests would"
        for one in result["targets"]
    ]
    rows += [f"target {one['target']:g} cannot be judged: {one['why']}" for one in result["unjudged"]]
    return "\n".join(rows)


def _show(result: dict[str, Any]) -> None:
    # Brings reports, and their database, which `--json` has no use for.
    from langroute.reports.words import usd

    console = Terminal()
    best = result["frontier"]
    table = Table(title=f"{result['requests']} requests; compared with {best['route']}")
    for name in ("", "quality", "95 %", "cost", "of the best's", "calls"):
        table.add_column(name, justify="left" if not name else "right", overflow="fold")

    def row(name: str, one: dict[str, Any], span: str = "", calls: str = "") -> None:
        ratio = f"{one['cost_usd'] / best['cost_usd']:.1%}" if best["cost_usd"] else "–"
        table.add_row(name, f"{one['quality']:.1%}", span, usd(one["cost_usd"]), ratio, calls)

    for one in result["targets"]:
        name = "the policy" if one["target"] is None else f"target {one['target']:g}"
        row(name, one, f"{one['quality_low']:.1%} to {one['quality_high']:.1%}", f"{one['calls_per_request']:.2f}")
    table.add_section()
    for name, one in result["baselines"].items():
        row(name, one)
    console.print(table)
    if pair := result.get("pair"):
        if pair["apgr"] is None:
            console.print("The two routes are equally good on this traffic: there is no gap to recover.")
        else:
            calls = ", ".join(f"{share} % at {part:.1%}" for share, part in pair["cpt"].items())
            console.print(f"APGR {pair['apgr']:.3f}; gap recovered, and calls to the stronger route: {calls}")


@click.command()
@FILES
@PRICES
@click.option(
    "--frontier", metavar="ROUTE", help="The route in use today; the one that served, else the best single route, by default."
)
@click.option("--by", default="task,kind,node,team,cluster", show_default=True, metavar="A,B", help="What to group by.")
@click.option("--top", type=click.IntRange(1), default=15, show_default=True, help="Lines of the table.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def analyze(files: tuple[str, ...], prices: str | None, frontier: str | None, by: str, top: int, as_json: bool) -> None:
    """Find where the money goes, and what a cheaper route would have got right."""
    from langroute.learning.analyze import analyze as run
    from langroute.learning.prices import read_prices

    dimensions = [part.strip() for part in by.split(",") if part.strip()]
    if not dimensions:
        raise DataError("Name something to group by: task, kind, node, team or cluster.")
    result = run(files, prices=read_prices(prices) if prices else None, frontier=frontier, by=dimensions)
    if as_json:
        click.echo(json.dumps(result))
        return
    from langroute.reports.words import usd

    table = Table(title=f"{result['requests']} requests, {usd(result['cost_usd'])}: high volume and low difficulty first")
    for name in ("group", "requests", "spend", "candidate", "also right", "saving", "95 %"):
        table.add_column(name, justify="left" if name in ("group", "candidate") else "right", overflow="fold")
    for one in result["groups"][:top]:
        table.add_row(
            f"{one['by']}: {one['name']}",
            str(one["requests"]),
            f"{one['cost_share']:.1%}",
            one["candidate"] or "–",
            f"{one['kept']:.1%}" if one["candidate"] else "–",
            usd(one["saving_usd"]),
            f"{usd(one['saving_low_usd'])} to {usd(one['saving_high_usd'])}",
        )
    Terminal().print(table)
    if not result["compared"]:
        click.echo("No request has scored outcomes of two routes, so nobody can say what a cheaper one would have got right.")
