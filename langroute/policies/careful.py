"""What if the policy itself is not sure?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langroute.errors import ConfigurationError
from langroute.policies.base import Wrapper
from langroute.records import Attempt, Request, Selection


class Careful(Wrapper):
    """Low confidence goes up, never down: a selection that the policy is unsure of goes to the next stronger route.

    Args:
        policy: Says where a step should go, and how sure it is (`Selection.confidence`).
        at_least: Lowest confidence that is believed, from 0 to 1. A policy that says nothing of its confidence is believed.

    Example:
        >>> from langroute.records import RouteInfo
        >>> class Unsure:
        ...     def select(self, request, attempts):
        ...         return Selection("small", "looks easy", confidence=0.4)
        >>> Careful(Unsure()).select(Request("Hm?", routes=(RouteInfo("small"), RouteInfo("large"))), [])
        Selection(route='large', reason='confidence 0.40 is below 0.60; looks easy', propensity=1.0, tentative=False, confidence=0.4, wait_s=0.0, switch_cost_usd=None)
    """

    def __init__(self, policy: Any, *, at_least: float = 0.6) -> None:
        super().__init__(policy)
        if not 0 <= at_least <= 1:
            raise ConfigurationError(f"at_least is a confidence from 0 to 1, not {at_least}.")
        self.at_least = at_least

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Go up one route where the confidence is low."""
        if selection is None or selection.confidence is None or selection.confidence >= self.at_least or attempts:
            return selection
        names = request.route_names
        place = names.index(selection.route) + 1 if selection.route in names else 0
        if not 0 < place < len(names):
            return selection
        why = f"confidence {selection.confidence:.2f} is below {self.at_least:.2f}; {selection.reason}"
        return replace(
            selection, route=names[place], reason=why, tentative=selection.tentative and place + 1 < len(names), firm=True
        )
