"""Recorded outcomes as a table of requests and routes, in bounded memory however long the traffic is.

Counts and sums of spend are of everything. Scores and costs by request are those of a sample, where there are too many: whole
tasks, or all repeats of a request, are drawn by a hash, so that the same traffic gives the same sample. Tables of pieces of traffic are merged
in order; repeats find one another by the hash of what is asked, in whichever pieces they are.

Source of the sampling: Flajolet, On adaptive sampling (1990).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.arrays import Floats, Ints
from langroute.learning.recorded import Recorded
from langroute.learning.traffic import Exchange
from langroute.learning.verdict_counts import VerdictCounts

MOST_OUTCOMES = 500_000
"""Most outcomes that are kept one by one; above, half of the requests are let go."""

MOST_NAMES = 1000
"""Most routes, and most families, that are told apart."""

MOST_OF_PIECE = 10_000
"""Most of them that are told apart in one piece of traffic: they may be others than those of the pieces before."""

OTHERS = "(others)"
"""The family of the requests that come after as many families as are told apart."""

NO_ROUTE = -1

UNIT_BITS = 80
"""Money is added in whole units of 2^-80 USD, so that a sum is the float next to the true one in any order."""

EVERYTHING = 1 << 64
"""Every hash is below it."""


@dataclass(slots=True)
class RouteCounts:
    """What was recorded of one route.

    Example:
        >>> counts = RouteCounts()
        >>> counts.add_outcome(3, scored=True, failed=False, paid=0.125)
        >>> counts.merge(counts), counts.asked, counts.usd
        (None, 6, 0.75)
    """

    outcomes: int = 0
    asked: int = 0
    """Runs, of which one outcome may tell several."""

    scored: int = 0
    failed: int = 0
    priced: int = 0
    units: int = 0
    verdicts: VerdictCounts = field(default_factory=VerdictCounts)

    @property
    def usd(self) -> float:
        """What the runs with a known cost cost in all."""
        try:
            return self.units / (1 << UNIT_BITS)
        except OverflowError:
            return inf

    def add_outcome(self, runs: int, *, scored: bool, failed: bool, paid: float | None) -> None:
        """Count an outcome.

        Args:
            runs: Number of runs that it tells.
            scored: Whether it has a score.
            failed: Whether it is an error.
            paid: USD of one run, where that is known; finite.
        """
        self.outcomes += 1
        self.asked += runs
        self.scored += runs if scored else 0
        self.failed += failed
        if paid is not None:
            over, under = paid.as_integer_ratio()
            self.priced += runs
            self.units += runs * ((over << UNIT_BITS) // under)

    def merge(self, more: RouteCounts) -> None:
        """Add what was recorded elsewhere."""
        for name in ("outcomes", "asked", "scored", "failed", "priced", "units"):
            setattr(self, name, getattr(self, name) + getattr(more, name))
        self.verdicts.merge(more.verdicts)


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


@dataclass(slots=True)
class OutcomeColumns:
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

    def extend(self, more: OutcomeColumns, routes: Ints, families: Ints) -> None:
        """Add the columns of later lines.

        Args:
            more: The columns.
            routes: Index of each of its routes here, `NO_ROUTE` for one that is left out.
            families: Index of each of its families here.
        """
        begin, route = len(self.request), routes[np.asarray(more.route, np.int64)]
        kept = route != NO_ROUTE
        for name in ("request", "task", "drawn", "propensity"):
            _fill(getattr(self, name), getattr(more, name))
        _fill(self.family, families[np.asarray(more.family, np.int64)])
        _fill(self.served, routes[np.asarray(more.served, np.int64)])
        _fill(self.line, np.asarray(more.line, np.int64)[kept] + begin)
        _fill(self.route, route[kept])
        for name in ("score", "cost", "given", "written"):
            _fill(getattr(self, name), np.asarray(getattr(more, name), np.float64)[kept])

    def below(self, least: int) -> OutcomeColumns:
        """Return the columns of what has a hash below a number."""
        drawn = np.array(self.drawn, np.uint64)
        lines = drawn < np.uint64(least)
        kept = self.sample(1.0).only(lines)
        made = OutcomeColumns()
        for name in ("request", "task", "family", "served", "propensity", "line", "route", "score", "cost", "given", "written"):
            _fill(getattr(made, name), getattr(kept, name))
        _fill(made.drawn, drawn[lines])
        return made

    def sample(self, share: float) -> OutcomeSample:
        """Return copies of the columns."""

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


@dataclass(slots=True)
class OutcomeTable:
    """What was recorded of some traffic; `OutcomeReader` fills it."""

    requests: int = 0
    routes: dict[str, RouteCounts] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    """Outcomes of routes beyond the first `MOST_NAMES`, all under one name."""

    families: dict[str, int] = field(default_factory=dict)
    logged: int = 0
    """Requests that say which route served them."""

    in_turn: int = 0
    """Requests for which several routes were asked one after the other; only the one that served them is compared with others."""

    below: int = EVERYTHING
    """What has a lower hash is kept one by one."""

    columns: OutcomeColumns = field(default_factory=OutcomeColumns)

    def sample(self) -> OutcomeSample:
        """Return the sampled outcomes."""
        return self.columns.sample(self.below / EVERYTHING)

    def counts_of(self, route: str, most: int) -> RouteCounts | None:
        """Return the counts of a route; `None` where `most` others are told apart already."""
        if route not in self.routes and len(self.routes) < most:
            self.routes[route] = RouteCounts()
        return self.routes.get(route)

    def place_of_family(self, name: str, most: int) -> int:
        """Return the index of a family, that of `OTHERS` where `most` others are told apart already."""
        if name not in self.families and len(self.families) >= most:
            name = OTHERS
        return self.families.setdefault(name, len(self.families))

    def keep_at_most(self, outcomes: int) -> None:
        """Let go of half of what is kept one by one until there are at most so many outcomes."""
        while len(self.columns.score) > outcomes and self.below > 1:
            self._lower(self.below // 2)

    def merge(self, more: OutcomeTable, most: int = MOST_OUTCOMES) -> None:
        """Add what was recorded of the requests after these, as if they were added one by one; `most` outcomes are kept one by one."""
        self.requests += more.requests
        self.logged += more.logged
        self.in_turn += more.in_turn
        self.left_out.update(more.left_out)
        for name, counts in more.routes.items():
            if (mine := self.counts_of(name, MOST_NAMES)) is None:
                self.left_out[OTHERS] += counts.outcomes
            else:
                mine.merge(counts)
        known = {name: place for place, name in enumerate(self.routes)}
        # The last one is where `NO_ROUTE` points to.
        routes = np.array([*(known.get(name, NO_ROUTE) for name in more.routes), NO_ROUTE])
        families = np.array([self.place_of_family(name, MOST_NAMES) for name in more.families], np.int64)
        self._lower(more.below)
        self.columns.extend(more.columns if more.below == self.below else more.columns.below(self.below), routes, families)
        self.keep_at_most(most)

    def _lower(self, below: int) -> None:
        if below < self.below:
            self.below = below
            self.columns = self.columns.below(below)


def _fill(into: Any, values: Any) -> None:
    into.frombytes(np.ascontiguousarray(values).tobytes())


__all__ = ["NO_ROUTE", "OutcomeColumns", "OutcomeSample", "OutcomeTable", "RouteCounts"]
