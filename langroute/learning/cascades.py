"""Fitting of learned cascades: search for the order of cheap routes, and regression of the worth of each action.

Source: see `langroute.estimators.plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.arrays import Floats, Ints
from langroute.estimators.estimator import logit
from langroute.estimators.plan import Plan, Stage, state_features
from langroute.learning.grouping import Table

PULL = 300.0
"""Ridge penalty of the regressions, on standardised features; there are many features and few requests."""


STATES = 24
"""Number of regressions that are cached while orders are compared; most orders share their beginning."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Training data of cascades: complete requests of one table, and cross-fitted estimates of them."""

    logits: Floats
    """Cross-fitted log-odds of success, `(requests, routes)`."""

    scores: Floats
    """Recorded scores, `(requests, routes)`."""

    costs: Floats
    """Recorded costs in units of the frontier's mean cost, `(requests, routes)`."""

    expected_costs: Floats
    """Estimated costs in the same units, `(requests, routes)`."""

    same: NDArray[np.bool_]
    """Whether two routes gave the same answer, `(requests, routes, routes)`."""

    known: Floats
    """1.0 where an answer could be parsed, else 0.0, `(requests, routes)`."""

    lengths: Floats
    """Logarithm of the output tokens minus the expected one, `(requests, routes)`."""

    frontier: int
    """Index of the reference route."""

    fold: Ints
    """Cross-fitting fold of each request, `(requests,)`."""


def ground_of(table: Table, success: Floats, log_output: Floats, expected_costs: Floats, frontier: int, fold: Ints) -> Ground:
    """Return the training data of cascades from a table of complete requests.

    Args:
        table: The requests; every route has a scored outcome of each.
        success: Cross-fitted probability of success, `(requests, routes)`.
        log_output: Usual `log(1 + output tokens)`, `(requests, routes)`.
        expected_costs: Estimated costs in USD, `(requests, routes)`.
        frontier: Index of the reference route.
        fold: Cross-fitting fold of each request, `(requests,)`.
    """
    answers = [[one.outcomes[route].answer for route in table.routes] for one in table.exchanges]
    numbered = np.full((len(answers), len(table.routes)), -1)
    for row, given in enumerate(answers):
        places: dict[str, int] = {}
        for column, answer in enumerate(given):
            if answer is not None:
                numbered[row, column] = places.setdefault(answer, len(places))
    same = (numbered[:, :, None] == numbered[:, None, :]) & (numbered >= 0)[:, :, None]
    # Guards against a frontier that costs nothing.
    unit = max(table.costs[:, frontier].mean(), 1e-12)
    return Ground(
        logit(success),
        table.scores,
        table.costs / unit,
        expected_costs / unit,
        same,
        (numbered >= 0).astype(float),
        np.log1p(table.output_tokens) - log_output,
        frontier,
        fold,
    )


def codes_of(ground: Ground, tried: Sequence[int]) -> Ints:
    """Return the agreement code of the tried routes' answers, `(requests,)`; see `agreement_code`."""
    codes = np.zeros(len(ground.scores), np.int64)
    for row in range(1, len(tried)):
        for place in range(row):
            codes += ground.same[:, tried[row], tried[place]].astype(np.int64) << (row * (row - 1) // 2 + place)
    return codes


@dataclass(frozen=True, slots=True)
class _State:
    features: Floats
    """Standardised, with a column of ones, `(requests, features + 1)`."""

    mean: Floats
    scale: Floats
    patterns: Ints
    inverse: tuple[Floats, ...]
    """Inverse of the regularised Gram matrix with each fold left out, and last with none."""


class Search:
    """Fits cascade plans on one set of training data, computes their quality and cost, and searches for good orders.

    Args:
        ground: Requests and estimates.
        finals: Indices of the routes that may be called at any point as the last one.
        prices: Values of `Plan.price_of_quality` to try, `(prices,)`.
    """

    def __init__(self, ground: Ground, finals: Sequence[int], prices: Floats) -> None:
        self.ground, self.finals, self.prices = ground, tuple(finals), prices
        self.tried: dict[tuple[int, ...], tuple[Floats, Floats]] = {}
        """Scores and costs of every order that a search looked at, `(prices, requests)` each."""

        self._states: dict[tuple[int, ...], _State] = {}
        self._folds = [np.flatnonzero(ground.fold == part) for part in range(int(ground.fold.max()) + 1)]

    def _state(self, tried: tuple[int, ...]) -> _State:
        known = self._states.pop(tried, None) or self._make_state(tried)
        while len(self._states) >= STATES:
            del self._states[next(iter(self._states))]
        self._states[tried] = known
        return known

    def _make_state(self, tried: tuple[int, ...]) -> _State:
        ground, order = self.ground, list(tried)
        codes = codes_of(ground, tried)
        patterns, counts = np.unique(codes, return_counts=True)
        # Rare patterns get no coefficients of their own.
        patterns = patterns[counts >= 10]
        raw = state_features(
            ground.logits, tried, ground.frontier, codes, patterns, ground.lengths[:, order], ground.known[:, order]
        )
        mean, scale = raw.mean(0), raw.std(0) + 1e-6
        features = np.column_stack([(raw - mean) / scale, np.ones(len(raw))])
        pull = PULL * np.eye(features.shape[1])
        pull[-1, -1] = 1e-6
        grams = [features[rows].T @ features[rows] for rows in self._folds]
        whole = sum(grams) + pull
        inverse = tuple(np.linalg.inv(whole - gram) for gram in (*grams, np.zeros_like(pull)))
        return _State(features, mean, scale, patterns, inverse)

    def _regress(self, tried: tuple[int, ...], goals: Floats) -> Floats:
        """Return cross-fitted predictions of the goals, `(requests, goals)`."""
        state = self._state(tried)
        parts = [state.features[rows].T @ goals[rows] for rows in self._folds]
        whole = np.sum(parts, 0)
        out = np.empty(goals.shape)
        for rows, part, inverse in zip(self._folds, parts, state.inverse, strict=False):
            out[rows] = state.features[rows] @ (inverse @ (whole - part))
        return out

    def curve(self, order: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Return the cross-fitted scores and costs of an order at each price.

        Returns:
            Scores, and costs in units of the frontier's mean cost, `(prices, requests)` each.
        """
        quality, spent, _ = self._backwards(order)
        return quality, spent

    def _backwards(self, order: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
        ground, prices = self.ground, self.prices
        count, index = len(ground.scores), np.arange(len(ground.scores))
        quality = spent = worth = np.zeros((len(prices), count))
        worths: list[Floats] = []
        for asked in range(len(order), -1, -1):
            tried = order[:asked]
            actions = self.actions(order, asked)
            goes_on = asked < len(order)
            fixed = [ground.scores[:, tried[-1] if action < 0 else action] for action in actions]
            goals = np.column_stack([*fixed, *(worth if goes_on else ())])
            expected = self._regress(tried, goals)
            next_quality, next_spent = np.empty((len(prices), count)), np.empty((len(prices), count))
            for row, price in enumerate(prices):
                columns = [
                    expected[:, place] - (price * ground.expected_costs[:, action] if action >= 0 else 0.0)
                    for place, action in enumerate(actions)
                ]
                got = list(fixed)
                paid = [ground.costs[:, action] if action >= 0 else np.zeros(count) for action in actions]
                if goes_on:
                    following = order[asked]
                    columns.append(expected[:, len(actions) + row] - price * ground.expected_costs[:, following])
                    got.append(quality[row])
                    paid.append(spent[row] + ground.costs[:, following])
                choice = np.argmax(np.column_stack(columns), 1)
                next_quality[row] = np.column_stack(got)[index, choice]
                next_spent[row] = np.column_stack(paid)[index, choice]
            worths.append(worth)
            quality, spent = next_quality, next_spent
            worth = quality - prices[:, None] * spent
        return quality, spent, np.stack(worths[::-1])

    def actions(self, order: Sequence[int], asked: int) -> tuple[int, ...]:
        """Return the actions after `asked` attempts: -1 to accept, and the final routes; going on with the order is not among them."""
        tried = order[:asked]
        return (*((-1,) if tried else ()), *(final for final in self.finals if final not in tried))

    def plan(self, order: tuple[int, ...], price_index: int, unit_usd: float) -> Plan:
        """Return the plan of an order, fitted on all requests; the worth of going on stays the cross-fitted one."""
        _, _, worths = self._backwards(order)
        ground, stages = self.ground, []
        for asked in range(len(order) + 1):
            tried = order[:asked]
            actions = self.actions(order, asked)
            goals = [ground.scores[:, tried[-1] if action < 0 else action] for action in actions]
            goes_on = asked < len(order)
            if goes_on:
                goals.append(worths[asked][price_index])
                actions = (*actions, order[asked])
            state = self._state(tried)
            found = state.inverse[-1] @ (state.features.T @ np.column_stack(goals))
            weights = found[:-1] / state.scale[:, None]
            stages.append(Stage(state.patterns, weights, found[-1] - state.mean @ weights, actions, goes_on))
        return Plan(tuple(order), float(self.prices[price_index]), unit_usd, tuple(stages))

    def best_orders(self, cheap: Sequence[int], price_index: int, most: int = 4, keep: int = 4) -> list[tuple[int, ...]]:
        """Return the best orders of cheap routes at one price, by a local search that inserts, removes and swaps routes.

        Args:
            cheap: Indices of the cheap routes.
            price_index: Index into `prices`.
            most: Longest order.
            keep: Number of orders to return, the best first.
        """
        looked_at: dict[tuple[int, ...], float] = {}

        def value(order: tuple[int, ...]) -> float:
            if order not in looked_at:
                quality, spent = self._tried_curve(order)
                looked_at[order] = float((quality[price_index] - self.prices[price_index] * spent[price_index]).mean())
            return looked_at[order]

        best: tuple[int, ...] = max([(one,) for one in cheap], key=value)
        while True:
            near = [(*best[:at], one, *best[at:]) for one in cheap if one not in best for at in range(len(best) + 1)]
            near = [order for order in near if len(order) <= most]
            near += [best[:at] + best[at + 1 :] for at in range(len(best)) if len(best) > 1]
            near += [(*best[:at], best[at + 1], best[at], *best[at + 2 :]) for at in range(len(best) - 1)]
            found = max(near, key=value, default=best)
            if value(found) <= value(best) + 2e-4:
                break
            best = found
        return sorted(looked_at, key=lambda order: -looked_at[order])[:keep]

    def _tried_curve(self, order: tuple[int, ...]) -> tuple[Floats, Floats]:
        if order not in self.tried:
            quality, spent = self.curve(order)
            self.tried[order] = quality.astype(np.float32), spent.astype(np.float32)
        return self.tried[order]
