"""Totals of a replay: sums that pieces of traffic are added up in, in their order, whichever process worked through them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from langroute.estimators.arrays import Floats, Ints
from langroute.learning.baselines import Baselines
from langroute.learning.beside_mix import BesideSums
from langroute.learning.parts import Read, TrafficPart
from langroute.policies.shadow import wilson


@dataclass(slots=True)
class ReplayTotals:
    """Running totals of one routing strategy: scores, costs, calls and routes."""

    count: int = 0
    score: float = 0.0
    squares: float = 0.0
    cost: float = 0.0
    calls: int = 0
    routes: Counter[str] = field(default_factory=Counter)
    """Number of requests by the route whose answer was kept."""

    beside: dict[tuple[str, ...], BesideSums] = field(default_factory=dict)
    """Sums beside what each route alone scored, by the routes that answered."""

    def add(self, part: TrafficPart, row: int, route: str, cost_usd: float, calls: int = 1) -> None:
        """Add one request.

        Args:
            part: The requests and their outcomes.
            row: The request's row in the part.
            route: The route whose answer was kept.
            cost_usd: What all calls cost.
            calls: How many there were.
        """
        score = float(part.scores[row, part.names.index(route)])
        self._beside(part).add(np.array([score]), np.array([cost_usd]), part.scores[row : row + 1])
        self.count += 1
        self.score += score
        self.squares += score * score
        self.cost += cost_usd
        self.routes[route] += 1
        self.calls += calls

    def add_calls(self, part: TrafficPart, at: Ints, rows: Ints) -> None:
        """Add requests of a part that were answered with one call each.

        Args:
            part: The requests and their outcomes.
            at: Column of the selected route of each request, `(requests,)`.
            rows: Row of each request in the part, `(requests,)`.
        """
        scores = part.scores[rows, at]
        self._beside(part).add(scores, part.costs[rows, at], part.scores[rows])
        self.count += len(scores)
        self.score += float(scores.sum())
        self.squares += float(scores @ scores)
        self.cost += float(part.costs[rows, at].sum())
        self.calls += len(scores)
        for name, many in zip(part.names, np.bincount(at, minlength=len(part.names)).tolist(), strict=True):
            if many:
                self.routes[name] += many

    def merge(self, more: ReplayTotals) -> None:
        """Add the totals of further requests."""
        self.count += more.count
        self.score += more.score
        self.squares += more.squares
        self.cost += more.cost
        self.calls += more.calls
        self.routes.update(more.routes)
        for names, sums in more.beside.items():
            self.beside.setdefault(names, BesideSums(len(names))).merge(sums)

    def _beside(self, part: TrafficPart) -> BesideSums:
        return self.beside.setdefault(part.names, BesideSums(len(part.names)))

    @property
    def quality(self) -> float:
        """Mean score."""
        return self.score / max(self.count, 1)

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % Wilson interval of the mean score; scores that scatter less than right and wrong count for more."""
        mean = self.quality
        variance = self.squares / max(self.count, 1) - mean * mean
        # Equal scores may be equal by chance.
        counts = self.count if variance < 1e-9 else self.count * max(mean * (1 - mean) / variance, 1.0)
        return wilson(mean * counts, counts)


Setting: TypeAlias = "float | str | None"
"""A target or a tolerance; a policy that was not fitted has the name of itself, or none."""


@dataclass(slots=True)
class ReplaySums:
    """What a replay keeps of its requests."""

    targets: dict[Setting, ReplayTotals]
    curve: dict[Setting, ReplayTotals]
    pairs: list[tuple[Floats, Floats]] = field(default_factory=list)
    """Scores and estimated success of the requests with two routes, `(requests, 2)` each."""

    unanswered: Counter[str] = field(default_factory=Counter)
    """Requests that cannot be judged, by the route that was not asked."""

    read: Read = field(default_factory=Read)
    baselines: Baselines = field(default_factory=Baselines)

    @classmethod
    def of(cls, targets: Iterable[Setting], curve: Iterable[Setting]) -> ReplaySums:
        """Return sums of no requests, for some settings of a policy."""
        return cls({one: ReplayTotals() for one in targets}, {one: ReplayTotals() for one in curve})

    def merge(self, more: ReplaySums) -> None:
        """Add the sums of the next piece of the traffic."""
        for mine, others in ((self.targets, more.targets), (self.curve, more.curve)):
            for setting, totals in others.items():
                mine[setting].merge(totals)
        self.pairs += more.pairs
        self.unanswered.update(more.unanswered)
        self.read.merge(more.read)
        self.baselines.merge(more.baselines)
