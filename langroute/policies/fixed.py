"""What if the route is known beforehand?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langroute.policies.base import route_or_tier
from langroute.records import TIERS, Attempt, Request, Selection


class Fixed:
    """Always the same route, or the same tier.

    Args:
        route: A route's name, or a tier.

    Example:
        >>> Fixed("small").select(Request("Hi."), []).route
        'small'
    """

    ends_with_answer = True

    def __init__(self, route: str) -> None:
        self.route = route
        self.name = f"Fixed({route})"

    def routes_named(self) -> Iterable[str]:
        """The route, where it is not a tier."""
        return () if self.route in TIERS else (self.route,)

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select the route once."""
        if attempts:
            return None
        route = route_or_tier(self.route, request)
        return Selection(route.name if route is not None else self.route, "fixed")
