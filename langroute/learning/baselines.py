"""Baselines of a replay: quality and cost of simple routing strategies on the same traffic.

They are every route alone, a random one, the best route of each task and of similar requests (both in hindsight), and the oracle. Only
sums are kept, so that traffic of any length can be streamed.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from langroute.estimators.arrays import Floats
from langroute.learning.neighbours import Neighbours, Vectors
from langroute.learning.parts import TrafficPart

MOSTLY = 0.9
"""Share of the requests that a route must have answered to be a baseline of its own."""


class Sums:
    """Totals of several requests that the same routes answered, `(routes,)` each."""

    __slots__ = ("cost", "count", "gram", "score")

    def __init__(self, routes: int) -> None:
        self.count, self.score, self.cost = 0, np.zeros(routes), np.zeros(routes)
        self.gram = np.zeros((routes, routes))
        """Sums of the products of two routes' scores, `(routes, routes)`."""

    def add(self, count: int, score: Floats, cost: Floats) -> None:
        """Add `count` requests, with their total score and cost by route, `(routes,)` each."""
        self.count += count
        self.score += score
        self.cost += cost

    def merge(self, more: Sums) -> None:
        """Add the totals of further requests."""
        self.add(more.count, more.score, more.cost)
        self.gram += more.gram

    def best(self) -> int:
        """Return the index of the route with the highest total score; of equal ones the cheapest."""
        return max(range(len(self.score)), key=lambda place: (self.score[place], -self.cost[place]))


class Baselines:
    """Accumulates traffic, a part at a time, and computes the baselines.

    Example:
        >>> from langroute.learning.parts import TrafficPart
        >>> part = TrafficPart(("a", "b"), (), (), np.array([[1.0, 0.0]]), np.array([[2.0, 1.0]]))
        >>> baselines = Baselines()
        >>> baselines.add(part, [""], np.ones((1, 4), np.float32))
        >>> baselines.found()["oracle"]
        {'quality': 1.0, 'cost_usd': 2.0}
    """

    __slots__ = ("_near", "_oracle", "_tasks", "groups")

    def __init__(self) -> None:
        self.groups: dict[tuple[str, ...], Sums] = {}
        self._tasks: dict[tuple[tuple[str, ...], str], Sums] = {}
        self._near: dict[tuple[str, ...], Neighbours] = {}
        self._oracle = np.zeros(2)

    @property
    def count(self) -> int:
        """Number of requests so far."""
        return sum(sums.count for sums in self.groups.values())

    def add(self, part: TrafficPart, tasks: list[str], vectors: Vectors) -> None:
        """Add a part.

        Args:
            part: The requests and their outcomes.
            tasks: Task of each request.
            vectors: Words of each request, as `vectors_of` returns them, `(requests, SIZE)`.
        """
        names, scores, costs = part.names, part.scores, part.costs
        group = self.groups.setdefault(names, Sums(len(names)))
        group.add(len(scores), scores.sum(0), costs.sum(0))
        group.gram += scores.T @ scores
        self._near.setdefault(names, Neighbours(len(names))).add(vectors, scores, costs)
        best = scores.max(1, keepdims=True)
        self._oracle += best.sum(), np.where(scores == best, costs, np.inf).min(1).sum()
        kinds, places = np.unique(np.array(tasks, object), return_inverse=True)
        for place, task in enumerate(kinds):
            mine = places == place
            self._tasks.setdefault((names, task), Sums(len(names))).add(int(mine.sum()), scores[mine].sum(0), costs[mine].sum(0))

    def merge(self, more: Baselines) -> None:
        """Add what another one accumulated of the requests after these."""
        for names, sums in more.groups.items():
            self.groups.setdefault(names, Sums(len(names))).merge(sums)
            self._near.setdefault(names, Neighbours(len(names))).merge(more._near[names])
        for key, sums in more._tasks.items():
            self._tasks.setdefault(key, Sums(len(key[0]))).merge(sums)
        self._oracle += more._oracle

    def found(self) -> dict[str, dict[str, float]]:
        """Return the `quality` and `cost_usd` of each baseline, by name."""
        count = self.count
        there: Counter[str] = Counter()
        for names, sums in self.groups.items():
            there.update(dict.fromkeys(names, sums.count))
        found = {f"always:{name}": self._always(name, many) for name, many in sorted(there.items()) if many > MOSTLY * count}
        chance = np.array([(sums.score.mean(), sums.cost.mean()) for sums in self.groups.values()]).sum(0)
        by_task = np.array([(sums.score[at], sums.cost[at]) for sums in self._tasks.values() for at in (sums.best(),)]).sum(0)
        near = np.array([one.totals() for one in self._near.values()]).sum(0)
        for name, (score, cost) in {"random": chance, "best_by_task": by_task, "knn": near, "oracle": self._oracle}.items():
            found[name] = {"quality": float(score) / count, "cost_usd": float(cost)}
        return found

    def _always(self, route: str, asked: int) -> dict[str, float]:
        """Return the quality and cost of one route for everything; requests it did not answer count as its average."""
        held = [
            (sums.score[at], sums.cost[at]) for names, sums in self.groups.items() if route in names for at in (names.index(route),)
        ]
        score, cost = np.array(held).sum(0) / asked
        return {"quality": float(score), "cost_usd": float(cost) * self.count}

    def frontiers(self, wanted: str | None = None) -> dict[tuple[str, ...], str]:
        """Return the frontier of each group of routes: the best single route of the largest group that the group has too, else its own best.

        Args:
            wanted: A route that is the frontier of every group that has it.
        """
        found: dict[tuple[str, ...], str] = {}
        for names, sums in sorted(self.groups.items(), key=lambda item: (-item[1].count, item[0])):
            same = [route for route in (wanted, *found.values()) if route is not None and route in names]
            found[names] = same[0] if same else names[sums.best()]
        return found
