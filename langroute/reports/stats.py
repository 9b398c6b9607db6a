"""How sure can one be of a share, a difference of shares, a percentile?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""Standard deviations of a normal distribution within which 95 % of it lies."""


@dataclass(frozen=True, slots=True)
class Range:
    """A lowest and a highest value."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of what was told, with its 95 % interval.

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
        """The share itself; `None` where nothing was told."""
        return self.hits / self.of if self.of else None

    @property
    def low(self) -> float:
        """Lower end of the interval; 0 where nothing was told."""
        return wilson(self.hits, self.of).low

    @property
    def high(self) -> float:
        """Upper end of the interval; 1 where nothing was told."""
        return wilson(self.hits, self.of).high


def wilson(hits: int, of: int, z: float = Z_95) -> Range:
    """The Wilson score interval of a share. Source: Wilson (1927); honest for small numbers and near 0 and 1.

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


def difference(before: Rate, after: Rate) -> Range:
    """The interval of `after - before`. Source: Newcombe (1998), method 10, from two Wilson intervals.

    Example:
        >>> change = difference(Rate(56, 70), Rate(48, 80))
        >>> round(change.low, 4), round(change.high, 4)
        (-0.3339, -0.0524)
    """
    if not before.of or not after.of:
        return Range(-1.0, 1.0)
    first, second = before.hits / before.of, after.hits / after.of
    middle = second - first
    low = middle - math.sqrt((second - after.low) ** 2 + (before.high - first) ** 2)
    high = middle + math.sqrt((after.high - second) ** 2 + (first - before.low) ** 2)
    return Range(max(-1.0, low), min(1.0, high))


def percentile(counts: Sequence[int], borders: Sequence[float], share: float) -> float | None:
    """A percentile of values that were only counted between borders, taken as evenly spread between two of them.

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
    # Nothing is known above the last border but that it was reached.
    return borders[-1]
