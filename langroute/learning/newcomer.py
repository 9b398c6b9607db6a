"""Where does a new model stand, of which few answers are scored?

Its log-odds of success are a weighted sum of those of the fitted routes. Before it has answered anything it is the mean of them; each
scored answer moves the weights towards the routes it resembles. Fifty answers place it; they would not fit a model of its own.

Source: Lord and Novick, Statistical Theories of Mental Test Scores (1968), for abilities on a common scale; Jitkrittum et al.,
Universal Model Routing for Efficient LLM Inference (2025), for placing unseen models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from langroute.errors import DataError
from langroute.estimators.documents import document_of
from langroute.estimators.estimator import Kin, Tokens, probability
from langroute.estimators.features import Floats
from langroute.estimators.store import Group
from langroute.learning.traffic import Exchange
from langroute.pricing import price_from
from langroute.records import Price

LEAST = 20
"""Scored answers that a newcomer needs."""

TRUST = 10.0
"""How strongly the weights are held at the mean of the fitted routes."""


def place_route(group: Group, exchanges: Sequence[Exchange], route: str, price: Price) -> Group:
    """A group with one more route, placed by a few scored answers.

    Operating points that are single calls may choose the newcomer at once; cascades go on as they were fitted.

    Args:
        group: What was fitted.
        exchanges: Requests that the newcomer answered.
        route: Its name.
        price: What it charges.

    Raises:
        ConfigurationError: The price has a rate that is none.
        DataError: The route is there already, has no name, or has too few scored answers.
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
    """Logistic regression by Newton's method, held at the mean of the routes."""
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
    """The mean of the fitted routes' expectations, times how much more or less the newcomer used."""
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
