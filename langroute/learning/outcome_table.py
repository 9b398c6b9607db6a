"""Recorded outcomes as a table of requests and routes, in bounded memory however long the traffic is.

Counts and sums of spend are of everything. Scores and costs by request are those of a sample, where there are too many: whole
tasks, or all repeats of a request, are drawn by a hash, so that the same traffic gives the same sample.

Source of the sampling: Flajolet, On adaptive sampling (1990).
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.core.records import Price, Usage
from langroute.estimators.arrays import Floats, Ints
from langroute.learning.recorded import Recorded
from langroute.learning.traffic import Exchange
from langroute.learning.verdict_counts import VerdictCounts
from langroute.routes.pricing import cost, price_of

MOST_OUTCOMES = 500_000
"""Most outcomes that are kept one by one; above, half of the requests are let go."""

MOST_NAMES = 1000
"""Most routes, and most families, that are told apart."""

OTHERS = "(others)"
"""The family of the requests that come after as many families as are told apart."""

NO_ROUTE = -1


@dataclass(slots=True)
class RouteCounts:
    """What was recorded of one route."""

    asked: int = 0
    scored: int = 0
    failed: int = 0
    priced: int = 0
    usd: float = 0.0
    verdicts: VerdictCounts = field(default_factory=VerdictCounts)


@dataclass(frozen=True, slots=True)
class OutcomeSample:
    """The sampled outcomes as columns: of lines (recorded requests), and of runs (one run of one route for a line)."""

    share: float
    """Share of the requests that the sample holds; 1 for all."""

    request: Ints
    """Hash of what is asked, `(lines,)`; equal ones are repeats."""

    task: Ints
    """Hash of the task that a line belongs to, `(lines,)`."""

    family: Ints
    """Index of the family, `(lines,)`."""

    served: Ints
    """Index of the route that answered in production, `(lines,)`; `NO_ROUTE` where that is not known."""

    propensity: Floats
    """Probability with which that route was chosen, `(lines,)`; NaN where it is not known."""

    line: Ints
    """Index of the line, `(runs,)`."""

    route: Ints
    """Index of the route, `(runs,)`."""

    score: Floats
    """`(runs,)`; NaN where it was not scored."""

    cost: Floats
    """USD, `(runs,)`; NaN where it is not known."""

    given: Floats
    """Input tokens, `(runs,)`."""

    written: Floats
    """Output tokens, `(runs,)`."""

    def means(self, values: Floats, routes: Sequence[int]) -> Floats:
        """Return the mean of values of the runs by line and route, `(lines, routes)`; NaN where there is none.

        Args:
            values: `(runs,)`, such as `score`.
            routes: Indices of the routes, in the order of the columns.
        """
        place = np.full(int(self.route.max(initial=0)) + 1, -1)
        place[list(routes)] = np.arange(len(routes))
        kept = np.isfinite(values) & (place[self.route] >= 0)
        cells = self.line[kept] * len(routes) + place[self.route[kept]]
        size = len(self.request) * len(routes)
        counts = np.bincount(cells, minlength=size)
        sums = np.bincount(cells, values[kept], size)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).reshape(-1, len(routes))

    def only(self, lines: NDArray[np.bool_]) -> OutcomeSample:
        """Return the outcomes of some lines, `(lines,)`."""
        runs = lines[self.line]
        of_lines = {name: getattr(self, name)[lines] for name in ("request", "task", "family", "served", "propensity")}
        of_runs = {name: getattr(self, name)[runs] for name in ("route", "score", "cost", "given", "written")}
        return replace(self, line=(np.cumsum(lines) - 1)[self.line[runs]], **of_lines, **of_runs)


class OutcomeTable:
    """Collects recorded requests, one at a time.

    Args:
        prices: Prices by route name; list prices for others. Where a cost was billed, that is taken.
        by: Which of `task`, `kind`, `node`, `team` make a family together.
        most: Most outcomes that are kept one by one.

    Example:
        >>> from langroute.learning.traffic import parse_exchange
        >>> table = OutcomeTable()
        >>> table.add(parse_exchange({"id": "1", "messages": [{"role": "user", "content": "Hi."}],
        ...     "outcomes": {"small": {"trials": [1, 0], "input_tokens": 3, "output_tokens": 5, "cost_usd": 0.1}}}))
        >>> sample = table.sample()
        >>> sample.means(sample.score, [0]).tolist(), table.routes["small"].usd
        ([[0.5]], 0.2)
    """

    def __init__(self, prices: Mapping[str, Price] | None = None, by: Sequence[str] = ("task",), most: int = MOST_OUTCOMES) -> None:
        self._prices, self._by, self._most = prices or {}, tuple(by), most
        self.requests = 0
        self.routes: dict[str, RouteCounts] = {}
        self.left_out: Counter[str] = Counter()
        """Outcomes of routes beyond the first `MOST_NAMES`, all under one name."""

        self.families: dict[str, int] = {}
        self.logged = 0
        """Requests that say which route served them."""

        self.in_turn = 0
        """Requests for which several routes were asked one after the other; only the one that served them is compared with others."""

        self._of_family: dict[tuple[str, ...], int] = {}
        self._rates: dict[str, Price | None] = {}
        self._places: dict[str, int] = {}
        self._columns = _Columns()
        self._below = 1 << 64

    def add(self, one: Exchange) -> None:
        """Add a recorded request and its outcomes."""
        self.requests += 1
        self.logged += "served" in one.step
        known = []
        for name, outcome in one.outcomes.items():
            place = self._places.get(name)
            if place is None:
                if len(self._places) >= MOST_NAMES:
                    self.left_out[OTHERS] += 1
                    continue
                place = self._places[name] = len(self._places)
                self.routes[name] = RouteCounts()
            paid = self._cost(name, outcome)
            self._count(self.routes[name], outcome, paid)
            known.append((place, outcome, paid))
        if one.in_turn:
            # The second route was asked because of what the first one answered: what both made of it compares them on the first one's failures.
            self.in_turn += 1
            known = [run for run in known if run[0] == self._places.get(str(one.step.get("served")))]
        family = self._family(one)
        request, told = _hash(_asked(one)), one.step.get("task_id")
        task = _hash(f"task {told}") if isinstance(told, (str, int)) else request
        # Whole tasks are drawn, for what they cost in all; without tasks all repeats of a request.
        if task < self._below:
            self._columns.add(
                one, (request, task if task != request else _hash(f"line {one.id}"), task, family), self._places, known
            )
            while len(self._columns.score) > self._most and self._below > 1:
                self._below //= 2
                self._columns = self._columns.below(self._below)

    def sample(self) -> OutcomeSample:
        """Return the sampled outcomes."""
        return self._columns.sample(self._below / (1 << 64))

    def price(self, route: str) -> Price | None:
        """Return a route's price: the user's, else the list price of the model of that name, where there is one."""
        if route not in self._rates:
            self._rates[route] = self._prices.get(route) or price_of(route)
        return self._rates[route]

    def _cost(self, route: str, outcome: Recorded) -> float | None:
        """Return the USD of one run."""
        if outcome.cost_usd is not None:
            return outcome.cost_usd
        if not outcome.input_tokens and not outcome.output_tokens:
            # No request has no tokens at all, so they are not known.
            return None
        return cost(self.price(route), Usage(outcome.input_tokens, outcome.output_tokens), outcome.latency_s or 0.0)

    def _count(self, counts: RouteCounts, outcome: Recorded, paid: float | None) -> None:
        runs = max(len(outcome.trials), 1)
        counts.asked += runs
        counts.scored += runs if outcome.score is not None else 0
        counts.failed += outcome.error_type is not None
        if outcome.checked is not None:
            counts.verdicts.add(*outcome.checked)
        if paid is not None:
            counts.priced += runs
            counts.usd += runs * paid

    def _family(self, one: Exchange) -> int:
        values = tuple([one.task if name == "task" else str(one.step.get(name) or "") for name in self._by])
        found = self._of_family.get(values)
        if found is None:
            full = len(self._of_family) >= MOST_NAMES
            name = OTHERS if full else " / ".join(value or "(none)" for value in values)
            found = self.families.setdefault(name, len(self.families))
            if not full:
                self._of_family[values] = found
        return found


@dataclass(slots=True)
class _Columns:
    """The kept outcomes, in arrays that grow."""

    request: array[int] = field(default_factory=lambda: array("Q"))
    task: array[int] = field(default_factory=lambda: array("Q"))
    drawn: array[int] = field(default_factory=lambda: array("Q"))
    family: array[int] = field(default_factory=lambda: array("q"))
    served: array[int] = field(default_factory=lambda: array("q"))
    propensity: array[float] = field(default_factory=lambda: array("d"))
    line: array[int] = field(default_factory=lambda: array("q"))
    route: array[int] = field(default_factory=lambda: array("q"))
    score: array[float] = field(default_factory=lambda: array("d"))
    cost: array[float] = field(default_factory=lambda: array("d"))
    given: array[float] = field(default_factory=lambda: array("d"))
    written: array[float] = field(default_factory=lambda: array("d"))

    def add(
        self,
        one: Exchange,
        keys: tuple[int, int, int, int],
        places: Mapping[str, int],
        known: list[tuple[int, Recorded, float | None]],
    ) -> None:
        """Add a line.

        Args:
            one: The line.
            keys: Hashes of the request, of the task and of what is drawn by, and the family.
            places: Index of each route.
            known: Index, outcome and cost of each route of the line.
        """
        served = one.step.get("served")
        chosen = one.outcomes.get(str(served)) if served is not None else None
        for values, key in zip((self.request, self.task, self.drawn, self.family), keys, strict=True):
            values.append(key)
        self.served.append(places.get(str(served), NO_ROUTE) if chosen is not None else NO_ROUTE)
        self.propensity.append(np.nan if chosen is None or chosen.propensity is None else chosen.propensity)
        line = len(self.request) - 1
        for place, outcome, paid in known:
            for score in outcome.trials or (outcome.score,):
                self.line.append(line)
                self.route.append(place)
                self.score.append(np.nan if score is None else score)
                self.cost.append(np.nan if paid is None else paid)
                self.given.append(outcome.input_tokens)
                self.written.append(outcome.output_tokens)

    def below(self, least: int) -> _Columns:
        """Return the columns of what has a hash below a number."""
        lines = np.frombuffer(self.drawn, np.uint64) < np.uint64(least)
        kept = self.sample(1.0).only(lines)
        made = _Columns()
        for name in ("request", "task", "family", "served", "propensity", "line", "route", "score", "cost", "given", "written"):
            _fill(getattr(made, name), getattr(kept, name))
        _fill(made.drawn, np.frombuffer(self.drawn, np.uint64)[lines])
        return made

    def sample(self, share: float) -> OutcomeSample:
        def column(values: Any, kind: Any) -> Any:
            return np.array(values, kind)

        return OutcomeSample(
            share,
            column(self.request, np.uint64),
            column(self.task, np.uint64),
            column(self.family, np.int64),
            column(self.served, np.int64),
            column(self.propensity, np.float64),
            column(self.line, np.int64),
            column(self.route, np.int64),
            column(self.score, np.float64),
            column(self.cost, np.float64),
            column(self.given, np.float64),
            column(self.written, np.float64),
        )


def _fill(into: Any, values: Any) -> None:
    into.frombytes(np.ascontiguousarray(values).tobytes())


def _asked(one: Exchange) -> str:
    """Return what a request asks, equal for repeats; where the messages are not kept it is the id, which has no repeats."""
    if not any(message.get("content") or message.get("tool_calls") for message in one.messages):
        return f"id {one.id}"
    return json.dumps([one.task, one.step.get("node"), one.messages, one.tools], sort_keys=True, default=str)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")
