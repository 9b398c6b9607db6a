"""Policy that moves a thread to a stronger route when it is in trouble, and back down at a boundary."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.records import TIERS, Attempt, Decision, Outcome, Request, RouteInfo, Selection, Step
from langroute.core.short_repr import ShortRepr
from langroute.core.thread import PastDecision
from langroute.policies.base import route_or_tier, side_route, starting_route
from langroute.policies.sticky import SIDE_KINDS
from langroute.policies.thread_memory import ThreadMemory, thread_key
from langroute.providers.failures import classify


@dataclass(frozen=True, slots=True)
class Trigger:
    """A condition on a step that indicates that the present route is not strong enough.

    Example:
        >>> from langroute.core.records import Signals
        >>> tool_errors(2).when(Step(signals=Signals(errors_in_row=2)))
        True
    """

    name: str
    """Text for the selection's reason."""

    when: Callable[[Step], bool]


def tool_errors(rounds: int = 2) -> Trigger:
    """Return a trigger for that many consecutive rounds of failed tool calls; see `Signals.failures_in_row`.

    Example:
        >>> from langroute.core.records import Signals
        >>> tool_errors(2).when(Step(signals=Signals(errors_in_row=2, errors_told=1)))
        False
    """
    return Trigger("tool calls fail", partial(_at_least, "failures_in_row", rounds))


def loops(repeats: int = 2) -> Trigger:
    """Return a trigger for that many repetitions of the same tool call with nothing changed in between."""
    return Trigger("goes round in a circle", partial(_at_least, "repeats", repeats))


def long_turn(steps: int = 6) -> Trigger:
    """Return a trigger for a user's turn of at least that many steps."""
    return Trigger("the turn drags on", partial(_at_least, "turn_steps", steps))


def no_progress(steps: int = 12) -> Trigger:
    """Return a trigger for that many steps of a turn without an edit."""
    return Trigger("no progress", partial(_stalled, steps))


# Named functions rather than closures, so that a policy can be pickled.
def _at_least(signal: str, number: int, step: Step) -> bool:
    return bool(getattr(step.signals, signal) >= number)


def _stalled(steps: int, step: Step) -> bool:
    signals = step.signals
    return (signals.turn_steps if signals.steps_since_edit is None else signals.steps_since_edit) >= steps


@dataclass(frozen=True, slots=True)
class _Climb:
    """State of a thread: its place in the order of tiers, and how it got there."""

    place: int
    turn: int
    steps: int = 0
    """Number of steps at this place."""

    calm: bool = True
    """Whether no trigger fired at the latest step."""

    why: str = ""
    """Name of the trigger that moved it up."""

    def after_step(self) -> _Climb:
        """Return the state after one more step at this place."""
        return _Climb(self.place, self.turn, self.steps + 1, self.calm, self.why)

    def memory(self) -> tuple[Any, ...]:
        """Return what the thread's next step has to know, as plain values; the turn is told by the messages."""
        return (_NAME, self.place, self.steps, self.calm, self.why)


_NAME = "escalate"
_REJECTED = "an answer was rejected"


def _recalled(past: PastDecision, turn: int, places: int) -> _Climb | None:
    """Return the state that an answer carries; `None` where it carries none that fits."""
    noted = past.note(_NAME)
    if noted is None or len(noted) != 4:
        return None
    place, steps, calm, why = noted
    if type(place) is not int or type(steps) is not int or not (0 <= place < places and steps >= 0) or not isinstance(why, str):
        return None
    return _Climb(place, turn, steps, calm is True, why[:100])


class Escalate(ShortRepr):
    """Start with a cheap route, and move a thread up a tier when a trigger fires; it stays there until a boundary.

    A trigger moves the thread up one place. The stronger route then has `min_steps_between` steps before the next move, because the signs
    of the old trouble are still in the history. At the next user turn it goes down one place if no trigger fired at its last step, and
    stays otherwise; with `reset_at="task"` each task starts at the lowest place instead. Side steps (titles, summaries) always go to the
    cheapest route, or to the first of `tiers` where that is a route's name. Where the first is a tier without a route, work begins on the
    next weaker route.

    The only state is a thread's place. The answers carry it (`Request.thread`), so that it holds in every process; where they do not,
    it is taken from the decisions of this process. The triggers read each step anew.

    Args:
        tiers: Names of routes or tiers, weakest first.
        triggers: Conditions that move a thread up; by default `tool_errors()` and `loops()`.
        min_steps_between: Steps that a stronger route has before the next move.
        reset_at: Boundary at which a thread may go down: `turn` or `task`.
        verify: Whether answers below the highest place are verified; a rejected one goes to the next place, and the thread stays there.
        threshold: Lowest score that is accepted, from 0 to 1.
        max_entries: Most threads that are remembered.
        ttl_seconds: Seconds for which a thread is remembered.

    Raises:
        ConfigurationError: An argument is invalid.

    Example:
        >>> from langroute.core.records import RouteInfo, Signals
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
        tiers: Sequence[str] = TIERS,
        *,
        triggers: Iterable[Trigger] | None = None,
        min_steps_between: int = 2,
        reset_at: str = "turn",
        verify: bool = False,
        threshold: float = 0.5,
        max_entries: int = 10_000,
        ttl_seconds: float = 7200.0,
    ) -> None:
        if isinstance(tiers, str) or not tiers:
            raise ConfigurationError("Give the tiers as a list of routes or tiers, weakest first.")
        if reset_at not in ("turn", "task"):
            raise ConfigurationError(f"reset_at is 'turn' or 'task', not {reset_at!r}.")
        if min_steps_between < 0 or not 0 <= threshold <= 1:
            raise ConfigurationError("min_steps_between is not below 0, and threshold is a score from 0 to 1.")
        self.tiers = tuple(tiers)
        self.triggers = (tool_errors(), loops()) if triggers is None else tuple(triggers)
        self.min_steps_between, self.reset_at, self.verify, self.threshold = min_steps_between, reset_at, verify, threshold
        self._climbs: ThreadMemory[_Climb] = ThreadMemory(max_entries, ttl_seconds)

    @classmethod
    def for_coding_agents(cls, tiers: Sequence[str] = TIERS, **more: Any) -> Any:
        """Return a policy for agents that edit files and run tests, wrapped in `SubagentCap` and `Fallback`.

        Its triggers are failed tool calls, repeated ones, and many steps without an edit.
        """
        return _composed(cls(tiers, triggers=(tool_errors(), loops(), no_progress()), **more))

    @classmethod
    def for_support_agents(cls, tiers: Sequence[str] = ("balanced", "frontier"), **more: Any) -> Any:
        """Return a policy for agents that talk to customers, wrapped in `SubagentCap` and `Fallback`.

        Its triggers are one failed round of tool calls, one repeated call, and a long turn.
        """
        return _composed(cls(tiers, triggers=(tool_errors(1), loops(1), long_turn()), **more))

    def routes_named(self) -> Iterable[str]:
        """Return the given names that are routes rather than tiers."""
        return [name for name in self.tiers if name not in TIERS]

    # Choosing --------------------------------------------------------------------------------------------------------

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select the route of the thread's place; after a rejected answer, the next one."""
        step = request.step
        if step.kind in SIDE_KINDS:
            climb = _Climb(0, step.signals.turn)
        else:
            climb = self._moved(self._known(request) or _Climb(0, step.signals.turn), step)
        if not attempts:
            route = self._route(request, climb.place)
            return self._selection(request, route, climb, self._why(request, route, climb), override_wrappers=climb.place > 0)
        last = attempts[-1]
        if not last.selection.provisional:
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
        for place in range(climb.place + 1, len(self.tiers)):
            route = route_or_tier(self.tiers[place], request)
            if route is not None and route.name not in tried:
                higher = _Climb(place, climb.turn, 0, False, _REJECTED) if last.ok else climb
                return self._selection(request, route, higher, f"up to {route.name}: {reason}", place=place, override_wrappers=True)
        return None

    def _route(self, request: Request, place: int) -> RouteInfo | None:
        """Return the route of a place that a step begins on."""
        name = self.tiers[place]
        if place:
            return route_or_tier(name, request)
        return side_route(name, request) if request.step.kind in SIDE_KINDS else starting_route(name, request)

    def _selection(
        self,
        request: Request,
        route: RouteInfo | None,
        climb: _Climb,
        reason: str,
        *,
        override_wrappers: bool,
        place: int | None = None,
    ) -> Selection:
        place = climb.place if place is None else place
        memory = () if request.step.kind in SIDE_KINDS else climb.after_step().memory()
        if route is None:
            return Selection(
                request.default or self.tiers[place], f"{self.tiers[place]} cannot take this step; {reason}", memory=memory
            )
        above = (route_or_tier(name, request) for name in self.tiers[place + 1 :])
        provisional = self.verify and any(other is not None and other.name != route.name for other in above)
        return Selection(route.name, reason, provisional=provisional, override_wrappers=override_wrappers, memory=memory)

    def _why(self, request: Request, route: RouteInfo | None, climb: _Climb) -> str:
        name = route.name if route is not None else self.tiers[climb.place]
        if climb.place == 0:
            dear = len(request.routes) > 1 and route is not None and route.rank > min(one.rank for one in request.routes)
            return f"calm again after: {climb.why}" if climb.why else f"starts with {name}" if dear else "starts cheap"
        return f"up to {name}: {climb.why}" if climb.steps == 0 else f"stays with {name}: {climb.why}"

    # Climbing --------------------------------------------------------------------------------------------------------

    def _key(self, step: Step, *, past: bool) -> tuple[Hashable, ...] | None:
        by_task = self.reset_at == "task" and step.task
        # A thread that is told apart by its messages has no key before its first answer.
        thread = step.task if by_task else thread_key(step, past=past) if step.thread else step.task
        return (thread, step.agent, step.signals.depth) if thread is not None else None

    def _known(self, request: Request) -> _Climb | None:
        """Return the thread's state after its latest step: as its answers carry it, else as it is remembered."""
        step = request.step
        for ago, past in request.thread.latest():
            if past.agent != step.agent or past.kind in SIDE_KINDS:
                continue
            if self.reset_at == "task" and past.task != step.task:
                break
            if (climb := _recalled(past, step.signals.turn - ago, len(self.tiers))) is not None:
                return climb
        return self._remembered(step)

    def _remembered(self, step: Step) -> _Climb | None:
        key = self._key(step, past=True)
        return self._climbs.get(key) if key is not None else None

    def _moved(self, climb: _Climb, step: Step) -> _Climb:
        trouble = next((trigger.name for trigger in self.triggers if trigger.when(step)), None)
        turn = step.signals.turn
        if self.reset_at == "turn" and turn != climb.turn:
            # A boundary: down one place where no trigger fired at the last step.
            climb = _Climb(max(0, climb.place - 1) if climb.calm else climb.place, turn, why=climb.why)
        if trouble is None:
            return _Climb(climb.place, turn, climb.steps, True, climb.why)
        if climb.place + 1 < len(self.tiers) and (climb.place == 0 or climb.steps >= self.min_steps_between):
            return _Climb(climb.place + 1, turn, 0, False, trouble)
        return _Climb(climb.place, turn, climb.steps, False, climb.why or trouble)

    def on_decision(self, decision: Decision) -> None:
        """Store the thread's state after a decision."""
        step = decision.step
        key = self._key(step, past=False)
        if key is None or step.kind in SIDE_KINDS:
            return
        rejected = sum(1 for a in decision.attempts if a.ok and a.score is not None and a.score < self.threshold)
        climb = self._moved(self._remembered(step) or _Climb(0, step.signals.turn), step)
        if rejected and climb.place + 1 < len(self.tiers):
            climb = _Climb(min(climb.place + rejected, len(self.tiers) - 1), climb.turn, 0, False, _REJECTED)
        self._climbs.put(key, climb.after_step())

    def on_outcome(self, outcome: Outcome) -> None:
        """Forget the state of a task that has an outcome: it is over. Tests that ran within it end nothing."""
        if outcome.task_id is not None and not outcome.is_hearsay:
            self._climbs.forget_where(outcome.task_id)

    def __getstate__(self) -> dict[str, Any]:
        names = ("tiers", "triggers", "min_steps_between", "reset_at", "verify", "threshold")
        return {
            **{name: getattr(self, name) for name in names},
            "max_entries": self._climbs.max_entries,
            "ttl_seconds": self._climbs.ttl_seconds,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state.pop("tiers"), **state)  # type: ignore[misc]


def _composed(policy: Any) -> Any:
    from langroute.policies.fallback import Fallback
    from langroute.policies.subagent_cap import SubagentCap

    return Fallback(SubagentCap(policy))
