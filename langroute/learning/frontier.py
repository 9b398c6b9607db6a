"""Metrics of routing: APGR, CPT and AIQ, which measure the trade-off of quality and cost.

Source: Ong et al., RouteLLM (2024), section 4.1, for APGR and CPT; Hu et al., RouterBench (2024), section 3.2, for AIQ.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from langroute.estimators.arrays import Floats


def gap_recovered(gain: Floats, preference: Floats) -> Floats:
    """Return the share of the performance gap between two routes that is recovered as more calls go to the stronger one.

    Args:
        gain: Score of the stronger route minus that of the weaker, `(requests,)`.
        preference: The policy's preference for the stronger route, `(requests,)`; requests with the highest go to it first.

    Returns:
        The share at 0, 1, … all calls, `(requests + 1,)`; NaN where there is no gap.
    """
    order = np.argsort(-preference, kind="stable")
    total = gain.sum()
    if total == 0:
        return np.full(len(gain) + 1, np.nan)
    return np.asarray(np.concatenate([[0.0], np.cumsum(gain[order])]) / total)


def apgr(recovered: Floats) -> float:
    """Return the average performance gap recovered: the mean over call shares from 0 to 1; 0.5 for a random order.

    Example:
        >>> apgr(np.array([0.0, 0.5, 1.0]))
        0.5
    """
    return float(((recovered[1:] + recovered[:-1]) / 2).mean())


def cpt(recovered: Floats, share: float) -> float:
    """Return the call-performance threshold: the smallest share of calls to the stronger route that recovers this share of the gap.

    Example:
        >>> cpt(np.array([0.0, 0.8, 1.0]), 0.5)
        0.5
    """
    reached = np.flatnonzero(recovered >= share)
    return float(reached[0] / (len(recovered) - 1)) if len(reached) else 1.0


def hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the non-decreasing upper concave hull of points `(cost, quality)`: those that no mixture of others beats.

    Example:
        >>> hull([(1.0, 0.5), (2.0, 0.4), (3.0, 0.9)])
        [(1.0, 0.5), (3.0, 0.9)]
    """
    best: list[tuple[float, float]] = []
    for cost, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if best and quality <= best[-1][1]:
            continue
        while len(best) > 1 and _slope(best[-2], best[-1]) <= _slope(best[-2], (cost, quality)):
            best.pop()
        best.append((cost, quality))
    return best


def _slope(left: tuple[float, float], right: tuple[float, float]) -> float:
    return (right[1] - left[1]) / max(right[0] - left[0], 1e-300)


def aiq(points: Sequence[tuple[float, float]], cheapest: float, dearest: float) -> float:
    """Return the average improvement in quality: the mean height of the hull of `(cost, quality)` between two costs.

    Example:
        >>> aiq([(0.0, 0.0), (1.0, 1.0)], 0.0, 1.0)
        0.5
    """
    corners = hull(points)
    costs = np.array([cost for cost, _ in corners])
    qualities = np.array([quality for _, quality in corners])
    if dearest <= cheapest:
        return float(qualities.max())
    grid = np.linspace(cheapest, dearest, 1001)
    heights = np.interp(grid, costs, qualities, left=0.0)
    return float(((heights[1:] + heights[:-1]) / 2).mean())
