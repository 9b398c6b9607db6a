"""Power calculations: how many tasks a trial of a cheaper route needs to show that it is not worse by more than a margin."""

from __future__ import annotations

from math import ceil
from statistics import NormalDist


def tasks_for_arms(rate: float, margin: float, *, effect: float = 0.0, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """Return how many tasks each of two routes needs to show that the new one is not worse by more than a margin.

    One-sided test of two independent success rates by a normal approximation. Source: Blackwelder, Proving the null hypothesis (1982).

    Args:
        rate: Success rate of the route in use.
        margin: Largest loss that is accepted, as a share of all tasks.
        effect: What the new route truly gains, negative where it loses.
        power: Probability that the trial succeeds where that is so.
        alpha: Probability that it succeeds though the loss is the margin.

    Returns:
        The number, or `None` where a loss as large as `effect` cannot be shown to be within the margin.

    Example:
        >>> tasks_for_arms(0.9, 0.05), tasks_for_arms(0.9, 0.05, effect=-0.06)
        (446, None)
    """
    new = min(max(rate + effect, 0.0), 1.0)
    return _needed(rate * (1 - rate) + new * (1 - new), margin + effect, power, alpha)


def tasks_for_pairs(differ: float, margin: float, *, effect: float = 0.0, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """Return how many tasks both routes must do to show that the new one is not worse by more than a margin.

    As `tasks_for_arms`, for a difference of pairs. Source: Liu et al., Tests for equivalence or non-inferiority for paired binary data (2002).

    Args:
        differ: Share of the tasks on which one route succeeds and the other fails.
        margin: Largest loss that is accepted.
        effect: What the new route truly gains.
        power: Probability that the trial succeeds where that is so.
        alpha: Probability that it succeeds though the loss is the margin.

    Example:
        >>> tasks_for_pairs(0.1, 0.05)
        248
    """
    return _needed(differ - effect * effect, margin + effect, power, alpha)


def _needed(variance: float, room: float, power: float, alpha: float) -> int | None:
    if room <= 1e-9:
        return None
    quantiles = NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power)
    # A rate of 0 or 1 in the record does not make a trial of no tasks: at the least one failure more is allowed for.
    return max(ceil(quantiles**2 * max(variance, 0.0) / room**2), ceil(1 / room))
