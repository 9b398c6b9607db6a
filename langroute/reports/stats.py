"""Statistics of reports: confidence intervals of shares and their differences, and percentiles from histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Range:
    """A lower and an upper bound."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of the tasks with a reported outcome, with its 95 % interval.

    Example:
        >>> rate = Rate(10, 10)
        >>> rate.share, round(rate.low, 2)
        (1.0, 0.72)
        >>> Rate(0, 0).share is None
        True
    """

    hits: int
    of: int

    @property
    def share(self) -> float | None:
        """The share itself; `None` without reported outcomes."""
        return self.hits / self.of if self.of else None

    @property
    def low(self) -> float:
        """Lower end of the interval; 0 without reported outcomes."""
        return wilson(self.hits, self.of).low

    @property
    def high(self) -> float:
        """Upper end of the interval; 1 without reported outcomes."""
        return wilson(self.hits, self.of).high


def wilson(hits: int, of: int, z: float = Z_95) -> Range:
    """Return the Wilson score interval of a share. Source: Wilson (1927); accurate for small numbers and near 0 and 1.

    Example:
        >>> interval = wilson(8, 10)
        >>> round(interval.low, 4), round(interval.high, 4)
        (0.4902, 0.9433)
    """
    if of == 0:
        return Range(0.0, 1.0)
    share, square = hits / of, z * z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = z * math.sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == of else min(1.0, middle + half)
    return Range(low, high)


MOST_TERMS = 1000
"""Hits up to which a tail is summed exactly; above, the normal approximation is as good."""


def is_above(rate: Rate, share: float, level: float = 0.025) -> bool:
    """Return whether a rate is above a share beyond chance: so many hits have at most this probability where the share is the true one.

    The exact binomial tail, because Wilson's interval is too narrow for a handful: one hit of one would be above a fifth.

    Example:
        >>> is_above(Rate(1, 1), 0.2), is_above(Rate(3, 3), 0.2), is_above(Rate(20, 100), 0.2)
        (False, True, False)
    """
    if not rate.hits or share >= 1:
        return False
    if share <= 0:
        return True
    if rate.hits > MOST_TERMS:
        return rate.low > share
    lost, won = math.log1p(-share), math.log(share)
    whole = math.lgamma(rate.of + 1)
    below = math.fsum(
        math.exp(whole - math.lgamma(hits + 1) - math.lgamma(rate.of - hits + 1) + hits * won + (rate.of - hits) * lost)
        for hits in range(rate.hits)
    )
    return 1 - below <= level


def difference(before: Rate, after: Rate, comparisons: int = 1) -> Range:
    """Return the interval of `after - before`. Source: Newcombe (1998), method 10, from two Wilson intervals.

    Args:
        before: The earlier rate.
        after: The later rate.
        comparisons: How many such intervals are looked at together: each is widened (Bonferroni), so that all of them hold in 95 of
            100 cases.

    Example:
        >>> change = difference(Rate(56, 70), Rate(48, 80))
        >>> round(change.low, 4), round(change.high, 4)
        (-0.3339, -0.0524)
    """
    if not before.of or not after.of:
        return Range(-1.0, 1.0)
    z = Z_95 if comparisons <= 1 else NormalDist().inv_cdf(1 - 0.025 / comparisons)
    old, new = wilson(before.hits, before.of, z), wilson(after.hits, after.of, z)
    first, second = before.hits / before.of, after.hits / after.of
    middle = second - first
    low = middle - math.sqrt((second - new.low) ** 2 + (old.high - first) ** 2)
    high = middle + math.sqrt((new.high - second) ** 2 + (first - old.low) ** 2)
    return Range(max(-1.0, low), min(1.0, high))


def percentile(counts: Sequence[int], borders: Sequence[float], share: float) -> float | None:
    """Return a percentile from histogram counts, interpolated linearly between two bucket borders.

    Args:
        counts: How many values lie below each border, and at or above the last one.
        borders: The borders, lowest first; one fewer than counts.
        share: 0.5 for the median.

    Example:
        >>> percentile([0, 10, 0], [1.0, 2.0], 0.5)
        1.5
        >>> percentile([0, 0, 3], [1.0, 2.0], 0.5)
        2.0
    """
    total = sum(counts)
    if not total:
        return None
    wanted, passed = share * total, 0
    edges = (0.0, *borders)
    for count, low, high in zip(counts, edges, borders, strict=False):
        if count and passed + count >= wanted:
            return low + (high - low) * (wanted - passed) / count
        passed += count
    # The last bucket has no upper border, so its lower one is returned.
    return borders[-1]
