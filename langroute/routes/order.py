"""Order of routes, cheapest first: put right where their tiers say it, and told where only prices do."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from langroute.core.degradation import callers_level
from langroute.core.errors import ConfigurationWarning
from langroute.core.records import TIERS

if TYPE_CHECKING:
    from langroute.routes.route import BuiltRoute


def in_order(routes: Mapping[str, BuiltRoute]) -> dict[str, BuiltRoute]:
    """Return routes cheapest first.

    The order in which they were given is kept unless every route has a built-in tier, by name or as `tier=`, that says otherwise and no
    price contradicts. Where tiers or prices say otherwise without settling it, a warning tells so.

    Example:
        >>> from langroute.routes.route import build_routes
        >>> from langroute.testing import ScriptedModel
        >>> list(build_routes({"frontier": ScriptedModel("f"), "cheap": ScriptedModel("c")}))
        ['cheap', 'frontier']
    """
    given = list(routes.values())
    swapped = [(one, other) for one, other in combinations(given, 2) if _is_higher(one, other)]
    dearer = [(one, other) for one, other in combinations(given, 2) if _is_dearer(one, other) and not _is_lower(one, other)]
    if swapped:
        by_tier = sorted(given, key=lambda route: _level(route) or 0)
        if None not in map(_level, given) and not any(_is_dearer(one, other) for one, other in combinations(by_tier, 2)):
            return {route.name: replace(route, info=replace(route.info, rank=rank)) for rank, route in enumerate(by_tier)}
    for one, other in (swapped + dearer)[:1]:
        warnings.warn(
            f"Routes are given cheapest first, and the last one is the default: {one.name!r} ({_told(one)}) stands before "
            f"{other.name!r} ({_told(other)}). Give them in order, or give each its tier.",
            ConfigurationWarning,
            stacklevel=callers_level(),
        )
    return dict(routes)


def _level(route: BuiltRoute) -> int | None:
    """Return the place of a tier that the user named; `None` where it was made from the order, or is a tier of their own."""
    tier = route.source.tier if route.source is not None and route.source.tier is not None else route.name
    return TIERS.index(tier) if tier in TIERS else None


def _is_higher(one: BuiltRoute, other: BuiltRoute) -> bool:
    first, second = _level(one), _level(other)
    return first is not None and second is not None and first > second


def _is_lower(one: BuiltRoute, other: BuiltRoute) -> bool:
    return _is_higher(other, one)


def _is_dearer(one: BuiltRoute, other: BuiltRoute) -> bool:
    """Return whether every token of one route costs more than of the other."""
    first, second = one.info.price, other.info.price
    return first is not None and second is not None and first.input > second.input and first.output > second.output


def _told(route: BuiltRoute) -> str:
    price, level = route.info.price, _level(route)
    tier = "" if level is None else f"tier {TIERS[level]}"
    cost = "" if price is None else f"{price.input:g} and {price.output:g} USD per million tokens"
    return ", ".join(part for part in (tier, cost) if part)
