"""Analysis of recorded traffic: cost by group, and groups that a cheaper route would have answered as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from langroute.core.errors import DataError, UnknownRouteError
from langroute.core.records import Price, Usage
from langroute.estimators.arrays import Floats
from langroute.estimators.documents import document_of
from langroute.estimators.features import word_hashes
from langroute.learning.parts import stretches
from langroute.learning.pieces import Engine, OneProcess
from langroute.learning.prices import prices_for
from langroute.learning.traffic import Exchange
from langroute.routes.pricing import cost, price_of

DIMENSIONS = ("task", "kind", "node", "team", "cluster")
CLUSTERS = 12
SIZE = 256
"""Length of the vectors of words that requests are clustered by."""

TOLERATED = 0.03
"""Largest loss of quality, at 95 % confidence, at which a cheaper route is a candidate."""

LEAST = 20
"""Fewest requests of a group that a route must have been scored on to be a candidate there."""


def analyze(
    paths: Sequence[str | Path],
    *,
    prices: Mapping[str, Price] | None = None,
    frontier: str | None = None,
    by: Sequence[str] = DIMENSIONS,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """Group traffic, and find groups that a cheaper route would have answered as well.

    Args:
        paths: Traffic files; see `docs/traffic.md`.
        prices: Prices by route name; list prices for routes that are not in it.
        frontier: The route in use; by default the one that served, where the traffic says so, else the best single route.
        by: Some of `task`, `kind`, `node`, `team`, `cluster`.
        engine: What reads the traffic; this process by default.

    Returns:
        `requests`, `cost_usd`, `routes` (how many were asked), `compared` (requests with scored outcomes of two routes or more), `failed`
        (requests whose route in use failed), `unpriced` (calls whose cost is not known), and `groups`, those with the largest safe saving
        first. The interval of a saving is a prediction for as many further requests.

    Raises:
        DataError: A file is broken or empty, or `by` has an unknown dimension.
        UnknownRouteError: The frontier is not a route of this traffic.
    """
    unknown = [name for name in by if name not in DIMENSIONS]
    if unknown:
        raise DataError(f"Cannot group by {', '.join(unknown)}; there are: {', '.join(DIMENSIONS)}.")
    exchanges, vectors = _read(paths, engine or OneProcess(), words="cluster" in by)
    names = sorted({name for one in exchanges for name in one.outcomes})
    if not exchanges:
        raise DataError(f"{', '.join(map(str, paths))}: there are no requests.")
    rates = _rates(exchanges, prices)
    scores, costs = _tables(exchanges, names, rates)
    if frontier is not None and frontier not in names:
        raise UnknownRouteError(frontier, names, "this traffic")
    used = _used(exchanges, names, scores, costs, frontier)
    spent = costs[np.arange(len(exchanges)), used]
    total = float(np.nansum(spent))
    groups = [
        _group(dimension, name, rows, names, scores, costs, used, total)
        for dimension in by
        for name, rows in (_clusters(exchanges, vectors) if dimension == "cluster" else _split(exchanges, dimension)).items()
    ]
    groups.sort(key=lambda one: (one["candidate"] is None, -one["saving_low_usd"], -one["cost_usd"]))
    compared = int((np.isfinite(scores).sum(1) > 1).sum())
    failed = sum(one.outcomes[names[place]].error_type is not None for one, place in zip(exchanges, used, strict=True))
    asked = sum(len(one.outcomes) for one in exchanges)
    return {
        "requests": len(exchanges),
        "cost_usd": total,
        "routes": len(names),
        "compared": compared,
        "failed": failed,
        "unpriced": asked - int(np.isfinite(costs).sum()),
        "groups": groups,
    }


def _read(paths: Sequence[str | Path], engine: Engine, *, words: bool) -> tuple[list[Exchange], Floats]:
    """Return the requests without their texts, and their words as signed hashes, `(requests, SIZE)`; nothing where words are not needed."""
    found: list[Exchange] = []
    vectors: list[NDArray[np.float32]] = []
    for piece in engine.run(_ReadWork(words), paths):
        found += piece.exchanges
        vectors += piece.vectors
    return found, np.concatenate(vectors) if vectors else np.empty((0, SIZE), np.float32)


@dataclass(slots=True)
class Described:
    """What is read of a piece of traffic."""

    exchanges: list[Exchange] = field(default_factory=list)
    """The requests, without their texts."""

    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    """Their words, a stretch each, `(requests, SIZE)`; none where they are not needed."""


@dataclass(frozen=True, slots=True)
class _ReadWork:
    """Reads a piece of traffic: requests without their texts, and their words as vectors."""

    makes: ClassVar[type] = Described
    words: bool

    @property
    def key(self) -> str:
        """What tells this work from other work, in words."""
        return repr(("analyze", self.words))

    def __call__(self, exchanges: Iterable[Exchange]) -> Described:
        read = Described()
        for stretch in stretches(exchanges):
            if self.words:
                hashes, owners = word_hashes([document_of(one.messages, one.tools) for one in stretch])
                signs = np.where(hashes >> np.uint64(63), 1.0, -1.0)
                places = owners * SIZE + (hashes % np.uint64(SIZE)).astype(np.int64)
                made = np.bincount(places, signs, len(stretch) * SIZE).reshape(len(stretch), SIZE)
                read.vectors.append((made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12)).astype(np.float32))
            read.exchanges += [replace(one, messages=(), tools=()) for one in stretch]
        return read


def _rates(exchanges: Sequence[Exchange], prices: Mapping[str, Price] | None) -> Mapping[str, Price]:
    """Return the prices of the routes that have one; it is needed only for a route of which no cost at all is recorded."""
    billed: dict[str, bool] = {}
    for one in exchanges:
        for name, outcome in one.outcomes.items():
            billed[name] = billed.get(name, False) or outcome.cost_usd is not None
    missing = prices_for(sorted(name for name, known in billed.items() if not known), prices)
    return {**{name: price for name in billed if (price := (prices or {}).get(name) or price_of(name)) is not None}, **missing}


def _tables(exchanges: Sequence[Exchange], names: Sequence[str], prices: Mapping[str, Price]) -> tuple[Floats, Floats]:
    scores, costs = np.full((len(exchanges), len(names)), np.nan), np.full((len(exchanges), len(names)), np.nan)
    for row, one in enumerate(exchanges):
        for column, name in enumerate(names):
            outcome = one.outcomes.get(name)
            if outcome is None:
                continue
            if outcome.cost_usd is not None:
                costs[row, column] = outcome.cost_usd
            elif name in prices:
                usage = Usage(outcome.input_tokens, outcome.output_tokens)
                costs[row, column] = cost(prices[name], usage, outcome.latency_s or 0.0)
            if outcome.score is not None:
                scores[row, column] = outcome.score
    return scores, costs


def _used(exchanges: Sequence[Exchange], names: Sequence[str], scores: Floats, costs: Floats, frontier: str | None) -> Any:
    """Return the column of the route in use for each request: the given one, the one that served, or the best single one."""
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
            asked = [place for place in order if names[place] in one.outcomes]
            found[row] = next((place for place in asked if np.isfinite(costs[row, place])), asked[0])
    return found


def _split(exchanges: Sequence[Exchange], dimension: str) -> dict[str, Any]:
    found: dict[str, list[int]] = {}
    for row, one in enumerate(exchanges):
        value = one.task if dimension == "task" else one.step.get(dimension)
        if value:
            found.setdefault(str(value), []).append(row)
    return {name: np.array(rows) for name, rows in found.items()}


def _clusters(exchanges: Sequence[Exchange], vectors: Floats) -> dict[str, Any]:
    """Return clusters of similar requests, by spherical k-means on signed hashed words.

    Source: Arthur and Vassilvitskii, k-means++ (2007), for the initial centres.
    """
    count = len(exchanges)
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
            # A cluster is named after the id of its most typical request, so that no text is shown.
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
    # Several routes are tested, so each is held to a stricter level (Bonferroni).
    sure = NormalDist().inv_cdf(1 - 0.025 / max(len(names) - 1, 1))
    for place, route in enumerate(names):
        both = np.isfinite(scores[rows, place]) & np.isfinite(own_score) & (used[rows] != place)
        if both.sum() < LEAST:
            continue
        change = scores[rows, place][both] - own_score[both]
        # One pseudo-loss keeps a small group without losses from looking certain.
        error = np.sqrt((change.var() + 1 / len(change)) / len(change))
        low = float(change.mean() - sure * error)
        saved = (own_cost - costs[rows, place])[both & np.isfinite(own_cost) & np.isfinite(costs[rows, place])]
        if len(saved) < LEAST:
            continue
        # A prediction interval: the future requests scatter as much as these.
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
