"""When should the next step stay with the route that answered the last one?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from cachetools import TTLCache

from langroute.errors import ConfigurationError
from langroute.policies.base import Wrapper, stops_at_answers
from langroute.records import Attempt, Decision, Request, Selection, Step

SIDE_KINDS = frozenset({"title", "summarize", "classify", "extract"})
"""Steps that stand beside a conversation, not in it; they are decided on their own."""


class Sticky(Wrapper):
    """One route for a whole user turn, task, thread or agent: the one that answered first, or that was escalated to.

    Switching inside a turn loses the provider's prompt cache and mixes voices. Steps beside the conversation (titles,
    summaries, classifications, extractions) are decided on their own.

    Args:
        policy: Decides at the boundaries.
        per: `turn`, `task`, `thread` or `agent`.
        release: Called with a request; where it is true the inner policy is asked in spite of everything.
        max_entries: How many turns (tasks, threads) are remembered.
        ttl_seconds: How long one is remembered.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.records import Decision, RouteInfo, Step
        >>> policy = Sticky(Fixed("small"), per="thread")
        >>> step, routes = Step(kind="act", thread="t1"), (RouteInfo("small"), RouteInfo("large"))
        >>> policy.on_decision(Decision("d1", step, "large", ()))
        >>> policy.select(Request("Go on.", step, routes), []).route
        'large'
    """

    def __init__(
        self,
        policy: Any,
        *,
        per: str = "turn",
        release: Callable[[Request], bool] | None = None,
        max_entries: int = 10_000,
        ttl_seconds: float = 3600.0,
    ) -> None:
        super().__init__(policy)
        if per not in ("turn", "task", "thread", "agent"):
            raise ConfigurationError(f"per is 'turn', 'task', 'thread' or 'agent', not {per!r}.")
        self.per, self.release = per, release
        self._size, self._ttl = max_entries, ttl_seconds
        self._routes: TTLCache[tuple[Any, ...], str] = TTLCache(max_entries, ttl_seconds)
        self._lock = Lock()

    @property
    def ends_with_answer(self) -> bool:
        """The inner policy stops at an answer that cannot be rejected, and so does this one."""
        return stops_at_answers(self.policy)

    def _key(self, step: Step) -> tuple[Any, ...] | None:
        if step.kind in SIDE_KINDS:
            return None
        if self.per == "turn":
            # The nodes of a graph have prompts of their own, so there is no cache to keep between them.
            return (step.thread, step.agent, step.node, step.signals.turn) if step.thread else None
        if self.per == "thread":
            return (step.thread, step.agent) if step.thread else None
        if self.per == "agent":
            return (step.task or step.thread, step.agent) if step.agent else None
        return (step.task,) if step.task else None

    def before(self, request: Request, attempts: Sequence[Attempt]) -> tuple[bool, Selection | None]:
        """Stay with the route of this turn, task or thread, where there is one."""
        if attempts or (key := self._key(request.step)) is None:
            return False, None
        with self._lock:
            route = self._routes.get(key)
        if route is None or (self.release is not None and self.release(request)):
            return False, None
        if request.route(route) is None:
            return False, None
        return True, Selection(route, f"stays with the {self.per}'s route")

    def on_decision(self, decision: Decision) -> None:
        """Remember which route answered."""
        key = self._key(decision.step)
        if key is not None and decision.route is not None:
            with self._lock:
                self._remembered(key, decision.route)
        super().on_decision(decision)

    def _remembered(self, key: tuple[Any, ...], route: str) -> None:
        self._routes[key] = route

    def __getstate__(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "per": self.per,
            "release": self.release,
            "max_entries": self._size,
            "ttl_seconds": self._ttl,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state.pop("policy"), **state)  # type: ignore[misc]
