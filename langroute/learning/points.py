"""Which setting for which target, and what can be promised of it?

A setting is chosen because it did well on the requests at hand, so it will do a little worse on others: that luck is measured, by choosing
again on samples of the requests and looking at those that are not in the sample, and taken off what is promised.

Source: Tsamardinos et al., Bootstrapping the Out-of-sample Predictions for Efficient and Accurate Cross-validation (2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from langroute.estimators.features import Floats

TOLERATED = 0.001
"""A target counts as met when the cross-fitted quality comes this close."""

SAMPLES = 100
"""Samples that settings are chosen again on."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A setting, and what it got and cost on requests it was not fitted on."""

    score: Floats
    cost: Floats
    """In units of the frontier's mean cost."""

    tolerance: float
    order: tuple[int, ...] | None = None
    price_index: int = -1


@dataclass(frozen=True, slots=True)
class Chosen:
    """The setting for a target, and what it is expected to get on requests like these."""

    candidate: Candidate
    promised: dict[str, Any]


def choose(targets: Sequence[float], candidates: Sequence[Candidate], reference: Floats, seed: int) -> list[Chosen]:
    """For each target the cheapest setting whose cross-fitted quality meets it.

    More quality than was asked for is taken where a point of it costs less than a point of the frontier's cost.

    Args:
        targets: Quality relative to the best single route.
        candidates: All settings.
        reference: The best single route's scores, `(requests,)`.
        seed: Decides the samples.

    Example:
        >>> scores = np.array([1.0, 1.0, 0.0, 1.0])
        >>> dear, cheap = Candidate(scores, np.ones(4), 0.0), Candidate(1 - scores, np.full(4, 0.1), 1.0)
        >>> [one.candidate.tolerance for one in choose([1.0, 0.1], [dear, cheap], scores, 0)]
        [0.0, 1.0]
    """
    scores = np.array([one.score for one in candidates], np.float32)
    costs = np.array([one.cost for one in candidates], np.float32)
    count = len(reference)
    quality, spent, base = scores.mean(1, dtype=float), costs.mean(1, dtype=float), float(reference.mean())
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), SAMPLES).astype(np.float32)
    left = (drawn == 0).astype(np.float32)
    # Of each sample, and of what is not in it: `(samples, candidates)`.
    inside, paid = drawn @ scores.T / count, drawn @ costs.T / count
    outside = left @ scores.T / np.maximum(left.sum(1, keepdims=True), 1)
    bases = drawn @ reference.astype(np.float32) / count
    found = []
    for target in targets:
        place = _best(target, quality, spent, base)
        again = [_best(target, *one) for one in zip(inside, paid, bases, strict=True)]
        rows = np.arange(SAMPLES)
        luck = float((inside[rows, again] - outside[rows, again]).mean())
        found.append(Chosen(candidates[place], _promise(candidates[place], reference, max(luck, 0.0), float(quality[again].std()))))
    return found


def _best(target: float, quality: Floats, spent: Floats, base: float) -> int:
    good = np.flatnonzero(quality >= target * base - TOLERATED)
    if not len(good):
        good = np.flatnonzero(quality == quality.max())
    return int(good[np.lexsort((-good, quality[good], quality[good] - spent[good]))[-1]])


def _promise(chosen: Candidate, reference: Floats, luck: float, unsettled: float) -> dict[str, Any]:
    """What a setting is expected to get on requests like these, with 95 % intervals.

    Args:
        chosen: The setting.
        reference: The best single route's scores.
        luck: How much better it did on these requests because it was chosen by them.
        unsettled: Standard deviation of the quality of what would be chosen on other samples.
    """
    score, count = chosen.score, len(chosen.score)
    spread = float(score.std(ddof=1))
    error = np.hypot(spread / np.sqrt(count), unsettled)
    difference = np.hypot(float((score - reference).std(ddof=1)) / np.sqrt(count), unsettled)
    base = float(reference.mean())
    quality = max(float(score.mean()) - luck, 0.0)
    return {
        "quality": rounded(quality),
        "quality_low": rounded(max(0.0, quality - 1.96 * error)),
        "quality_high": rounded(min(1.0, quality + 1.96 * error)),
        "spread": rounded(spread),
        "unsettled": rounded(unsettled),
        "luck": rounded(luck),
        "requests": count,
        "relative": rounded(quality / base),
        "relative_low": rounded((quality - 1.96 * difference) / base),
        "relative_high": rounded((quality + 1.96 * difference) / base),
        "cost_ratio": rounded(chosen.cost.mean()),
        "lost": int(((score < reference) & (reference > 0.5)).sum()),
        "gained": int(((score > reference) & (reference < 0.5)).sum()),
    }


def rounded(value: Any, digits: int = 6) -> float:
    """A number for a card or a file."""
    return round(float(value), digits)
