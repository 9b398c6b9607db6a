"""Cascade policy: tries routes from cheapest to strongest until an answer passes its checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langroute.core.errors import ConfigurationError
from langroute.core.records import TIERS, Attempt, Request, Selection
from langroute.core.short_repr import ShortRepr
from langroute.policies.base import route_or_tier
from langroute.providers.failures import classify


class Cascade(ShortRepr):
    """Try routes from cheapest to strongest until an answer scores well enough.

    Every answer but the last route's is provisional: it is verified, and its tokens are held back until it is accepted. An error that
    another route may not have leads to the next route too.

    Source: Chen et al., FrugalGPT (2023), section 3.

    Args:
        routes: Names of routes or tiers, cheapest first; all eligible ones where nothing is given.
        threshold: Lowest score that is accepted, from 0 to 1.
        max_attempts: Most routes to try; the last one is always the strongest.

    Example:
        >>> policy = Cascade(["small", "large"], threshold=0.7)
        >>> first = policy.select(Request("Define entropy."), [])
        >>> weak = Attempt(first, answer="Hm.", score=0.2)
        >>> policy.select(Request("Define entropy."), [weak]).route
        'large'
    """

    ends_with_answer = True

    def __init__(self, routes: Sequence[str] | None = None, *, threshold: float = 0.5, max_attempts: int | None = None) -> None:
        if not 0 <= threshold <= 1:
            raise ConfigurationError(f"threshold is a score from 0 to 1, not {threshold}.")
        if routes is not None and (isinstance(routes, str) or not routes):
            raise ConfigurationError("Give a cascade's routes as a list of names, cheapest first.")
        if max_attempts is not None and max_attempts < 1:
            raise ConfigurationError(f"max_attempts is at least 1, not {max_attempts}.")
        self.routes = tuple(routes) if routes is not None else None
        self.threshold, self.max_attempts = threshold, max_attempts

    def routes_named(self) -> Iterable[str]:
        """Return the given names that are routes rather than tiers."""
        return [name for name in self.routes or () if name not in TIERS]

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select the next route, or `None` at the first answer whose score reaches the threshold."""
        last = attempts[-1] if attempts else None
        if last is not None and last.ok and (last.score is None or last.score >= self.threshold):
            return None
        if last is not None and last.error is not None and not (last.failure or classify(last.error)).retry_elsewhere:
            return None
        names = self._order(request)
        if self.max_attempts is not None:
            names = [*names[: self.max_attempts - 1], names[-1]] if self.max_attempts < len(names) else names
        tried = {attempt.route for attempt in attempts}
        left = [name for name in names if name not in tried]
        if not left:
            return None
        return Selection(left[0], _why(last, self.threshold), provisional=len(left) > 1)

    def _order(self, request: Request) -> list[str]:
        if self.routes is None:
            return list(request.route_names)
        if not request.routes:
            return list(self.routes)
        found = [route.name for name in self.routes if (route := route_or_tier(name, request)) is not None]
        return list(dict.fromkeys(found)) or list(request.route_names)


def _why(last: Attempt | None, threshold: float) -> str:
    if last is None:
        return "cheapest first"
    if not last.ok:
        return f"{last.route} failed: {last.error_type}"
    return f"{last.route} scored {last.score:.2f}, below {threshold:.2f}"
