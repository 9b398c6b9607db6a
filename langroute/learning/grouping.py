"""Which requests were put to the same routes, and what do their outcomes look like as tables?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.features import Floats
from langroute.learning.traffic import Exchange
from langroute.pricing import cost
from langroute.records import Price, Usage


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
        """Most outcomes say what the answer was, so that agreement can be seen."""
        asked = [outcome.has_answer for one in self.exchanges for name, outcome in one.outcomes.items() if name in self.routes]
        return bool(asked) and sum(asked) > 0.9 * len(asked)


def table_of(exchanges: Sequence[Exchange], routes: Sequence[str], prices: Mapping[str, Price]) -> Table:
    """Outcomes as arrays."""
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
    """Put exchanges that the same routes answered together; a few with gaps go with the larger group that has all of theirs.

    Args:
        exchanges: What was recorded.
        routes: Only these routes count, where given.

    Returns:
        Routes, by name, and exchanges of each group, the largest first.
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
