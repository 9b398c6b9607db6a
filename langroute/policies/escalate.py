"""When does a thread deserve a stronger model, and when may it go back?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from cachetools import TTLCache

from langroute.errors import ConfigurationError
from langroute.failures import classify
from langroute.policies.base import route_or_tier
from langroute.policies.sticky import SIDE_KINDS
from langroute.records import TIERS, Attempt, Decision, Outcome, Request, Selection, Step


@dataclass(frozen=True, slots=True)
class Trigger:
    """A sign that the present route is not strong enough.

    Example:
        >>> from langroute.records import Signals
        >>> tool_errors(2).when(Step(signals=Signals(errors_in_row=2)))
        True
    """

    name: str
    """What the reason says."""

    when: Callable[[Step], bool]


def tool_errors(rounds: int = 2) -> Trigger:
    """So many rounds of tool calls in a row failed."""
    return Trigger("tool calls fail", partial(_at_least, "errors_in_row", rounds))


def loops(repeats: int = 2) -> Trigger:
    """The same tool call was made again, so often, with nothing changed in between."""
    return Trigger("goes round in a circle", partial(_at_least, "repeats", repeats))


def long_turn(steps: int = 6) -> Trigger:
    """A user's turn takes more steps than it should."""
    return Trigger("the turn drags on", partial(_at_least, "turn_steps", steps))


def no_progress(steps: int = 12) -> Trigger:
    """So many steps of a turn went by without an edit, or since the last one."""
    return Trigger("no progress", partial(_stalled, steps))


# Named functions rather than closures, so that a policy can be pickled.
def _at_least(signal: str, number: int, step: Step) -> bool:
    return bool(getattr(step.signals, signal) >= number)


def _stalled(steps: int, step: Step) -> bool:
    signals = step.signals
    return (signals.turn_steps if signals.steps_since_edit is None else signals.steps_since_edit) >= steps


@dataclass(frozen=True, slots=True)
class _Climb:
    """Where a thread stands."""

    rung: int
    turn: int
    steps: int = 0
    """Steps on this rung."""

    calm: bool = True
    """Nothing was wrong at the latest step."""

    why: str = ""
    """What moved it up."""


class Escalate:
    """Start cheap, and move a thread up a tier when it is in trouble; it stays there until a boundary.

    A sign of trouble moves it up one rung. The stronger route then has `settle` steps before the next move, because the signs of the old
    trouble are still in the history. At the next user turn (or task) it goes down one rung if its last step was calm, and
    stays otherwise. Steps beside the conversation always go to the lowest rung.

    It keeps nothing but a thread's rung, and that only from decisions; the signs are read from each step.

    Args:
        rungs: Names of routes or tiers, weakest first.
        triggers: Signs of trouble.
        settle: Steps that a stronger route has before the next move.
        until: Boundary at which it may go down: `turn` or `task`.
        checked: Answers below the highest rung are verified; a rejected one goes to the next rung, and the thread stays there.
        threshold: Lowest score that is accepted, from 0 to 1.
        max_entries: How many threads are remembered.
        ttl_seconds: How long one is remembered.

    Raises:
        ConfigurationError: Something of this is wrong.

    Example:
        >>> from langroute.records import RouteInfo, Signals
        >>> routes = (RouteInfo("small", "cheap", 0), RouteInfo("large", "frontier", 1))
        >>> policy = Escalate(["small", "large"])
        >>> policy.select(Request("Go on.", Step("act", thread="t"), routes), []).route
        'small'
        >>> stuck = Step("observe", thread="t", signals=Signals(errors_in_row=2))
        >>> policy.select(Request("Go on.", stuck, routes), []).reason
        'up to large: tool calls fail'
    """

    def __init__(
        self,
        rungs: Sequence[str] = TIERS,
        *,
        triggers: Iterable[Trigger] | None = None,
        settle: int = 2,
        until: str = "turn",
        checked: bool = False,
        threshold: float = 0.5,
        max_entries: int = 10_000,
        ttl_seconds: float = 7200.0,
    ) -> None:
        if isinstance(rungs, str) or not rungs:
            raise ConfigurationError("Give the rungs as a list of routes or tiers, weakest first.")
        if until not in ("turn", "task"):
            raise ConfigurationError(f"until is 'turn' or 'task', not {until!r}.")
        if settle < 0 or not 0 <= threshold <= 1:
            raise ConfigurationError("settle is not below 0, and threshold is a score from 0 to 1.")
        self.rungs = tuple(rungs)
        self.triggers = (tool_errors(), loops()) if triggers is None else tuple(triggers)
        self.settle, self.until, self.checked, self.threshold = settle, until, checked, threshold
        self._size, self._ttl = max_entries, ttl_seconds
        self._climbs: TTLCache[tuple[Any, ...], _Climb] = TTLCache(max_entries, ttl_seconds)
        self._lock = Lock()

    @classmethod
    def for_coding_agents(cls, rungs: Sequence[str] = TIERS, **more: Any) -> Any:
        """For agents that edit files and run tests: errors, circles, and many steps without an edit. With fail-over, sub-agents capped."""
        return _composed(cls(rungs, triggers=(tool_errors(), loops(), no_progress()), **more))

    @classmethod
    def for_support_agents(cls, rungs: Sequence[str] = ("balanced", "frontier"), **more: Any) -> Any:
        """For agents that talk to customers: one failed round is enough, and a turn must not drag on. With fail-over, sub-agents capped."""
        return _composed(cls(rungs, triggers=(tool_errors(1), loops(1), long_turn()), **more))

    def routes_named(self) -> Iterable[str]:
        """Rungs that are no tiers."""
        return [name for name in self.rungs if name not in TIERS]

    # Choosing --------------------------------------------------------------------------------------------------------

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select the route of the thread's rung; after a rejected answer, the next one."""
        step = request.step
        climb = self._now(step)
        if step.kind in SIDE_KINDS:
            climb = _Climb(0, climb.turn)
        if not attempts:
            return self._selection(request, climb.rung, self._why(request, climb), firm=climb.rung > 0)
        last = attempts[-1]
        if not last.selection.tentative:
            return None
        if last.ok:
            if last.score is None or last.score >= self.threshold:
                return None
            reason = f"{last.route} scored {last.score:.2f}"
        else:
            if last.error is not None and not (last.failure or classify(last.error)).retry_elsewhere:
                return None
            reason = f"{last.route} failed: {last.error_type}"
        tried = {attempt.route for attempt in attempts}
        for rung in range(climb.rung + 1, len(self.rungs)):
            route = route_or_tier(self.rungs[rung], request)
            if route is not None and route.name not in tried:
                return self._selection(request, rung, f"up to {route.name}: {reason}", firm=True)
        return None

    def _selection(self, request: Request, rung: int, reason: str, *, firm: bool) -> Selection:
        route = route_or_tier(self.rungs[rung], request)
        if route is None:
            return Selection(request.default or self.rungs[rung], f"{self.rungs[rung]} cannot take this step; {reason}")
        above = (route_or_tier(name, request) for name in self.rungs[rung + 1 :])
        tentative = self.checked and any(other is not None and other.name != route.name for other in above)
        return Selection(route.name, reason, tentative=tentative, firm=firm)

    def _why(self, request: Request, climb: _Climb) -> str:
        if climb.rung == 0:
            return "starts cheap" if not climb.why else f"calm again after: {climb.why}"
        route = route_or_tier(self.rungs[climb.rung], request)
        name = route.name if route is not None else self.rungs[climb.rung]
        return f"up to {name}: {climb.why}" if climb.steps == 0 else f"stays with {name}: {climb.why}"

    # Climbing --------------------------------------------------------------------------------------------------------

    def _key(self, step: Step) -> tuple[Any, ...] | None:
        thread = (step.task or step.thread) if self.until == "task" else (step.thread or step.task)
        return (thread, step.agent, step.signals.depth) if thread else None

    def _now(self, step: Step) -> _Climb:
        """Where the thread stands at this step: what was remembered, moved by what the step shows."""
        key = self._key(step)
        with self._lock:
            known = self._climbs.get(key) if key is not None else None
        return self._moved(known or _Climb(0, step.signals.turn), step)

    def _moved(self, climb: _Climb, step: Step) -> _Climb:
        trouble = next((trigger.name for trigger in self.triggers if trigger.when(step)), None)
        turn = step.signals.turn
        if self.until == "turn" and turn != climb.turn:
            # A boundary: down again where it was calm, one rung at a time.
            climb = _Climb(max(0, climb.rung - 1) if climb.calm else climb.rung, turn, why=climb.why)
        if trouble is None:
            return _Climb(climb.rung, turn, climb.steps, True, climb.why)
        if climb.rung + 1 < len(self.rungs) and (climb.rung == 0 or climb.steps >= self.settle):
            return _Climb(climb.rung + 1, turn, 0, False, trouble)
        return _Climb(climb.rung, turn, climb.steps, False, climb.why or trouble)

    def on_decision(self, decision: Decision) -> None:
        """Remember where the thread stands now."""
        step = decision.step
        key = self._key(step)
        if key is None or step.kind in SIDE_KINDS:
            return
        rejected = sum(1 for a in decision.attempts if a.ok and a.score is not None and a.score < self.threshold)
        with self._lock:
            climb = self._moved(self._climbs.get(key) or _Climb(0, step.signals.turn), step)
            if rejected and climb.rung + 1 < len(self.rungs):
                climb = _Climb(min(climb.rung + rejected, len(self.rungs) - 1), climb.turn, 0, False, "an answer was rejected")
            self._climbs[key] = _Climb(climb.rung, climb.turn, climb.steps + 1, climb.calm, climb.why)

    def on_outcome(self, outcome: Outcome) -> None:
        """A task that ended well or badly is over: the next one starts at the bottom."""
        if outcome.task_id is not None:
            with self._lock:
                for key in [key for key in self._climbs if key[0] == outcome.task_id]:
                    del self._climbs[key]

    def __getstate__(self) -> dict[str, Any]:
        names = ("rungs", "triggers", "settle", "until", "checked", "threshold")
        return {**{name: getattr(self, name) for name in names}, "max_entries": self._size, "ttl_seconds": self._ttl}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state.pop("rungs"), **state)  # type: ignore[misc]


def _composed(policy: Any) -> Any:
    from langroute.policies.fallback import Fallback
    from langroute.policies.within_parent import WithinParent

    return Fallback(WithinParent(policy))
