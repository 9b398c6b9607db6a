"""Luck and skill: what repeated runs of the same routes on the same requests say of a best choice made in hindsight.

An oracle that takes, for each request, whichever route happened to succeed is paid for luck as well as for skill: run again, the route that
it chose may fail. With several runs of a request the two come apart. All figures here are unbiased, or lean to the stated side, for
independent runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from langroute.core.fast_dataclass import fast_dataclass
from langroute.estimators.arrays import Floats, Ints
from langroute.learning.outcome_table import OutcomeSample

LEAST_REPEATED = 10
"""Fewest repeated requests of a route that anything is said of."""

MOST_FOLDS = 10
"""Most runs of a route on a request that are left out in turn."""


@fast_dataclass
class RouteLuck:
    """How a route's success scatters between runs of one request, and between requests."""

    route: str
    requests: int
    """Requests with two runs or more."""

    runs: float
    """Mean number of runs of these."""

    quality: float
    quality_low: float
    quality_high: float
    agreement: float
    """Probability that two runs of one request end alike."""

    luck: float
    """Share of the variance of single runs that lies within requests: 0 where all runs of a request end alike, 1 where requests do not matter."""

    twice: float
    """Probability that at least one of two runs of a request succeeds."""


@fast_dataclass
class OracleParts:
    """What a choice of the best route for each request is worth, on the requests that every one of the routes ran on repeatedly."""

    routes: tuple[str, ...]
    requests: int
    best: str
    best_alone: float
    best_twice: float
    """Mean of at least one success in two runs of the best single route: hindsight of the same size without any choice."""

    one_run: float
    """Oracle of one run a route: the share of the requests on which at least one route's run succeeds. It includes luck."""

    known: float
    """Score of a run when the route is chosen by all other runs of the request: what a history of recurring requests gives. It leans low,
    by the run that is left out and by what so few runs cannot tell."""

    flattered: float
    """Mean of the highest success rate of a request. It leans high, because the highest of several rates is partly luck."""


def luck_of(sample: OutcomeSample, names: Sequence[str]) -> list[RouteLuck]:
    """Return how much luck there is in the runs of each route; routes with few repeated requests are left out."""
    _, request = np.unique(sample.request, return_inverse=True)
    found = []
    for place, name in enumerate(names):
        mine = (sample.route == place) & np.isfinite(sample.score)
        counts, sums, squares = _sums(request[sample.line[mine]], sample.score[mine])
        many = counts > 1
        if many.sum() >= LEAST_REPEATED:
            found.append(_luck(name, counts[many], sums[many], squares[many]))
    return sorted(found, key=lambda one: (-one.quality, one.route))


def _sums(groups: Ints, values: Floats) -> tuple[Floats, Floats, Floats]:
    size = int(groups.max(initial=-1)) + 1
    counts, sums, squares = (np.bincount(groups, weights, size).astype(np.float64) for weights in (None, values, values * values))
    return counts, sums, squares


def _luck(name: str, counts: Floats, sums: Floats, squares: Floats) -> RouteLuck:
    means = sums / counts
    within = np.maximum(squares - sums * means, 0) / (counts - 1)
    # Of two different runs a and b of one request, (a - b)^2 is in the mean twice the variance within; for 0 and 1 it says that they differ.
    differ = 2 * within
    # The means scatter by the luck of their runs, too.
    between = max(float(means.var(ddof=1)) - float((within / counts).mean()), 0.0)
    inside = float(within.mean())
    error = 1.96 * float(means.std(ddof=1)) / np.sqrt(len(means))
    both = (sums * sums - squares) / (counts * (counts - 1))
    quality = float(means.mean())
    return RouteLuck(
        name,
        len(counts),
        float(counts.mean()),
        quality,
        max(quality - error, 0.0),
        min(quality + error, 1.0),
        1 - float(differ.mean()),
        inside / (inside + between) if inside + between > 0 else 0.0,
        float((2 * means - both).mean()),
    )


def oracle_of(sample: OutcomeSample, names: Sequence[str], routes: Sequence[str]) -> OracleParts | None:
    """Return what a choice by request is worth; `None` where too few requests were given to all of the routes repeatedly.

    Args:
        sample: The outcomes.
        names: Names of the routes in the sample, by index.
        routes: The routes to choose between, two or more.
    """
    _, request = np.unique(sample.request, return_inverse=True)
    size = int(request.max(initial=-1)) + 1
    counts, sums, squares = np.zeros((3, size, len(routes)))
    runs: list[tuple[Ints, Floats]] = []
    for column, name in enumerate(routes):
        mine = (sample.route == names.index(name)) & np.isfinite(sample.score)
        runs.append((request[sample.line[mine]], sample.score[mine]))
        for into, values in zip((counts, sums, squares), _sums(*runs[-1]), strict=True):
            into[: len(values), column] = values
    there = (counts > 1).all(1)
    if there.sum() < LEAST_REPEATED:
        return None
    means = sums[there] / counts[there]
    best = int(means.mean(0).argmax())
    both = (sums[there, best] ** 2 - squares[there, best]) / (counts[there, best] * (counts[there, best] - 1))
    return OracleParts(
        tuple(routes),
        int(there.sum()),
        routes[best],
        float(means[:, best].mean()),
        float((2 * means[:, best] - both).mean()),
        float((1 - np.prod(1 - means, axis=1)).mean()),
        _known(np.flatnonzero(there).tolist(), runs),
        float(means.max(1).mean()),
    )


def _known(request: Sequence[int], runs: Sequence[tuple[Ints, Floats]]) -> float:
    """Return the mean score of a run when the route is chosen by all other runs; of equal routes the better on all requests.

    The first runs of all routes are left out together, then the second ones, and so on.

    Args:
        request: Indices of the requests with two runs or more of each route.
        runs: For each route the request and the score of each run.
    """
    row = {index: place for place, index in enumerate(request)}
    scores = np.full((len(row), len(runs), MOST_FOLDS), np.nan)
    for column, (group, values) in enumerate(runs):
        seen = np.zeros(len(row), np.int64)
        for index, value in zip(group.tolist(), values.tolist(), strict=True):
            at = row.get(index)
            if at is not None and seen[at] < MOST_FOLDS:
                scores[at, column, seen[at]] = value
                seen[at] += 1
    whole = np.nanmean(scores, axis=2)
    found = []
    for fold in range(MOST_FOLDS):
        there = np.isfinite(scores[:, :, fold]).all(1)
        if not there.any():
            break
        others = np.nanmean(np.delete(scores[there], fold, axis=2), axis=2)
        elsewhere = (whole.sum(0) - whole[there]) / max(len(whole) - 1, 1)
        chosen = (others + 1e-6 * elsewhere).argmax(1)
        found.append(scores[there, chosen, fold])
    return float(np.concatenate(found).mean())
