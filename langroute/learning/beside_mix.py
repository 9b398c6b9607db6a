"""A replayed strategy beside the random mix of routes that costs as much: what knowing the request was worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from langroute.estimators.arrays import Floats
from langroute.learning.baselines import MOSTLY, Baselines, Sums
from langroute.learning.mix_line import MixLine, mix_line


class BesideSums:
    """Sums of a strategy over requests that the same routes answered, with what each route alone scored there.

    Args:
        routes: Number of routes.
    """

    __slots__ = ("cost", "count", "cross", "score", "squares")

    def __init__(self, routes: int) -> None:
        self.count, self.score, self.squares, self.cost = 0, 0.0, 0.0, 0.0
        self.cross = np.zeros(routes)
        """Sums of the strategy's score times each route's, `(routes,)`."""

    def add(self, scores: Floats, costs: Floats, alone: Floats) -> None:
        """Add requests.

        Args:
            scores: Scores of the strategy, `(requests,)`.
            costs: What it spent, `(requests,)`.
            alone: Scores of each route, `(requests, routes)`.
        """
        self.count += len(scores)
        self.score += float(scores.sum())
        self.squares += float(scores @ scores)
        self.cost += float(costs.sum())
        self.cross += scores @ alone

    def merge(self, more: BesideSums) -> None:
        """Add the sums of further requests."""
        self.count += more.count
        self.score += more.score
        self.squares += more.squares
        self.cost += more.cost
        self.cross += more.cross


def line_of(baselines: Baselines) -> tuple[tuple[str, ...], MixLine] | None:
    """Return the routes that nearly all requests have in common, and their line of random mixes; `None` where there are no two such routes."""
    if not baselines.groups:
        return None
    names, sums = max(baselines.groups.items(), key=lambda item: item[1].count)
    if len(names) < 2 or sums.count < MOSTLY * baselines.count:
        return None
    singles = {name: (float(sums.cost[at]) / sums.count, float(sums.score[at]) / sums.count) for at, name in enumerate(names)}
    return names, mix_line(singles)


def beside_mix(own: BesideSums | None, sums: Sums, names: tuple[str, ...], line: MixLine) -> dict[str, Any] | None:
    """Return the random mix that costs as much as a strategy, and the difference in quality with its 95 % interval.

    Args:
        own: The strategy's sums over the requests of these routes.
        sums: The routes' own sums over the same requests.
        names: The routes.
        line: Their line of random mixes.

    Returns:
        `routes` (shares of the mix), `quality`, `cost_usd` (of all these requests), `difference`, `low`, `high`; `None` where every mix costs
        more than the strategy.
    """
    if own is None or not own.count:
        return None
    mix = line.at_cost(own.cost / own.count)
    if mix is None:
        return None
    shares = np.array([mix.shares.get(name, 0.0) for name in names])
    difference = own.score / own.count - mix.quality
    # The same requests are on both sides, so it is their differences that scatter.
    spread = (own.squares - 2 * float(shares @ own.cross) + float(shares @ sums.gram @ shares)) / own.count - difference**2
    error = 1.96 * float(np.sqrt(max(spread, 0.0) / own.count))
    return {
        "routes": dict(mix.shares),
        "quality": mix.quality,
        "cost_usd": mix.cost_usd * own.count,
        "difference": difference,
        "low": difference - error,
        "high": difference + error,
    }
