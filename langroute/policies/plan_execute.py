"""Plan-and-execute policy: a strong route plans and reviews, a cheap one carries out the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.records import TIERS, Attempt, Request, RouteInfo, Selection
from langroute.core.short_repr import ShortRepr
from langroute.policies.base import route_or_tier, side_route, starting_route
from langroute.policies.judged import is_stuck
from langroute.policies.sticky import SIDE_KINDS

_PLANS = ("plan", "review")


class PlanExecute(ShortRepr):
    """Select a strong route for planning and review, and a cheap one for everything else.

    In a graph, planning and review steps are recognised by their nodes or prompts (`Step.kind`). An agent in one loop has no such steps:
    there the first step of a user's turn counts as the plan, and the strong route reviews the work every `review_every` steps and whenever
    the agent is stuck. The policy keeps no state: the same history gives the same selection. Wrap it in `CacheAware` to switch only where
    that pays.

    Args:
        plan: Route or tier for plans and reviews.
        execute: Route or tier for everything else.
        plans: Kinds of steps that are plans or reviews.
        plan_first: Whether the first step of a user's turn is a plan.
        review_every: Number of steps of a turn after which the strong route takes one; never where it is `None`.
        stuck: Called with a request; where it returns true, the strong route takes the step.

    Raises:
        ConfigurationError: An argument is invalid.

    Example:
        >>> from langroute.core.records import RouteInfo, Signals, Step
        >>> routes = (RouteInfo("small", "cheap", 0), RouteInfo("large", "frontier", 1))
        >>> policy = PlanExecute("large", "small")
        >>> policy.select(Request("Fix it.", Step("act"), routes), []).route
        'large'
        >>> policy.select(Request("Fix it.", Step("observe", index=1, signals=Signals(turn_steps=1)), routes), []).route
        'small'
    """

    def __init__(
        self,
        plan: str = "frontier",
        execute: str = "cheap",
        *,
        plans: str | Iterable[str] = _PLANS,
        plan_first: bool = True,
        review_every: int | None = None,
        stuck: Callable[[Request], bool] = is_stuck,
    ) -> None:
        if review_every is not None and review_every < 1:
            raise ConfigurationError(f"review_every is at least 1 step, not {review_every}.")
        if not callable(stuck):
            raise ConfigurationError(f"stuck is a function of the request, not {stuck!r}.")
        self.plan, self.execute = plan, execute
        self.plans, self.plan_first, self.review_every, self.stuck = (
            frozenset([plans] if isinstance(plans, str) else plans),
            plan_first,
            review_every,
            stuck,
        )

    @classmethod
    def for_coding_agents(cls, plan: str = "frontier", execute: str = "cheap", **more: Any) -> Any:
        """Return a policy for agents that edit files and run tests, wrapped in `SubagentCap` and `Fallback`.

        Each turn begins with a plan, and every tenth step is a review.
        """
        return _composed(cls(plan, execute, **{"review_every": 10, **more}))

    @classmethod
    def for_support_agents(cls, plan: str = "frontier", execute: str = "balanced", **more: Any) -> Any:
        """Return a policy for agents that talk to customers, wrapped in `SubagentCap` and `Fallback`.

        Turns begin without a plan; a step that is stuck gets the strong route.
        """
        return _composed(cls(plan, execute, **{"plan_first": False, **more}))

    def kinds_named(self) -> Iterable[str]:
        """Return the kinds of steps that are plans or reviews."""
        return self.plans

    def routes_named(self) -> Iterable[str]:
        """Return the given names that are routes rather than tiers."""
        return [name for name in (self.plan, self.execute) if name not in TIERS]

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Return the strong route for plans, reviews and stuck steps, and the cheap one otherwise."""
        if attempts:
            return None
        step, steps = request.step, request.step.signals.turn_steps
        if step.kind in SIDE_KINDS and step.kind not in self.plans:
            return self._selection(request, side_route(self.execute, request), self.execute, "beside the conversation")
        why = self._why_strong(request, step.kind, steps)
        if why is not None:
            return self._selection(request, route_or_tier(self.plan, request), self.plan, why, override_wrappers=True)
        return self._selection(request, starting_route(self.execute, request), self.execute, "executes")

    def _why_strong(self, request: Request, kind: str, steps: int) -> str | None:
        """Return the reason why the strong route takes a step, or `None`."""
        if kind in self.plans:
            return f"a {kind} step"
        if self.stuck(request):
            return "reviews: the agent is stuck"
        if self.plan_first and kind in ("act", "edit") and steps == 0:
            return "plans the turn"
        if self.review_every is not None and kind in ("act", "observe") and steps and steps % self.review_every == 0:
            return f"reviews after {steps} steps"
        return None

    @staticmethod
    def _selection(
        request: Request, route: RouteInfo | None, name: str, reason: str, *, override_wrappers: bool = False
    ) -> Selection:
        if route is None:
            return Selection(request.default or name, f"{reason}; {name} cannot take this step")
        return Selection(route.name, reason, override_wrappers=override_wrappers)


def _composed(policy: Any) -> Any:
    from langroute.policies.fallback import Fallback
    from langroute.policies.subagent_cap import SubagentCap

    return Fallback(SubagentCap(policy))
