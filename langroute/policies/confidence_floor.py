"""Policy wrapper that raises selections of low confidence to the next stronger route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.records import Attempt, Request, Selection
from langroute.policies.base import Wrapper


class ConfidenceFloor(Wrapper):
    """Replace a first selection of low confidence by the next stronger eligible route.

    Args:
        policy: The inner policy; its selections state their confidence (`Selection.confidence`).
        min_confidence: Lowest confidence that is accepted, from 0 to 1. A selection without a confidence is accepted.

    Example:
        >>> from langroute.core.records import RouteInfo
        >>> class Unsure:
        ...     def select(self, request, attempts):
        ...         return Selection("small", "looks easy", confidence=0.4)
        >>> ConfidenceFloor(Unsure()).select(Request("Hm?", routes=(RouteInfo("small"), RouteInfo("large"))), [])
        Selection(route='large', reason='confidence 0.40 is below 0.60; looks easy', propensity=1.0, provisional=False, confidence=0.4, wait_s=0.0, switch_cost_usd=None)
    """

    def __init__(self, policy: Any, *, min_confidence: float = 0.6) -> None:
        super().__init__(policy)
        if not 0 <= min_confidence <= 1:
            raise ConfigurationError(f"min_confidence is a confidence from 0 to 1, not {min_confidence}.")
        self.min_confidence = min_confidence

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Return the selection, or the next stronger route where its confidence is too low."""
        if selection is None or selection.confidence is None or selection.confidence >= self.min_confidence or attempts:
            return selection
        names = request.route_names
        place = names.index(selection.route) + 1 if selection.route in names else 0
        if not 0 < place < len(names):
            return selection
        why = f"confidence {selection.confidence:.2f} is below {self.min_confidence:.2f}; {selection.reason}"
        return replace(
            selection,
            route=names[place],
            reason=why,
            provisional=selection.provisional and place + 1 < len(names),
            override_wrappers=True,
        )
