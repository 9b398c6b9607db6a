"""Which steps are worth the strongest model? Planning and looking over the work; the rest is carried out by a cheaper one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from langroute.errors import ConfigurationError
from langroute.policies.base import route_or_tier
from langroute.policies.default import is_stuck
from langroute.records import TIERS, Attempt, Request, Selection

_PLANS = ("plan", "review")


class PlanExecute:
    """The strong route plans and reviews, the cheap one executes.

    In a graph, planners and reviewers are known by their nodes or prompts (`Step.kind`). An agent in one loop has no such steps: there the
    first step of a user's turn is the plan, and the strong route looks over the work every `review_every` steps and whenever the
    agent is stuck. It keeps no state: the same history makes the same decision. Wrapped in `CacheAware`, it pays for a switch only
    where that is worth it.

    Args:
        plan: Route or tier for plans and reviews.
        execute: Route or tier for everything else.
        plans: Kinds of steps that are plans or reviews.
        plan_first: The first step of a user's turn is a plan.
        review_every: After so many steps of a turn the strong route takes one; never where nothing is given.
        stuck: Called with a request; where it is true the strong route takes the step.

    Raises:
        ConfigurationError: Something of this is wrong.

    Example:
        >>> from langroute.records import RouteInfo, Signals, Step
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
        plans: Iterable[str] = _PLANS,
        plan_first: bool = True,
        review_every: int | None = None,
        stuck: Callable[[Request], bool] = is_stuck,
    ) -> None:
        if review_every is not None and review_every < 1:
            raise ConfigurationError(f"review_every is at least 1 step, not {review_every}.")
        if not callable(stuck):
            raise ConfigurationError(f"stuck is a function of the request, not {stuck!r}.")
        self.plan, self.execute = plan, execute
        self.plans, self.plan_first, self.review_every, self.stuck = frozenset(plans), plan_first, review_every, stuck

    @classmethod
    def for_coding_agents(cls, plan: str = "frontier", execute: str = "cheap", **more: Any) -> Any:
        """For agents that edit files and run tests: a plan for each turn, a look over the work every ten steps. With fail-over, sub-agents capped."""
        return _composed(cls(plan, execute, **{"review_every": 10, **more}))

    @classmethod
    def for_support_agents(cls, plan: str = "frontier", execute: str = "balanced", **more: Any) -> Any:
        """For agents that talk to customers: most turns need no plan, one that is stuck gets the strong route. With fail-over, sub-agents capped."""
        return _composed(cls(plan, execute, **{"plan_first": False, **more}))

    def routes_named(self) -> Iterable[str]:
        """The two routes, where they are not tiers."""
        return [name for name in (self.plan, self.execute) if name not in TIERS]

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select by what the step does."""
        if attempts:
            return None
        step, steps = request.step, request.step.signals.turn_steps
        if step.kind in self.plans:
            return self._selection(request, self.plan, f"a {step.kind} step", firm=True)
        if self.stuck(request):
            return self._selection(request, self.plan, "reviews: the agent is stuck", firm=True)
        if self.plan_first and step.kind in ("act", "edit") and steps == 0:
            return self._selection(request, self.plan, "plans the turn", firm=True)
        if self.review_every is not None and step.kind in ("act", "observe") and steps and steps % self.review_every == 0:
            return self._selection(request, self.plan, f"reviews after {steps} steps", firm=True)
        return self._selection(request, self.execute, "executes", firm=False)

    @staticmethod
    def _selection(request: Request, name: str, reason: str, *, firm: bool) -> Selection:
        route = route_or_tier(name, request)
        if route is None:
            return Selection(request.default or name, f"{reason}; {name} cannot take this step")
        return Selection(route.name, reason, firm=firm)


def _composed(policy: Any) -> Any:
    from langroute.policies.fallback import Fallback
    from langroute.policies.within_parent import WithinParent

    return Fallback(WithinParent(policy))
