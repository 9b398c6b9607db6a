"""Which route next, said in rules that a person can read?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langroute.errors import ConfigurationError
from langroute.failures import classify
from langroute.policies.base import route_or_tier
from langroute.records import TIERS, Attempt, Request, Selection, Signals


@dataclass(frozen=True, slots=True)
class Rule:
    """Where a step goes that everything said here is true of.

    Args:
        route: A route's name, or a tier.
        kind: Step kinds.
        node: LangGraph nodes.
        tag: Tags; one of them is enough.
        task_kind: The user's labels for families of tasks.
        at_least: `{signal: number}` that the step's signals must reach.
        at_most: `{signal: number}` that they must not exceed.
        when: A function of the request.
        checked: The answer is verified before anybody sees it; a rejected one goes to the next stronger route.
        why: The reason in the decision; made from the rule where nothing is given.

    Raises:
        ConfigurationError: There is no such signal, or `when` cannot be called.

    Example:
        >>> from langroute.records import Step
        >>> rule = Rule("frontier", kind="observe", at_least={"errors_in_row": 2})
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
    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    when: Callable[[Request], Any] | None = None
    checked: bool = False
    why: str = ""
    reason: str = field(init=False, default="")

    def __post_init__(self) -> None:
        for name in ("kind", "node", "tag", "task_kind"):
            value = getattr(self, name)
            object.__setattr__(self, name, frozenset([value] if isinstance(value, str) else value))
        for name in (*self.at_least, *self.at_most):
            if name not in Signals.__dataclass_fields__:
                raise ConfigurationError(f"There is no signal {name!r}. Signals: {', '.join(Signals.__dataclass_fields__)}.")
        if self.when is not None and not callable(self.when):
            raise ConfigurationError(f"A rule's `when` is a function of the request, not {self.when!r}.")
        object.__setattr__(self, "reason", self.why or self._told() or "otherwise")

    def _told(self) -> str:
        parts = [" or ".join(sorted(value)) for name in ("kind", "node", "tag", "task_kind") if (value := getattr(self, name))]
        parts.extend(f"{name} >= {bound:g}" for name, bound in self.at_least.items())
        parts.extend(f"{name} <= {bound:g}" for name, bound in self.at_most.items())
        if self.when is not None:
            parts.append(getattr(self.when, "__name__", "a condition"))
        return ", ".join(parts)

    def matches(self, request: Request) -> bool:
        """Everything said in the rule is true of the request."""
        step = request.step
        for said, found in ((self.kind, step.kind), (self.node, step.node), (self.task_kind, step.task_kind)):
            if said and (found is None or found not in said):
                return False
        if self.tag and not any(tag in self.tag for tag in request.tags):
            return False
        signals = step.signals
        for name, bound in self.at_least.items():
            value = getattr(signals, name)
            if value is None or value < bound:
                return False
        for name, bound in self.at_most.items():
            value = getattr(signals, name)
            if value is None or value > bound:
                return False
        return self.when is None or bool(self.when(request))


class Rules:
    """The first rule that fits a step says where it goes.

    A rule whose function raises is a policy that fails: the default route answers, and the decision says why.

    Args:
        rules: Tried in order.
        otherwise: A route or a tier for steps that no rule fits; the default route where nothing is given.

    Raises:
        ConfigurationError: Something among the rules is none.

    Example:
        >>> from langroute.records import RouteInfo, Step
        >>> policy = Rules([Rule("cheap", kind={"title", "summarize"})], otherwise="frontier")
        >>> routes = (RouteInfo("small", "cheap"), RouteInfo("large", "frontier"))
        >>> policy.select(Request("Hi.", Step("title"), routes), [])
        Selection(route='small', reason='summarize or title', propensity=1.0, tentative=False, confidence=None, wait_s=0.0, switch_cost_usd=None)
    """

    ends_with_answer = True

    def __init__(self, rules: Iterable[Rule], *, otherwise: str | None = None) -> None:
        self.rules = tuple(rules)
        for rule in self.rules:
            if not isinstance(rule, Rule):
                raise ConfigurationError(f"Rules are made of Rule(...), not {type(rule).__name__}.")
        self.otherwise = otherwise

    def routes_named(self) -> Iterable[str]:
        """Routes that the rules name and that are no tiers."""
        named = [rule.route for rule in self.rules]
        return [name for name in (*named, *([self.otherwise] if self.otherwise else ())) if name not in TIERS]

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select by the first rule that fits; after a rejected answer, the next stronger route."""
        if attempts:
            return self._stronger(request, attempts)
        for rule in self.rules:
            if rule.matches(request):
                return self._selection(request, rule.route, rule.reason, rule.checked)
        return self._selection(request, self.otherwise or request.default or "", "no rule fits", False)

    def _selection(self, request: Request, name: str, reason: str, checked: bool) -> Selection:
        route = route_or_tier(name, request)
        if route is None:
            # The rule's own route fell out for this step: the default route can take it.
            return Selection(request.default or name, f"{reason}; {name} cannot take this step")
        return Selection(route.name, reason, tentative=checked and bool(_above(request, route.name)))

    def _stronger(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        last = attempts[-1]
        if not last.selection.tentative:
            return None
        if last.ok:
            if last.score is None or last.score >= 0.5:
                return None
            reason = f"{last.route} scored {last.score:.2f}"
        else:
            if last.error is not None and not (last.failure or classify(last.error)).retry_elsewhere:
                return None
            reason = f"{last.route} failed: {last.error_type}"
        above = [name for name in _above(request, last.route) if all(name != attempt.route for attempt in attempts)]
        return Selection(above[0], reason, tentative=len(above) > 1) if above else None


def _above(request: Request, name: str) -> list[str]:
    names = request.route_names
    return list(names[names.index(name) + 1 :]) if name in names else []
