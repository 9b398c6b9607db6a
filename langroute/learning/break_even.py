"""Cheap first with a verifier: what a pair of routes reaches at each accuracy of the verifier, and which accuracy loses nothing.

The cheap route answers, a verifier judges the answer, and the strong route answers again where it was rejected. A verifier of accuracy `a`
accepts a right answer and rejects a wrong one with probability `a`. With the four shares of requests that both routes solve, only the cheap
one, only the strong one and neither, the chain solves

    both + a * only_cheap + a * only_strong

and the strong route alone solves `both + only_strong`. They are equal at

    a = only_strong / (only_strong + only_cheap)

whatever the other two shares are: the break-even accuracy is the strong route's share of the requests on which the two differ.
"""

from __future__ import annotations

import numpy as np

from langroute.core.fast_dataclass import fast_dataclass
from langroute.estimators.arrays import Floats
from langroute.policies.shadow import wilson

LEAST_PAIRED = 20
"""Fewest requests that both routes of a pair were scored on."""


@fast_dataclass
class ChainPoint:
    """Cheap first at one accuracy of the verifier."""

    accuracy: float
    quality: float
    cost_usd: float | None
    """Of a request, without the verifier's own cost; `None` where costs are not known."""

    sent_on: float
    """Share of the requests that the strong route is asked for, too."""


@fast_dataclass
class RoutePair:
    """Two routes on the requests that both were scored on; shares and costs are those of a request."""

    cheap: str
    strong: str
    requests: int
    both: float
    only_cheap: float
    only_strong: float
    cheap_usd: float | None
    strong_usd: float | None
    strong_usd_where_cheap_right: float | None
    """What the strong route costs on the requests that the cheap one solves, as a part of `strong_usd`."""

    @property
    def cheap_quality(self) -> float:
        """Mean score of the cheap route."""
        return self.both + self.only_cheap

    @property
    def strong_quality(self) -> float:
        """Mean score of the strong route."""
        return self.both + self.only_strong

    @property
    def break_even(self) -> float | None:
        """Accuracy of the verifier at which the chain solves as much as the strong route; `None` where the two never differ."""
        differ = self.only_cheap + self.only_strong
        return self.only_strong / differ if differ > 0 else None

    @property
    def break_even_range(self) -> tuple[float, float]:
        """Ends of the 95 % Wilson interval of the break-even accuracy."""
        differ = (self.only_cheap + self.only_strong) * self.requests
        return wilson(self.only_strong * self.requests, differ)

    def at(self, accuracy: float) -> ChainPoint:
        """Return what the chain reaches with a verifier of this accuracy.

        Example:
            >>> pair = RoutePair("small", "large", 100, 0.5, 0.125, 0.375, 1.0, 10.0, 6.0)
            >>> pair.break_even, pair.at(1.0)
            (0.75, ChainPoint(accuracy=1.0, quality=1.0, cost_usd=5.0, sent_on=0.375))
        """
        quality = self.both + accuracy * (self.only_cheap + self.only_strong)
        sent_on = (1 - accuracy) * self.cheap_quality + accuracy * (1 - self.cheap_quality)
        cost_usd = None
        if self.cheap_usd is not None and self.strong_usd is not None and self.strong_usd_where_cheap_right is not None:
            right, wrong = self.strong_usd_where_cheap_right, self.strong_usd - self.strong_usd_where_cheap_right
            cost_usd = self.cheap_usd + (1 - accuracy) * right + accuracy * wrong
        return ChainPoint(accuracy, quality, cost_usd, sent_on)

    def rejects(self, accepts: float) -> float:
        """Return the share of the cheap route's wrong answers that a verifier has to reject to lose nothing.

        Args:
            accepts: Share of its right answers that the verifier accepts.

        Returns:
            The share of those wrong answers that the strong route would have had right; from 0 to 1.

        Example:
            >>> RoutePair("small", "large", 100, 0.5, 0.125, 0.25, None, None, None).rejects(1.0)
            0.5
        """
        if not self.only_strong:
            return 0.0
        return min(max(1 - accepts * self.only_cheap / self.only_strong, 0.0), 1.0)


def pair_of(cheap: str, strong: str, scores: Floats, costs: Floats) -> RoutePair | None:
    """Return a pair of routes; `None` where too few requests were scored on both.

    Args:
        cheap: The route that is asked first.
        strong: The route that is asked where its answer is rejected.
        scores: Scores of the two from 0 to 1, `(requests, 2)`; NaN where there is none. The mean of several runs counts as the
            probability of success, so that two routes' luck on one request is independent.
        costs: USD, `(requests, 2)`; NaN where it is not known.
    """
    there = np.isfinite(scores).all(1)
    count = int(there.sum())
    if count < LEAST_PAIRED:
        return None
    (first, second), paid = scores[there].T, costs[there]
    priced = np.isfinite(paid).all(1)
    cheap_usd = strong_usd = where_right = None
    if priced.sum() >= LEAST_PAIRED:
        cheap_usd, strong_usd = (float(value) for value in paid[priced].mean(0))
        where_right = float((first[priced] * paid[priced, 1]).mean())
    return RoutePair(
        cheap,
        strong,
        count,
        float((first * second).mean()),
        float((first * (1 - second)).mean()),
        float(((1 - first) * second).mean()),
        cheap_usd,
        strong_usd,
        where_right,
    )
