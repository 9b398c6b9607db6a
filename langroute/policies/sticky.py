"""Policy wrapper that keeps one route for a whole turn, task, thread or agent."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.records import Attempt, Decision, Request, Selection, Step
from langroute.core.thread import PastDecision, may_carry_decisions
from langroute.policies.base import Wrapper, stops_at_answers
from langroute.policies.thread_memory import ThreadMemory, thread_key

SIDE_KINDS = frozenset({"title", "summarize", "classify", "extract"})
"""Kinds of side steps, which are not part of the conversation itself and are decided separately."""


_GOES_ON = frozenset({"act", "observe", "edit", "answer", "chat"})
"""Kinds that a turn is made of: a caller who says one of them does not ask for another route."""


class Sticky(Wrapper):
    """Keep one route for a whole user turn, task, thread or agent: the one that answered last in it.

    A switch inside a turn loses the provider's prompt cache and changes the style of the answers. Side steps (titles, summaries,
    classifications, extractions) are decided separately.

    Which route answered is read from the thread's own messages (`Request.thread`), so that it holds in every process; where they do not
    say it, from what this process remembers. A route that took the place of a failing one is not kept, nor one that a caller's limits
    chose for a call without limits. Where the caller says that a step is of another kind (`langroute_step_kind`), it is decided anew.

    Args:
        policy: The inner policy, which decides at the boundaries.
        per: What keeps its route: `turn`, `task`, `thread` or `agent`.
        unstick_when: Called with a request; where it returns true, the inner policy is asked anyway.
        max_entries: Most turns (tasks, threads, agents) that are remembered.
        ttl_seconds: Seconds for which one is remembered.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.core.records import Decision, RouteInfo, Step
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
        unstick_when: Callable[[Request], bool] | None = None,
        max_entries: int = 10_000,
        ttl_seconds: float = 3600.0,
    ) -> None:
        super().__init__(policy)
        if per not in ("turn", "task", "thread", "agent"):
            raise ConfigurationError(f"per is 'turn', 'task', 'thread' or 'agent', not {per!r}.")
        self.per, self.unstick_when = per, unstick_when
        self._memory: ThreadMemory[PastDecision] = ThreadMemory(max_entries, ttl_seconds)
        self._stays: dict[str, Selection] = {}

    @property
    def ends_with_answer(self) -> bool:
        """Whether the inner policy, and so this one, stops at an answer that is not provisional."""
        return stops_at_answers(self.policy)

    def _key(self, step: Step, *, past: bool) -> tuple[Hashable, ...] | None:
        """Return what the route is remembered by, or `None` for a step that no route is kept for."""
        if step.kind in SIDE_KINDS:
            return None
        thread = thread_key(step, past=past) if step.thread else None
        if self.per == "turn":
            # The nodes of a graph have prompts of their own, so there is no cache to keep between them. The turn's number alone does not
            # identify it: a regenerated question, a parallel branch and a program that sends no history can have the same number.
            return None if thread is None else (thread, step.agent, step.node, step.signals.turn, step.turn_hash)
        if self.per == "task":
            return (step.task,) if step.task else None
        if self.per == "agent" and step.task:
            return (step.task, step.agent) if step.agent else None
        return None if thread is None or (self.per == "agent" and not step.agent) else (thread, step.agent)

    def before(self, request: Request, attempts: Sequence[Attempt]) -> tuple[bool, Selection | None]:
        """Return the route of this turn, task, thread or agent, where there is one and it is eligible."""
        if attempts or (key := self._key(request.step, past=True)) is None:
            return False, None
        past = self._past(request) or self._memory.get(key)
        if past is None or not _holds(past, request) or (self.unstick_when is not None and self.unstick_when(request)):
            return False, None
        route = past.route
        selection = self._stays.get(route)
        if selection is None:
            selection = self._stays[route] = Selection(route, f"stays with the {self.per}'s route")
        return True, selection

    def _past(self, request: Request) -> PastDecision | None:
        """Return the thread's latest decision that counts, as its messages carry it."""
        step, per = request.step, self.per
        if (per == "turn" and not step.signals.turn_steps) or not may_carry_decisions(request.messages):
            return None
        for ago, past in request.thread.latest():
            if per == "turn" and ago:
                return None
            same = past.agent == step.agent if per != "task" else True
            if per == "turn":
                same = same and past.node == step.node
            elif per in ("task", "agent") and step.task:
                same = same and past.task == step.task
            if same and past.kind not in SIDE_KINDS and not past.instead:
                return past
        return None

    def on_decision(self, decision: Decision) -> None:
        """Remember which route answered."""
        key = self._key(decision.step, past=False)
        if key is not None and decision.route is not None and not decision.instead:
            self._remember(key, decision, PastDecision(decision.route, decision.step.kind, limited=decision.limited))
        super().on_decision(decision)

    def _remember(self, key: tuple[Hashable, ...], decision: Decision, past: PastDecision) -> None:
        self._memory.put(key, past)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "per": self.per,
            "unstick_when": self.unstick_when,
            "max_entries": self._memory.max_entries,
            "ttl_seconds": self._memory.ttl_seconds,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state.pop("policy"), **state)  # type: ignore[misc]


def _holds(past: PastDecision, request: Request) -> bool:
    """Return whether an earlier decision's route may take this step, too."""
    said = request.metadata.get("langroute_step_kind")
    anew = said is not None and said != past.kind and said not in _GOES_ON
    return not anew and not (past.limited and not request.limited) and request.route(past.route) is not None
