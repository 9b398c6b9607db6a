"""Off-policy evaluation: estimates a policy's quality from logs in which only the chosen route was observed.

Each logged request has the outcome of the route that answered it, and the probability with which it was chosen (its propensity). Requests
are weighted by the ratio of the new policy's probability of the same choice to the propensity.

Scores are from 0 to 1, and so are values. Intervals are those of `langroute.learning.likelihood`: with few effective requests and heavy
weights, the usual ones are too narrow.

Source: Horvitz and Thompson (1952) for inverse propensity scores; Swaminathan and Joachims, The Self-Normalized Estimator (2015);
Dudík et al., Doubly Robust Policy Evaluation and Learning (2011).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from langroute.core.errors import DataError
from langroute.core.records import Attempt, Price, RouteInfo, Selection, Usage
from langroute.estimators.arrays import Floats
from langroute.estimators.documents import document_of
from langroute.estimators.store import load_policy_file
from langroute.learning.likelihood import CERTAIN, likely_range
from langroute.learning.named import Named, is_name, named_policy
from langroute.learning.parts import Rates, routes_of, stretches
from langroute.learning.recorded import LEAST_PROPENSITY, Recorded
from langroute.learning.traffic import Exchange, read_traffic
from langroute.policies.learned import Learned, policy_from

ESTIMATORS = ("ips", "snips", "dr")

COVERED = 0.98
"""Least mean weight: no estimate is made where it is below this with 99.9 % confidence, because the log lacks the policy's choices."""

OVERSTATED = 2.0
"""Largest mean weight: no estimate is made where it is above this with 99.9 % confidence. Its expectation is 1; heavy weights may exceed it
by chance."""


CASCADE = "What a cascade does next depends on an answer, and a log of one choice a request does not say what other routes would have answered."


@dataclass(frozen=True, slots=True)
class Value:
    """An estimated mean score, with a 95 % interval."""

    value: float
    low: float
    high: float
    effective: float
    """Effective sample size: the number of equally weighted requests with the same information."""

    covered: float
    """Mean weight: about 1 where the logging policy could make every choice of the new policy."""


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
        rewards: Reward of the logged route, `(requests,)`.
        propensities: Probability with which the logged route was chosen, `(requests,)`.
        chosen: Probability with which the new policy chooses the logged route, `(requests,)`.
        estimator: `ips` (inverse propensity scores), `snips` (self-normalised) or `dr` (doubly robust).
        expected: For `dr`: the model's prediction of the logged route's reward, `(requests,)`.
        expected_new: For `dr`: the model's prediction of the new policy's reward, `(requests,)`.

    Raises:
        DataError: A propensity is not above 0 and at most 1, or the log covers too little of the policy's choices.

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
    _check_cover(weights, covered, heaviest)
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
    # A mean of scores is between 0 and 1, though a weighted estimate may fall outside.
    value = min(max(value, 0.0), 1.0)
    return Value(value, min(low, value), max(high, value), effective, covered)


def _check_cover(weights: Floats, covered: float, heaviest: float) -> None:
    """Weights have a mean of about 1 where the log could hold whatever the new policy does.

    Args:
        weights: `(requests,)`.
        covered: Their mean.
        heaviest: The largest that a request of this log may have.

    Raises:
        DataError: Their mean is far from 1, and not by chance.
    """
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


def _judged(policy: str | Path, embeddings: Any) -> tuple[Any, dict[float, Any]]:
    """The group of routes and the operating points of a policy directory that a log can judge.

    Raises:
        DataError: It is no such directory, has several groups, or cascades only.
    """
    if not Path(policy).is_dir():
        raise DataError(
            f"An off-policy estimate judges a policy: give the directory that `langroute fit` wrote, or a name such as always:small, not {policy!s}."
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
    if not any(isinstance(chooser, Learned) for chooser in points.values()):
        raise DataError(
            f"{policy}: all operating points are cascades. {CASCADE} Record what several routes answer to the same requests, and replay "
            "without --estimator."
        )
    return group, points


def replay_logged(
    paths: Sequence[str | Path],
    policy: str | Path,
    *,
    estimator: str = "dr",
    prices: Mapping[str, Price] | None = None,
    embeddings: Any = None,
) -> dict[str, Any]:
    """Estimate a policy's quality on logged traffic.

    Every request has the outcome of the route that was chosen, with its `propensity`. Only operating points that make a single call are
    evaluated. A cascade cannot be: its next call depends on an answer, and a log with one choice per request does not record what the other
    routes would have answered.

    Args:
        paths: Traffic files; see `docs/traffic.md`.
        policy: A policy directory; or a policy by name, as `langroute.learning.replay.replay` takes it. Its `dr` predicts each route's mean.
        estimator: `ips`, `snips` or `dr`; see `estimate_value`.
        prices: Prices by route name; the policy's own for routes that are not in it.
        embeddings: The LangChain embeddings that the policy was fitted with, where it was.

    Returns:
        `requests`, `estimator`, `targets` with `target`, `value`, `low`, `high`, `effective`, `covered`; `unjudged` with `target` and
        `why`; `left_out`, the number of requests that were served by a route the policy does not know, or were never scored.

    Raises:
        DataError: A file is broken, an outcome has no propensity, the policy has cascades only or several groups, or the log covers too
            little of the policy's choices.
    """
    if not Path(policy).is_dir() and is_name(str(policy)):
        return _replay_named(paths, str(policy), estimator, prices)
    group, points = _judged(policy, embeddings)
    single = {target: chooser for target, chooser in points.items() if isinstance(chooser, Learned)}
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


def _replay_named(paths: Sequence[str | Path], name: str, estimator: str, prices: Mapping[str, Price] | None) -> dict[str, Any]:
    """Estimate the quality of a policy by name; requests and errors are as in `replay_logged`.

    Raises:
        DataError: The policy goes on after an answer, among others.
    """
    routes = routes_of(paths, Rates(prices))
    policy = Named(name, named_policy(name, routes))
    place = {route.name: number for number, route in enumerate(routes)}
    rewards, propensities, logged, chosen = _Column(), _Column(), _Column(), _Column()
    left_out = 0
    for one in read_traffic(paths):
        route, outcome = _choice(one)
        if outcome.score is None:
            left_out += 1
            continue
        request = policy.request_of(one, routes)
        selection = policy.select(request, ())
        if selection is None or selection.route not in place:
            raise DataError(
                f"{one.where}: the policy selected {'no route' if selection is None else selection.route}, which the log does not have."
            )
        if selection.route == route and policy.select(request, [_attempt(selection, outcome)]) is not None:
            raise DataError(f"{name}: it goes on after an answer. {CASCADE}")
        rewards.add([outcome.score])
        propensities.add([outcome.propensity])
        logged.add([place[route]])
        chosen.add([place[selection.route]])
    if not len(rewards):
        raise DataError(f"{', '.join(map(str, paths))}: no logged request has a score.")
    own, new, scores = logged.all().astype(int), chosen.all().astype(int), rewards.all()
    counts = np.bincount(own, minlength=len(routes))
    means = np.bincount(own, scores, len(routes)) / np.maximum(counts, 1)
    value = estimate_value(
        scores, propensities.all(), (own == new).astype(float), estimator=estimator, expected=means[own], expected_new=means[new]
    )
    targets = [{"target": None, **asdict(value)}]
    return {"requests": len(scores), "left_out": left_out, "estimator": estimator, "targets": targets, "unjudged": []}


def _attempt(selection: Selection, outcome: Recorded) -> Attempt:
    usage = Usage(outcome.input_tokens, outcome.output_tokens)
    return Attempt(selection, outcome.answer or "", usage=usage, latency_s=outcome.latency_s or 0.0, parsed=outcome.answer)


class _Column:
    """A column of numbers that grows as traffic is streamed."""

    def __init__(self) -> None:
        self._parts: list[Floats] = []

    def add(self, values: Any) -> None:
        self._parts.append(np.asarray(values, float))

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def all(self) -> Floats:
        return np.concatenate(self._parts)


def _choice(one: Exchange) -> tuple[str, Recorded]:
    """Return the route that was chosen when the request was served, and its outcome: the only one with a propensity."""
    found = [(name, outcome) for name, outcome in one.outcomes.items() if outcome.propensity is not None]
    if len(found) == 1:
        return found[0]
    there = f"{len(found)} of them have one" if found else "none of them has one"
    raise DataError(
        f"{one.where}: logged traffic has, of one outcome, the `propensity`: the probability with which that route was chosen; {there}."
    )
