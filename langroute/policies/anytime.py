"""Anytime-valid tests and intervals for the difference of two success rates, from sums alone.

An e-value is a bet against a hypothesis: while the hypothesis is true it exceeds `1 / alpha` with probability `alpha` at most, over all
times at which one looks, and whoever's turn the next task is. The bets here are mixtures that need only the number of outcomes and
their sum, so that several processes can add up what each of them heard, in any order.

Sources: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting (2024), for the bets; Turner, Ly and Grünwald,
Generic E-variables for exact sequential k-sample tests (2024), for two samples; Howard et al., Time-uniform, nonparametric, nonasymptotic
confidence sequences (2021), for intervals that hold at all times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, inf, log
from typing import NamedTuple

import numpy as np

from langroute.estimators.arrays import Floats

STEPS = np.geomspace(0.01, 0.8, 12)
"""Alternatives that are bet on: how far the mean is above the hypothesis, as a share of what is left up to 1."""

LEFT = np.log1p(-STEPS)
GRID = np.linspace(0.0, 1.0, 65)
FINE = np.linspace(-1.0, 1.0, 17)
MOST_MORE = 1e5
"""Most times the evidence so far that a forecast looks ahead."""


class Tally(NamedTuple):
    """Outcomes from 0 to 1 of one arm."""

    size: float = 0.0
    total: float = 0.0

    @property
    def mean(self) -> float:
        """Mean outcome; 0.0 without outcomes."""
        return self.total / self.size if self.size else 0.0

    @property
    def failures(self) -> Tally:
        """The same outcomes counted as failures."""
        return Tally(self.size, self.size - self.total)

    def times(self, factor: float) -> Tally:
        """Return the tally of that many times the outcomes."""
        return Tally(self.size * factor, self.total * factor)


class Pairs(NamedTuple):
    """Tasks that both arms did: how often the new one was worse, as good, and better."""

    worse: float = 0.0
    ties: float = 0.0
    better: float = 0.0
    strength: float = 1.0
    """How much of a difference is seen: 1 where outcomes are certain. A judge that is right with probability `a`, whichever arm it judges,
    sees `2 * a - 1` of it."""

    @property
    def size(self) -> float:
        """Number of tasks."""
        return self.worse + self.ties + self.better

    def add(self, difference: float) -> Pairs:
        """Return the pairs with one more, whose difference is from -1 to 1; a fraction counts in part as a tie.

        Example:
            >>> Pairs().add(-0.25)
            Pairs(worse=0.25, ties=0.75, better=0.0, strength=1.0)
        """
        worse, better = self.worse + max(0.0, -difference), self.better + max(0.0, difference)
        return Pairs(worse, self.ties + 1 - abs(difference), better, self.strength)

    @property
    def turned(self) -> Pairs:
        """The pairs as the old arm sees them."""
        return Pairs(self.better, self.ties, self.worse, self.strength)

    def times(self, factor: float) -> Pairs:
        """Return that many times the pairs."""
        return Pairs(self.worse * factor, self.ties * factor, self.better * factor, self.strength)


def log_above(tally: Tally, means: Floats) -> Floats:
    """Return the logarithm of the e-value against "the mean is at most this", for each of the given means, `(means,)`.

    Example:
        >>> evidence = log_above(Tally(20, 18), np.array([0.5, 0.9]))
        >>> bool(evidence[0] > log(20)), bool(evidence[1] > 0)
        (True, False)
    """
    low = np.clip(means, 1e-9, 1 - 1e-9)[:, None]
    # An alternative is `low + (1 - low) * STEPS`. For an outcome between 0 and 1 this is below the logarithm of the bet, which is
    # concave: on the side of caution.
    bets = tally.total * np.log1p((1 / low - 1) * STEPS) + (tally.size - tally.total) * LEFT
    top = bets.max(1)
    return np.asarray(top + np.log(np.exp(bets - top[:, None]).mean(1)), float)


def log_pairs_above(pairs: Pairs, difference: float) -> float:
    """Return the logarithm of the e-value against "the mean difference of the pairs is at most this"."""
    seen = difference * pairs.strength
    if not pairs.size or seen >= 1:
        return 0.0
    stakes = STEPS / (1 + max(seen, -0.999))
    bets = np.zeros(len(stakes))
    for count, value in ((pairs.worse, -1.0), (pairs.ties, 0.0), (pairs.better, 1.0)):
        bets += count * np.log(np.maximum(1 + stakes * (value - seen), 1e-300))
    top = float(np.max(bets))
    return top + log(float(np.exp(bets - top).mean()))


def log_evidence(new: Tally, old: Tally, difference: float, pairs: Sequence[Pairs] = ()) -> float:
    """Return the logarithm of the e-value against "the new mean exceeds the old one by at most `difference`".

    The evidence that the new arm is not worse by more than a margin is that for a difference of minus the margin; that it is worse by
    more than a margin, the same with the arms turned round and the margin itself (`log_evidence_below`).

    Args:
        new: Outcomes of the new arm.
        old: Outcomes of the old one, on other tasks.
        difference: From -1 to 1.
        pairs: Tasks that both arms did, none of them in the tallies; those of judges apart.

    Example:
        >>> log_evidence(Tally(50, 45), Tally(50, 25), 0.0) > log(20), log_evidence(Tally(50, 26), Tally(50, 25), 0.0) > log(20)
        (True, False)
    """
    # Whatever the old mean is, one of the two bets pays if the difference is larger; the least over all old means is an e-value.
    least, most = max(0.0, -difference), min(1.0, 1.0 - difference)
    paired = sum(log_pairs_above(one, difference) for one in pairs)
    if least >= most:
        return paired
    means = least + (most - least) * GRID
    found = log_above(new, means + difference) + log_above(old.failures, 1 - means)
    near = means[int(found.argmin())] + FINE * (most - least) / (len(GRID) - 1)
    near = near[(near >= least) & (near <= most)]
    finer = log_above(new, near + difference) + log_above(old.failures, 1 - near)
    return float(min(found.min(), finer.min())) + paired


def log_evidence_below(new: Tally, old: Tally, difference: float, pairs: Sequence[Pairs] = ()) -> float:
    """Return the logarithm of the e-value against "the new mean is below the old one by no more than minus `difference`".

    Example:
        >>> log_evidence_below(Tally(50, 20), Tally(50, 45), -0.1) > log(20)
        True
    """
    return log_evidence(old, new, -difference, [one.turned for one in pairs])


def interval(new: Tally, old: Tally, alpha: float, pairs: Sequence[Pairs] = ()) -> tuple[float, float]:
    """Return an interval of the new mean minus the old one that holds at all times with probability `1 - alpha` (a confidence sequence).

    Example:
        >>> low, high = interval(Tally(400, 320), Tally(400, 240), 0.05)
        >>> 0.05 < low < 0.2 < high < 0.35
        True
    """
    needed, turned = log(2 / alpha), [one.turned for one in pairs]
    low = _border(lambda at: log_evidence(new, old, at, pairs) >= needed)
    high = -_border(lambda at: log_evidence(old, new, at, turned) >= needed)
    return low, high


def _border(refuted: Callable[[float], bool]) -> float:
    """Return the largest difference that is refuted from below; -1 where none is."""
    low, high = -1.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        if refuted(middle):
            low = middle
        else:
            high = middle
    return low


def more_needed(new: Tally, old: Tally, difference: float, needed: float, pairs: Sequence[Pairs] = ()) -> float:
    """Return how many times the outcomes so far are needed, with rates as they are, until the evidence is there.

    Args:
        new: Outcomes of the new arm.
        old: Outcomes of the old one.
        difference: See `log_evidence`.
        needed: The logarithm that the e-value has to reach.
        pairs: See `log_evidence`.

    Returns:
        1.0 where it is there already, infinity where rates as they are will not do.

    Example:
        >>> more_needed(Tally(50, 40), Tally(50, 40), -0.05, log(20)) > 5, more_needed(Tally(50, 30), Tally(50, 40), -0.05, log(20))
        (True, inf)
    """

    def there(factor: float) -> bool:
        return log_evidence(new.times(factor), old.times(factor), difference, [one.times(factor) for one in pairs]) >= needed

    if there(1.0):
        return 1.0
    if not there(MOST_MORE):
        return inf
    low, high = 0.0, log(MOST_MORE)
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if there(exp(middle)) else (middle, high)
    return exp(high)
