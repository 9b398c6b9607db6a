"""`langroute analyze`, `langroute fit` and `langroute replay`: analyze traffic, fit policies and replay them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from langroute.cli.engines import engine_of, engine_option, resume_option
from langroute.cli.objects import working_directory_counts
from langroute.cli.options import format_option
from langroute.cli.terminal import Terminal
from langroute.core.errors import DataError, InputError
from langroute.core.object_names import object_at
from langroute.core.plain_text import one_line, printable
from langroute.core.storable import strict_json

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
    # An empty string, as from an unset variable in a script, must not mean the working directory.
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
    help="Quality relative to the best single route, above 1.0 where routes together are better; one operating point each.",
)
@click.option(
    "--seed", type=click.IntRange(0, (1 << 32) - 1), default=0, show_default=True, help="Same files and seed, same bytes."
)
@EMBEDDINGS
@engine_option
@resume_option
def fit(
    files: tuple[str, ...],
    output: str,
    prices: str | None,
    routes: tuple[str, ...] | None,
    targets: tuple[float, ...],
    seed: int,
    embeddings: str | None,
    named: str | None,
    resume: Path | None,
) -> None:
    """Fit a routing policy on recorded outcomes."""
    from langroute.estimators.store import room_for_policy, save_policy
    from langroute.learning.card import card_of
    from langroute.learning.fit import fit_files
    from langroute.learning.prices import read_prices

    # Checked first, because fitting takes minutes before anything is written.
    room_for_policy(output)
    policy = fit_files(
        files,
        prices=read_prices(prices) if prices else None,
        routes=routes,
        targets=targets,
        seed=seed,
        embeddings=_embeddings(embeddings),
        engine=engine_of(named, resume),
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
                "LearnedCascade" if point.plan else "Learned" if point.tolerance is not None else "the best single route",
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
@format_option("table", "json")
@click.option("--plot", type=click.Path(dir_okay=False), metavar="FILE", help="Draw the frontier of cost and quality as HTML.")
@click.option("--estimator", type=click.Choice(["ips", "snips", "dr"]), help="Off-policy estimate, from logged propensities.")
@EMBEDDINGS
@engine_option
@resume_option
def replay(
    files: tuple[str, ...],
    policy: str,
    frontier: str | None,
    prices: str | None,
    form: str,
    plot: str | None,
    estimator: str | None,
    embeddings: str | None,
    named: str | None,
    resume: Path | None,
) -> None:
    """Say what a policy would have done on recorded traffic."""
    # Many small matrix products: more threads would be slower. Numpy reads this when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from langroute.learning.prices import read_prices
    from langroute.learning.replay import replay as run

    if ":" in policy:
        working_directory_counts()
    table = read_prices(prices) if prices else None
    if estimator is not None and (plot is not None or frontier is not None):
        raise InputError("An off-policy estimate has no frontier: leave out --plot and --frontier, or --estimator.")
    if estimator is not None and named is not None:
        raise InputError("An off-policy estimate is made in one process: leave out --engine, or --estimator.")
    if plot is not None:
        from langroute.learning.plot import check_plot, draw

        check_plot(plot)
    if estimator is not None:
        from langroute.learning.offpolicy import replay_logged

        result = replay_logged(files, policy, estimator=estimator, prices=table, embeddings=_embeddings(embeddings))
        click.echo(strict_json(result) if form == "json" else printable(_logged(result)))
        return
    result = run(
        files, policy, frontier=frontier, prices=table, embeddings=_embeddings(embeddings), engine=engine_of(named, resume)
    )
    if form == "json":
        click.echo(strict_json(result))
    else:
        _show(result)
    if plot is not None:
        draw(result, plot)
    for known in _fitted_on(files, policy):
        click.echo(f"{one_line(str(known))} is what the policy was fitted on: how it does there says little.", err=True)


def _fitted_on(files: tuple[str, ...], policy: str) -> list[str]:
    """Return which of the traffic files the policy was fitted on."""
    from langroute.estimators.store import fitted_on
    from langroute.learning.traffic import digest_of
    from langroute.learning.traffic_files import is_url, traffic_files

    known = fitted_on(policy) if Path(policy).is_dir() else frozenset()
    return [file for file in traffic_files(files) if not is_url(file) and digest_of(file) in known] if known else []


def _logged(result: dict[str, Any]) -> str:
    left_out = f"; {result['left_out']} more were served by other routes or never scored" if result["left_out"] else ""
    rows = [f"{result['requests']} logged requests, judged by {result['estimator']}{left_out}"]
    rows += [
        f"{_point(one)}: quality {one['value']:.1%}, 95 % from {one['low']:.1%} to {one['high']:.1%}; "
        f"says as much as {one['effective']:.0f} requests would"
        for one in result["targets"]
    ]
    rows += [f"target {one['target']:g} cannot be judged: {one['why']}" for one in result["unjudged"]]
    return "\n".join(rows)


def _point(one: dict[str, Any]) -> str:
    return "the policy" if one["target"] is None else f"target {one['target']:g}"


def _show(result: dict[str, Any]) -> None:
    # Imported here because it imports reports and SQLAlchemy, which JSON does not need.
    from langroute.reports.words import usd

    console = Terminal()
    best = result["frontier"]
    table = Table(title=f"{result['requests']} requests; compared with {best['route']}")
    for line in _not_judged(result):
        click.echo(line)
    for name in ("", "quality", "95 %", "cost", "of the best's", "calls", "random mix of that cost", "above it"):
        table.add_column(name, justify="left" if not name else "right", overflow="fold")

    def row(name: str, one: dict[str, Any], span: str = "", calls: str = "") -> None:
        ratio = f"{one['cost_usd'] / best['cost_usd']:.1%}" if best["cost_usd"] else "–"
        table.add_row(name, f"{one['quality']:.1%}", span, usd(one["cost_usd"]), ratio, calls, *_beside_mix(one))

    for one in result["targets"]:
        name = "the policy" if one["target"] is None else f"target {one['target']:g}"
        row(name, one, f"{one['quality_low']:.1%} to {one['quality_high']:.1%}", f"{one['calls_per_request']:.2f}")
    table.add_section()
    for name, one in result["baselines"].items():
        row("oracle of one run, luck included" if name == "oracle" else name, one)
    console.print(table)
    if pair := result.get("pair"):
        if pair["apgr"] is None:
            console.print("The two routes are equally good on this traffic: there is no gap to recover.")
        else:
            calls = ", ".join(f"{share} % at {part:.1%}" for share, part in pair["cpt"].items())
            console.print(f"APGR {pair['apgr']:.3f}; gap recovered, and calls to the stronger route: {calls}")


def _beside_mix(one: dict[str, Any]) -> tuple[str, str]:
    """Return the quality of the random mix that costs as much as a strategy, and how far the strategy lies above it, in points."""
    mix = one.get("random_mix")
    if mix is not None:
        return f"{mix['quality']:.1%}", f"{100 * mix['difference']:+.1f} ({100 * mix['low']:+.1f} to {100 * mix['high']:+.1f})"
    quality = one.get("random_mix_quality")
    return ("–", "–") if quality is None else (f"{quality:.1%}", f"{100 * (one['quality'] - quality):+.1f}")


def _not_judged(result: dict[str, Any]) -> list[str]:
    """Return what could not be judged, one sentence each."""
    read, judged, said = result["read"], result["requests"], []
    if unscored := result["unscored"]:
        said.append(f"{read - unscored} of {read} requests have a score; {unscored} are left out.")
    if unanswered := result["unanswered"]:
        routes = ", ".join(f"{one_line(name)} ({count})" for name, count in result["unanswered_by_route"].items())
        said.append(
            f"{judged} of {read} requests have the answer that the policy would have got; {unanswered} are left out, because what it chose "
            f"was not asked there: {routes}."
        )
    if said and result["logged"]:
        said.append(
            "What is left was not drawn at random: it is what was asked of these routes. Where routes were drawn with a known probability, "
            "--estimator judges a policy without that fault."
        )
    return said


@click.command()
@FILES
@PRICES
@click.option(
    "--frontier", metavar="ROUTE", help="The route in use today; the one that served, else the best single route, by default."
)
@click.option("--by", default="task,kind,node,team,cluster", show_default=True, metavar="A,B", help="What to group by.")
@click.option("--top", type=click.IntRange(1), default=15, show_default=True, help="Lines of the table.")
@format_option("table", "json")
@engine_option
@resume_option
def analyze(
    files: tuple[str, ...],
    prices: str | None,
    frontier: str | None,
    by: str,
    top: int,
    form: str,
    named: str | None,
    resume: Path | None,
) -> None:
    """Find where the money goes, and what a cheaper route would have got right."""
    from langroute.learning.analyze import analyze as run
    from langroute.learning.prices import read_prices

    dimensions = [part.strip() for part in by.split(",") if part.strip()]
    if not dimensions:
        raise DataError("Name something to group by: task, kind, node, team or cluster.")
    table_of_prices = read_prices(prices) if prices else None
    result = run(files, prices=table_of_prices, frontier=frontier, by=dimensions, engine=engine_of(named, resume))
    if form == "json":
        click.echo(strict_json(result))
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
            usd(one["saving_usd"]) if one["candidate"] else "–",
            f"{usd(one['saving_low_usd'])} to {usd(one['saving_high_usd'])}" if one["candidate"] else "–",
        )
    Terminal().print(table)
    if result["failed"]:
        click.echo(f"{result['failed']} of the requests failed on the route in use.")
    if result["unpriced"]:
        click.echo(f"{result['unpriced']} calls have neither a cost nor a known price, and are in no sum.")
    if not result["compared"]:
        asked = "only one route was asked" if result["routes"] == 1 else "no request has scored outcomes of two routes"
        click.echo(
            f"Nothing to compare: {asked}, so nobody can say what a cheaper one would have got right. Try Shadow, which asks a second "
            "route in the background; `langroute collect`, which asks other routes about recorded requests; or a policy that explores, and "
            "`replay --estimator`. `langroute advise` says which trials are worth it."
        )
