"""How good would another policy have been, judged by traffic where only the chosen route was seen?

Each logged request has the outcome of the route that answered it, and the probability with which it was chosen. Requests are weighed by
how much likelier the new policy would have been to choose the same.

Scores are from 0 to 1, and so are values. Intervals are those of `langroute.learning.likelihood`: with few requests that count, and
heavy ones among them, the usual ones are too narrow.

Source: Horvitz and Thompson (1952) for inverse propensity scores; Swaminathan and Joachims, The Self-Normalized Estimator (2015);
Dudík et al., Doubly Robust Policy Evaluation and Learning (2011).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from langroute.errors import DataError
from langroute.estimators.documents import document_of
from langroute.estimators.features import Floats
from langroute.estimators.store import load_policy_file
from langroute.learning.likelihood import CERTAIN, likely_range
from langroute.learning.parts import stretches
from langroute.learning.traffic import LEAST_PROPENSITY, Exchange, Recorded, read_traffic
from langroute.policies.learned import Learned, policy_from
from langroute.records import Price, RouteInfo

ESTIMATORS = ("ips", "snips", "dr")

COVERED = 0.98
"""Nothing is said where a log certainly has less than this share of what the policy would do."""

OVERSTATED = 2.0
"""Nor where weights certainly have a mean above this, which is 1 by right. Heavy weights may come to more than 1 by luck alone."""


CASCADE = "What a cascade does next depends on an answer, and a log of one choice a request does not say what other routes would have answered."


@dataclass(frozen=True, slots=True)
class Value:
    """An estimated mean score, with a 95 % interval."""

    value: float
    low: float
    high: float
    effective: float
    """As many requests with equal weights would say as much."""

    covered: float
    """Mean weight: about 1 where everything that the new policy would do could have happened when the log was made."""


def estimate_value(
    rewards: Floats,
    propensities: Floats,
    chosen: Floats,
    *,
    estimator: str = "dr",
    expected: Floats | None = None,
    expected_new: Floats | None = None,
) -> Value:
    """Estimate a policy's mean reward from logged choices.

    Args:
        rewards: What the logged route got, `(requests,)`.
        propensities: Probability with which it had been chosen, `(requests,)`.
        chosen: Probability with which the new policy chooses the logged route, `(requests,)`.
        estimator: `ips`, `snips` or `dr`.
        expected: For `dr`: the model's guess of the logged route's reward, `(requests,)`.
        expected_new: For `dr`: the model's guess of the new policy's reward, `(requests,)`.

    Raises:
        DataError: A propensity is not above 0 and at most 1, or the log has next to nothing of what the policy would do.

    Example:
        >>> logged = np.array([1.0, 0.0, 1.0, 1.0])
        >>> estimate_value(logged, np.full(4, 0.5), np.array([1.0, 0, 1, 0]), estimator="ips").value
        1.0
    """
    if estimator not in ESTIMATORS:
        raise DataError(f"There is no estimator {estimator!r}; there are: {', '.join(ESTIMATORS)}.")
    if not ((propensities >= LEAST_PROPENSITY) & (propensities <= 1)).all():
        raise DataError("A propensity is a probability above 0 and at most 1: a route that could not be chosen says nothing.")
    weights = chosen / propensities
    if not weights.any():
        raise DataError("No logged request was answered by the route that the policy would choose; nothing can be said.")
    effective, covered = float(weights.sum() ** 2 / (weights**2).sum()), float(weights.mean())
    heaviest = float((1 / propensities).max())
    if covered < 1:
        _, most = likely_range(weights, np.ones_like(weights), np.array([[0.0, 1.0], [heaviest, 1.0]]), lost=CERTAIN)
        if most < COVERED:
            raise DataError(
                f"The log has only {covered:.0%} of what the policy would do (at most {most:.0%}): some of its choices could not be "
                "made when this was logged, so nothing can be said of them. Log with a policy that explores every route."
            )
    elif covered > 1:
        ends = np.array([[0.0, 1.0], [heaviest, 1.0]])
        least, _ = likely_range(weights, np.ones_like(weights), ends, within=(1.0, heaviest), lost=CERTAIN)
        if least > OVERSTATED:
            raise DataError(
                f"The propensities of the log are too low: weights by them have a mean of {covered:.3g} (at least {least:.3g}), which is "
                "1 where routes were chosen as often as their propensities say."
            )
    if estimator == "snips":
        value = float((weights * rewards).sum() / weights.sum())
        low, high = likely_range(weights * rewards, weights, np.array([[0.0, 0.0], [0.0, heaviest], [heaviest, heaviest]]))
    elif estimator == "ips":
        value = float((weights * rewards).mean())
        low, high = likely_range(weights * rewards, np.ones_like(weights), np.array([[0.0, 1.0], [heaviest, 1.0]]))
    else:
        if expected is None or expected_new is None:
            raise DataError("The doubly robust estimator needs a model's expectations.")
        terms = expected_new + weights * (rewards - expected)
        value = float(terms.mean())
        least = expected_new.min() - heaviest * expected.max()
        most = expected_new.max() + heaviest * (1 - expected.min())
        extremes = [[least, 1.0], [expected_new.min(), 1.0], [expected_new.max(), 1.0], [most, 1.0]]
        low, high = likely_range(terms, np.ones_like(terms), np.array(extremes))
    # A mean of scores is between 0 and 1, whatever weights make of a few.
    value = min(max(value, 0.0), 1.0)
    return Value(value, min(low, value), max(high, value), effective, covered)


def replay_logged(
    paths: Sequence[str | Path],
    policy: str | Path,
    *,
    estimator: str = "dr",
    prices: Mapping[str, Price] | None = None,
    embeddings: Any = None,
) -> dict[str, Any]:
    """Estimate a fitted policy's quality on logged traffic.

    Every request has the outcome of the route that was chosen, with its `propensity`. Operating points that make one call are judged.
    A cascade is not: what it does next depends on an answer, and a log of one choice a request does not say what the others would
    have answered.

    Args:
        paths: Traffic files; see `docs/traffic.md`.
        policy: A policy directory.
        estimator: `ips`, `snips` or `dr`.
        prices: By route name; the policy's own where a route is not in it.
        embeddings: Those that the policy directory was fitted with, where it was.

    Returns:
        `requests`, `estimator`, `targets` with `target`, `value`, `low`, `high`, `effective`, `covered`; `unjudged` with `target` and
        `why`; `left_out`, requests that were served by a route the policy does not know, or were never scored.

    Raises:
        DataError: A file is broken, an outcome has no propensity, the policy has cascades only, or the log has next to nothing of what
            the policy would do.
    """
    if not Path(policy).is_dir():
        raise DataError(
            f"An off-policy estimate judges a fitted policy: give the directory that `langroute fit` wrote, not {policy!s}."
        )
    stored = load_policy_file(policy, embeddings=embeddings)
    if len(stored.groups) > 1:
        groups = "; ".join(", ".join(group.routes) for group in stored.groups)
        raise DataError(
            f"{policy}: the policy has several groups of routes ({groups}), and a log of one route a request does not say which were "
            "eligible. Fit one group with --routes, and judge that."
        )
    group = stored.groups[0]
    points = {target: policy_from(stored, target=target) for target in stored.targets}
    single = {target: chooser for target, chooser in points.items() if isinstance(chooser, Learned)}
    if not single:
        raise DataError(
            f"{policy}: all operating points are cascades. {CASCADE} Record what several routes answer to the same requests, and replay "
            "without --estimator."
        )
    infos = tuple(RouteInfo(name, price=(prices or {}).get(name) or group.prices[name]) for name in group.routes)
    place = {name: number for number, name in enumerate(group.routes)}
    rewards, propensities, expected = _Column(), _Column(), _Column()
    chosen: dict[float, tuple[_Column, _Column]] = {target: (_Column(), _Column()) for target in single}
    left_out = 0
    for stretch in stretches(read_traffic(paths)):
        logged = [(one, place[name], outcome) for one in stretch for name, outcome in (_choice(one),) if name in place]
        logged = [row for row in logged if row[2].score is not None]
        left_out += len(stretch) - len(logged)
        if not logged:
            continue
        guess = group.estimator.estimate([document_of(one.messages, one.tools, one.labels) for one, _, _ in logged])
        index, routes = np.arange(len(logged)), np.array([route for _, route, _ in logged])
        rewards.add([outcome.score for _, _, outcome in logged])
        propensities.add([outcome.propensity for _, _, outcome in logged])
        expected.add(guess.success[index, routes])
        for target, chooser in single.items():
            new = chooser.places(guess, infos)
            chosen[target][0].add(new == routes)
            chosen[target][1].add(guess.success[index, new])
    if not len(rewards):
        raise DataError(f"{', '.join(map(str, paths))}: no logged request has a scored outcome of {', '.join(group.routes)}.")
    found, unjudged = [], [{"target": target, "why": CASCADE} for target in points if target not in single]
    for target, (same, expected_new) in chosen.items():
        try:
            value = estimate_value(
                rewards.all(),
                propensities.all(),
                same.all(),
                estimator=estimator,
                expected=expected.all(),
                expected_new=expected_new.all(),
            )
        except DataError as error:  # noqa: PERF203 - a few targets
            unjudged.append({"target": target, "why": str(error)})
        else:
            found.append({"target": target, **asdict(value)})
    if not found:
        raise DataError(f"{', '.join(map(str, paths))}: {unjudged[-1]['why']}")
    return {"requests": len(rewards), "left_out": left_out, "estimator": estimator, "targets": found, "unjudged": unjudged}


class _Column:
    """Numbers of requests that stream by."""

    def __init__(self) -> None:
        self._parts: list[Floats] = []

    def add(self, values: Any) -> None:
        self._parts.append(np.asarray(values, float))

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def all(self) -> Floats:
        return np.concatenate(self._parts)


def _choice(one: Exchange) -> tuple[str, Recorded]:
    """The route that was chosen when the request was served."""
    found = [(name, outcome) for name, outcome in one.outcomes.items() if outcome.propensity is not None]
    if len(found) == 1:
        return found[0]
    there = f"{len(found)} of them have one" if found else "none of them has one"
    raise DataError(
        f"{one.where}: logged traffic has, of one outcome, the `propensity`: the probability with which that route was chosen; {there}."
    )
