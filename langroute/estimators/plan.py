"""Plan of a learned cascade: the order of its cheap routes, and linear models of the worth of each next action.

After each attempt a linear model predicts the worth of accepting the answer, of going on with the next cheap route, and of going up to a
stronger one, given which of the answers so far agree and how long they are.

Source: Dekoninck et al., A Unified Approach to Routing and Cascading for LLMs (2025); Yue et al., Large Language Model Cascades with
Mixture of Thoughts Representations (2024), for agreement; Longstaff and Schwartz, Valuing American Options by Simulation (2001), for
fitting the worth of going on backwards by regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from langroute.estimators.arrays import Floats, Ints


def agreement_code(same: Sequence[Sequence[bool]]) -> int:
    """Return the pairwise agreement of the answers so far as a bit mask.

    Args:
        same: `same[i][j]` for `j < i`: whether the answers of attempts `i` and `j` are the same.

    Example:
        >>> agreement_code([[], [True], [False, False]])
        1
    """
    return sum(1 << (row * (row - 1) // 2 + place) for row, flags in enumerate(same) for place, flag in enumerate(flags) if flag)


def state_features(
    logits: Floats, tried: Sequence[int], frontier: int, codes: Ints, patterns: Ints, lengths: Floats, known: Floats
) -> Floats:
    """Return the features of the state after some attempts.

    Args:
        logits: Estimated log-odds of success, `(requests, routes)`.
        tried: Indices of the routes that were called, in order.
        frontier: Index of the reference route.
        codes: Agreement of the answers, `(requests,)`; see `agreement_code`.
        patterns: The codes that have features of their own, `(patterns,)`.
        lengths: Logarithm of each answer's tokens minus the expected one, `(requests, tried)`.
        known: 1.0 where an answer could be parsed, else 0.0, `(requests, tried)`.

    Returns:
        Features, `(requests, features)`.
    """
    if not tried:
        return logits
    order = list(tried)
    pattern = (codes[:, None] == patterns[None, :]).astype(float)
    mean = logits[:, order].mean(1, keepdims=True)
    length = lengths.mean(1, keepdims=True)
    parts = [
        logits,
        known,
        lengths,
        pattern,
        pattern * mean,
        pattern * logits[:, [frontier]],
        pattern * length,
        pattern * lengths[:, -1:],
        length * mean,
        length * length,
    ]
    return np.hstack(parts)


@dataclass(frozen=True, slots=True)
class Stage:
    """Linear model of the worth of each action after the plan's first `n` routes were called."""

    patterns: Ints
    """Agreement codes that have features of their own, `(patterns,)`; see `state_features`."""

    weights: Floats
    """Weights of the expected worth of each action, its cost not yet subtracted, `(features, actions)`."""

    bias: Floats
    """`(actions,)`."""

    actions: tuple[int, ...]
    """Indices of the routes to call; -1 accepts the latest answer. The next cheap route of the plan, where there is one, comes last."""

    goes_on: bool
    """Whether the last action is the plan's next route, after which there is another stage."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An order of cheap routes, and the stages between them."""

    order: tuple[int, ...]
    """Indices of the cheap routes, in the order they are called."""

    price_of_quality: float
    """Worth of the frontier's mean cost in probability of success: the higher, the more is saved."""

    unit_usd: float
    """The frontier's mean cost of a call, in USD."""

    stages: tuple[Stage, ...]
    """One for each number of attempts, none included."""
