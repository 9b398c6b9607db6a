"""Policy wrapper that keeps the user-facing steps of a thread on one route."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from langroute.core.records import Decision, Request, Step
from langroute.core.thread import PastDecision
from langroute.policies.judged import is_small_talk, is_stuck
from langroute.policies.sticky import SIDE_KINDS, Sticky
from langroute.policies.thread_memory import thread_key

UNSEEN_KINDS = SIDE_KINDS | {"plan", "review"}
"""Step kinds whose answers no user reads."""


class PinThread(Sticky):
    """Keep the user-facing steps of a thread on the route that answered the first of them.

    Plans, reviews, sub-agents and side steps (titles, summaries) go where the inner policy sends them. Small talk at the beginning does not
    choose the route, nor do a caller's limits for a single call and a route that took the place of a failing one.

    Args:
        policy: The inner policy; it decides the first user-facing step of a thread, and every step of another kind.
        unstick_when: Called with a request; where it returns true, the inner policy is asked for this step.
        max_entries: Most threads that are remembered.
        ttl_seconds: Seconds for which a thread is remembered.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.core.records import Decision, Request, RouteInfo
        >>> policy, routes = PinThread(Fixed("small")), (RouteInfo("small"), RouteInfo("large"))
        >>> policy.on_decision(Decision("d1", Step("answer", thread="t1"), "large", ()))
        >>> policy.select(Request("And now?", Step("act", thread="t1"), routes), []).route
        'large'
    """

    def __init__(
        self,
        policy: Any,
        *,
        unstick_when: Callable[[Request], bool] | None = is_stuck,
        max_entries: int = 10_000,
        ttl_seconds: float = 86_400.0,
    ) -> None:
        super().__init__(policy, per="thread", unstick_when=unstick_when, max_entries=max_entries, ttl_seconds=ttl_seconds)

    def _key(self, step: Step, *, past: bool) -> tuple[Hashable, ...] | None:
        thread = thread_key(step, past=past)
        if step.kind in UNSEEN_KINDS or step.signals.depth or not step.thread or thread is None:
            return None
        return (thread,)

    def _past(self, request: Request) -> PastDecision | None:
        """Return the thread's first decision that a user read, small talk aside."""
        for turn, past in request.thread.earliest():
            if _pins(past, small_talk=past.kind == "chat" and turn <= 1) and (request.limited or not past.limited):
                return past
        return None

    def _remember(self, key: tuple[Hashable, ...], decision: Decision, past: PastDecision) -> None:
        # The first route stays the thread's route: a fallback's answer in between does not change it.
        before = self._key(decision.step, past=True)
        known = self._memory.get(before) if before is not None else None
        if known is not None and (decision.limited or not known.limited):
            self._memory.put(key, known)
        elif _pins(past, small_talk=is_small_talk(decision.step)):
            self._memory.put(key, past)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "per"}


def _pins(past: PastDecision, *, small_talk: bool) -> bool:
    return past.kind not in UNSEEN_KINDS and not past.instead and not small_talk
