"""Which stretches of recorded traffic can be judged together, and what do they look like as tables?

Traffic is read a stretch at a time, and of each stretch the requests that the same routes answered become one table. What was said is
let go when the stretch has been judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from langroute.estimators.documents import Document, document_of
from langroute.estimators.features import Floats
from langroute.estimators.store import PolicyFile
from langroute.learning.prices import costs_of, prices_for
from langroute.learning.traffic import Exchange
from langroute.records import Price, RouteInfo

REQUESTS, CHARACTERS = 1024, 1 << 24
"""A stretch ends at so many requests, or when their messages are this long."""


@dataclass(frozen=True, slots=True)
class Part:
    """Requests of one stretch that the same routes answered; arrays are `(requests, routes)`."""

    names: tuple[str, ...]
    """Routes with a scored outcome, by name."""

    routes: tuple[RouteInfo, ...]
    """The same as a router would describe them, cheapest first."""

    exchanges: Sequence[Exchange]
    scores: Floats
    costs: Floats

    def __len__(self) -> int:
        return len(self.exchanges)

    def documents(self) -> list[Document]:
        """The requests as estimators read them."""
        return [document_of(one.messages, one.tools, one.labels) for one in self.exchanges]


class Rates:
    """Prices of routes, looked up once.

    Args:
        table: The user's own, by route name; they win.
        stored: A fitted policy's come next, then list prices.
    """

    def __init__(self, table: Mapping[str, Price] | None = None, stored: PolicyFile | None = None) -> None:
        self._known: dict[str, Price] = {}
        for group in stored.groups if stored else ():
            self._known.update(group.prices)
        self._known.update(table or {})
        self._infos: dict[tuple[str, ...], tuple[RouteInfo, ...]] = {}

    def __getitem__(self, route: str) -> Price:
        if route not in self._known:
            self._known.update(prices_for([route]))
        return self._known[route]

    def infos(self, names: tuple[str, ...]) -> tuple[RouteInfo, ...]:
        """The routes as a router would describe them, cheapest first."""
        if names not in self._infos:
            ordered = sorted(names, key=lambda name: (self[name].input + 3 * self[name].output, name))
            last = max(len(ordered) - 1, 1)
            tiers = [("cheap", "balanced", "frontier")[round(2 * place / last)] for place in range(len(ordered))]
            self._infos[names] = tuple(
                RouteInfo(name, tier, place, model=name, price=self[name])
                for place, (name, tier) in enumerate(zip(ordered, tiers, strict=True))
            )
        return self._infos[names]


def parts_of(exchanges: Iterable[Exchange], rates: Rates, wanted: set[str] | None = None) -> Iterator[Part]:
    """Tables of the traffic, a stretch at a time; requests without a scored outcome are left out.

    Args:
        exchanges: What was recorded.
        rates: What routes charge.
        wanted: Only these routes count, where given.
    """
    named: dict[tuple[str, ...], tuple[str, ...]] = {}
    for stretch in stretches(exchanges):
        together: dict[tuple[str, ...], list[Exchange]] = {}
        for one in stretch:
            scored = tuple([name for name, outcome in one.outcomes.items() if outcome.score is not None])
            names = named.get(scored)
            if names is None:
                names = named[scored] = tuple(sorted(name for name in scored if wanted is None or name in wanted))
            together.setdefault(names, []).append(one)
        for names, members in together.items():
            if names:
                yield _part(names, members, rates)


def stretches(exchanges: Iterable[Exchange]) -> Iterator[list[Exchange]]:
    """Requests that are looked at together, and let go together."""
    part: list[Exchange] = []
    size = 0
    for one in exchanges:
        part.append(one)
        for message in one.messages:
            content = message.get("content")
            size += len(content) if isinstance(content, str) else 1000
        if len(part) == REQUESTS or size > CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part


def _part(names: tuple[str, ...], members: Sequence[Exchange], rates: Rates) -> Part:
    shape = (len(members), len(names))
    scores, costs = np.empty(shape), np.empty(shape)
    for column, name in enumerate(names):
        outcomes = [one.outcomes[name] for one in members]
        scores[:, column] = [outcome.score for outcome in outcomes]
        given = np.array([outcome.input_tokens for outcome in outcomes], float)
        written = np.array([outcome.output_tokens for outcome in outcomes], float)
        seconds = np.array([outcome.latency_s or 0.0 for outcome in outcomes]) if rates[name].per_second else 0.0
        costs[:, column] = costs_of(rates[name], given, written, seconds)
    return Part(names, rates.infos(names), members, scores, costs)
