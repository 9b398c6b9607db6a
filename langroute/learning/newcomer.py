"""Placing a new route in a fitted group from a few scored answers.

Its log-odds of success are a weighted sum of those of the fitted routes. Without answers the weights are those of the mean; each scored
answer moves them towards the routes that the new one resembles. Fifty answers place it, where they would not suffice for a model of its
own.

Source: Lord and Novick, Statistical Theories of Mental Test Scores (1968), for capabilities on a common scale; Jitkrittum et al.,
Universal Model Routing for Efficient LLM Inference (2025), for placing unseen models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from langroute.core.errors import DataError
from langroute.core.records import Price
from langroute.estimators.arrays import Floats
from langroute.estimators.documents import document_of
from langroute.estimators.estimator import Kin, Tokens, probability
from langroute.estimators.store import Group
from langroute.learning.traffic import Exchange
from langroute.routes.pricing import price_from

LEAST = 20
"""Fewest scored answers of a new route."""

TRUST = 10.0
"""Ridge penalty that pulls the weights towards the mean of the fitted routes."""


def place_route(group: Group, exchanges: Sequence[Exchange], route: str, price: Price) -> Group:
    """Return the group with one more route, placed by a few scored answers.

    Operating points that are single calls may select the new route at once; cascades stay as they were fitted.

    Args:
        group: The fitted group.
        exchanges: Requests that the new route answered.
        route: Name of the new route.
        price: Price of the new route.

    Raises:
        ConfigurationError: The price has an invalid rate.
        DataError: The route is in the group already, has no valid name, or has too few scored answers.
    """
    estimator = group.estimator
    if not route or not route.isprintable():
        raise DataError(f"{route!r} is no name for a route; give one that can be printed.")
    price_from(price, f"the price of {route!r}")
    if route in estimator.routes:
        raise DataError(f"{route!r} is a fitted route already; fit again to take its new answers in.")
    scored = [one for one in exchanges if route in one.outcomes and one.outcomes[route].score is not None]
    if len(scored) < LEAST:
        raise DataError(f"{route!r} has {len(scored)} scored answers; at least {LEAST} are needed to place it.")
    estimate = estimator.estimate([document_of(one.messages, one.tools, one.labels) for one in scored])
    fitted = estimator.blend.shift.shape[0]
    logits = estimate.logits[:, :fitted]
    scores = np.array([one.outcomes[route].score for one in scored], float)
    weights, shift = _resemble(logits, scores)
    known = estimator.kin
    kin = Kin(weights[:, None], np.array([shift]))
    if known is not None:
        kin = Kin(np.hstack([known.weights, kin.weights]), np.append(known.shift, shift))
    tokens = _tokens(estimator.tokens, estimate.input_tokens, estimate.output_tokens, scored, route)
    placed = replace(estimator, routes=(*estimator.routes, route), kin=kin, tokens=tokens)
    return replace(group, estimator=placed, prices={**group.prices, route: price})


def _resemble(logits: Floats, scores: Floats) -> tuple[Floats, float]:
    """Return weights and shift by logistic regression with Newton's method, with a ridge penalty towards the mean of the routes."""
    count, routes = logits.shape
    rows = np.column_stack([logits, np.ones(count)])
    start = np.append(np.full(routes, 1.0 / routes), 0.0)
    hold = np.append(np.full(routes, TRUST * routes), 0.5)
    found = start.copy()
    for _ in range(50):
        guess = probability(rows @ found)
        slope = rows.T @ (guess - scores) + hold * (found - start)
        curve = rows.T @ (rows * np.maximum(guess * (1 - guess), 1e-4)[:, None]) + np.diag(hold)
        step = np.linalg.solve(curve, slope)
        found = found - step
        if np.abs(step).max() < 1e-9:
            break
    return found[:-1], float(found[-1])


def _tokens(tokens: Tokens, given: Floats, written: Floats, scored: Sequence[Exchange], route: str) -> Tokens:
    """Return the token model with the new route: the mean of the fitted routes' models, scaled to the tokens that it used."""
    routes = given.shape[1]
    own = np.array([(one.outcomes[route].input_tokens, one.outcomes[route].output_tokens) for one in scored], float)
    columns = {}
    for side, (expected, used) in enumerate(((given, own[:, 0]), (written, own[:, 1]))):
        part = slice(side * routes, (side + 1) * routes)
        factor = used.sum() / max(float(expected.mean(1).sum()), 1e-9)
        columns[side] = (
            tokens.weights[:, part].mean(1, keepdims=True),
            tokens.bias[part].mean(),
            tokens.factor[part].mean() * factor,
            tokens.ceiling[part].max(),
            float(np.log1p(used).mean()),
        )

    def widened(old: Floats, place: int) -> Floats:
        halves = []
        for side in (0, 1):
            part = slice(side * routes, (side + 1) * routes)
            halves += [old[..., part], np.asarray(columns[side][place]) if old.ndim > 1 else np.array([columns[side][place]])]
        return np.concatenate(halves, -1)

    return Tokens(
        *(widened(getattr(tokens, name), place) for place, name in enumerate(("weights", "bias", "factor", "ceiling", "usual")))
    )
