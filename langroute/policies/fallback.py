"""Which route next after an error?"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from langroute.errors import ConfigurationError
from langroute.failures import classify
from langroute.policies.base import Wrapper, stops_at_answers
from langroute.records import Attempt, Decision, Failure, Request, Selection

_COUNT = ("server_error", "timeout", "broken_stream")
"""Failures that one call may meet by chance; several in a row are none."""


@dataclass(slots=True)
class _Circuit:
    """How a route fares: closed (works), open (rests until `until`), half-open (one probe is out)."""

    failures: int = 0
    """In a row."""

    rests: int = 0
    """In a row, without an answer in between."""

    until: float = 0.0
    probing: float = 0.0
    """Until when the others wait for what comes of the probe."""


class Fallback(Wrapper):
    """After an error, try the same route again where that may help, else the next one; let a failing route rest.

    A request that is itself at fault (400) is not sent around. A context overflow goes only to a route with a larger window.
    A route that is overloaded, unreachable or refuses its key rests at once, one that fails otherwise after `trip_after` failures in a
    row: for `cool_down_seconds`, twice as long each time, then one call probes it. When all routes rest, the one that is ready
    soonest is used: resting never makes a call fail.

    Args:
        policy: Selects as long as nothing fails.
        routes: Where to go, in this order; by default the other eligible routes, those as strong as the failed one first.
        retries: Tries of the same route after an error that may pass.
        backoff_seconds: First wait before such a try; doubles each time, with jitter. A provider's `Retry-After` wins.
        max_wait_seconds: Longest wait; a provider that asks for more is left for the next route.
        cool_down_seconds: First rest of a failing route.
        trip_after: Failures in a row (time-outs, server errors, broken streams) after which a route rests.
        clock: Seconds, for tests.
        jitter: A share from 0 to 1, for tests.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.records import RouteInfo
        >>> request = Request("Hi.", routes=(RouteInfo("a"), RouteInfo("b")))
        >>> policy = Fallback(Fixed("a"), retries=0)
        >>> failed = Attempt(policy.select(request, []), error=ConnectionError(), error_type="ConnectionError")
        >>> policy.select(request, [failed]).route
        'b'
    """

    def __init__(
        self,
        policy: Any,
        *,
        routes: Sequence[str] | None = None,
        retries: int = 1,
        backoff_seconds: float = 0.5,
        max_wait_seconds: float = 20.0,
        cool_down_seconds: float = 30.0,
        trip_after: int = 3,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(policy)
        for name, value in (("retries", retries), ("backoff_seconds", backoff_seconds), ("cool_down_seconds", cool_down_seconds)):
            if value < 0:
                raise ConfigurationError(f"{name} is not below 0, as {value} is.")
        if trip_after < 1:
            raise ConfigurationError(f"trip_after is at least 1, not {trip_after}.")
        self.trip_after = trip_after
        self.routes = tuple(routes) if routes is not None else None
        self.retries, self.backoff, self.max_wait, self.rest = retries, backoff_seconds, max_wait_seconds, cool_down_seconds
        self.clock, self.jitter = clock, jitter
        self._circuits: dict[str, _Circuit] = {}
        self._lock = Lock()

    def routes_named(self) -> Sequence[str]:
        """Routes that are named here and inside."""
        return [*super().routes_named(), *(self.routes or ())]

    @property
    def ends_with_answer(self) -> bool:
        """The inner policy stops at an answer that cannot be rejected, and so does this one."""
        return stops_at_answers(self.policy)

    # Choosing --------------------------------------------------------------------------------------------------------

    def before(self, request: Request, attempts: Sequence[Attempt]) -> tuple[bool, Selection | None]:
        """After an error, decide here."""
        last = attempts[-1] if attempts else None
        if last is None or last.ok or last.error is None:
            return False, None
        failure = last.failure or classify(last.error)
        again = self._again(last, failure, attempts)
        if again is not None:
            return True, again
        if not failure.retry_elsewhere:
            return True, None
        return True, self._elsewhere(request, last, failure, attempts)

    def _again(self, last: Attempt, failure: Failure, attempts: Sequence[Attempt]) -> Selection | None:
        tries = sum(1 for attempt in attempts if attempt.route == last.route)
        if not failure.retry_same or tries > self.retries:
            return None
        wait = failure.retry_after_s
        if wait is None:
            wait = self.backoff * 2 ** (tries - 1) * (0.5 + 0.5 * self.jitter())
        if wait > self.max_wait:
            return None
        return Selection(last.route, f"try {tries + 1} after {failure.kind}", tentative=last.selection.tentative, wait_s=wait)

    def _elsewhere(self, request: Request, last: Attempt, failure: Failure, attempts: Sequence[Attempt]) -> Selection | None:
        tried = {attempt.route for attempt in attempts}
        left = [route for route in self._order(request, last.route) if route.name not in tried]
        if failure.kind == "context_overflow":
            failed = request.route(last.route)
            window = failed.context_window if failed is not None else None
            left = [route for route in left if window is None or route.context_window is None or route.context_window > window]
        if not left:
            return None
        chosen = next((route for route in left if self._ready(route.name)), None)
        if chosen is None:
            chosen = min(left, key=lambda route: self._until(route.name))
        # What would have been checked is checked here too, while there is a stronger route to go on to.
        tentative = last.selection.tentative and any(route.rank > chosen.rank for route in left)
        return Selection(chosen.name, f"{last.route} failed: {failure.kind}", tentative=tentative)

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Go around a route that rests."""
        if selection is None or not self._circuits or self._ready(selection.route):
            return selection
        tried = {attempt.route for attempt in attempts}
        for route in self._order(request, selection.route):
            if route.name not in tried and route.name != selection.route and self._ready(route.name):
                return Selection(
                    route.name, f"{selection.route} rests after failing; {selection.reason}", tentative=selection.tentative
                )
        return selection

    def _order(self, request: Request, failed: str) -> list[Any]:
        if self.routes is not None:
            return [route for name in self.routes if (route := request.route(name)) is not None]
        rank = next((route.rank for route in request.routes if route.name == failed), 0)
        # As strong or stronger first, nearest first; then the weaker ones, strongest first.
        return sorted(request.routes, key=lambda route: (route.rank < rank, abs(route.rank - rank)))

    # Resting ---------------------------------------------------------------------------------------------------------

    def _ready(self, route: str) -> bool:
        """The route does not rest; asked of the one that is going to be used only, because a rest that is over is ended by one probe."""
        circuit = self._circuits.get(route)
        if circuit is None or not circuit.until:
            return True
        with self._lock:
            now = self.clock()
            if now < circuit.until or now < circuit.probing:
                return False
            # Half-open: this call is the probe; the others wait for what comes of it, but not for ever.
            circuit.probing = now + self.rest
            return True

    def _until(self, route: str) -> float:
        circuit = self._circuits.get(route)
        return circuit.until if circuit is not None else 0.0

    def on_decision(self, decision: Decision) -> None:
        """Learn which routes failed and which answered."""
        attempts: Iterable[Attempt] = decision.attempts
        if len(decision.attempts) > 1:
            # A second try of the same route in one step says no more than its last.
            attempts = {attempt.route: attempt for attempt in attempts}.values()
        for attempt in attempts:
            if attempt.ok:
                if attempt.route in self._circuits:
                    with self._lock:
                        self._circuits.pop(attempt.route, None)
            elif attempt.failure is not None and (attempt.failure.cool_down or attempt.failure.kind in _COUNT):
                self._count(attempt.route, attempt.failure)
        super().on_decision(decision)

    def _count(self, route: str, failure: Failure) -> None:
        with self._lock:
            circuit = self._circuits.setdefault(route, _Circuit())
            circuit.failures += 1
            # A probe that failed sends the route back to its rest, whatever it failed of.
            if not (failure.cool_down or circuit.rests or circuit.failures >= self.trip_after):
                return
            rest = min(self.rest * 2 ** min(circuit.rests, 6), 600.0)
            circuit.rests += 1
            circuit.until = self.clock() + max(rest, min(failure.retry_after_s or 0.0, 600.0))
            circuit.probing = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {**{key: value for key, value in self.__dict__.items() if key != "_lock"}, "_circuits": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock())
