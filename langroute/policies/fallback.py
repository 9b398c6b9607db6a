"""Policy wrapper for errors: retries, fallback to other routes, and a circuit breaker for each route."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.locks import new_lock
from langroute.core.records import Attempt, Decision, Failure, Request, Selection
from langroute.policies.base import Wrapper, handles_errors, ignores_steps, stops_at_answers
from langroute.policies.circuits import LONGEST_REST, MOST_ROUTES, CircuitFold
from langroute.providers.failures import classify
from langroute.state.local import LocalState, digest
from langroute.state.resolve import begin_state, moved_to

_COUNT = ("server_error", "timeout", "broken_stream")
"""Kinds of failure that a single call may meet by chance; `failure_threshold` of them in a row open the circuit."""


class Fallback(Wrapper):
    """After an error, retry the same route where that may help, else fall back to another; a failing route rests (circuit breaker).

    A request that is itself at fault (400) is not tried elsewhere. A context overflow goes only to a route with a larger window. A route
    that is overloaded, unreachable or refuses its key rests at once; one that fails otherwise rests after `failure_threshold` consecutive
    failures. It rests for `cool_down_seconds`, twice as long each time, at most 600 s; then one call probes it. When all routes rest, the
    one that is ready soonest is used, so resting never makes a call fail.

    Workers of a service that share a ledger which lasts share the rests: what one of them met counts for all about a second later, and each
    sends one probe. A route is the same to them where its name, provider and model are.

    Args:
        policy: The inner policy, which selects as long as nothing fails.
        routes: Names of the routes to fall back to, in order; by default the other eligible routes, those as strong as the failed one first.
        retries: Retries of the same route after a transient error.
        backoff_seconds: Wait before the first retry; doubles each time, with jitter. A provider's `Retry-After` takes precedence.
        max_wait_seconds: Longest wait; where a provider asks for more, the next route is tried instead.
        cool_down_seconds: First rest of a failing route.
        failure_threshold: Consecutive failures (timeouts, server errors, broken streams) after which a route rests.
        clock: Returns the time in seconds since the epoch; for tests.
        jitter: Returns a number from 0 to 1; for tests.
        store: Where the circuits are: a `StateStore`, or the address of one (`redis://…`, `postgresql://…`, a file); where nothing is given,
            the database of the router's ledger if that lasts, else this process.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.core.records import RouteInfo
        >>> request = Request("Hi.", routes=(RouteInfo("a"), RouteInfo("b")))
        >>> policy = Fallback(Fixed("a"), retries=0)
        >>> failed = Attempt(policy.select(request, []), error=ConnectionError(), error_type="ConnectionError")
        >>> policy.select(request, [failed]).route
        'b'
    """

    handles_errors = True
    automatic = False
    """Whether a router put it around a policy; see `with_fallback`."""

    def __init__(
        self,
        policy: Any,
        *,
        routes: Sequence[str] | None = None,
        retries: int = 1,
        backoff_seconds: float = 0.5,
        max_wait_seconds: float = 20.0,
        cool_down_seconds: float = 30.0,
        failure_threshold: int = 3,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        store: Any = None,
    ) -> None:
        super().__init__(policy)
        for name, value in (("retries", retries), ("backoff_seconds", backoff_seconds), ("cool_down_seconds", cool_down_seconds)):
            if value < 0:
                raise ConfigurationError(f"{name} is not below 0, as {value} is.")
        if failure_threshold < 1:
            raise ConfigurationError(f"failure_threshold is at least 1, not {failure_threshold}.")
        self.failure_threshold = failure_threshold
        self.routes = tuple(routes) if routes is not None else None
        self.retries, self.backoff, self.max_wait, self.rest = retries, backoff_seconds, max_wait_seconds, cool_down_seconds
        self.clock, self.jitter = clock, jitter
        self._state = begin_state(self._space, CircuitFold(cool_down_seconds, failure_threshold), store)
        self._names: dict[str, str] = {}
        self._probing: dict[str, float] = {}
        self._lock = new_lock()

    @property
    def _space(self) -> str:
        return f"fallback:{digest(repr((self.rest, self.failure_threshold)))}"

    def use_ledger(self, ledger: Any) -> None:
        """Tell the inner policy which ledger the router has, and keep the circuits in its database, unless they are elsewhere."""
        super().use_ledger(ledger)
        self._state = moved_to(ledger, self._state)

    def close(self) -> None:
        """Write what other workers do not know yet."""
        self._state.close()

    @property
    def name(self) -> str:
        """Name of this policy and of the inner one; the inner one's alone where a router put this one around it."""
        return str(getattr(self.policy, "name", None) or type(self.policy).__name__) if self.automatic else super().name

    def routes_named(self) -> Sequence[str]:
        """Return the names of the inner policy's routes and of those given here."""
        return [*super().routes_named(), *(self.routes or ())]

    @property
    def ends_with_answer(self) -> bool:
        """Whether the inner policy, and so this one, stops at an answer that is not provisional."""
        return stops_at_answers(self.policy)

    @property
    def ignores_steps(self) -> bool:
        """Whether the inner policy selects the same route for every step, as this one does while that route works."""
        return ignores_steps(self.policy)

    # Choosing --------------------------------------------------------------------------------------------------------

    def before(self, request: Request, attempts: Sequence[Attempt]) -> tuple[bool, Selection | None]:
        """Return a retry or a fallback after an error; otherwise leave the selection to the inner policy."""
        last = attempts[-1] if attempts else None
        if last is None or last.ok or last.error is None:
            return False, None
        failure = last.failure or classify(last.error)
        self._meet(request)
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
        return replace(last.selection, reason=f"try {tries + 1} after {failure.kind}", wait_s=wait, cost_usd=0.0)

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
        # A provisional selection stays provisional as long as there is a stronger route to go on to.
        provisional = last.selection.provisional and any(route.rank > chosen.rank for route in left)
        return Selection(chosen.name, f"{last.route} failed: {failure.kind}", provisional=provisional, instead=True)

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Return the selection, or another route where the selected one rests."""
        if selection is None or not self._state.document():
            return selection
        self._meet(request)
        if self._ready(selection.route):
            return selection
        tried = {attempt.route for attempt in attempts}
        for route in self._order(request, selection.route):
            if route.name not in tried and route.name != selection.route and self._ready(route.name):
                return Selection(
                    route.name,
                    f"{selection.route} rests after failing; {selection.reason}",
                    provisional=selection.provisional,
                    instead=True,
                    memory=selection.memory,
                )
        return selection

    def _order(self, request: Request, failed: str) -> list[Any]:
        if self.routes is not None:
            return [route for name in self.routes if (route := request.route(name)) is not None]
        rank = next((route.rank for route in request.routes if route.name == failed), 0)
        # As strong or stronger first, nearest first; then the weaker ones, strongest first.
        return sorted(request.routes, key=lambda route: (route.rank < rank, abs(route.rank - rank)))

    # Resting ---------------------------------------------------------------------------------------------------------

    def _meet(self, request: Request) -> None:
        """Learn which routes the names mean: other routers may have other routes of the same name."""
        names = self._names
        for route in request.routes:
            if route.name not in names and len(names) < MOST_ROUTES:
                names[route.name] = " ".join(one for one in (route.name, route.provider, route.model) if one)[:300]

    def _circuit(self, route: str) -> Any:
        return self._state.document().get(self._names.get(route, route))

    def _ready(self, route: str) -> bool:
        """Return whether the route may be called now.

        Call it only for a route that is about to be used: after a rest, the first caller becomes the probe.
        """
        until = self._until(route)
        if not until:
            return True
        with self._lock:
            now = self.clock()
            if now < until or now < self._probing.get(route, 0.0):
                # A rest that ends later than any can was begun by another clock.
                return until > now + LONGEST_REST
            # Half-open: this call is the probe; the others wait for its result, but not for ever.
            self._probing[route] = now + self.rest
            return True

    def resting(self) -> dict[str, float]:
        """Return the routes that rest (name, provider and model), as far as this process knows, each with the seconds that are left."""
        now = self.clock()
        return {
            name: circuit[2] - now for name, circuit in list(self._state.document().items()) if 0 < circuit[2] - now <= LONGEST_REST
        }

    def _until(self, route: str) -> float:
        circuit = self._circuit(route)
        return circuit[2] if circuit is not None else 0.0

    def on_decision(self, decision: Decision) -> None:
        """Update the circuit breakers from the attempts of a decision."""
        attempts: Iterable[Attempt] = decision.attempts
        if len(decision.attempts) > 1:
            # Several attempts of one route in a step count as one: its last.
            attempts = {attempt.route: attempt for attempt in attempts}.values()
        for attempt in attempts:
            if attempt.ok:
                if self._state.document() and self._circuit(attempt.route) is not None:
                    self._note(attempt.route, "answered")
            elif (failure := attempt.failure) is not None and (failure.cool_down or failure.kind in _COUNT):
                asked = min(failure.retry_after_s or 0.0, LONGEST_REST)
                self._note(attempt.route, "failed", bool(failure.cool_down), asked, self.clock())
        super().on_decision(decision)

    def _note(self, route: str, what: str, *more: Any) -> None:
        with self._lock:
            self._probing.pop(route, None)
        self._state.tell((what, self._names.get(route, route), *more))

    def __getstate__(self) -> dict[str, Any]:
        fold = self._state.fold
        state = LocalState(self._space, fold) if type(self._state) is LocalState else self._state
        return {**{key: value for key, value in self.__dict__.items() if key != "_lock"}, "_state": state, "_probing": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=new_lock())


def with_fallback(policy: Any, *, retries: int | None = None, wanted: bool = True) -> Any:
    """Return a router's policy with `Fallback` around it, unless it handles errors itself or nobody wants that.

    Args:
        policy: The policy, with or without the `Fallback` of an earlier call.
        retries: Retries of the same route after a transient error; 1 where nothing is given.
        wanted: Whether errors lead to other routes.

    Raises:
        ConfigurationError: The retries would not be used.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> with_fallback(Fixed("small"), retries=2).retries, with_fallback(Fixed("small"), wanted=False).name
        (2, 'Fixed(small)')
    """
    given = without_fallback(policy)
    own = handles_errors(given)
    if retries is not None and (own or not wanted):
        why = "the policy brings a Fallback of its own: give it retries=..." if own else "fallback=False leaves retries out"
        raise ConfigurationError(f"max_retries={retries} is not used, because {why}, or leave one of the two out.")
    if own or not wanted:
        return given
    retries = 1 if retries is None else retries
    if policy is not given and policy.retries == retries:
        return policy
    wrapped = Fallback(given, retries=retries)
    wrapped.automatic = True
    return wrapped


def without_fallback(policy: Any) -> Any:
    """Return the policy without the `Fallback` that `with_fallback` put around it."""
    return policy.policy if isinstance(policy, Fallback) and policy.automatic else policy
