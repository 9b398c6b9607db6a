"""Hard limits: which routes may take a step.

Hard limits are what a model cannot do and what the caller forbids. They are applied before the policy is asked, and every excluded
route is recorded with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langroute.core.errors import InputError, NoEligibleRouteError, UnknownRouteError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records import TIERS, RouteInfo, Signals
from langroute.engine.route_failure import PromptTooLongError
from langroute.providers.own_tools import runs_tool
from langroute.providers.profile import WireRules

ANSWER_ROOM = 1024
"""Tokens reserved for the answer where the caller set no limit."""

CERTAIN_EXCESS = 4
"""Times its window by which a prompt must be too long to be refused unasked: an estimate is wrong by less than that."""


@fast_dataclass
class RouteLimits:
    """Restrictions and demands of the caller for a call.

    Example:
        >>> RouteLimits.of({"min_tier": "balanced", "exclude": "tiny"})
        RouteLimits(route=None, exclude=frozenset({'tiny'}), min_tier='balanced', labels=frozenset())
    """

    route: str | None = None
    """The only route that may answer."""

    exclude: frozenset[str] = frozenset()
    min_tier: str | None = None
    labels: frozenset[str] = frozenset()
    """Labels that every route must have: a region, a sensitivity."""

    @classmethod
    def of(cls, *sources: Mapping[str, Any]) -> RouteLimits:
        """Read limits from configurables and metadata. Later sources override earlier ones; `exclude` and `labels` are combined.

        Keys are `route`, `exclude`, `min_tier` and `labels`, each also with the prefix `langroute_`.
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
        if not (route or min_tier or exclude or labels):
            # The one object is known without a comparison.
            return NO_LIMITS
        return cls(route, frozenset(exclude), min_tier, frozenset(labels))


NO_LIMITS = RouteLimits()


def asked_for(route: str) -> str:
    """Return the reason for a pinned route, and against all others.

    Example:
        >>> asked_for("small")
        "the caller asked for 'small'"
    """
    return f"the caller asked for {route!r}"


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
    """Return a tier's position in the order; `None` for a user-defined tier."""
    return TIERS.index(tier) if tier in TIERS else None


class TooLong(dict[str, str]):
    """Reasons why no route is eligible, where at least one of them would take a shorter prompt."""


class Eligibility:
    """Checks the hard limits of one router's routes; call-independent parts are calculated once."""

    def __init__(self, routes: Sequence[RouteInfo], rules: Mapping[str, WireRules | None] | None = None) -> None:
        self.routes = tuple(routes)
        self._rules = rules or {}
        self.names = tuple(route.name for route in routes)
        self._windows = [route.context_window for route in routes if route.context_window]
        self._smallest = min(self._windows, default=None)
        self._memo: dict[tuple[Any, ...], tuple[tuple[RouteInfo, ...], dict[str, str]]] = {}

    def check(self, limits: RouteLimits) -> None:
        """Raise where a limit names an unknown route or tier.

        Raises:
            UnknownRouteError: A pinned or excluded route does not exist.
            InputError: A tier is unknown.
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
        limits: RouteLimits = NO_LIMITS,
        own_tools: tuple[str, ...] = (),
    ) -> tuple[tuple[RouteInfo, ...], Mapping[str, str]]:
        """Return the routes that may take a step, and for every other route the reason why it may not.

        Args:
            signals: Measures of the history.
            tools: Tools are bound.
            forced_tool: A tool call is demanded.
            structured: Structured output is demanded.
            max_tokens: Longest answer the caller asked for.
            limits: What the caller forbids or demands.
            own_tools: Kinds of providers' own tools that are bound. Routes that can run all of them are preferred to the others; where
                there is none, every route is eligible and the tools are left out.

        Returns:
            The eligible routes in the router's order, and `{route: reason}` for the rest. Where there is no eligible route,
            `refusal` makes an error of the reasons.
        """
        media = (signals.images > 0, signals.audio > 0, signals.files > 0, signals.video > 0)
        key = (tools, forced_tool, structured, media, None if limits is NO_LIMITS else limits, own_tools)
        found = self._memo.get(key)
        if found is None:
            self.check(limits)
            found = self._running(self._static(tools, forced_tool, structured, signals, limits), own_tools)
            if len(self._memo) < 1024:
                self._memo[key] = found
        need = signals.tokens + (max_tokens or ANSWER_ROOM)
        if self._smallest is None or need <= self._smallest:
            return found
        return self._fitting(found, signals.tokens, max_tokens)

    @staticmethod
    def refusal(rejected: Mapping[str, str]) -> NoEligibleRouteError:
        """Return the error of a step that no route may take: a `ContextOverflowError` too if a shorter prompt would be taken."""
        return (PromptTooLongError if isinstance(rejected, TooLong) else NoEligibleRouteError)(rejected)

    def _static(
        self, tools: bool, forced_tool: bool, structured: bool, signals: Signals, limits: RouteLimits
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

    def _running(
        self, found: tuple[tuple[RouteInfo, ...], dict[str, str]], own_tools: tuple[str, ...]
    ) -> tuple[tuple[RouteInfo, ...], dict[str, str]]:
        """Remove the routes that cannot run the providers' own tools that are bound, if any other can."""
        if not own_tools:
            return found
        missing = {route.name: self._not_run(route, own_tools) for route in found[0]}
        if all(missing.values()):
            return found
        reasons = {
            name: f"cannot run {', '.join(kind.lstrip('.') for kind in kinds)}, a tool of another provider"
            for name, kinds in missing.items()
            if kinds
        }
        return tuple(route for route in found[0] if route.name not in reasons), {**found[1], **reasons}

    def _not_run(self, route: RouteInfo, own_tools: tuple[str, ...]) -> list[str]:
        return [kind for kind in own_tools if not runs_tool(self._rules.get(route.name), kind)]

    def _forbidden(self, route: RouteInfo, limits: RouteLimits) -> str | None:
        if limits.route is not None and route.name != limits.route:
            return asked_for(limits.route)
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
        if found[0] and not kept:
            largest = max(route.context_window or 0 for route in found[0])
            if tokens > CERTAIN_EXCESS * largest:
                return (), TooLong(rejected)
            # Tokens are an estimate: the provider with the largest window is asked rather than the call refused.
            kept = [route for route in found[0] if route.context_window == largest]
            for route in kept:
                del rejected[route.name]
        return tuple(kept), rejected


_MEDIA = (
    ("images", "images", "cannot read images"),
    ("audio", "audio", "cannot hear audio"),
    ("video", "video", "cannot watch video"),
    ("files", "pdf", "cannot read files"),
)
"""Count of the history's media, the capability that they take, and the reason against a route without it."""


def _unable(route: RouteInfo, tools: bool, forced_tool: bool, structured: bool, signals: Signals) -> str | None:
    able = route.capabilities
    if tools and able.get("tools") is False:
        return "cannot call tools"
    if forced_tool and able.get("tool_choice") is False:
        return "cannot be made to call a tool"
    if structured and able.get("structured_output") is False and able.get("tools") is False:
        return "cannot write structured output"
    return next((reason for signal, ability, reason in _MEDIA if getattr(signals, signal) and able.get(ability) is False), None)
