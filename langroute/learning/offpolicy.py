"""How good would another policy have been, judged by traffic where only the chosen route was seen?

Each logged request has the outcome of the route that answered it, and the probability with which it was chosen. Requests are weighed by
how much likelier the new policy would have been to choose the same.

Source: Horvitz and Thompson (1952) for inverse propensity scores; Swaminathan and Joachims, The Self-Normalized Estimator (2015);
Dudík et al., Doubly Robust Policy Evaluation and Learning (2011).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from langroute.errors import DataError
from langroute.estimators.documents import document_of
from langroute.estimators.features import Floats, Ints
from langroute.estimators.store import load_policy_file
from langroute.learning.traffic import Exchange, read_traffic
from langroute.policies.learned import Learned, policy_from
from langroute.records import Price, RouteInfo

ESTIMATORS = ("ips", "snips", "dr")


@dataclass(frozen=True, slots=True)
class Value:
    """An estimated mean score, with a 95 % interval."""

    value: float
    low: float
    high: float
    effective: float
    """As many requests with equal weights would say as much."""


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
        DataError: A propensity is not above 0 and at most 1, or no request was answered as the policy would have.

    Example:
        >>> logged = np.array([1.0, 0.0, 1.0, 1.0])
        >>> estimate_value(logged, np.full(4, 0.5), np.array([1.0, 0, 1, 0]), estimator="ips").value
        1.0
    """
    if estimator not in ESTIMATORS:
        raise DataError(f"There is no estimator {estimator!r}; there are: {', '.join(ESTIMATORS)}.")
    if not ((propensities > 0) & (propensities <= 1)).all():
        raise DataError("A propensity is a probability above 0 and at most 1: a route that could not be chosen says nothing.")
    weights = chosen / propensities
    if not weights.any():
        raise DataError("No logged request was answered by the route that the policy would choose; nothing can be said.")
    count = len(rewards)
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    if estimator == "snips":
        value = float((weights * rewards).sum() / weights.sum())
        terms = weights * (rewards - value) / weights.mean()
        error = float(np.sqrt((terms**2).sum()) / count)
    else:
        if estimator == "dr":
            if expected is None or expected_new is None:
                raise DataError("The doubly robust estimator needs a model's expectations.")
            terms = expected_new + weights * (rewards - expected)
        else:
            terms = weights * rewards
        value = float(terms.mean())
        error = float(terms.std(ddof=1) / np.sqrt(count)) if count > 1 else 1.0
    return Value(value, value - 1.96 * error, value + 1.96 * error, effective)


def replay_logged(
    paths: Sequence[str | Path], policy: str | Path, *, estimator: str = "dr", prices: Mapping[str, Price] | None = None
) -> dict[str, Any]:
    """Estimate a fitted policy's quality on logged traffic.

    Every request has the outcome of one route, with its `propensity`. Cascades need the outcome of every route they ask, so a policy's
    operating points count as single calls of the same tolerance where they are such, and are left out where they are not.

    Args:
        paths: Traffic files; see `docs/traffic.md`.
        policy: A policy directory.
        estimator: `ips`, `snips` or `dr`.
        prices: By route name; the policy's own where a route is not in it.

    Returns:
        `requests`, `estimator`, and `targets` with `target`, `value`, `low`, `high`, `effective`.

    Raises:
        DataError: A file is broken, an outcome has no propensity, or the policy has cascades only.
    """
    stored = load_policy_file(policy)
    logged = list(read_traffic(paths))
    group = stored.groups[0]
    rows, routes, rewards, propensities = _logged(logged, group.routes)
    guess = group.estimator.estimate([document_of(one.messages, one.tools, one.labels) for one in rows])
    infos = tuple(RouteInfo(name, price=(prices or {}).get(name) or group.prices[name]) for name in group.routes)
    index = np.arange(len(rows))
    found = []
    for target in stored.targets:
        chooser = policy_from(stored, target=target)
        chooser = chooser.of(group.routes) if hasattr(chooser, "of") else chooser
        if not isinstance(chooser, Learned):
            continue
        new = chooser.places(guess, infos)
        value = estimate_value(
            rewards,
            propensities,
            (new == routes).astype(float),
            estimator=estimator,
            expected=guess.success[index, routes],
            expected_new=guess.success[index, new],
        )
        found.append({"target": target, "value": value.value, "low": value.low, "high": value.high, "effective": value.effective})
    if not found:
        raise DataError(f"{policy}: all operating points are cascades, which one logged route cannot judge.")
    return {"requests": len(rows), "estimator": estimator, "targets": found}


def _logged(logged: Sequence[Exchange], names: Sequence[str]) -> tuple[list[Exchange], Ints, Floats, Floats]:
    rows, routes, rewards, propensities = [], [], [], []
    for one in logged:
        served = [(name, outcome) for name, outcome in one.outcomes.items() if name in names and outcome.score is not None]
        if not served:
            continue
        name, outcome = served[0]
        if len(served) > 1 or outcome.propensity is None:
            raise DataError(
                f"{one.where}: logged traffic has the outcome of one route, with its `propensity`: "
                "the probability with which it was chosen."
            )
        rows.append(one)
        routes.append(list(names).index(name))
        rewards.append(outcome.score)
        propensities.append(outcome.propensity)
    if not rows:
        raise DataError(f"No logged request has an outcome of {', '.join(names)}.")
    return rows, np.array(routes), np.array(rewards, float), np.array(propensities, float)
