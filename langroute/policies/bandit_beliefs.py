"""Beliefs of a bandit: what decisions and outcomes of all workers make of each route's posterior and cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langroute.state.local import heard_before

PRECISION = 4.0
"""Precision (inverse variance) of one outcome: the standard deviation of a score from 0 to 1 is at most a half."""

PAID = 30
"""Number of latest calls of a route that its mean cost is taken over."""

MOST_OPEN = 500
"""Most decisions of one task that wait for its outcome."""


class BanditFold:
    """What decisions and outcomes do to the beliefs about routes, in whichever order and from whichever worker they come.

    A belief is the posterior of a route, a Gaussian over two weights as precision `[a, b, c]` (the matrix `[[a, b], [b, c]]`) and moment, the
    mean cost of its calls, and their number up to `PAID`. An outcome counts once for each decision that it is about.

    Args:
        start: The belief that each route starts with.
        memory: See `Bandit`.

    Example:
        >>> fold, document, entries = BanditFold({"small": [[4.0, 0.0, 4.0], [2.0, 0.0], 0.0, 0]}, 1.0), {}, {"d": {}, "t": {}}
        >>> fold.add(document, entries, ("task", "t", 1.0, ""))
        >>> fold.add(document, entries, ("decided", "d", "t", "small", [1.0, 0.0], []))
        >>> document["small"][:2]
        [[8.0, 0.0, 4.0], [6.0, 0.0]]
    """

    keep_seconds = 7 * 86400.0

    def __init__(self, start: Mapping[str, Sequence[Any]], memory: float) -> None:
        self.start, self.memory = dict(start), memory

    def keys(self, event: tuple[Any, ...]) -> Iterable[str]:
        """Return the keys of the decision and of the task that an event is about."""
        keys = event[1:3] if event[0] == "decided" else event[1:2]
        return [key for key in keys if key]

    def follows(self, entry: Mapping[str, Any]) -> str | None:
        """Return the task of a decision."""
        return entry.get("task")

    def beliefs(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the belief about each route."""
        return {name: document.get(name, start) for name, start in self.start.items()}

    def add(self, document: dict[str, Any], sides: dict[str, Any], event: tuple[Any, ...]) -> None:
        """Count what an event says."""
        if event[0] == "decided":
            self._decided(document, sides, *event[1:])
        elif event[0] == "task":
            self._task_scored(document, sides[event[1]], event[2], event[3])
        else:
            self._decision_scored(document, sides, *event[1:])

    def _decided(
        self,
        document: dict[str, Any],
        sides: dict[str, Any],
        decision: str,
        task: str,
        route: str,
        context: Sequence[float],
        paid: Sequence[tuple[str, float, float]],
    ) -> None:
        for name, usd, expected in paid:
            self._paid(document, name, usd, expected)
        if route not in self.start:
            return
        entry, waiting = sides[decision], sides[decision].pop("score", None)
        if waiting is not None:
            entry["told"] = True
            self._learn(document, route, context, waiting)
            return
        if not task:
            entry["open"] = {decision: [route, *context]}
            return
        entry["task"] = task
        around = sides[task]
        # The task's outcome came before its first decision.
        if (early := around.pop("score", None)) is not None:
            self._learn(document, route, context, early)
        elif len(around.setdefault("open", {})) < MOST_OPEN:
            around["open"][decision] = [route, *context]

    def _decision_scored(self, document: dict[str, Any], sides: dict[str, Any], decision: str, score: float, mark: str) -> None:
        entry = sides[decision]
        if heard_before(entry, mark):
            return
        opened = (sides[entry["task"]] if "task" in entry else entry).get("open", {}).pop(decision, None)
        if opened is not None:
            self._learn(document, opened[0], opened[1:], score)
        elif "task" not in entry and "open" not in entry and "told" not in entry:
            entry["score"] = score

    def _task_scored(self, document: dict[str, Any], entry: dict[str, Any], score: float, mark: str) -> None:
        if heard_before(entry, mark):
            return
        if "open" not in entry:
            entry["score"] = score
            return
        opened, entry["open"] = entry["open"], {}
        for route, *context in opened.values():
            self._learn(document, route, context, score)

    def _paid(self, document: dict[str, Any], route: str, usd: float, expected: float) -> None:
        if expected > 0 and route in self.start:
            precision, moment, level, calls = document.get(route) or self.start[route]
            calls = min(calls + 1, PAID)
            document[route] = [precision, moment, level + (usd / expected - level) / calls, calls]

    def _learn(self, document: dict[str, Any], route: str, context: Sequence[float], score: float) -> None:
        """Update the posterior of one route; earlier outcomes, of all routes, are discounted towards the prior."""
        one, other = context[0], context[1]
        for name, start in self.start.items():
            precision, moment, *cost = document.get(name) or start
            precision = [self.memory * now + (1 - self.memory) * begun for now, begun in zip(precision, start[0], strict=True)]
            moment = [self.memory * now + (1 - self.memory) * begun for now, begun in zip(moment, start[1], strict=True)]
            if name == route:
                seen = (one * one, one * other, other * other)
                precision = [had + PRECISION * new for had, new in zip(precision, seen, strict=True)]
                moment = [moment[0] + one * score * PRECISION, moment[1] + other * score * PRECISION]
            document[name] = [precision, moment, *cost]


__all__ = ["BanditFold"]
