"""Drift detection: compares recent outcomes and served models with what a fitted policy expects.

There are three states: ok, drift, and cannot tell; too few outcomes are not evidence that all is well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.locks import new_lock
from langroute.core.number_checks import check_able, check_number
from langroute.core.records import Attempt, Decision, Outcome, Request, Selection
from langroute.estimators.store import PolicyFile
from langroute.learning.drift_sums import DriftFold
from langroute.ledger.listening import listen
from langroute.policies.base import Wrapper, reward_of
from langroute.policies.outcome_keys import decision_key, task_key, task_of_step
from langroute.state.local import digest, mark_of
from langroute.state.memory import MemoryState
from langroute.state.resolve import open_state, state_of
from langroute.state.shared import SharedState

OK, DRIFT, UNKNOWN = "ok", "drift", "cannot tell"


@dataclass(frozen=True, slots=True)
class DriftVerdict:
    """State of one route, or of all together."""

    state: str
    """`ok`, `drift` or `cannot tell`."""

    reason: str
    route: str | None = None
    outcomes: int = 0


class Drift:
    """Hook that monitors outcomes and served models, and reports routes that no longer match the policy.

    An outcome is compared with the policy's estimate for the same request (`Selection.confidence`), so that harder requests alone are not
    drift; where there is none, with the route's quality in the policy's facts. A task's outcome counts once for each route that took part.
    A change of the served model's name is drift too. All workers of a service count together, and what they counted outlives them.

    Args:
        policy: The fitted policy, as `load_policy_file` returns it.
        drop: The smallest drop in mean score that matters, from 0 to 1.
        least: Fewest outcomes of a route before it is judged.
        on_drift: Called once for each route that drifts.
        store: Where its sums are: a `StateStore`, or the address of one (`redis://…`, `postgresql://…`, a file); the database of the
            router's ledger where nothing is given.
        id: Name of the monitor, for workers to share; by default the policy's version and these numbers.

    Example:
        >>> Drift(PolicyFile(())).verdict().state
        'cannot tell'
    """

    def __init__(
        self,
        policy: PolicyFile,
        *,
        drop: float = 0.1,
        least: int = 30,
        on_drift: Callable[[DriftVerdict], None] | None = None,
        store: Any = None,
        id: str | None = None,
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
        self.id = id
        self._name = id or digest(repr((policy.version, drop, least)))
        self._known: set[tuple[str, str | None]] = set()
        self._told: set[str] = set()
        self._heard: Outcome | None = None
        self._ledger: Any = None
        self._lock = new_lock()
        self._own = store is None
        self._shared = self._in(MemoryState() if store is None else open_state(store))

    def _in(self, store: Any) -> SharedState:
        return SharedState(store, f"drift:{self._name}", DriftFold(self._drop, self.least, self._quality))

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            kept = {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_shared", "_heard")}
            return kept | {"_known": self._known.copy(), "_told": self._told.copy(), "store": self._shared.store, "_ledger": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        store = state.pop("store")
        self.__dict__.update(state, _lock=new_lock(), _heard=None)
        self._shared = self._in(store)

    def use_ledger(self, ledger: Any) -> None:
        """Keep the sums in the ledger's database, unless they are elsewhere already, and hear the outcomes that it is told."""
        listen(ledger, self.on_outcome)
        self._ledger = ledger
        if self._own:
            self._own = False
            before = self._shared.now()
            self._shared = self._in(state_of(ledger))
            if before and not self._shared.now():
                self._shared.replace(before)

    def restart(self) -> None:
        """Forget the sums and what has drifted, for all workers."""
        self._shared.now()
        self._shared.replace({})
        self._told.clear()

    def on_decision(self, decision: Decision) -> None:
        """Remember the expected success of a decision, and compare the served model with the earlier ones."""
        if decision.route is None:
            return
        kept = next((attempt for attempt in reversed(decision.attempts) if attempt.route == decision.route), None)
        served, task = (decision.route, decision.model), task_of_step(self._ledger, decision.step)
        expected = kept.selection.confidence if kept is not None else None
        key = "" if task is None else task_key(self._ledger, task)
        event = ("decided", decision_key(decision.id), key, decision.route, expected, decision.model or "")
        self._shared.tell(event, urgent=served not in self._known)
        if served not in self._known:
            self._known.add(served)
            self._announce(self._shared.document())

    def on_outcome(self, outcome: Outcome) -> None:
        """Add an outcome, of a decision or of a whole task, to the CUSUM of each route that it is about."""
        score = reward_of(outcome)
        if score is None or outcome is self._heard:
            # One may be told by the ledger and by the router.
            return
        self._heard = outcome
        if outcome.decision_id is not None:
            self._shared.tell(("decision", decision_key(outcome.decision_id), score, mark_of(outcome)))
        elif outcome.task_id is not None:
            self._shared.tell(("task", task_key(self._ledger, outcome.task_id), score, mark_of(outcome)))
        self._announce(self._shared.document())

    def verdict(self, route: str | None = None) -> DriftVerdict:
        """Return the state of a route, or the worst of all where none is given, by what all workers know by now."""
        document = self._shared.now()
        self._announce(document)
        if route is not None:
            return self._one(document, route)
        every = [self._one(document, name) for name in list(document.get("routes", {}))]
        for state in (DRIFT, UNKNOWN):
            for one in every:
                if one.state == state:
                    return one
        return (
            DriftVerdict(OK, "as expected", outcomes=sum(one.outcomes for one in every))
            if every
            else DriftVerdict(UNKNOWN, "no decisions")
        )

    def drifted(self, route: str) -> str | None:
        """Return why a route has drifted, else `None`: as it was read last, without waiting for another worker."""
        document = self._shared.document()
        self._announce(document)
        found = document.get("routes", {}).get(route)
        return found.get("drift") if found is not None else None

    def _one(self, document: Mapping[str, Any], route: str) -> DriftVerdict:
        seen = document.get("routes", {}).get(route, {})
        count = seen.get("outcomes", 0)
        if "drift" in seen:
            return DriftVerdict(DRIFT, seen["drift"], route, count)
        if count < self.least:
            return DriftVerdict(UNKNOWN, f"{count} outcomes, {self.least} are needed", route, count)
        return DriftVerdict(OK, "as expected", route, count)

    def _announce(self, document: Mapping[str, Any]) -> None:
        """Tell of routes that have drifted, each once."""
        for route, seen in list(document.get("routes", {}).items()):
            if "drift" not in seen or route in self._told:
                continue
            with self._lock:
                new = route not in self._told
                self._told.add(route)
            if new and self.on_drift is not None:
                self.on_drift(self._one(document, route))


class SafeOnDrift(Wrapper):
    """Policy wrapper that replaces selections of a drifted route by a safe one.

    Args:
        policy: The inner policy.
        drift: The monitor; it gets the decisions and outcomes through this wrapper.
        safe: Name of the route to use instead of a drifted one.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> watched = SafeOnDrift(Fixed("small"), Drift(PolicyFile(())), safe="large")
        >>> watched.select(Request("Hi."), ()).route
        'small'
    """

    def __init__(self, policy: Any, drift: Drift, *, safe: str) -> None:
        check_able("policy", policy, "select")
        check_able("drift", drift, "drifted")
        if not isinstance(safe, str) or not safe:
            raise ConfigurationError(f"safe is {safe!r}; give the name of a route.")
        super().__init__(policy)
        self.drift, self.safe = drift, safe

    def routes_named(self) -> Sequence[str]:
        """Return the names of the inner policy's routes, and of the safe one."""
        return [*super().routes_named(), self.safe]

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Return the inner policy's selection, or the safe route where the selected one has drifted."""
        found = selection
        if found is None or found.route == self.safe:
            return found
        why = self.drift.drifted(found.route)
        if why is None or (request.routes and request.route(self.safe) is None):
            return found
        if any(attempt.route == self.safe for attempt in attempts):
            return None
        return replace(found, route=self.safe, reason=f"{found.route} has drifted: {why}", provisional=False, confidence=None)

    def use_ledger(self, ledger: Any) -> None:
        """Tell the inner policy and the monitor which ledger the router has."""
        super().use_ledger(ledger)
        self.drift.use_ledger(ledger)

    def on_decision(self, decision: Decision) -> None:
        """Pass a decision on to the inner policy and the monitor."""
        super().on_decision(decision)
        self.drift.on_decision(decision)

    def on_outcome(self, outcome: Outcome) -> None:
        """Pass an outcome on to the inner policy and the monitor."""
        super().on_outcome(outcome)
        self.drift.on_outcome(outcome)
