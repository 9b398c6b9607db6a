"""Grouping of requests by the routes that answered them, and their outcomes as arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langroute.core.records import Price, Usage
from langroute.estimators.arrays import Floats
from langroute.learning.traffic import Exchange
from langroute.routes.pricing import cost


@dataclass(frozen=True, slots=True)
class Table:
    """Outcomes of one group of exchanges; all arrays are `(requests, routes)`, NaN where a route was not asked."""

    routes: tuple[str, ...]
    exchanges: tuple[Exchange, ...]
    scores: Floats
    costs: Floats
    input_tokens: Floats
    output_tokens: Floats

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Requests that every route was scored on, `(requests,)`."""
        return np.asarray(np.isfinite(self.scores).all(1))

    @property
    def with_answers(self) -> bool:
        """Whether more than 90 % of the outcomes record the answer, which agreement needs."""
        asked = [outcome.has_answer for one in self.exchanges for name, outcome in one.outcomes.items() if name in self.routes]
        return bool(asked) and sum(asked) > 0.9 * len(asked)


def table_of(exchanges: Sequence[Exchange], routes: Sequence[str], prices: Mapping[str, Price]) -> Table:
    """Return the scored outcomes of exchanges as arrays.

    Args:
        exchanges: The requests, one a row.
        routes: Names of the routes, one a column.
        prices: Price of each route.
    """
    shape = (len(exchanges), len(routes))
    scores, costs, given, written = (np.full(shape, np.nan) for _ in range(4))
    for row, exchange in enumerate(exchanges):
        for column, route in enumerate(routes):
            outcome = exchange.outcomes.get(route)
            if outcome is None or outcome.score is None:
                continue
            usage = Usage(outcome.input_tokens, outcome.output_tokens)
            scores[row, column] = outcome.score
            costs[row, column] = cost(prices[route], usage, outcome.latency_s or 0.0)
            given[row, column], written[row, column] = outcome.input_tokens, outcome.output_tokens
    return Table(tuple(routes), tuple(exchanges), scores, costs, given, written)


def group(exchanges: Sequence[Exchange], routes: Sequence[str] | None = None) -> list[tuple[tuple[str, ...], list[Exchange]]]:
    """Group exchanges by the set of routes with a scored outcome; small sets join a larger group that contains them.

    Args:
        exchanges: Recorded requests.
        routes: Names of the only routes that count, where given.

    Returns:
        Sorted route names and exchanges of each group, the largest group first.
    """
    wanted = None if routes is None else set(routes)
    sets = [
        frozenset(
            name for name, outcome in one.outcomes.items() if outcome.score is not None and (wanted is None or name in wanted)
        )
        for one in exchanges
    ]
    sizes = Counter(found for found in sets if found)
    home: dict[frozenset[str], frozenset[str]] = {}
    for own, size in sizes.items():
        larger = [other for other, many in sizes.items() if own < other and (len(own) < 2 or many > 10 * size)]
        home[own] = max(larger, key=lambda other: (sizes[other], sorted(other)), default=own)
    for own in sizes:
        while home[home[own]] != home[own]:
            home[own] = home[home[own]]
    groups: dict[frozenset[str], list[Exchange]] = {}
    for one, own in zip(exchanges, sets, strict=True):
        if own:
            groups.setdefault(home[own], []).append(one)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), sorted(item[0])))
    return [(tuple(sorted(names)), members) for names, members in ordered]
