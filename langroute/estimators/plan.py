"""Is this answer good enough, or which route next? What a learned cascade knows of a step after each attempt.

A plan is a short order of cheap routes. After each of them a linear model says how likely its answer is right, given which of the
answers so far agree and how long they are, and what going on would be worth: with the next cheap route, or up to a stronger one.

Source: Dekoninck et al., A Unified Approach to Routing and Cascading for LLMs (2025); Yue et al., Large Language Model Cascades with
Mixture of Thoughts Representations (2024), for agreement; Longstaff and Schwartz, Valuing American Options by Simulation (2001), for
fitting the worth of going on backwards by regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from langroute.estimators.features import Floats, Ints


def agreement_code(same: Sequence[Sequence[bool]]) -> int:
    """Which of the answers so far agree, as one number.

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
    """What is known after some attempts, as numbers.

    Args:
        logits: Estimated log-odds of success, `(requests, routes)`.
        tried: Routes that were asked, in order.
        frontier: The reference route.
        codes: Agreement of the answers, `(requests,)`; see `agreement_code`.
        patterns: The codes that are told apart.
        lengths: Logarithm of each answer's tokens, less what was expected, `(requests, tried)`.
        known: Whether each answer could be read, `(requests, tried)`.

    Returns:
        `(requests, features)`.
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
    """What to do after the plan's first `n` routes were asked."""

    patterns: Ints
    weights: Floats
    """`(features, actions)`: the expected worth of each action, its cost not yet taken off."""

    bias: Floats
    actions: tuple[int, ...]
    """Routes to ask; -1 accepts the latest answer. The next cheap route of the plan, where there is one, comes last."""

    goes_on: bool
    """The last action is the plan's next route, after which there is another stage."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An order of cheap routes and what to do after each."""

    order: tuple[int, ...]
    price_of_quality: float
    """Worth of the frontier's mean cost, in probability of success: the higher, the more is saved."""

    unit_usd: float
    """The frontier's mean cost."""

    stages: tuple[Stage, ...]
    """One for each number of attempts, none included."""
