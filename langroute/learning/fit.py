"""Fitting of a policy with operating points from files of recorded outcomes.

The requests are grouped by the routes that answered them. For each group an estimator is fitted, and for each target the cheapest setting
is chosen that meets it on cross-fitted estimates of the same requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from langroute._version import __version__
from langroute.core.errors import DataError
from langroute.core.records import Price
from langroute.estimators.arrays import Floats
from langroute.estimators.documents import Document, document_of
from langroute.estimators.embedding_features import CachedEmbeddings
from langroute.estimators.plan import Plan
from langroute.estimators.policy_schema import MOST_TARGET
from langroute.estimators.store import Group, Point, PolicyFile
from langroute.learning.agreement import chain_plan, chains, outcomes
from langroute.learning.cascades import Ground, Search, ground_of
from langroute.learning.crossfit import Settings, fit_estimator
from langroute.learning.drawing import drawn_from
from langroute.learning.grouping import Table, group, table_of
from langroute.learning.pieces import Engine
from langroute.learning.points import Candidate, Chosen, choose, rounded
from langroute.learning.prices import prices_for
from langroute.learning.traffic import Exchange, digest_of, known_routes
from langroute.learning.traffic_files import traffic_files
from langroute.learning.training import need_sklearn, one_thread
from langroute.routes.price_arrays import PriceTable

LEAST = 100
"""Fewest requests with outcomes of every route that a group needs."""

MOST = 60_000
"""Most requests that are fitted on; of more, some are drawn by lot while the files are read."""

TARGETS = (1.0, 0.99, 0.98, 0.95)

PRICES = np.geomspace(0.02, 1.0, 40)
"""Prices of quality that cascades are fitted at."""

COARSE = np.array([9, 18, 27])
"""Indices of the prices that orders are searched at."""


def fit_files(
    paths: Sequence[str | Path],
    *,
    prices: Mapping[str, Price] | None = None,
    routes: Sequence[str] | None = None,
    targets: Sequence[float] = TARGETS,
    seed: int = 0,
    settings: Settings | None = None,
    embeddings: Any = None,
    engine: Engine | None = None,
) -> PolicyFile:
    """Fit a policy on files of recorded outcomes.

    Args:
        paths: Traffic files; see `docs/traffic.md`.
        prices: Prices by route name; list prices for routes that are not in it.
        routes: Names of the only routes to fit.
        targets: Quality relative to the best single route, one operating point each; above 1.0 where several routes together are
            better than the best one.
        seed: Seed of all random choices; the same files and seed give the same policy.
        settings: Sizes of the models.
        embeddings: LangChain embeddings for an additional model; the same ones must be given when the policy is loaded.
        engine: What reads the traffic and fits the models; this process by default.

    Raises:
        ConfigurationError: `embeddings` is not a LangChain embeddings object.
        DataError: A file is broken, a route is unknown or has no price, there is too little data, or no setting reaches a target above
            1.0.
    """
    need_sklearn()
    reader = None if embeddings is None else CachedEmbeddings(embeddings)
    if not targets or not all(0 < target <= MOST_TARGET for target in targets):
        raise DataError(f"Targets are shares of the best single route's quality, above 0 and at most {MOST_TARGET:g}.")
    if not 0 <= seed < 1 << 32:
        raise DataError(f"The seed is {seed}; give a whole number from 0 to {(1 << 32) - 1}.")
    if routes is not None and len(set(routes)) < 2:
        raise DataError(f"Name two routes or more to choose between, not {', '.join(routes) or 'none'}.")
    exchanges = drawn_from(paths, seed, MOST, engine)
    if not exchanges:
        raise DataError(f"{_named(paths)}: there are no requests.")
    known = known_routes(exchanges)
    unknown = [route for route in dict.fromkeys(routes or ()) if route not in known]
    if unknown:
        raise DataError(f"No outcome of {', '.join(unknown)} in {_named(paths)}. There are: {', '.join(known)}.")
    groups = [(names, members) for names, members in group(exchanges, routes) if len(names) > 1]
    if not groups:
        raise DataError(f"{_named(paths)}: no request has scored outcomes of two routes or more, so there is nothing to choose by.")
    rates = prices_for(sorted({name for names, _ in groups for name in names}), prices)
    large = [(names, members) for names, members in groups if _complete(names, members) >= LEAST]
    if not large:
        names, members = groups[0]
        raise DataError(
            f"{_named(paths)}: too little data. {_complete(names, members)} requests have scored outcomes of all of "
            f"{', '.join(names)}; at least {LEAST} are needed. Name fewer routes with --routes, or record more."
        )
    data = _described(paths)
    if reader is not None:
        # Checked before minutes of fitting: a policy with degenerate embeddings could not be loaded.
        reader.probe()
    with one_thread():
        fitted = tuple(
            fit_group(table_of(members, names, rates), rates, targets, seed, settings, reader, engine) for names, members in large
        )
    return PolicyFile(fitted, seed, data, __version__)


def _named(paths: Sequence[str | Path]) -> str:
    return ", ".join(str(path) for path in paths)


def _complete(names: Sequence[str], members: Sequence[Exchange]) -> int:
    return sum(all(name in one.outcomes and one.outcomes[name].score is not None for name in names) for one in members)


def _described(paths: Sequence[str | Path]) -> tuple[dict[str, Any], ...]:
    found: dict[str, str | Path] = {}
    for path in traffic_files(paths):
        digest = digest_of(path)
        if (same := found.get(digest)) is not None:
            # A duplicate would put a held-out request among those that are fitted on.
            raise DataError(f"{path}: the same as {same}. Name each file once, or what is promised would be learned by heart.")
        found[digest] = path
    return tuple({"file": Path(path).name, "sha256": digest} for digest, path in found.items())


def fit_group(
    table: Table,
    prices: Mapping[str, Price],
    targets: Sequence[float],
    seed: int,
    settings: Settings | None = None,
    reader: CachedEmbeddings | None = None,
    engine: Engine | None = None,
) -> Group:
    """Fit one group of routes and find its operating points.

    Args:
        table: Outcomes of the group.
        prices: Prices by route name.
        targets: Quality relative to the best single route, one operating point each.
        seed: Seed of all random choices.
        settings: Sizes of the models.
        reader: Embeddings, where a model on them is part of the estimator.
        engine: What fits the models; this process by default.

    Raises:
        DataError: No answer has a score above 0, or no request has text.
    """
    documents = [document_of(one.messages, one.tools, one.labels) for one in table.exchanges]
    _worth_fitting(table, documents)
    fitted = fit_estimator(
        documents,
        table.routes,
        table.scores,
        table.input_tokens,
        table.output_tokens,
        seed=seed,
        settings=settings,
        reader=reader,
        engine=engine,
    )
    complete = table.complete
    small = _only(table, complete)
    quality = small.scores.mean(0)
    means = small.costs.mean(0)
    frontier = max(range(len(table.routes)), key=lambda place: (quality[place], -means[place]))
    unit = float(max(means[frontier], 1e-12))
    seconds = _seconds(table, prices)
    rates = PriceTable([prices[name] for name in table.routes], [seconds.get(name, 0.0) for name in table.routes])
    expected = rates.costs(fitted.input_tokens, fitted.output_tokens)[complete] / unit
    candidates = list(_single_calls(small, fitted.success[complete], expected, unit))
    candidates.append(Candidate(small.scores[:, frontier], small.costs[:, frontier] / unit, None))
    search = None
    if small.with_answers and len(table.routes) > 2:
        ground = ground_of(
            small, fitted.success[complete], fitted.log_output[complete], expected * unit, frontier, fitted.fold[complete]
        )
        search, more = _cascades(small, ground, frontier)
        candidates += [*more, *_chains(small, ground, frontier)]
    reference = small.scores[:, frontier]
    wanted = sorted(set(targets), reverse=True)
    chosen = choose(wanted, candidates, reference, seed, (settings or Settings()).folds)
    points = tuple(_point(target, one, search, unit) for target, one in zip(wanted, chosen, strict=True))
    facts = {
        "requests": len(table.exchanges),
        "complete": int(complete.sum()),
        "sources": sorted({one.source for one in table.exchanges if one.source}),
        "tasks": sorted({one.task for one in table.exchanges if one.task}),
        "quality": {name: rounded(quality[place]) for place, name in enumerate(table.routes)},
        "mean_cost_usd": {name: rounded(means[place], 9) for place, name in enumerate(table.routes)},
        "calibration_error": {
            name: rounded(calibration_error(fitted.success[:, place], table.scores[:, place]))
            for place, name in enumerate(table.routes)
        },
        "oracle": rounded(small.scores.max(1).mean()),
        "rescue": _rescue(small, frontier),
    }
    used = {name: prices[name] for name in table.routes}
    return Group(fitted.estimator, table.routes[frontier], unit, used, points, facts, seconds)


def _worth_fitting(table: Table, documents: Sequence[Document]) -> None:
    """Raise `DataError` where there is nothing to learn from."""
    names = ", ".join(table.routes)
    if not table.scores[table.complete].any():
        raise DataError(f"Of {names} no answer has a score above 0, so none can be said to be better than another.")
    if not any(one.text.strip() or one.seen.strip() or one.tools for one in documents):
        raise DataError(
            f"The requests to {names} have no text, so nothing can be learned from it. A ledger keeps text at the level `full` alone."
        )


def _only(table: Table, rows: np.ndarray) -> Table:
    if rows.all():
        return table
    return Table(
        table.routes,
        tuple(one for one, keep in zip(table.exchanges, rows, strict=True) if keep),
        table.scores[rows],
        table.costs[rows],
        table.input_tokens[rows],
        table.output_tokens[rows],
    )


def _seconds(table: Table, prices: Mapping[str, Price]) -> dict[str, float]:
    """Return the mean seconds of a call for each route that is priced by the second."""
    found: dict[str, float] = {}
    for name in table.routes:
        times = [outcome.latency_s or 0.0 for one in table.exchanges if (outcome := one.outcomes.get(name)) is not None]
        if prices[name].per_second and times:
            found[name] = float(np.mean(times))
    return found


def _single_calls(table: Table, success: Floats, expected: Floats, unit: float) -> Sequence[Candidate]:
    index = np.arange(len(success))
    found = []
    for tolerance in (0.0, *np.geomspace(0.003, 30, 80)):
        choice = np.argmax(success - tolerance * expected, 1)
        found.append(Candidate(table.scores[index, choice], table.costs[index, choice] / unit, float(tolerance)))
    return found


def _cascades(table: Table, ground: Ground, frontier: int) -> tuple[Search, Sequence[Candidate]]:
    quality, relative = table.scores.mean(0), table.costs.mean(0) / max(table.costs[:, frontier].mean(), 1e-12)
    strong = sorted(range(len(quality)), key=lambda place: -quality[place])
    finals = [place for place in strong if relative[place] <= 1.3][:4]
    # Candidates for the cheap part of a cascade: clearly cheaper than the frontier, and not much weaker.
    useful = [place for place in range(len(quality)) if relative[place] < 0.5 and quality[place] > 0.4 * quality[frontier]]
    cheap = sorted(useful, key=lambda place: -quality[place] + 0.3 * relative[place])[:7]
    if not cheap:
        return Search(ground, finals, np.array([1.0])), []
    coarse = Search(ground, finals, PRICES[COARSE])
    orders = list(dict.fromkeys(order for at in (1, 0, 2) for order in coarse.best_orders(cheap, at, keep=3)))
    search = Search(ground, finals, PRICES)
    found = []
    for order in orders:
        scores, costs = (part.astype(np.float32) for part in search.curve(order))
        found += [Candidate(scores[at], costs[at], float("nan"), order, at) for at in range(len(PRICES))]
    # The orders that the search passed over are candidates as well: the luck of finding the best ones is measured with them.
    for order, (score, spent) in coarse.tried.items():
        if order not in orders:
            found += [Candidate(score[at], spent[at], float("nan"), order, int(place)) for at, place in enumerate(COARSE)]
    return search, found


def _chains(table: Table, ground: Ground, frontier: int) -> Sequence[Candidate]:
    tried = chains(table.scores.mean(0), table.costs.mean(0), frontier)
    return [
        Candidate(score.astype(np.float32), spent.astype(np.float32), float("nan"), chain=chain)
        for chain, (score, spent) in zip(tried, outcomes(ground, tried), strict=True)
    ]


def _point(target: float, chosen: Chosen, search: Search | None, unit: float) -> Point:
    one = chosen.candidate
    plan: Plan | None = None
    if search is not None and one.order is not None:
        plan = search.plan(one.order, one.price_index, unit)
    elif search is not None and one.chain is not None:
        plan = chain_plan(search.ground, one.chain, unit)
    return Point(target, one.tolerance if plan is None else 0.0, plan, chosen.promised)


def calibration_error(success: Floats, scores: Floats, bins: int = 10) -> float:
    """Return the expected calibration error: the mean difference of predicted probability and observed score, over bins.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), section 2.

    Example:
        >>> calibration_error(np.array([0.2, 0.2, 0.2, 0.2, 0.2]), np.array([1.0, 0, 0, 0, 0]))
        0.0
    """
    known = np.isfinite(scores)
    success, scores = success[known], scores[known]
    if not len(scores):
        return 0.0
    place = np.minimum((success * bins).astype(int), bins - 1)
    stated, happened = np.bincount(place, success, bins), np.bincount(place, scores, bins)
    return float(np.abs(stated - happened).sum() / len(scores))


def _rescue(table: Table, frontier: int) -> dict[str, dict[str, float]]:
    """Return how each other route compares with the frontier, as shares of the requests.

    Both solve it (`safe`), only the other route (`rescue`), only the frontier (`loss`), or neither (`hard`).
    """
    strong = table.scores[:, frontier] >= 0.5
    found = {}
    for place, name in enumerate(table.routes):
        if place == frontier:
            continue
        own = table.scores[:, place] >= 0.5
        found[name] = {
            "safe": rounded((own & strong).mean()),
            "loss": rounded((~own & strong).mean()),
            "rescue": rounded((own & ~strong).mean()),
            "hard": rounded((~own & ~strong).mean()),
        }
    return found
