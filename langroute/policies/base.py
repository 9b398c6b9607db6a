"""Base classes and helpers of policies, above all of those that wrap another policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langroute.core.records import TIERS, Attempt, Decision, Outcome, Request, RouteInfo, Selection
from langroute.core.short_repr import ShortRepr


def awaits(policy: Any) -> bool:
    """Return whether the policy has an `aselect`, which callers that can await should use.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> awaits(Fixed("small"))
        False
    """
    return callable(getattr(policy, "aselect", None))


async def ask(policy: Any, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
    """Return the policy's selection, by `aselect` where it has one and by `select` otherwise."""
    found: Selection | None = await policy.aselect(request, attempts) if awaits(policy) else policy.select(request, attempts)
    return found


class MayAwait(ShortRepr):
    """Base class of policies that have `aselect` only where something they call must be awaited.

    The router calls `aselect` through its asynchronous driver, which is slower than a plain `select`.
    """

    @property
    def aselect(self) -> Any:
        """Async version of `select`; raises `AttributeError` where nothing must be awaited."""
        if not self._must_await():
            raise AttributeError(f"{type(self).__name__} calls nothing that must be awaited: ask `select`.")
        return self._aselect

    def _must_await(self) -> bool:
        raise NotImplementedError

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        raise NotImplementedError


class Wrapper(MayAwait):
    """Base class of policies that wrap another one; decisions and outcomes are passed on to the inner policy.

    It has an `aselect` exactly where the inner policy has one.
    """

    def __init__(self, policy: Any) -> None:
        from langroute.core.errors import ConfigurationError

        if not callable(getattr(policy, "select", None)):
            raise ConfigurationError(f"{type(self).__name__} goes around a policy; {type(policy).__name__} has no `select`.")
        self.policy = policy

    def _must_await(self) -> bool:
        return awaits(self.policy)

    @property
    def name(self) -> str:
        """Name of this policy and of the inner one, as `Wrapper(Inner)`."""
        return f"{type(self).__name__}({getattr(self.policy, 'name', None) or type(self.policy).__name__})"

    @property
    def version(self) -> str:
        """The inner policy's version."""
        return str(getattr(self.policy, "version", None) or "")

    @property
    def handles_errors(self) -> bool:
        """Whether the inner policy handles errors itself; see the function of this name."""
        return handles_errors(self.policy)

    def routes_named(self) -> Iterable[str]:
        """Return the names of the routes that the inner policy may select."""
        named = getattr(self.policy, "routes_named", None)
        return named() if callable(named) else ()

    def kinds_named(self) -> Iterable[str]:
        """Return the step kinds that the inner policy distinguishes."""
        named = getattr(self.policy, "kinds_named", None)
        return named() if callable(named) else ()

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Return the selection of `before` where it has decided, else the inner policy's, as `after` returns it."""
        known, found = self.before(request, attempts)
        return found if known else self.after(request, attempts, self.policy.select(request, attempts))

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        known, found = self.before(request, attempts)
        return found if known else self.after(request, attempts, await self.policy.aselect(request, attempts))

    def before(self, request: Request, attempts: Sequence[Attempt]) -> tuple[bool, Selection | None]:
        """Return whether this policy decides without asking the inner one, and if so its selection."""
        return False, None

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Return the inner policy's selection, changed or as it is."""
        return selection

    def use_ledger(self, ledger: Any) -> None:
        """Tell the inner policy which ledger its router has; see the function of this name."""
        use_ledger(self.policy, ledger)

    def on_decision(self, decision: Decision) -> None:
        """Pass a decision on to the inner policy."""
        hear = getattr(self.policy, "on_decision", None)
        if hear is not None:
            hear(decision)

    def on_outcome(self, outcome: Outcome) -> None:
        """Pass an outcome on to the inner policy."""
        hear = getattr(self.policy, "on_outcome", None)
        if hear is not None:
            hear(outcome)


def use_ledger(part: Any, ledger: Any) -> None:
    """Tell a policy or hook which ledger its router has, if it wants to know (`use_ledger`): what it shares with other workers is there."""
    told = getattr(part, "use_ledger", None)
    if callable(told):
        told(ledger)


def reward_of(outcome: Outcome) -> float | None:
    """Return the reward of an outcome, from 0 to 1, or `None` where it has none; a user's own metric is not a reward, nor is hearsay.

    Example:
        >>> reward_of(Outcome(success=True)), reward_of(Outcome(score=0.25)), reward_of(Outcome("seconds", score=0.25))
        (1.0, 0.25, None)
    """
    if outcome.is_hearsay:
        return None
    if outcome.success is not None:
        return float(outcome.success)
    return outcome.score if outcome.key == "success" and outcome.score is not None and 0 <= outcome.score <= 1 else None


def stops_at_answers(policy: Any) -> bool:
    """Return whether the policy declares that it always stops at an answer that is not provisional (`ends_with_answer`).

    The declaration of a class holds for its own `select`, not for one that a subclass overrides.

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


def ignores_steps(policy: Any) -> bool:
    """Return whether the policy declares that it selects the same route for every step (`ignores_steps`).

    Such a policy may be asked about a step that could not be inspected.

    Example:
        >>> from langroute.policies.cascade import Cascade
        >>> from langroute.policies.fixed import Fixed
        >>> ignores_steps(Fixed("small")), ignores_steps(Cascade())
        (True, False)
    """
    return getattr(policy, "ignores_steps", False) is True


def handles_errors(policy: Any) -> bool:
    """Return whether the policy declares that it selects what comes after an error (`handles_errors`), as `Fallback` does.

    Example:
        >>> from langroute.policies.fallback import Fallback
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.policies.sticky import Sticky
        >>> handles_errors(Sticky(Fallback(Fixed("small")))), handles_errors(Sticky(Fixed("small")))
        (True, False)
    """
    return getattr(policy, "handles_errors", False) is True


def route_or_tier(name: str, request: Request) -> RouteInfo | None:
    """Return the eligible route of that name, else the first of that tier or of the nearest stronger one.

    A tier above all eligible routes gives the last route; a name that is neither route nor tier gives `None`.

    Example:
        >>> routes = (RouteInfo("small", "cheap", 0), RouteInfo("large", "frontier", 1))
        >>> route_or_tier("balanced", Request("Hi.", routes=routes)).name
        'large'
    """
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


def starting_route(name: str, request: Request) -> RouteInfo | None:
    """Return the route that work begins on: that of the name, else the nearest weaker one of a tier that has no route.

    Where nothing is weaker, it is the route of `route_or_tier`.

    Example:
        >>> routes = (RouteInfo("small", "cheap", 0), RouteInfo("large", "frontier", 1))
        >>> starting_route("balanced", Request("Hi.", routes=routes)).name
        'small'
    """
    if name in TIERS and all(name not in (route.name, route.tier) for route in request.routes):
        level = TIERS.index(name)
        weaker = [route for route in request.routes if route.tier in TIERS and TIERS.index(route.tier) < level]
        if weaker:
            return max(weaker, key=lambda route: route.rank)
    return route_or_tier(name, request)


def side_route(name: str, request: Request) -> RouteInfo | None:
    """Return the route of side calls: the cheapest there is, unless a policy names its lowest route rather than a tier.

    Example:
        >>> routes = (RouteInfo("small", "cheap", 0), RouteInfo("middle", "balanced", 1))
        >>> side_route("balanced", Request("Hi.", routes=routes)).name, side_route("middle", Request("Hi.", routes=routes)).name
        ('small', 'middle')
    """
    if name in TIERS and request.routes:
        return min(request.routes, key=lambda route: route.rank)
    return route_or_tier(name, request)


def routes_above(request: Request, name: str) -> list[str]:
    """Return the names of the eligible routes that are stronger than one.

    Example:
        >>> routes_above(Request("Hi.", routes=(RouteInfo("small"), RouteInfo("large"))), "small")
        ['large']
    """
    names = request.route_names
    return list(names[names.index(name) + 1 :]) if name in names else []


def next_stronger(request: Request, attempts: Sequence[Attempt]) -> Selection | None:
    """Return the next stronger route after a provisional answer that was rejected, or an error that another route may not have.

    `None` where the last answer was accepted or was not provisional, and where nothing stronger is left.
    """
    from langroute.providers.failures import classify

    last = attempts[-1]
    if not last.selection.provisional:
        return None
    if last.ok:
        if last.score is None or last.score >= 0.5:
            return None
        reason = f"{last.route} scored {last.score:.2f}"
    else:
        if last.error is not None and not (last.failure or classify(last.error)).retry_elsewhere:
            return None
        reason = f"{last.route} failed: {last.error_type}"
    above = [name for name in routes_above(request, last.route) if all(name != attempt.route for attempt in attempts)]
    return Selection(above[0], reason, provisional=len(above) > 1) if above else None
