"""Sums of a drift monitor: how far the outcomes of each route fall below what was expected, and which models served it.

Source: Page, Continuous Inspection Schemes (1954), for the cumulative sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langroute.core.number_checks import check_number
from langroute.state.local import heard_before

MOST_MODELS = 20
"""Most names of served models that are kept of a route."""


class Cusum:
    """One-sided CUSUM that rises when scores fall below their expectation.

    Each outcome adds the expected score minus the actual one minus half of `drop`; the sum never falls below 0. With the threshold of 8 a
    stable route raises a false alarm about once in several thousand outcomes.

    Args:
        drop: The smallest drop in mean score that matters, from 0 to 1.
        threshold: Height above which it reports drift.

    Example:
        >>> sum_ = Cusum(drop=0.2)
        >>> any([sum_.add(expected=0.9, score=0.0) for _ in range(12)])
        True
    """

    def __init__(self, *, drop: float = 0.1, threshold: float = 8.0) -> None:
        check_number("drop", drop, above=0, most=1)
        check_number("threshold", threshold, above=0)
        self.drop, self.threshold, self.height = drop, threshold, 0.0

    def add(self, *, expected: float, score: float) -> bool:
        """Add an outcome, and return whether the sum exceeds the threshold."""
        self.height = max(0.0, self.height + expected - score - self.drop / 2)
        return self.height > self.threshold


class DriftFold:
    """What decisions and outcomes do to the sums of each route, in whichever order and from whichever worker they come.

    The outcome of a task counts once for each route that took part, against the mean of what was expected of its decisions there; a
    decision whose own outcome was told has no part in its task's.

    Args:
        drop: See `Drift`.
        least: See `Drift`.
        quality: Expected success of each route, for decisions without an estimate.

    Example:
        >>> fold, document, entries = DriftFold(0.1, 1, {"small": 0.9}), {}, {"d": {}, "t": {}}
        >>> fold.add(document, entries, ("decided", "d", "t", "small", None, "m-1"))
        >>> fold.add(document, entries, ("task", "t", 0.0, ""))
        >>> document["routes"]["small"]["outcomes"]
        1
    """

    keep_seconds = 7 * 86400.0

    def __init__(self, drop: float, least: int, quality: Mapping[str, float]) -> None:
        self.drop, self.least, self.quality = drop, least, quality

    def keys(self, event: tuple[Any, ...]) -> Sequence[str]:
        """Return the keys of the decision and of the task that an event is about."""
        keys = event[1:3] if event[0] == "decided" else event[1:2]
        return [key for key in keys if key]

    def follows(self, entry: Mapping[str, Any]) -> str | None:
        """Return the task of a decision."""
        return entry.get("task")

    def add(self, document: dict[str, Any], sides: dict[str, Any], event: tuple[Any, ...]) -> None:
        """Count what an event says."""
        if event[0] == "decided":
            self._decided(document, sides, *event[1:])
        elif event[0] == "task":
            if not heard_before(sides[event[1]], event[3]):
                self._task_scored(document, sides, event[1], event[2])
        elif not heard_before(sides[event[1]], event[3]):
            self._decision_scored(document, sides, event[1], event[2])

    def _decided(
        self,
        document: dict[str, Any],
        sides: dict[str, Any],
        decision: str,
        task: str,
        route: str,
        expected: float | None,
        model: str,
    ) -> None:
        seen = _route(document, route)
        if model and model not in seen["models"]:
            if seen["models"]:
                seen.setdefault("drift", f"{model} serves now, {min(seen['models'])} did")
            seen["models"] = [*seen["models"], model][-MOST_MODELS:]
        expected = self.quality.get(route) if expected is None else expected
        if expected is None:
            return
        waiting = sides[decision].get("score")
        sides[decision] = {**_heard(sides[decision]), "route": route, "expected": expected, "task": task}
        if task:
            kept = sides[task].setdefault("routes", {})
            count, total = kept.get(route, (0, 0.0))
            kept[route] = [count + 1, total + expected]
        if waiting is not None:
            self._decision_scored(document, sides, decision, waiting)
        if task and "score" in sides[task]:
            self._task_scored(document, sides, task, sides[task]["score"])

    def _decision_scored(self, document: dict[str, Any], sides: dict[str, Any], decision: str, score: float) -> None:
        entry = sides[decision]
        if "route" not in entry:
            sides[decision] = {**_heard(entry), "score": score}
            return
        route, expected, task = entry["route"], entry["expected"], entry["task"]
        if task:
            kept = sides[task].get("routes", {})
            if route not in kept:
                # The task's outcome has counted for it.
                return
            count, total = kept.pop(route)
            if count > 1:
                kept[route] = [count - 1, total - expected]
        sides[decision] = _heard(entry)
        self._count(document, route, expected, score)

    def _task_scored(self, document: dict[str, Any], sides: dict[str, Any], task: str, score: float) -> None:
        kept = sides[task].get("routes")
        if not kept:
            sides[task] = {**_heard(sides[task]), "score": score}
            return
        sides[task] = _heard(sides[task])
        for route, (count, total) in kept.items():
            self._count(document, route, total / count, score)

    def _count(self, document: dict[str, Any], route: str, expected: float, score: float) -> None:
        seen, cusum = _route(document, route), Cusum(drop=self.drop)
        cusum.height = seen["height"]
        seen["outcomes"] += 1
        drifts = cusum.add(expected=expected, score=score) and seen["outcomes"] >= self.least
        seen["height"] = cusum.height
        if drifts:
            seen.setdefault("drift", "fewer successes than the policy expected")


def _heard(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"heard": entry["heard"]} if "heard" in entry else {}


def _route(document: dict[str, Any], route: str) -> Any:
    return document.setdefault("routes", {}).setdefault(route, {"height": 0.0, "outcomes": 0, "models": []})
