"""What do policies that hold other policies share?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langroute.records import Attempt, Decision, Outcome, Request, RouteInfo, Selection


def awaits(policy: Any) -> bool:
    """The policy must call something, so that whoever can wait for it asks its `aselect`.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> awaits(Fixed("small"))
        False
    """
    return callable(getattr(policy, "aselect", None))


async def ask(policy: Any, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
    """What a policy selects, awaited where it must call something."""
    found: Selection | None = await policy.aselect(request, attempts) if awaits(policy) else policy.select(request, attempts)
    return found


class MayAwait:
    """A policy that has `aselect` only where what it asks must be awaited.

    The router asks a policy that has it through its driver, which costs more.
    """

    @property
    def aselect(self) -> Any:
        """`select`, awaited."""
        if not self._must_await():
            raise AttributeError(f"{type(self).__name__} calls nothing that must be awaited: ask `select`.")
        return self._aselect

    def _must_await(self) -> bool:
        raise NotImplementedError

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        raise NotImplementedError


class Wrapper(MayAwait):
    """A policy around another one: what the router tells it, the inner one hears too.

    A wrapper around a policy that must call something has an `aselect` of its own.
    """

    def __init__(self, policy: Any) -> None:
        from langroute.errors import ConfigurationError

        if not callable(getattr(policy, "select", None)):
            raise ConfigurationError(f"{type(self).__name__} goes around a policy; {type(policy).__name__} has no `select`.")
        self.policy = policy

    def _must_await(self) -> bool:
        return awaits(self.policy)

    @property
    def name(self) -> str:
        """This policy and the one inside."""
        return f"{type(self).__name__}({getattr(self.policy, 'name', None) or type(self.policy).__name__})"

    @property
    def version(self) -> str:
        """The inner policy's version."""
        return str(getattr(self.policy, "version", None) or "")

    def routes_named(self) -> Iterable[str]:
        """Routes that the policy selects by name."""
        named = getattr(self.policy, "routes_named", None)
        return named() if callable(named) else ()

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select by what is known already, else ask the inner policy."""
        known, found = self.before(request, attempts)
        return found if known else self.after(request, attempts, self.policy.select(request, attempts))

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        known, found = self.before(request, attempts)
        return found if known else self.after(request, attempts, await self.policy.aselect(request, attempts))

    def before(self, request: Request, attempts: Sequence[Attempt]) -> tuple[bool, Selection | None]:
        """Whether the inner policy need not be asked, and what the answer is then."""
        return False, None

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """What becomes of the inner policy's selection."""
        return selection

    def on_decision(self, decision: Decision) -> None:
        """Hear of a decision."""
        hear = getattr(self.policy, "on_decision", None)
        if callable(hear):
            hear(decision)

    def on_outcome(self, outcome: Outcome) -> None:
        """Hear of an outcome."""
        hear = getattr(self.policy, "on_outcome", None)
        if callable(hear):
            hear(outcome)


def reward_of(outcome: Outcome) -> float | None:
    """How well it went, 0 to 1, where the outcome says so; a declared metric of one's own is no reward.

    Example:
        >>> reward_of(Outcome(success=True)), reward_of(Outcome(score=0.25)), reward_of(Outcome("seconds", score=0.25))
        (1.0, 0.25, None)
    """
    if outcome.success is not None:
        return float(outcome.success)
    return outcome.score if outcome.key == "success" and outcome.score is not None and 0 <= outcome.score <= 1 else None


def stops_at_answers(policy: Any) -> bool:
    """The policy says that an answer that cannot be rejected always ends it (`ends_with_answer`).

    What a class says holds for its own `select`, not for one that a subclass put in its place.

    Example:
        >>> from langroute.policies.cascade import Cascade
        >>> class Insisting(Cascade):
        ...     def select(self, request, attempts):
        ...         return super().select(request, attempts) or Selection("large")
        >>> stops_at_answers(Cascade()), stops_at_answers(Insisting())
        (True, False)
    """
    kinds = type(policy).__mro__
    chooses = next((place for place, kind in enumerate(kinds) if "select" in vars(kind)), 0)
    return any("ends_with_answer" in vars(kind) for kind in kinds[: chooses + 1]) and bool(policy.ends_with_answer)


def route_or_tier(name: str, request: Request) -> RouteInfo | None:
    """The eligible route of that name; else of that tier, or the nearest stronger one; `None` for a name that is neither.

    Example:
        >>> routes = (RouteInfo("small", "cheap", 0), RouteInfo("large", "frontier", 1))
        >>> route_or_tier("balanced", Request("Hi.", routes=routes)).name
        'large'
    """
    from langroute.records import TIERS

    for route in request.routes:
        if route.name == name:
            return route
    for route in request.routes:
        if route.tier == name:
            return route
    if name in TIERS:
        level = TIERS.index(name)
        stronger = [route for route in request.routes if route.tier in TIERS and TIERS.index(route.tier) > level]
        return stronger[0] if stronger else request.routes[-1] if request.routes else None
    return None
