"""Is the policy still what its card says? Outcomes, served models and fingerprints of late, compared with it.

Three answers: ok, drift, and cannot tell; too few outcomes are no proof that all is well.

Source: Page, Continuous Inspection Schemes (1954), for the cumulative sum.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from langroute.arguments import check_able, check_number
from langroute.errors import ConfigurationError
from langroute.estimators.store import PolicyFile
from langroute.policies.base import Wrapper, reward_of
from langroute.records import Attempt, Decision, Outcome, Request, Selection

OK, DRIFT, UNKNOWN = "ok", "drift", "cannot tell"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is thought of one route, or of all together."""

    state: str
    """`ok`, `drift` or `cannot tell`."""

    reason: str
    route: str | None = None
    outcomes: int = 0


class Cusum:
    """A cumulative sum that rises when successes fall behind what was expected.

    Each outcome adds what was expected less what came, less half of the drop that matters; it never falls below 0. The threshold of 8
    lets a stable route raise a false alarm about once in several thousand outcomes.

    Args:
        drop: The smallest drop that matters, as a share.
        threshold: Height at which it is drift.

    Example:
        >>> sum_ = Cusum(drop=0.2)
        >>> any([sum_.add(expected=0.9, score=0.0) for _ in range(12)])
        True
    """

    def __init__(self, *, drop: float = 0.1, threshold: float = 8.0) -> None:
        check_number("drop", drop, above=0, most=1)
        check_number("threshold", threshold, above=0)
        self.drop, self.threshold, self.height = drop, threshold, 0.0

    def add(self, *, expected: float, score: float) -> bool:
        """Add an outcome; whether it is drift now."""
        self.height = max(0.0, self.height + expected - score - self.drop / 2)
        return self.height > self.threshold


@dataclass(slots=True)
class _Seen:
    sum: Cusum
    outcomes: int = 0
    models: set[str] = field(default_factory=set)


class Drift:
    """A hook that watches outcomes and served models, and says when they no longer fit the policy.

    An outcome is compared with the policy's own estimate for that very request (`Selection.confidence`), so that harder requests alone
    are no drift; where there is none, with the card's quality of the route.

    Args:
        policy: What the card says.
        drop: The smallest drop that matters, as a share.
        least: Outcomes of a route before anything is said of it.
        on_drift: Called once for each route that drifts.

    Example:
        >>> Drift(PolicyFile(())).verdict().state
        'cannot tell'
    """

    def __init__(
        self, policy: PolicyFile, *, drop: float = 0.1, least: int = 30, on_drift: Callable[[Verdict], None] | None = None
    ) -> None:
        check_number("drop", drop, above=0, most=1)
        check_number("least", least, least=1, whole=True)
        if on_drift is not None:
            check_able("on_drift", on_drift)
        if not isinstance(policy, PolicyFile):
            raise ConfigurationError(f"policy is {policy!r}; give what load_policy_file returns.")
        self.least, self.on_drift, self._drop = least, on_drift, drop
        self._quality: Mapping[str, float] = {
            name: quality for group in policy.groups for name, quality in group.facts.get("quality", {}).items()
        }
        self._routes: dict[str, _Seen] = {}
        self._open: OrderedDict[str, tuple[str, float | None]] = OrderedDict()
        self._drifted: dict[str, Verdict] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            kept = {key: value for key, value in self.__dict__.items() if key != "_lock"}
            return kept | {"_routes": deepcopy(self._routes), "_open": self._open.copy(), "_drifted": self._drifted.copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def on_decision(self, decision: Decision) -> None:
        """Remember what was expected of a decision, and which model served it."""
        if decision.route is None:
            return
        kept = next((attempt for attempt in reversed(decision.attempts) if attempt.route == decision.route), None)
        with self._lock:
            seen = self._of(decision.route)
            self._open[decision.id] = (decision.route, kept.selection.confidence if kept is not None else None)
            # Outcomes come late or never: the oldest are let go.
            while len(self._open) > 10_000:
                self._open.popitem(last=False)
            changed = None
            if decision.model:
                if seen.models and decision.model not in seen.models:
                    changed = Verdict(DRIFT, f"{decision.model} serves now, {min(seen.models)} did", decision.route, seen.outcomes)
                seen.models.add(decision.model)
        if changed is not None:
            self._tell(changed)

    def on_outcome(self, outcome: Outcome) -> None:
        """Compare an outcome with what was expected."""
        score = reward_of(outcome)
        if outcome.decision_id is None or score is None:
            return
        with self._lock:
            route, expected = self._open.pop(outcome.decision_id, (None, None))
            if route is None:
                return
            expected = self._quality.get(route) if expected is None else expected
            if expected is None:
                return
            seen = self._of(route)
            seen.outcomes += 1
            drifts = seen.sum.add(expected=expected, score=score) and seen.outcomes >= self.least
        if drifts:
            self._tell(Verdict(DRIFT, "fewer successes than the policy expected", route, seen.outcomes))

    def verdict(self, route: str | None = None) -> Verdict:
        """What is thought of a route, or of all: the worst of them."""
        with self._lock:
            if route is not None:
                return self._one(route)
            every = [self._one(name) for name in self._routes]
        for state in (DRIFT, UNKNOWN):
            for one in every:
                if one.state == state:
                    return one
        return (
            Verdict(OK, "as expected", outcomes=sum(one.outcomes for one in every)) if every else Verdict(UNKNOWN, "no decisions")
        )

    def _one(self, route: str) -> Verdict:
        if route in self._drifted:
            return self._drifted[route]
        seen = self._routes.get(route)
        count = seen.outcomes if seen is not None else 0
        if count < self.least:
            return Verdict(UNKNOWN, f"{count} outcomes, {self.least} are needed", route, count)
        return Verdict(OK, "as expected", route, count)

    def _of(self, route: str) -> _Seen:
        return self._routes.setdefault(route, _Seen(Cusum(drop=self._drop)))

    def _tell(self, verdict: Verdict) -> None:
        with self._lock:
            if verdict.route is None or verdict.route in self._drifted:
                return
            self._drifted[verdict.route] = verdict
        if self.on_drift is not None:
            self.on_drift(verdict)


class SafeOnDrift(Wrapper):
    """A policy that goes to a safe route as long as what it would select has drifted.

    Args:
        policy: The policy to watch over.
        drift: What watches.
        safe: The route to go to.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> watched = SafeOnDrift(Fixed("small"), Drift(PolicyFile(())), safe="large")
        >>> watched.select(Request("Hi."), ()).route
        'small'
    """

    def __init__(self, policy: Any, drift: Drift, *, safe: str) -> None:
        check_able("policy", policy, "select")
        check_able("drift", drift, "verdict")
        if not isinstance(safe, str) or not safe:
            raise ConfigurationError(f"safe is {safe!r}; give the name of a route.")
        super().__init__(policy)
        self.drift, self.safe = drift, safe

    def routes_named(self) -> Sequence[str]:
        """The inner policy's routes, and the safe one."""
        return [*super().routes_named(), self.safe]

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """What the inner policy selected, unless that route has drifted."""
        found = selection
        if found is None or found.route == self.safe:
            return found
        verdict = self.drift.verdict(found.route)
        if verdict.state != DRIFT or (request.routes and request.route(self.safe) is None):
            return found
        if any(attempt.route == self.safe for attempt in attempts):
            return None
        return replace(
            found, route=self.safe, reason=f"{found.route} has drifted: {verdict.reason}", tentative=False, confidence=None
        )

    def on_decision(self, decision: Decision) -> None:
        """Tell the inner policy and the watcher."""
        super().on_decision(decision)
        self.drift.on_decision(decision)

    def on_outcome(self, outcome: Outcome) -> None:
        """Tell the inner policy and the watcher."""
        super().on_outcome(outcome)
        self.drift.on_outcome(outcome)
