"""Where does the money go, and what of it would a cheaper route have earned as well?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from langroute.errors import DataError, UnknownRouteError
from langroute.estimators.documents import document_of
from langroute.estimators.features import Floats, word_hashes
from langroute.learning.prices import prices_for
from langroute.learning.traffic import Exchange, read_traffic
from langroute.pricing import cost
from langroute.records import Price, Usage

DIMENSIONS = ("task", "kind", "node", "team", "cluster")
CLUSTERS = 12
TOLERATED = 0.03
"""A cheaper route is a candidate when its quality may be this much lower, with 95 % confidence."""

LEAST = 20
"""Requests that a route must have been scored on in a group to be a candidate there."""


def analyze(
    paths: Sequence[str | Path],
    *,
    prices: Mapping[str, Price] | None = None,
    frontier: str | None = None,
    by: Sequence[str] = DIMENSIONS,
) -> dict[str, Any]:
    """Group traffic and look for groups that a cheaper route would have answered as well.

    Args:
        paths: Traffic files; see `docs/traffic.md`.
        prices: By route name; list prices where a route is not in it.
        frontier: The route in use; the one that served, where the traffic says so, else the best single route.
        by: Some of `task`, `kind`, `node`, `team`, `cluster`.

    Returns:
        `requests`, `cost_usd`, `compared` (requests with scored outcomes of two routes or more), `groups`: high volume and low
        difficulty first. A saving's interval is for as many requests again.

    Raises:
        DataError: A file is broken or there is nothing in it.
        UnknownRouteError: The frontier is no route of this traffic.
    """
    unknown = [name for name in by if name not in DIMENSIONS]
    if unknown:
        raise DataError(f"Cannot group by {', '.join(unknown)}; there are: {', '.join(DIMENSIONS)}.")
    exchanges = list(read_traffic(paths))
    names = sorted({name for one in exchanges for name in one.outcomes})
    if not exchanges:
        raise DataError(f"{', '.join(map(str, paths))}: there are no requests.")
    # What was billed is known where the traffic says so.
    unbilled = {name for one in exchanges for name, outcome in one.outcomes.items() if outcome.cost_usd is None}
    rates = prices_for(sorted(unbilled), prices)
    scores, costs = _tables(exchanges, names, rates)
    if frontier is not None and frontier not in names:
        raise UnknownRouteError(frontier, names, "this traffic")
    used = _used(exchanges, names, scores, costs, frontier)
    spent = costs[np.arange(len(exchanges)), used]
    total = float(np.nansum(spent))
    groups = [
        _group(dimension, name, rows, names, scores, costs, used, total)
        for dimension in by
        for name, rows in _split(exchanges, dimension).items()
    ]
    groups.sort(key=lambda one: (one["candidate"] is None, -one["saving_low_usd"], -one["cost_usd"]))
    compared = int((np.isfinite(scores).sum(1) > 1).sum())
    return {"requests": len(exchanges), "cost_usd": total, "compared": compared, "groups": groups}


def _tables(exchanges: Sequence[Exchange], names: Sequence[str], prices: Mapping[str, Price]) -> tuple[Floats, Floats]:
    scores, costs = np.full((len(exchanges), len(names)), np.nan), np.full((len(exchanges), len(names)), np.nan)
    for row, one in enumerate(exchanges):
        for column, name in enumerate(names):
            outcome = one.outcomes.get(name)
            if outcome is None:
                continue
            if outcome.cost_usd is not None:
                costs[row, column] = outcome.cost_usd
            else:
                usage = Usage(outcome.input_tokens, outcome.output_tokens)
                costs[row, column] = cost(prices[name], usage, outcome.latency_s or 0.0)
            if outcome.score is not None:
                scores[row, column] = outcome.score
    return scores, costs


def _used(exchanges: Sequence[Exchange], names: Sequence[str], scores: Floats, costs: Floats, frontier: str | None) -> Any:
    """The route that is in use, for each request: named, as served, or the best single one."""
    quality = np.array([np.nanmean(column) if np.isfinite(column).any() else -1.0 for column in scores.T])
    order = sorted(range(len(names)), key=lambda place: -quality[place])
    if frontier is not None:
        order = [names.index(frontier), *order]
    found = np.empty(len(exchanges), np.int64)
    for row, one in enumerate(exchanges):
        served = one.step.get("served")
        if frontier is None and served in one.outcomes:
            found[row] = names.index(served)
        else:
            found[row] = next(place for place in order if np.isfinite(costs[row, place]))
    return found


def _split(exchanges: Sequence[Exchange], dimension: str) -> dict[str, Any]:
    if dimension == "cluster":
        return _clusters(exchanges)
    found: dict[str, list[int]] = {}
    for row, one in enumerate(exchanges):
        value = one.task if dimension == "task" else one.step.get(dimension)
        if value:
            found.setdefault(str(value), []).append(row)
    return {name: np.array(rows) for name, rows in found.items()}


def _clusters(exchanges: Sequence[Exchange]) -> dict[str, Any]:
    """Similar requests, by k-means on signed hashed words. Source: Arthur and Vassilvitskii, k-means++ (2007)."""
    size, count = 256, len(exchanges)
    hashes, owners = word_hashes([document_of(one.messages, one.tools) for one in exchanges])
    signs = np.where(hashes >> np.uint64(63), 1.0, -1.0)
    vectors = np.bincount(owners * size + (hashes % np.uint64(size)).astype(np.int64), signs, count * size).reshape(count, size)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    random = np.random.default_rng(0)
    centres = vectors[[int(random.integers(count))]]
    while len(centres) < min(CLUSTERS, count):
        away = np.maximum(1 - (vectors @ centres.T).max(1), 0) + 1e-12
        centres = np.vstack([centres, vectors[random.choice(count, p=away / away.sum())]])
    place = np.zeros(count, np.int64)
    for _ in range(20):
        place = (vectors @ centres.T).argmax(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, place, vectors)
        centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    found = {}
    for cluster in range(len(centres)):
        rows = np.flatnonzero(place == cluster)
        if len(rows):
            # A cluster is called by its most typical request's id: no text is shown.
            typical = rows[(vectors[rows] @ centres[cluster]).argmax()]
            found[f"like {exchanges[typical].id}"] = rows
    return found


def _group(
    dimension: str, name: str, rows: Any, names: Sequence[str], scores: Floats, costs: Floats, used: Any, total: float
) -> dict[str, Any]:
    own_cost = costs[rows, used[rows]]
    own_score = scores[rows, used[rows]]
    spent = float(np.nansum(own_cost))
    best: dict[str, Any] = {
        "candidate": None,
        "kept": None,
        "quality_change": None,
        "quality_change_low": None,
        "saving_usd": 0.0,
        "saving_low_usd": 0.0,
        "saving_high_usd": 0.0,
    }
    # The best of several routes may look good by luck alone: each is held to more (Bonferroni).
    sure = NormalDist().inv_cdf(1 - 0.025 / max(len(names) - 1, 1))
    for place, route in enumerate(names):
        both = np.isfinite(scores[rows, place]) & np.isfinite(own_score) & (used[rows] != place)
        if both.sum() < LEAST:
            continue
        change = scores[rows, place][both] - own_score[both]
        # One made-up loss keeps a small group without losses from looking certain.
        error = np.sqrt((change.var() + 1 / len(change)) / len(change))
        low = float(change.mean() - sure * error)
        saved = own_cost[both] - costs[rows, place][both]
        # What comes is as many requests again, which scatter as much as these.
        mean, spread = float(saved.mean()), float(saved.std() * np.sqrt(1 / len(saved) + 1 / len(rows)))
        if low < -TOLERATED or mean <= 0 or mean * len(rows) <= best["saving_usd"]:
            continue
        right = own_score[both] >= 0.5
        best = {
            "candidate": route,
            "kept": float((scores[rows, place][both][right] >= 0.5).mean()) if right.any() else 0.0,
            "quality_change": float(change.mean()),
            "quality_change_low": low,
            "saving_usd": mean * len(rows),
            "saving_low_usd": (mean - 1.96 * spread) * len(rows),
            "saving_high_usd": (mean + 1.96 * spread) * len(rows),
        }
    return {
        "by": dimension,
        "name": name,
        "requests": len(rows),
        "share": len(rows) / len(scores),
        "cost_usd": spent,
        "cost_share": spent / total if total else 0.0,
        "quality": float(np.nanmean(own_score)) if np.isfinite(own_score).any() else None,
        **best,
    }
