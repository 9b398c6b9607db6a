"""May a sub-agent use a dearer route than the agent that called it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

from cachetools import TTLCache

from langroute.policies.base import Wrapper
from langroute.records import Attempt, Decision, Request, RouteInfo, Selection, Step


class WithinParent(Wrapper):
    """Sub-agents follow the same policy as the session, but use no dearer route than the agents around them used in this turn.

    A sub-agent whose policy wants more gets the strongest route that its parent used, and the reason says so. Where only a dearer
    route can take the step, it does, and the reason says that too.

    A sub-agent is known by its depth in the graph, and belongs to its parent by the task or the `thread_id` around both.

    Args:
        policy: Says where a step should go.
        max_entries: How many sessions are remembered.
        ttl_seconds: How long one is remembered.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.records import Signals
        >>> routes = (RouteInfo("small", "cheap", 0), RouteInfo("large", "frontier", 1))
        >>> policy = WithinParent(Fixed("large"))
        >>> policy.on_decision(Decision("d1", Step("act", thread="t1"), "small", ()))
        >>> policy.select(Request("Look it up.", Step("act", thread="t1", signals=Signals(depth=1)), routes), []).route
        'small'
    """

    def __init__(self, policy: Any, *, max_entries: int = 10_000, ttl_seconds: float = 7200.0) -> None:
        super().__init__(policy)
        self._size, self._ttl = max_entries, ttl_seconds
        self._used: TTLCache[str, dict[int, tuple[int, frozenset[str]]]] = TTLCache(max_entries, ttl_seconds)
        self._lock = Lock()

    @staticmethod
    def _session(step: Step) -> str | None:
        return step.task or step.thread

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Lower a sub-agent's selection to what its parent used."""
        depth = request.step.signals.depth
        session = self._session(request.step)
        if not depth or selection is None or session is None:
            return selection
        with self._lock:
            used = self._used.get(session) or {}
            names = {name for above, (_, routes) in used.items() if above < depth for name in routes}
        wanted = request.route(selection.route)
        if not names or wanted is None or wanted.name in names:
            return selection
        limit = max((route.rank for route in request.routes if route.name in names), default=None)
        if limit is None or wanted.rank <= limit:
            # None of the parent's routes can take this step.
            return (
                selection
                if limit is not None
                else replace(selection, reason=f"{selection.reason}; none of the parent's routes can")
            )
        lower = _strongest(request.routes, limit)
        if any(attempt.route == lower.name for attempt in attempts):
            return None
        return replace(
            selection, route=lower.name, reason=f"{selection.reason}; no dearer than its parent", tentative=False, firm=False
        )

    def on_decision(self, decision: Decision) -> None:
        """Remember which routes the agents of a session used in this turn."""
        session, signals = self._session(decision.step), decision.step.signals
        if session is not None and decision.route is not None:
            with self._lock:
                used = dict(self._used.get(session) or {})
                turn, routes = used.get(signals.depth, (signals.turn, frozenset()))
                used[signals.depth] = (signals.turn, (routes if turn == signals.turn else frozenset()) | {decision.route})
                self._used[session] = used
        super().on_decision(decision)

    def __getstate__(self) -> dict[str, Any]:
        return {"policy": self.policy, "max_entries": self._size, "ttl_seconds": self._ttl}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state.pop("policy"), **state)  # type: ignore[misc]


def _strongest(routes: Sequence[RouteInfo], limit: int) -> RouteInfo:
    return max((route for route in routes if route.rank <= limit), key=lambda route: route.rank)
