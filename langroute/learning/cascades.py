"""Which cheap routes shall a cascade ask, and when is their agreement worth more than a stronger route?

Source: see `langroute.estimators.plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.estimator import logit
from langroute.estimators.features import Floats, Ints
from langroute.estimators.plan import Plan, Stage, state_features
from langroute.learning.grouping import Table

PULL = 300.0
"""Pull of the regressions towards zero, in standardised features: they have many features and few requests."""


STATES = 24
"""Regressions that are kept while orders are compared; most orders begin alike."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What cascades are fitted on: complete requests of one table, and cross-fitted estimates of them."""

    logits: Floats
    scores: Floats
    costs: Floats
    """In units of the frontier's mean cost, `(requests, routes)`."""

    expected_costs: Floats
    same: NDArray[np.bool_]
    """Whether two routes gave the same answer, `(requests, routes, routes)`."""

    known: Floats
    lengths: Floats
    """Logarithm of tokens written, less the expected one, `(requests, routes)`."""

    frontier: int
    fold: Ints


def ground_of(table: Table, success: Floats, log_output: Floats, expected_costs: Floats, frontier: int, fold: Ints) -> Ground:
    """Compare the answers of complete requests."""
    answers = [[one.outcomes[route].answer for route in table.routes] for one in table.exchanges]
    numbered = np.full((len(answers), len(table.routes)), -1)
    for row, given in enumerate(answers):
        places: dict[str, int] = {}
        for column, answer in enumerate(given):
            if answer is not None:
                numbered[row, column] = places.setdefault(answer, len(places))
    same = (numbered[:, :, None] == numbered[:, None, :]) & (numbered >= 0)[:, :, None]
    # Routes may cost nothing.
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
    """Which answers agree, `(requests,)`; see `agreement_code`."""
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
    """Inverse of the regression's matrix for each fold left out, and last for none."""


class Search:
    """Plans of one ground: fits them, says what they would have cost and got, and looks for good orders.

    Args:
        ground: Requests and estimates.
        finals: Routes that may be asked at any point as the last one.
        prices: Worths of the frontier's mean cost to try; see `Plan.price_of_quality`.
    """

    def __init__(self, ground: Ground, finals: Sequence[int], prices: Floats) -> None:
        self.ground, self.finals, self.prices = ground, tuple(finals), prices
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
        # Patterns hardly seen are not worth coefficients of their own.
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
        """Cross-fitted expectations of the goals, `(requests, goals)`."""
        state = self._state(tried)
        parts = [state.features[rows].T @ goals[rows] for rows in self._folds]
        whole = np.sum(parts, 0)
        out = np.empty(goals.shape)
        for rows, part, inverse in zip(self._folds, parts, state.inverse, strict=False):
            out[rows] = state.features[rows] @ (inverse @ (whole - part))
        return out

    def curve(self, order: tuple[int, ...]) -> tuple[Floats, Floats]:
        """What an order gets and costs at each price, on requests its regressions did not see.

        Returns:
            Scores and costs, `(prices, requests)` each.
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
        """What can be done after some attempts: accept, or ask one of the last routes; going on comes beside it."""
        tried = order[:asked]
        return (*((-1,) if tried else ()), *(final for final in self.finals if final not in tried))

    def plan(self, order: tuple[int, ...], price_index: int, unit_usd: float) -> Plan:
        """The plan as it ships, fitted on all requests; the worth of going on stays the cross-fitted one."""
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
        """Good orders of cheap routes at one price: grown, shrunk and swapped as long as that helps."""
        tried: dict[tuple[int, ...], float] = {}

        def value(order: tuple[int, ...]) -> float:
            if order not in tried:
                quality, spent = self.curve(order)
                tried[order] = float((quality[price_index] - self.prices[price_index] * spent[price_index]).mean())
            return tried[order]

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
        return sorted(tried, key=lambda order: -tried[order])[:keep]
