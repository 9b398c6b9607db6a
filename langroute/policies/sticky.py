"""When should the next step stay with the route that answered the last one?"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from time import monotonic
from typing import Any

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
        # Asked and told on every call, so no `TTLCache`, which takes ten times as long.
        self._routes: OrderedDict[tuple[Any, ...], tuple[str, float]] = OrderedDict()
        """Turn (task, thread, agent) → its route, and until when it is remembered; the latest told last."""

        self._stays: dict[str, Selection] = {}
        self._lock = Lock()

    @property
    def ends_with_answer(self) -> bool:
        """The inner policy stops at an answer that cannot be rejected, and so does this one."""
        return stops_at_answers(self.policy)

    def _key(self, step: Step) -> tuple[Any, ...] | None:
        if step.kind in SIDE_KINDS:
            return None
        if self.per == "turn":
            # The nodes of a graph have prompts of their own, so there is no cache to keep between them. Nor is a number a turn: a question
            # that was put differently, a parallel branch and a program that sends no history have the same one and ask for something else.
            return (step.thread, step.agent, step.node, step.signals.turn, step.asked) if step.thread else None
        if self.per == "thread":
            return (step.thread, step.agent) if step.thread else None
        if self.per == "agent":
            return (step.task or step.thread, step.agent) if step.agent else None
        return (step.task,) if step.task else None

    def before(self, request: Request, attempts: Sequence[Attempt]) -> tuple[bool, Selection | None]:
        """Stay with the route of this turn, task or thread, where there is one."""
        if attempts or (key := self._key(request.step)) is None:
            return False, None
        route = self._route_of(key)
        if route is None or (self.release is not None and self.release(request)) or request.route(route) is None:
            return False, None
        selection = self._stays.get(route)
        if selection is None:
            selection = self._stays[route] = Selection(route, f"stays with the {self.per}'s route")
        return True, selection

    def on_decision(self, decision: Decision) -> None:
        """Remember which route answered."""
        key = self._key(decision.step)
        if key is not None and decision.route is not None:
            with self._lock:
                self._remembered(key, decision.route)
        super().on_decision(decision)

    def _route_of(self, key: tuple[Any, ...]) -> str | None:
        found = self._routes.get(key)
        return found[0] if found is not None and found[1] > monotonic() else None

    def _remembered(self, key: tuple[Any, ...], route: str) -> None:
        self._routes[key] = (route, monotonic() + self._ttl)
        self._routes.move_to_end(key)
        if len(self._routes) > self._size:
            self._routes.popitem(last=False)

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
