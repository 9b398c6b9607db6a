"""Empirical likelihood intervals for means in which a few requests have large weights.

The usual interval relies on the sample variance: where the few heavy requests happen to agree, or happen to be missing, it is too narrow.
Here a mean is inside the interval as long as some distribution with that mean makes the sample likely enough, and that distribution may
include values that were not observed: the most extreme requests possible.

Source: Owen, Empirical Likelihood Ratio Confidence Intervals for a Single Functional (1988); Chen, Variyath and Abraham, Adjusted
Empirical Likelihood (2008), for the pseudo-observations; Karampatziakis, Langford and Mineiro, Empirical Likelihood for Contextual Bandits
(2020), for extremes in off-policy estimates.
"""

from __future__ import annotations

import numpy as np

from langroute.estimators.arrays import Floats

USUAL, CERTAIN = 3.841, 10.828
"""Thresholds of twice the log-likelihood ratio: the 95 % and 99.9 % quantiles of chi-squared with one degree of freedom."""


def likely_range(
    amounts: Floats, weights: Floats, extremes: Floats, *, within: tuple[float, float] = (0.0, 1.0), lost: float = USUAL
) -> tuple[float, float]:
    """Return an empirical likelihood interval for the mean amount divided by the mean weight.

    Args:
        amounts: `(requests,)`.
        weights: `(requests,)`; all 1 for a plain mean.
        extremes: Amounts and weights of the most extreme requests possible, `(extremes, 2)`. They share the weight of one
            pseudo-observation.
        within: Range of possible values, which clips the interval.
        lost: Threshold of twice the log-likelihood ratio; see `USUAL`.

    Example:
        >>> low, high = likely_range(np.ones(10), np.ones(10), np.array([[0.0, 1.0], [1.0, 1.0]]))
        >>> 0.6 < low < 0.9, high
        (True, 1.0)
    """
    # Equal requests are counted together: there are few distinct propensities, and scores are mostly 0 and 1.
    seen, many = np.unique(np.round(np.column_stack([amounts, weights]), 9), axis=0, return_counts=True)
    rows = np.concatenate([seen, extremes])
    counts = np.concatenate([many, np.full(len(extremes), 1 / len(extremes))])
    middle = min(max(float(counts @ rows[:, 0] / (counts @ rows[:, 1])), within[0]), within[1])
    return _end(rows, counts, middle, within[0], lost), _end(rows, counts, middle, within[1], lost)


def _end(rows: Floats, counts: Floats, inside: float, outermost: float, lost: float) -> float:
    """Return the value between `inside` and `outermost` at which the likelihood ratio falls below the threshold, by bisection."""
    outside = outermost
    if 2 * _fall(rows[:, 0] - outside * rows[:, 1], counts) <= lost:
        return outside
    while abs(outside - inside) > 1e-6:
        between = (inside + outside) / 2
        if 2 * _fall(rows[:, 0] - between * rows[:, 1], counts) <= lost:
            inside = between
        else:
            outside = between
    # The pseudo-observations keep the end slightly away from the bound where all requests are equal.
    return outermost if abs(outermost - outside) < 1e-3 else outside


def _fall(excess: Floats, counts: Floats) -> float:
    """Return the loss of log-likelihood under a mean excess of 0: the maximum over `tilt` of the sum of `log(1 + tilt * excess)`."""
    least, most = float(excess.min()), float(excess.max())
    if least >= 0 or most <= 0:
        return 0.0 if least == most == 0 else np.inf
    # Every argument of the logarithm is positive between these; the sum is concave, so Newton's method with bisection finds the maximum.
    low, high, tilt = -1 / most, -1 / least, 0.0
    for _ in range(100):
        ratio = excess / (1 + tilt * excess)
        slope, bend = float(counts @ ratio), float(counts @ (ratio * ratio))
        low, high = (tilt, high) if slope > 0 else (low, tilt)
        step = tilt + slope / bend
        following = step if low < step < high else (low + high) / 2
        if abs(following - tilt) <= 1e-10 * (high - low) or slope * slope / bend < 1e-12:
            break
        tilt = following
    return float(counts @ np.log1p(tilt * excess))
