"""Circuit breakers of routes, as all workers of a service see them: what failures and answers make of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LONGEST_REST = 600.0
"""Longest rest of a route, in seconds."""

MOST_ROUTES = 1000
"""Most routes with a circuit."""


class CircuitFold:
    """What failures and answers do to the circuits of routes: `{route: [consecutive failures, consecutive rests, end of the rest]}`.

    Args:
        rest: First rest of a failing route, in seconds; each further one is twice as long.
        threshold: Consecutive failures after which a route rests.

    Example:
        >>> fold, circuits = CircuitFold(30.0, 3), {}
        >>> fold.add(circuits, {}, ("failed", "large", True, 0.0, 1000.0))
        >>> circuits
        {'large': [1, 1, 1030.0]}
        >>> fold.add(circuits, {}, ("answered", "large"))
        >>> circuits
        {}
    """

    keep_seconds = LONGEST_REST

    def __init__(self, rest: float, threshold: int) -> None:
        self.rest, self.threshold = rest, threshold

    def keys(self, event: tuple[Any, ...]) -> Iterable[str]:
        """Return nothing: all is in the document."""
        return ()

    def follows(self, entry: Mapping[str, Any]) -> str | None:
        """Point nowhere."""
        return None

    def add(self, document: dict[str, Any], sides: dict[str, Any], event: tuple[Any, ...]) -> None:
        """Close a route's circuit at an answer; at a failure, count it, and open the circuit where that was one too many."""
        if event[0] == "answered":
            document.pop(event[1], None)
            return
        _, route, at_once, asked_s, at = event
        failures, rests, until = document.get(route, (0, 0, 0.0))
        failures += 1
        if rests and at < until:
            # It was under way when the rest began, and says nothing new.
            until = max(until, at + asked_s)
        elif at_once or rests or failures >= self.threshold:
            # A failed probe opens the circuit again, whatever the failure was.
            until = at + max(min(self.rest * 2 ** min(rests, 6), LONGEST_REST), asked_s)
            rests += 1
        if route in document or len(document) < MOST_ROUTES:
            document[route] = [failures, rests, until]


__all__ = ["LONGEST_REST", "CircuitFold"]
