"""Policies by name, the default among them.

`quality` sends down only calls beside the conversation that look easy; `balanced`, the default, also whole turns that look easy; `cost` begins
with the cheapest route everywhere, verifies its answers and goes up where they are rejected or the agent gets into trouble; `autopilot` begins
with the strongest route, and moves tasks to cheaper ones when outcomes have proven them. After an error another route is tried. With a verifier and no policy, the router uses a cascade instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.records import RouteInfo
from langroute.policies.cascade import Cascade
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed
from langroute.policies.judged import Judged, WholeTurns


def _cost(routes: Sequence[RouteInfo]) -> Any:
    from langroute.policies.escalate import Escalate

    return Escalate([route.name for route in routes], verify=True)


def _autopilot(routes: Sequence[RouteInfo]) -> Any:
    from langroute.policies.autopilot import Autopilot

    return Autopilot([route.name for route in routes[:-1]], baseline=routes[-1].name)


NAMED: dict[str, Callable[[Sequence[RouteInfo]], Any]] = {
    "quality": lambda _: WholeTurns(Judged(side_only=True)),
    "balanced": lambda _: WholeTurns(Judged()),
    "cost": _cost,
    "autopilot": _autopilot,
}
"""Policies by name: what each is made of, for a router's routes."""


def policy_by_name(name: str, routes: Sequence[RouteInfo], *, retries: int = 1) -> Any:
    """Return a policy by name: `quality`, `balanced`, `cost` or `autopilot`.

    Args:
        name: The name.
        routes: The router's routes, cheapest first.
        retries: Retries of the same route after a transient error.

    Raises:
        ConfigurationError: There is no policy of that name.

    Example:
        >>> policy_by_name("cost", [RouteInfo("small"), RouteInfo("large")]).name
        'Fallback(Escalate)'
    """
    if name not in NAMED:
        raise ConfigurationError(_unknown(name, routes))
    if len(routes) == 1:
        return Fallback(Fixed(routes[0].name), retries=retries)
    return Fallback(NAMED[name](routes), retries=retries)


def _unknown(name: str, routes: Sequence[RouteInfo]) -> str:
    names = ", ".join(map(repr, NAMED))
    if any(route.name == name for route in routes):
        return f"{name!r} is a route, not a policy: write Fixed({name!r}), from langroute.policies. Policies by name: {names}."
    return (
        f"There is no policy {name!r}. Policies by name: {names}. For a directory that `langroute fit` wrote, "
        f"write load_policy({name!r}), from langroute.policies.learned."
    )


def default_policy(routes: Sequence[RouteInfo], *, retries: int = 1, verify: bool = False) -> Any:
    """Return the default policy for a router's routes.

    Args:
        routes: The router's routes, cheapest first.
        retries: Retries of the same route after a transient error.
        verify: Whether the user gave a verifier; the policy is then a cascade that takes the cheapest answer that passes.

    Example:
        >>> default_policy([RouteInfo("only")]).name
        'Fallback(Fixed(only))'
        >>> default_policy([RouteInfo("small"), RouteInfo("large")], verify=True).name
        'Fallback(Cascade)'
    """
    if verify and len(routes) > 1:
        return Fallback(Cascade(), retries=retries)
    return policy_by_name("balanced", routes, retries=retries)


__all__ = ["NAMED", "default_policy", "policy_by_name"]
