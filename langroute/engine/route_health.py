"""Routes that keep failing while others answer: warns about each, because a caller who gets an answer notices nothing."""

from __future__ import annotations

from collections.abc import Sequence

from langroute.core.bounded import error_text
from langroute.core.degradation import Degradations
from langroute.core.errors import DegradedWarning
from langroute.core.plain_text import one_line
from langroute.core.records import Attempt, Failure

FAILURES_IN_A_ROW = 3
"""Steps in a row that a route fails before it is warned about, where one failure may be chance."""

_AT_ONCE = frozenset({"auth", "quota", "model_unavailable"})
"""Kinds of failure that a retry never mends: somebody has to."""

_NOT_THE_ROUTES = frozenset({"bad_request", "content_filter", "context_overflow", "given_up"})
"""Kinds of failure that the request brings about."""


class RouteHealth:
    """Counts each route's failures since its last answer.

    Args:
        notices: Gives each warning once.

    Example:
        >>> import warnings
        >>> from langroute.core.records import Selection
        >>> health = RouteHealth(Degradations())
        >>> revoked = Attempt(Selection("cheap"), error_type="AuthError", failure=Failure("auth", cool_down=True))
        >>> with warnings.catch_warnings(record=True) as told:
        ...     warnings.simplefilter("always")
        ...     health.note([revoked, Attempt(Selection("frontier"), answer="Hi.")], answered=True)
        >>> str(told[0].message).partition(";")[0]
        "Route 'cheap' does not work: auth (AuthError)"
    """

    def __init__(self, notices: Degradations) -> None:
        self._notices = notices
        self.failing: dict[str, int] = {}
        """Route → steps in a row that it failed; empty as long as all goes well."""

    def note(self, attempts: Sequence[Attempt], *, answered: bool) -> None:
        """Take the attempts of a step into account.

        Args:
            attempts: All attempts of the step; of several of one route the last counts.
            answered: Whether one of them was answered: without an answer the caller gets the errors themselves.
        """
        for route, last in {attempt.route: attempt for attempt in attempts}.items():
            if last.ok:
                self.failing.pop(route, None)
            elif last.failure is not None and last.failure.kind not in _NOT_THE_ROUTES:
                self.failing[route] = times = self.failing.get(route, 0) + 1
                if answered and (last.failure.kind in _AT_ONCE or times >= FAILURES_IN_A_ROW):
                    self._warn(route, last, last.failure)

    def _warn(self, route: str, attempt: Attempt, failure: Failure) -> None:
        what = error_text(attempt.error) if attempt.error is not None else str(attempt.error_type)
        self._notices.warn(
            f"route:{route}:{failure.kind}",
            DegradedWarning,
            f"Route {route!r} does not work: {failure.kind} ({one_line(what)}); other routes answer in its place. Mend it or leave it out.",
        )


__all__ = ["RouteHealth"]
