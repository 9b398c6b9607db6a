"""Which routes may take this step?

Hard limits only: what a model cannot do, what the caller forbids. They are applied before the policy is asked, and every route
that falls out is recorded with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langroute.errors import InputError, UnknownRouteError
from langroute.records import TIERS, RouteInfo, Signals

ANSWER_ROOM = 1024
"""Tokens kept free for the answer where the caller set no limit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the caller forbids or demands for a call.

    Example:
        >>> Limits.of({"min_tier": "balanced", "exclude": "tiny"})
        Limits(route=None, exclude=frozenset({'tiny'}), min_tier='balanced', labels=frozenset())
    """

    route: str | None = None
    """The one route that may answer."""

    exclude: frozenset[str] = frozenset()
    min_tier: str | None = None
    labels: frozenset[str] = frozenset()
    """Labels every route must have: a region, a sensitivity."""

    @classmethod
    def of(cls, *sources: Mapping[str, Any]) -> Limits:
        """Read limits from configurables and metadata, the later source winning; `exclude` and `labels` add up.

        Keys are `route`, `exclude`, `min_tier` and `labels`, or the same with `langroute_` before them.
        """
        route: str | None = None
        min_tier: str | None = None
        exclude: set[str] = set()
        labels: set[str] = set()
        for source in sources:
            route = _text(source, "route") or route
            min_tier = _text(source, "min_tier") or min_tier
            exclude |= _words(source, "exclude")
            labels |= _words(source, "labels")
        return cls(route, frozenset(exclude), min_tier, frozenset(labels))


NO_LIMITS = Limits()


def _value(source: Mapping[str, Any], key: str) -> Any:
    value = source.get(f"langroute_{key}")
    return source.get(key) if value is None else value


def _text(source: Mapping[str, Any], key: str) -> str | None:
    value = _value(source, key)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{key!r} is a name, not {value!r}.")
    return value


def _words(source: Mapping[str, Any], key: str) -> set[str]:
    value = _value(source, key)
    if value is None:
        return set()
    if isinstance(value, str):
        return {value}
    if not isinstance(value, Iterable):
        raise InputError(f"{key!r} is a name or several, not {value!r}.")
    return {str(word) for word in value}


def tier_level(tier: str) -> int | None:
    """Place of a tier in the order; `None` for a tier of the user's own."""
    return TIERS.index(tier) if tier in TIERS else None


class Eligibility:
    """The hard limits of one router's routes; what does not depend on the call is worked out once."""

    def __init__(self, routes: Sequence[RouteInfo]) -> None:
        self.routes = tuple(routes)
        self.names = tuple(route.name for route in routes)
        self._windows = [route.context_window for route in routes if route.context_window]
        self._smallest = min(self._windows, default=None)
        self._memo: dict[tuple[Any, ...], tuple[tuple[RouteInfo, ...], dict[str, str]]] = {}

    def check(self, limits: Limits) -> None:
        """Raise where a limit names what does not exist.

        Raises:
            UnknownRouteError: A pinned or excluded route is none of the router's.
            InputError: An unknown tier.
        """
        for name in (limits.route, *limits.exclude):
            if name is not None and name not in self.names:
                raise UnknownRouteError(name, self.names)
        tiers = {route.tier for route in self.routes}
        if limits.min_tier is not None and limits.min_tier not in tiers | set(TIERS):
            raise InputError(f"Unknown tier {limits.min_tier!r}. Tiers: {', '.join([*TIERS, *sorted(tiers - set(TIERS))])}.")

    def eligible(
        self,
        signals: Signals,
        *,
        tools: bool = False,
        forced_tool: bool = False,
        structured: bool = False,
        max_tokens: int | None = None,
        limits: Limits = NO_LIMITS,
    ) -> tuple[tuple[RouteInfo, ...], Mapping[str, str]]:
        """The routes that may take a step, and why the others may not.

        Args:
            signals: What was seen in the history.
            tools: Tools are bound.
            forced_tool: A tool call is demanded.
            structured: Structured output is demanded.
            max_tokens: Longest answer the caller asked for.
            limits: What the caller forbids or demands.

        Returns:
            The eligible routes in the router's order, and `{route: reason}` for the rest.
        """
        media = (signals.images > 0, signals.audio > 0, signals.files > 0)
        key = (tools, forced_tool, structured, media, limits)
        found = self._memo.get(key)
        if found is None:
            self.check(limits)
            found = self._static(tools, forced_tool, structured, signals, limits)
            if len(self._memo) < 1024:
                self._memo[key] = found
        need = signals.tokens + (max_tokens or ANSWER_ROOM)
        if self._smallest is None or need <= self._smallest:
            return found
        return self._fitting(found, signals.tokens, max_tokens)

    def _static(
        self, tools: bool, forced_tool: bool, structured: bool, signals: Signals, limits: Limits
    ) -> tuple[tuple[RouteInfo, ...], dict[str, str]]:
        kept: list[RouteInfo] = []
        rejected: dict[str, str] = {}
        for route in self.routes:
            reason = self._forbidden(route, limits) or _unable(route, tools, forced_tool, structured, signals)
            if reason:
                rejected[route.name] = reason
            else:
                kept.append(route)
        return tuple(kept), rejected

    def _forbidden(self, route: RouteInfo, limits: Limits) -> str | None:
        if limits.route is not None and route.name != limits.route:
            return f"the caller asked for {limits.route!r}"
        if route.name in limits.exclude:
            return "excluded by the caller"
        if missing := limits.labels - route.labels:
            return f"lacks the label {', '.join(sorted(missing))}"
        if limits.min_tier is not None and self._level(route) < self._lowest(limits.min_tier):
            return f"tier {route.tier!r} is below {limits.min_tier!r}"
        return None

    def _level(self, route: RouteInfo) -> float:
        level = tier_level(route.tier)
        # A tier of the user's own stands where its routes stand in the router's order.
        return level if level is not None else 2.0 * route.rank / max(1, len(self.routes) - 1)

    def _lowest(self, tier: str) -> float:
        level = tier_level(tier)
        return level if level is not None else min(self._level(route) for route in self.routes if route.tier == tier)

    @staticmethod
    def _fitting(
        found: tuple[tuple[RouteInfo, ...], Mapping[str, str]], tokens: int, max_tokens: int | None
    ) -> tuple[tuple[RouteInfo, ...], dict[str, str]]:
        kept: list[RouteInfo] = []
        rejected = dict(found[1])
        for route in found[0]:
            room = max_tokens or min(ANSWER_ROOM, route.max_output_tokens or ANSWER_ROOM)
            if route.context_window is None or tokens + room <= route.context_window:
                kept.append(route)
            else:
                rejected[route.name] = (
                    f"about {tokens} tokens and {room} for the answer exceed its window of {route.context_window}"
                )
        return tuple(kept), rejected


def _unable(route: RouteInfo, tools: bool, forced_tool: bool, structured: bool, signals: Signals) -> str | None:
    able = route.abilities
    if tools and able.get("tools") is False:
        return "cannot call tools"
    if forced_tool and able.get("tool_choice") is False:
        return "cannot be made to call a tool"
    if structured and able.get("structured_output") is False and able.get("tools") is False:
        return "cannot write structured output"
    if signals.images and able.get("images") is False:
        return "cannot read images"
    if signals.audio and able.get("audio") is False:
        return "cannot hear audio"
    if signals.files and able.get("pdf") is False:
        return "cannot read files"
    return None
