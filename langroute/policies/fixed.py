"""Policy that always selects the same route or tier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langroute.core.records import TIERS, Attempt, Request, Selection
from langroute.core.short_repr import ShortRepr
from langroute.policies.base import route_or_tier


class Fixed(ShortRepr):
    """Select the same route, or the same tier, for every step.

    Args:
        route: A route's name, or a tier.

    Example:
        >>> Fixed("small").select(Request("Hi."), []).route
        'small'
    """

    ends_with_answer = True
    ignores_steps = True

    def __init__(self, route: str) -> None:
        self.route = route
        self.name = f"Fixed({route})"

    def routes_named(self) -> Iterable[str]:
        """Return the route's name, or nothing where it is a tier."""
        return () if self.route in TIERS else (self.route,)

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Return the route at the first attempt, and `None` after it."""
        if attempts:
            return None
        route = route_or_tier(self.route, request)
        return Selection(route.name if route is not None else self.route, "fixed")
