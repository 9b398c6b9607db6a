"""How does a thread speak with one voice? The steps that a person reads stay with one model."""

from __future__ import annotations

from typing import Any

from langroute.policies.sticky import SIDE_KINDS, Sticky
from langroute.records import Step

UNSEEN_KINDS = SIDE_KINDS | {"plan", "review"}
"""Steps whose answers nobody outside the program reads."""


class OneVoice(Sticky):
    """A thread's user-facing steps stay with the route that answered the first of them.

    Plans, reviews, sub-agents and the steps beside the conversation go where the policy sends them.

    Args:
        policy: Decides the first user-facing step, and every other kind.
        max_entries: How many threads are remembered.
        ttl_seconds: How long one is remembered.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.records import Decision, Request, RouteInfo
        >>> policy, routes = OneVoice(Fixed("small")), (RouteInfo("small"), RouteInfo("large"))
        >>> policy.on_decision(Decision("d1", Step("chat", thread="t1"), "large", ()))
        >>> policy.select(Request("And now?", Step("act", thread="t1"), routes), []).route
        'large'
    """

    def __init__(self, policy: Any, *, max_entries: int = 10_000, ttl_seconds: float = 86_400.0) -> None:
        super().__init__(policy, per="thread", max_entries=max_entries, ttl_seconds=ttl_seconds)

    def _key(self, step: Step) -> tuple[Any, ...] | None:
        if step.kind in UNSEEN_KINDS or step.signals.depth or not step.thread:
            return None
        return (step.thread,)

    def _remembered(self, key: tuple[Any, ...], route: str) -> None:
        # The first voice is the voice: a fallback's answer in between changes nothing.
        if self._route_of(key) is None:
            super()._remembered(key, route)

    def __getstate__(self) -> dict[str, Any]:
        return {"policy": self.policy, "max_entries": self._size, "ttl_seconds": self._ttl}
