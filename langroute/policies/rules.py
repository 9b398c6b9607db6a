"""Rule-based policy: the first matching rule selects the route."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.records import SIGNALS, TIERS, Attempt, Request, RouteInfo, Selection
from langroute.core.short_repr import ShortRepr
from langroute.policies.base import next_stronger, route_or_tier, routes_above


@dataclass(frozen=True, slots=True, repr=False)
class Rule(ShortRepr):
    """A rule: steps that meet all of its conditions go to its route.

    Args:
        route: A route's name, or a tier.
        kind: Step kinds.
        node: Names of LangGraph nodes.
        tag: Tags; one of them is enough.
        task_kind: The user's labels for families of tasks.
        minimum: `{signal: number}` that the step's signals must reach.
        maximum: `{signal: number}` that the step's signals must not exceed.
        when: A function of the request that returns whether the rule applies.
        verify: Whether the answer is verified before it is returned; a rejected one goes to the next stronger route.
        why: The reason in the decision; made from the conditions where none is given.

    Raises:
        ConfigurationError: There is no such signal, or `when` is not callable.

    Example:
        >>> from langroute.core.records import Signals, Step
        >>> rule = Rule("frontier", kind="observe", minimum={"errors_in_row": 2})
        >>> rule.matches(Request("Go on.", Step("observe", signals=Signals(errors_in_row=2))))
        True
        >>> rule.reason
        'observe, errors_in_row >= 2'
    """

    route: str
    kind: str | Iterable[str] = ()
    node: str | Iterable[str] = ()
    tag: str | Iterable[str] = ()
    task_kind: str | Iterable[str] = ()
    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    when: Callable[[Request], Any] | None = None
    verify: bool = False
    why: str = ""
    reason: str = field(init=False, default="")

    def __post_init__(self) -> None:
        for name in ("kind", "node", "tag", "task_kind"):
            value = getattr(self, name)
            object.__setattr__(self, name, frozenset([value] if isinstance(value, str) else value))
        for name in (*self.minimum, *self.maximum):
            if name not in SIGNALS:
                raise ConfigurationError(f"There is no signal {name!r}. Signals: {', '.join(SIGNALS)}.")
        if self.when is not None and not callable(self.when):
            raise ConfigurationError(f"A rule's `when` is a function of the request, not {self.when!r}.")
        object.__setattr__(self, "reason", self.why or self._told() or "otherwise")

    def _told(self) -> str:
        parts = [" or ".join(sorted(value)) for name in ("kind", "node", "tag", "task_kind") if (value := getattr(self, name))]
        parts.extend(f"{name} >= {bound:g}" for name, bound in self.minimum.items())
        parts.extend(f"{name} <= {bound:g}" for name, bound in self.maximum.items())
        if self.when is not None:
            parts.append(getattr(self.when, "__name__", "a condition"))
        return ", ".join(parts)

    def matches(self, request: Request) -> bool:
        """Return whether the request meets all conditions of the rule."""
        step = request.step
        for said, found in ((self.kind, step.kind), (self.node, step.node), (self.task_kind, step.task_kind)):
            if said and (found is None or found not in said):
                return False
        if self.tag and not any(tag in self.tag for tag in request.tags):
            return False
        signals = step.signals
        for name, bound in self.minimum.items():
            value = getattr(signals, name)
            if value is None or value < bound:
                return False
        for name, bound in self.maximum.items():
            value = getattr(signals, name)
            if value is None or value > bound:
                return False
        return self.when is None or bool(self.when(request))


MANY_KINDS = 256
"""Most step kinds whose rules are kept; a caller may name any kind."""


class Rules(ShortRepr):
    """Select the route of the first rule that matches the step.

    Where a rule's function raises, the policy has failed: the router's default route answers, and the decision records why.

    Args:
        rules: The rules, tried in order.
        default: A route or a tier for steps that no rule matches; the router's default route where none is given.

    Raises:
        ConfigurationError: One of the rules is not a `Rule`.

    Example:
        >>> from langroute.core.records import RouteInfo, Step
        >>> policy = Rules([Rule("cheap", kind={"title", "summarize"})], default="frontier")
        >>> routes = (RouteInfo("small", "cheap"), RouteInfo("large", "frontier"))
        >>> policy.select(Request("Hi.", Step("title"), routes), [])
        Selection(route='small', reason='summarize or title', propensity=1.0, provisional=False, confidence=None, wait_s=0.0, switch_cost_usd=None)
    """

    ends_with_answer = True

    def __init__(self, rules: Iterable[Rule], *, default: str | None = None) -> None:
        self.rules = tuple(rules)
        for rule in self.rules:
            if not isinstance(rule, Rule):
                raise ConfigurationError(f"Rules are made of Rule(...), not {type(rule).__name__}.")
        self.default = default
        self._of_kind: dict[str, tuple[Rule, ...]] = {}
        """Step kind → the rules that may match it."""

        self._selected: dict[int, tuple[Sequence[RouteInfo], str | None, Selection]] = {}
        """Id of a rule (or of `None`, for the default) → its latest selection, and the routes and the default route it was made for."""

    def routes_named(self) -> Iterable[str]:
        """Return the names in the rules that are routes rather than tiers."""
        named = [rule.route for rule in self.rules]
        return [name for name in (*named, *([self.default] if self.default else ())) if name not in TIERS]

    def kinds_named(self) -> Iterable[str]:
        """Return the step kinds in the rules."""
        return [kind for rule in self.rules for kind in rule.kind]

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select by the first rule that fits; after a rejected answer, the next stronger route."""
        if attempts:
            return next_stronger(request, attempts)
        kind = request.step.kind
        rules = self._of_kind.get(kind)
        if rules is None:
            rules = tuple([rule for rule in self.rules if not rule.kind or kind in rule.kind])
            if len(self._of_kind) < MANY_KINDS:
                self._of_kind[kind] = rules
        rule = next((rule for rule in rules if rule.matches(request)), None)
        known = self._selected.get(id(rule))
        if known is not None and known[0] is request.routes and known[1] == request.default:
            return known[2]
        if rule is None:
            selection = self._selection(request, self.default or request.default or "", "no rule fits", False)
        else:
            selection = self._selection(request, rule.route, rule.reason, rule.verify)
        self._selected[id(rule)] = (request.routes, request.default, selection)
        return selection

    def _selection(self, request: Request, name: str, reason: str, verify: bool) -> Selection:
        route = route_or_tier(name, request)
        if route is None:
            # The rule's own route is not eligible for this step, so the default route takes it.
            return Selection(request.default or name, f"{reason}; {name} cannot take this step")
        return Selection(route.name, reason, provisional=verify and bool(routes_above(request, route.name)))
