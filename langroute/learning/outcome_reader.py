"""Reading of recorded requests into a table of outcomes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from langroute.core.records import Price, Usage
from langroute.learning.hashing import number_of
from langroute.learning.outcome_table import MOST_OF_PIECE, MOST_OUTCOMES, OTHERS, OutcomeTable
from langroute.learning.recorded import Recorded
from langroute.learning.traffic import Exchange
from langroute.routes.pricing import cost, price_of


class OutcomeReader:
    """Collects recorded requests, one at a time.

    Args:
        prices: Prices by route name; list prices for others. Where a cost was billed, that is taken.
        by: Which of `task`, `kind`, `node`, `team` make a family together.
        most: Most outcomes that are kept one by one.

    Example:
        >>> from langroute.learning.traffic import parse_exchange
        >>> reader = OutcomeReader()
        >>> reader.add(parse_exchange({"id": "1", "messages": [{"role": "user", "content": "Hi."}],
        ...     "outcomes": {"small": {"trials": [1, 0], "input_tokens": 3, "output_tokens": 5, "cost_usd": 0.1}}}))
        >>> sample = reader.table.sample()
        >>> sample.means(sample.score, [0]).tolist(), reader.table.routes["small"].usd
        ([[0.5]], 0.2)
    """

    def __init__(self, prices: Mapping[str, Price] | None = None, by: Sequence[str] = ("task",), most: int = MOST_OUTCOMES) -> None:
        self._prices, self._by, self._most = prices or {}, tuple(by), most
        self.table = OutcomeTable()
        self._rates: dict[str, Price | None] = {}
        self._places: dict[str, int] = {}

    def add(self, one: Exchange) -> None:
        """Add a recorded request and its outcomes."""
        table = self.table
        table.requests += 1
        table.logged += "served" in one.step
        known = []
        for name, outcome in one.outcomes.items():
            place = self._place(name)
            if place is None:
                table.left_out[OTHERS] += 1
                continue
            paid = self._cost(name, outcome)
            counts = table.routes[name]
            counts.add_outcome(
                max(len(outcome.trials), 1), scored=outcome.score is not None, failed=outcome.error_type is not None, paid=paid
            )
            if outcome.checked is not None:
                counts.verdicts.add(*outcome.checked)
            known.append((place, outcome, paid))
        if one.in_turn:
            # The second route was asked because of what the first one answered: what both made of it compares them on the first one's failures.
            table.in_turn += 1
            known = [run for run in known if run[0] == self._places.get(str(one.step.get("served")))]
        values = [one.task if name == "task" else str(one.step.get(name) or "") for name in self._by]
        family = table.place_of_family(" / ".join(value or "(none)" for value in values), MOST_OF_PIECE)
        request, told = number_of(_asked(one)), one.step.get("task_id")
        task = number_of(f"task {told}") if isinstance(told, (str, int)) else request
        # Whole tasks are drawn, for what they cost in all; without tasks all repeats of a request.
        if task < table.below:
            keys = (request, task if task != request else number_of(f"line {one.id}"), task, family)
            table.columns.add(one, keys, self._places, known)
            table.keep_at_most(self._most)

    def _place(self, route: str) -> int | None:
        """Return the index of a route; `None` where it is left out."""
        place = self._places.get(route)
        if place is None and self.table.counts_of(route, MOST_OF_PIECE) is not None:
            place = self._places[route] = len(self._places)
        return place

    def _cost(self, route: str, outcome: Recorded) -> float | None:
        """Return the USD of one run; `None` where it is not known, or more than a number holds."""
        if outcome.cost_usd is not None:
            return outcome.cost_usd
        if not outcome.input_tokens and not outcome.output_tokens:
            # No request has no tokens at all, so they are not known.
            return None
        if route not in self._rates:
            self._rates[route] = known_price(self._prices, route)
        paid = cost(self._rates[route], Usage(outcome.input_tokens, outcome.output_tokens), outcome.latency_s or 0.0)
        return paid if paid is not None and isfinite(paid) else None


@dataclass(frozen=True, slots=True)
class OutcomeWork:
    """Reads a piece of traffic into a table of its own."""

    makes: ClassVar[type] = OutcomeTable
    prices: Mapping[str, Price]
    by: tuple[str, ...]

    def __call__(self, exchanges: Iterable[Exchange]) -> OutcomeTable:
        """Return the table of a piece."""
        reader = OutcomeReader(self.prices, self.by)
        for one in exchanges:
            reader.add(one)
        return reader.table

    @property
    def key(self) -> str:
        """What tells this work from other work, in words."""
        return repr(("advise", sorted(self.prices.items(), key=lambda item: item[0]), self.by))


def known_price(prices: Mapping[str, Price], route: str) -> Price | None:
    """Return a route's price: the user's, else the list price of the model of that name, where there is one."""
    return prices.get(route) or price_of(route)


def _asked(one: Exchange) -> str:
    """Return what a request asks, equal for repeats; where the messages are not kept it is the id, which has no repeats in its file."""
    if not any(message.get("content") or message.get("tool_calls") for message in one.messages):
        return f"id {one.file}\0{one.id}"
    return json.dumps([one.task, one.step.get("node"), one.messages, one.tools], sort_keys=True, default=str)


__all__ = ["OutcomeReader", "OutcomeWork", "known_price"]
