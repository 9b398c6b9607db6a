"""Names of an autopilot's arms and families, and what the arms' prices let expect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from langroute.core.errors import ConfigurationError, DuplicateRouteError
from langroute.core.plain_text import one_line
from langroute.core.records import Price, RouteInfo
from langroute.policies.autopilot_arms import ALL, PilotArm, PilotSetup
from langroute.policies.cascade import Cascade
from langroute.policies.fixed import Fixed

MOST_LETTERS = 60
"""Longest name of a task kind, agent or node in a family's name."""

OUTPUT = 0.25
"""Share of output in the tokens by which prices are compared."""


def families_of(parts: Iterable[tuple[str, str | None]]) -> tuple[str, ...]:
    """Return the names of the families of a task, the widest first.

    Example:
        >>> families_of((("kind", "support"), ("agent", None), ("node", "plan")))
        ('all', 'kind=support', 'kind=support, node=plan')
    """
    return _families_of(tuple(parts))


@lru_cache(maxsize=1024)
def _families_of(parts: tuple[tuple[str, str | None], ...]) -> tuple[str, ...]:
    found, said = [ALL], ""
    for name, value in parts[:5]:
        if value:
            plain = one_line(value)[:MOST_LETTERS].replace(",", " ")
            said += f"{', ' if said else ''}{name}{'=' if name else ''}{plain}"
            found.append(said)
    return tuple(found)


def arm_of(one: Any) -> tuple[str, Any]:
    """Return the name and the policy of an arm."""
    if isinstance(one, str) and one:
        return one, Fixed(one)
    if isinstance(one, (list, tuple)) and one and all(isinstance(name, str) and name for name in one):
        return " > ".join(one), Cascade(list(one))
    if callable(getattr(one, "select", None)):
        return getattr(one, "name", None) or type(one).__name__, one
    raise ConfigurationError(f"An arm is a route's name, a list of names or a policy, not {one!r:.80}.")


def policies_of(arms: Any) -> dict[str, Any]:
    """Return the policy of each arm by name.

    Example:
        >>> list(policies_of(["small", ["small", "large"]]))
        ['small', 'small > large']
    """
    if isinstance(arms, str) or not isinstance(arms, Iterable):
        raise ConfigurationError("Give an autopilot's arms as a list: the names of cheaper routes, or lists of names for chains.")
    named = (
        [(str(name), arm_of(one)[1]) for name, one in arms.items()] if isinstance(arms, Mapping) else [arm_of(one) for one in arms]
    )
    if not named:
        raise ConfigurationError("An autopilot needs at least one arm beside the baseline.")
    found: dict[str, Any] = {}
    for name, policy in named:
        if name in found:
            raise DuplicateRouteError(name)
        found[name] = policy
    return found


def named_by(policy: Any, what: str) -> Iterable[str]:
    """Return what a policy names by one of its methods; nothing where it has none of that name."""
    found: Iterable[str] = getattr(policy, what, tuple)()
    return found


def routes_of(policy: Any) -> tuple[str, ...]:
    """Return the routes that a policy names, in its order."""
    return tuple(dict.fromkeys(named_by(policy, "routes_named")))


def pilots_of(routes: Mapping[str, tuple[str, ...]], baseline: str) -> tuple[PilotArm, ...]:
    """Return the arms on trial, by the routes that each name may call.

    Example:
        >>> [arm.ends_on_baseline for arm in pilots_of({"large": ("large",), "small": ("small",), "both": ("small", "large")}, "large")]
        [False, True]
    """
    last = routes[baseline][:1]
    return tuple(PilotArm(name, named, len(named) > 1 and named[-1:] == last) for name, named in routes.items() if name != baseline)


def price_ratios(setup: PilotSetup, routes: Sequence[RouteInfo]) -> dict[str, float]:
    """Return the price of each arm by the baseline's: of a chain, that of its first route and half of each further one."""
    known = {route.name: price for route in routes if (price := _level(route.price)) is not None}
    base = known.get(setup.baseline) or max(known.values(), default=0.0)
    if base <= 0:
        return {}
    found = {}
    for arm in setup.arms:
        prices = [known.get(name) for name in arm.routes]
        if prices and all(price is not None for price in prices):
            found[arm.name] = sum((price or 0.0) * (0.5 if place else 1.0) for place, price in enumerate(prices)) / base
    return found


def _level(price: Price | None) -> float | None:
    return None if price is None else price.input * (1 - OUTPUT) + price.output * OUTPUT


__all__ = ["arm_of", "families_of", "named_by", "pilots_of", "policies_of", "price_ratios", "routes_of"]
