"""Choice of the operating point for each target, with an expected quality corrected for selection.

A setting is chosen because it did well on the given requests, so it will do slightly worse on others (optimism, or the winner's curse). The
bias is estimated by the bootstrap, by choosing again on samples and evaluating on the requests outside them, and is subtracted from the
expected quality. That is done for each family of settings by itself: fitted cascades, of which many are searched, owe more to luck than
agreement chains, in which nothing is fitted.

What is promised is the quality of the policy that is fitted on all requests; it was measured with fits on parts of them, which share most of
what they learned from. Requests that were left out in turn are therefore not independent, and the interval of a fitted setting is wider
than their number says.

Sources: Tsamardinos et al., Bootstrapping the Out-of-sample Predictions for Efficient and Accurate Cross-validation (2018); Nadeau and
Bengio, Inference for the Generalization Error (2003), for the variance between fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from langroute.core.errors import DataError
from langroute.estimators.arrays import Floats, Ints
from langroute.learning.agreement import Chain
from langroute.learning.crossfit import Settings

FOLDS = Settings().folds
"""Number of folds of a fit, unless its settings say otherwise."""

TOLERATED = 0.001
"""Shortfall of the cross-fitted quality at which a target still counts as met."""

SAMPLES = 100
"""Number of bootstrap samples."""

BLOCK = 64
"""Number of candidates whose means are computed at once."""

MARGINS = (0.0, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05)
"""By how much more than the target the cross-fitted quality has to be, tried in turn, until it is met with the luck taken off."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A setting, and its cross-fitted scores and costs."""

    score: Floats
    """`(requests,)`."""

    cost: Floats
    """Costs in units of the frontier's mean cost, `(requests,)`."""

    tolerance: float | None
    """Tolerance of `Learned`; NaN for a cascade, `None` for the best single route whatever is asked."""

    order: tuple[int, ...] | None = None
    """Order of a cascade; `None` for single calls."""

    price_index: int = -1
    """Index of a cascade's price in `Search.prices`."""

    chain: Chain | None = None
    """Routes of an agreement chain."""

    @property
    def kind(self) -> str:
        """Family of the setting: `chain`, `cascade` or `call`."""
        return "call" if self.order is None and self.chain is None else "chain" if self.order is None else "cascade"

    @property
    def fitted(self) -> bool:
        """Whether models decide, so that another fit would decide otherwise."""
        return self.tolerance is not None and self.chain is None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The setting chosen for a target, and its expected quality and cost on similar requests."""

    candidate: Candidate
    promised: dict[str, Any]


def choose(
    targets: Sequence[float], candidates: Sequence[Candidate], reference: Floats, seed: int, folds: int = FOLDS
) -> list[Chosen]:
    """Return, for each target, the setting with the best trade-off of quality and cost whose quality, less the luck of choosing it, meets it.

    More quality than the target is taken where a point of quality costs less than a point of the frontier's mean cost. The best single
    route, if it is a candidate, meets every target up to 1.0: nothing was chosen by luck there.

    Args:
        targets: Quality relative to the best single route; above 1.0 where several routes together are better than the best one.
        candidates: All settings.
        reference: Scores of the best single route, `(requests,)`.
        seed: Seed of the bootstrap samples.
        folds: Number of parts of the requests that were left out in turn.

    Raises:
        DataError: No setting meets a target above 1.0; the message says what the best one reaches.

    Example:
        >>> scores = np.tile([1.0, 1.0, 0.0, 1.0], 100)
        >>> dear, cheap = Candidate(scores, np.ones(400), None), Candidate(1 - scores, np.full(400, 0.1), 1.0)
        >>> [one.candidate.tolerance for one in choose([1.0, 0.1], [dear, cheap], scores, 0)]
        [None, 1.0]
    """
    search = _Choosing(candidates, reference, seed, folds)
    return [search.chosen(target) for target in targets]


class _Found(NamedTuple):
    """A setting that may be chosen for a target."""

    place: int
    """Its index among the candidates."""

    quality: float
    luck: float
    """Selection bias of the quality, which is subtracted."""

    unsettled: float
    """How far the quality of the choice may be off besides: its standard deviation over the bootstrap samples, and the size of the luck."""

    @property
    def expected(self) -> float:
        """Expected quality on other requests."""
        return self.quality - self.luck


class _Choosing:
    """The candidates' means, and those on the bootstrap samples."""

    def __init__(self, candidates: Sequence[Candidate], reference: Floats, seed: int, folds: int) -> None:
        self.candidates, self.reference, self.folds = candidates, reference, folds
        count = len(reference)
        drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), SAMPLES).astype(np.float32)
        left = (drawn == 0).astype(np.float32)
        outside = np.maximum(left.sum(1, keepdims=True), 1)
        columns: list[tuple[Floats, ...]] = []
        for begin in range(0, len(candidates), BLOCK):
            some = candidates[begin : begin + BLOCK]
            scores, costs = (np.array([getattr(one, name) for one in some], np.float32) for name in ("score", "cost"))
            means = scores.mean(1, dtype=float), costs.mean(1, dtype=float)
            columns.append((*means, drawn @ scores.T / count, drawn @ costs.T / count, left @ scores.T / outside))
        # Means of all requests, `(candidates,)`; of each sample, and of the requests outside it, `(samples, candidates)`.
        self.quality, self.spent, self.inside, self.paid, self.outside = (
            np.concatenate(parts, -1) for parts in zip(*columns, strict=True)
        )
        self.base, self.bases = float(reference.mean()), drawn @ reference.astype(np.float32) / count
        kinds = np.array([one.kind for one in candidates])
        self.families = [np.flatnonzero(kinds == kind) for kind in dict.fromkeys(kinds)]
        self.single = next((place for place, one in enumerate(candidates) if one.tolerance is None), None)

    def chosen(self, target: float) -> Chosen:
        """Return the setting for a target."""
        tried, met = [], []
        for family in self.families:
            for margin in MARGINS:
                tried.append(self._at(family, target, margin))
                if tried[-1].expected >= target * self.base - 1e-9:
                    met.append(tried[-1])
                    break
        if target <= 1 and self.single is not None:
            met.append(_Found(self.single, float(self.quality[self.single]), 0.0, 0.0))
        if not met:
            best = max(tried, key=lambda one: one.expected)
            if target > 1:
                raise DataError(_unreached(target, best.expected / self.base))
            met = [best]
        taken = max(met, key=lambda one: one.expected - self.spent[one.place])
        return Chosen(self.candidates[taken.place], _promise(self.candidates[taken.place], self.reference, taken, self.folds))

    def _at(self, family: Ints, target: float, margin: float) -> _Found:
        """Return the setting of a family that is best with a margin."""

        def best(quality: Floats, spent: Floats, base: float) -> int:
            return int(family[_best(target, margin, quality[family], spent[family], base)])

        place = best(self.quality, self.spent, self.base)
        quality = float(self.quality[place])
        if place == self.single:
            # It is what the target is relative to.
            return _Found(place, quality, 0.0, 0.0)
        again = [best(*one) for one in zip(self.inside, self.paid, self.bases, strict=True)]
        rows = np.arange(SAMPLES)
        luck = max(float((self.inside[rows, again] - self.outside[rows, again]).mean()), 0.0)
        return _Found(place, quality, luck, float(np.hypot(self.quality[again].std(), luck)))


def _unreached(target: float, reached: float) -> str:
    """Return what to say of a target above 1.0 that no setting meets."""
    most = np.floor(1000 * reached) / 1000
    instead = f"the most is {most:.3f}" if most > 1 else "none is better than the best single route"
    return f"No setting reaches the target {target:g} once the luck of choosing it is taken off: {instead}. Ask for less with --targets."


def _best(target: float, margin: float, quality: Floats, spent: Floats, base: float) -> int:
    good = np.flatnonzero(quality >= (target + margin) * base - TOLERATED)
    if not len(good):
        good = np.flatnonzero(quality == quality.max())
    return int(good[np.lexsort((-good, quality[good], quality[good] - spent[good]))[-1]])


def _promise(chosen: Candidate, reference: Floats, found: _Found, folds: int) -> dict[str, Any]:
    """Return the expected quality and cost of a setting on similar requests, with 95 % intervals.

    Args:
        chosen: The setting.
        reference: Scores of the best single route, `(requests,)`.
        found: Its luck, and how unsettled the choice is.
        folds: Number of folds of the fits.
    """
    luck, score, count = found.luck, chosen.score, len(chosen.score)
    reference = reference.astype(score.dtype)
    spread, apart = float(score.std(ddof=1)), float((score - reference).std(ddof=1))
    fits = np.sqrt(_between_fits(folds) / count) if chosen.fitted else 0.0
    unsettled = np.hypot(found.unsettled, spread * fits)
    error = np.hypot(spread / np.sqrt(count), unsettled)
    difference = np.hypot(apart / np.sqrt(count), np.hypot(found.unsettled, apart * fits))
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


def _between_fits(folds: int) -> float:
    """Return the variance of a fitted setting's quality between fits, in units of the variance of its mean over the requests.

    It is the number of requests that each fit was measured on over that of those it was fitted on, times the number of fits.
    """
    return folds / (folds - 1)


def rounded(value: Any, digits: int = 6) -> float:
    """Return a number rounded for a card or a file."""
    return round(float(value), digits)
