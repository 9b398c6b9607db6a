"""Streaming of recorded traffic as tables of requests that the same routes answered.

Traffic is read one chunk (a stretch) at a time, and the requests of a chunk that the same routes answered become one table. The messages
are released once the chunk has been processed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from langroute.core.errors import DataError
from langroute.core.records import Price, RouteInfo
from langroute.estimators.arrays import Floats
from langroute.estimators.documents import Document, document_of
from langroute.estimators.store import PolicyFile
from langroute.learning.prices import prices_for
from langroute.learning.recorded import Recorded
from langroute.learning.traffic import Exchange, read_traffic
from langroute.routes.price_arrays import costs as costs_of_calls

REQUESTS, CHARACTERS = 1024, 1 << 24
"""Most requests in a stretch, and the number of characters in their messages above which it ends."""


@dataclass(frozen=True, slots=True)
class TrafficPart:
    """Requests of one stretch that the same routes answered; arrays are `(requests, routes)`."""

    names: tuple[str, ...]
    """Routes with a scored outcome, by name."""

    routes: tuple[RouteInfo, ...]
    """The same routes as a router describes them, cheapest first."""

    exchanges: Sequence[Exchange]
    scores: Floats
    costs: Floats

    def __len__(self) -> int:
        return len(self.exchanges)

    def only(self, rows: Sequence[int]) -> TrafficPart:
        """Return the requests of some rows."""
        at = np.array(rows, np.int64)
        return TrafficPart(self.names, self.routes, [self.exchanges[row] for row in rows], self.scores[at], self.costs[at])

    def documents(self) -> list[Document]:
        """Return the requests as estimators read them."""
        return [document_of(one.messages, one.tools, one.labels) for one in self.exchanges]


class Rates:
    """Cached prices of routes: the user's, else the fitted policy's, else list prices.

    Args:
        table: The user's prices, by route name.
        stored: A fitted policy.
    """

    def __init__(self, table: Mapping[str, Price] | None = None, stored: PolicyFile | None = None) -> None:
        self._known: dict[str, Price] = {}
        for group in stored.groups if stored else ():
            self._known.update(group.prices)
        self._known.update(table or {})
        self.implied: set[str] = set()
        """Routes whose price is only known from what was billed."""

        self._infos: dict[tuple[str, ...], tuple[RouteInfo, ...]] = {}

    def learn(self, route: str, outcomes: Iterable[Recorded]) -> None:
        """Take the price of a route that has none from what was billed, an output token as dear as four input tokens.

        Raises:
            DataError: Nothing was billed, either.
        """
        if route in self._known:
            return
        try:
            self._known.update(prices_for([route]))
        except DataError:
            billed = [(one.cost_usd, one.input_tokens + 4 * one.output_tokens) for one in outcomes if one.cost_usd is not None]
            tokens = sum(weighed for _, weighed in billed)
            if not tokens:
                raise
            rate = 1e6 * sum(cost or 0.0 for cost, _ in billed) / tokens
            self._known[route] = Price(rate, 4 * rate)
            self.implied.add(route)

    def copy(self) -> Rates:
        """Return the same prices, to learn more without changing these."""
        made = Rates(self._known)
        made.implied = set(self.implied)
        return made

    @property
    def said(self) -> str:
        """The prices in words, the same for the same prices."""
        return repr((sorted(self._known.items(), key=lambda item: item[0]), sorted(self.implied)))

    def take(self, routes: Iterable[str], learned: Rates) -> None:
        """Take the prices of routes that have none here from what was learned of further requests."""
        for name in routes:
            if name not in self._known:
                self._known[name] = learned[name]
                if name in learned.implied:
                    self.implied.add(name)

    def __getitem__(self, route: str) -> Price:
        if route not in self._known:
            self._known.update(prices_for([route]))
        return self._known[route]

    def infos(self, names: tuple[str, ...]) -> tuple[RouteInfo, ...]:
        """Return the routes as a router describes them, cheapest first."""
        if names not in self._infos:
            ordered = sorted(names, key=lambda name: (self[name].input + 3 * self[name].output, name))
            last = max(len(ordered) - 1, 1)
            tiers = [("cheap", "balanced", "frontier")[round(2 * place / last)] for place in range(len(ordered))]
            self._infos[names] = tuple(
                RouteInfo(name, tier, place, model=name, price=self[name])
                for place, (name, tier) in enumerate(zip(ordered, tiers, strict=True))
            )
        return self._infos[names]


@dataclass(slots=True)
class Read:
    """What was read of some traffic."""

    requests: int = 0
    unscored: int = 0
    """Requests without a scored outcome of a route that counts."""

    logged: bool = False
    """Whether the requests of a ledger are among them, which asked the one route that was chosen."""

    routes: dict[str, None] = field(default_factory=dict)
    """Names of the routes with a scored outcome."""

    def merge(self, more: Read) -> None:
        """Add what was read after it."""
        self.requests += more.requests
        self.unscored += more.unscored
        self.logged = self.logged or more.logged
        self.routes.update(more.routes)


def parts_of(
    exchanges: Iterable[Exchange], rates: Rates, wanted: set[str] | None = None, read: Read | None = None
) -> Iterator[TrafficPart]:
    """Yield tables of the traffic, a stretch at a time; requests without a scored outcome are left out.

    Args:
        exchanges: Recorded requests.
        rates: Prices of the routes.
        wanted: Names of the only routes that count, where given.
        read: Told what was read.
    """
    read = Read() if read is None else read
    named: dict[tuple[str, ...], tuple[str, ...]] = {}
    for stretch in stretches(exchanges):
        together: dict[tuple[str, ...], list[Exchange]] = {}
        for one in stretch:
            scored = tuple([name for name, outcome in one.outcomes.items() if outcome.score is not None])
            names = named.get(scored)
            if names is None:
                names = named[scored] = tuple(sorted(name for name in scored if wanted is None or name in wanted))
            together.setdefault(names, []).append(one)
            read.requests += 1
            read.unscored += not names
            read.logged = read.logged or (len(one.outcomes) == 1 and "served" in one.step)
            read.routes.update(dict.fromkeys(names))
        for names, members in together.items():
            if names:
                yield _part(names, members, rates)


def routes_of(paths: Iterable[str | Path], rates: Rates) -> tuple[RouteInfo, ...]:
    """Return all routes of some traffic files that have a scored outcome, cheapest first."""
    read = Read()
    for _ in parts_of(read_traffic(paths), rates, None, read):
        pass
    return rates.infos(tuple(sorted(read.routes)))


def stretches(exchanges: Iterable[Exchange]) -> Iterator[list[Exchange]]:
    """Yield the traffic in chunks, bounded by `REQUESTS` and `CHARACTERS`."""
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


def _part(names: tuple[str, ...], members: Sequence[Exchange], rates: Rates) -> TrafficPart:
    shape = (len(members), len(names))
    scores, costs = np.empty(shape), np.empty(shape)
    for column, name in enumerate(names):
        outcomes = [one.outcomes[name] for one in members]
        rates.learn(name, outcomes)
        scores[:, column] = [outcome.score for outcome in outcomes]
        given = np.array([outcome.input_tokens for outcome in outcomes], float)
        written = np.array([outcome.output_tokens for outcome in outcomes], float)
        seconds = np.array([outcome.latency_s or 0.0 for outcome in outcomes]) if rates[name].per_second else 0.0
        costs[:, column] = costs_of_calls(rates[name], given, written, seconds=seconds)
        if name in rates.implied:
            costs[:, column] = [
                cost if outcome.cost_usd is None else outcome.cost_usd
                for cost, outcome in zip(costs[:, column], outcomes, strict=True)
            ]
    return TrafficPart(names, rates.infos(names), members, scores, costs)
