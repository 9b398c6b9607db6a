"""Policy that sends a step where it looks like it belongs: easy ones down; hard ones, and those where a mistake is costly, up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langroute.core.errors import ConfigurationError
from langroute.core.records import Attempt, Request, Selection, Step
from langroute.core.short_repr import ShortRepr
from langroute.policies.base import next_stronger, route_or_tier, routes_above
from langroute.policies.judgement import judgement_of
from langroute.policies.sticky import Sticky

if TYPE_CHECKING:
    from langroute.core.records import RouteInfo
    from langroute.estimators.step_judge import Judgement

    _Chosen = tuple[Judgement, tuple[RouteInfo, ...], tuple[Any, ...], Selection]

STUCK_ERRORS = 2
"""Consecutive rounds of failed tool calls after which a step counts as stuck."""

STUCK_REPEATS = 2
"""Repetitions of the same tool call, with nothing changed in between, after which a step counts as stuck."""

LIMIT = 0.09
"""Default of `Judged(limit=)`: a step is easy where the probability that it needs a frontier model is below it.

Chosen by folds over the hands that wrote the labelled steps (`benchmarks/fit_steps.py`): the largest hundredth at which no more than 3 % of the hard
ones of hands left out go down. Of their easy ones 65 % do; programs worded otherwise lose more of both.
"""

HARD = 0.5
"""Probability from which a step goes to the strongest route; between it and the limit it goes to the middle one, where there is one."""

MOST_STAKES = 0.3
"""Probability that a mistake is costly, from which no step goes down."""

MOST_CHOSEN = 1024
"""Most selections that are kept for messages that are sent again."""

BOUNDED_KINDS = frozenset(("title", "summarize", "classify", "extract", "grade", "route", "rewrite", "translate"))
"""Kinds of calls beside the conversation; their answers are verified, and `policy="quality"` sends no others down."""


def is_stuck(request: Request) -> bool:
    """Return whether the agent is stuck: its tool calls keep failing, or repeat with nothing changed in between.

    Example:
        >>> from langroute.core.records import Signals, Step
        >>> is_stuck(Request("Go on.", Step("observe", signals=Signals(errors_in_row=2))))
        True
    """
    signals = request.step.signals
    return signals.repeats >= STUCK_REPEATS or (signals.errors_in_row >= STUCK_ERRORS and signals.failures_in_row >= STUCK_ERRORS)


def is_small_talk(step: Step) -> bool:
    """Return whether a step is small talk: a first message that asks for nothing.

    Example:
        >>> from langroute.core.records import Signals
        >>> is_small_talk(Step("chat", signals=Signals(turn=1))), is_small_talk(Step("chat", signals=Signals(turn=2)))
        (True, False)
    """
    return step.kind == "chat" and step.signals.turn <= 1 and not step.signals.tool_results


class Judged(ShortRepr):
    """Send easy steps to the cheapest route, hard ones and those where a mistake is costly to the strongest, the rest to the middle.

    What a step looks like is told by the model that ships with langroute, from the system prompt, the request, the latest parts of the
    history, the answer's schema and the tools. A step kind that the caller states in the metadata (`langroute_step_kind`) goes first.

    Args:
        limit: Probability that a step needs a frontier model, below which it counts as easy. A lower one sends less down.
        side_only: Only calls beside the conversation go down: titles, summaries, classification, grading, rewriting, translation.

    Raises:
        ConfigurationError: The limit is no probability.

    Example:
        >>> from langroute.core.records import RouteInfo
        >>> routes = (RouteInfo("small", "cheap", 0), RouteInfo("large", "frontier", 1))
        >>> Judged().select(Request("Thanks a lot!", routes=routes), []).route
        'small'
    """

    ends_with_answer = True

    def __init__(self, limit: float = LIMIT, *, side_only: bool = False) -> None:
        if not 0 <= limit <= 1:
            raise ConfigurationError(f"limit is a probability from 0 to 1, not {limit!r}.")
        self.limit, self.side_only = limit, side_only
        self._chosen: dict[int, _Chosen] = {}

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select by what the step looks like; after a rejected answer, the next stronger route."""
        if attempts:
            return next_stronger(request, attempts)
        if is_stuck(request):
            return _selection(request, "frontier", "stuck: tool calls fail or repeat")
        if (kind := request.metadata.get("langroute_step_kind")) is not None:
            if kind in ("plan", "review"):
                return _selection(request, "frontier", f"the caller says: {kind}")
            if kind in BOUNDED_KINDS:
                return _selection(request, "cheap", f"the caller says: {kind}", verify=True)
        signals = request.step.signals
        if signals.images or signals.audio or signals.video or signals.files:
            return _selection(request, "balanced", "has media, which are not judged")
        found = judgement_of(request)
        if type(self) is not Judged:
            # A class that extends this one may read more of the request.
            return self._judged(request, found)
        # The judgement of messages that are sent again is the same object, and so are the routes.
        known, settings = self._chosen.get(id(found)), (request.default, self.limit, self.side_only)
        if known is not None and known[0] is found and known[1] is request.routes and known[2] == settings:
            return known[3]
        selection = self._judged(request, found)
        if len(self._chosen) >= MOST_CHOSEN:
            self._chosen.clear()
        self._chosen[id(found)] = (found, request.routes, settings, selection)
        return selection

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_chosen": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _chosen={})

    def _judged(self, request: Request, found: Judgement) -> Selection:
        said = f"{found.kind}, {found.hard:.2f} that it needs a frontier model, stakes {_level(found.stakes)}"
        if found.hard < self.limit and found.stakes < MOST_STAKES:
            side = found.kind in BOUNDED_KINDS
            if side or not self.side_only:
                return _selection(request, "cheap", f"looks easy: {said}", verify=side)
            return _selection(request, "frontier", f"looks easy, but is no call beside the conversation: {said}")
        if found.hard >= HARD or found.stakes >= HARD or self.side_only:
            return _selection(request, "frontier", f"looks hard: {said}")
        if found.stakes >= MOST_STAKES:
            return _selection(request, "frontier", f"a mistake may be costly: {said}")
        return _selection(request, "balanced", f"not surely easy: {said}")


class WholeTurns(Sticky):
    """Keep a turn on the route it began on; it goes up where it gets stuck, or where a step now looks hard, and stays there.

    A turn never goes down: that would lose the provider's prompt cache.
    """

    def before(self, request: Request, attempts: Sequence[Attempt]) -> tuple[bool, Selection | None]:
        """Return the turn's route, unless there is a stronger one and the step has become hard."""
        known, found = Sticky.before(self, request, attempts)
        if known and found is not None and request.routes[-1].name != found.route and _grown(request):
            return False, None
        return known, found


def _grown(request: Request) -> bool:
    """Return whether a step of a turn that went down no longer belongs there."""
    if is_stuck(request):
        return True
    found = judgement_of(request)
    return found.hard >= HARD or found.stakes >= HARD


def _level(stakes: float) -> str:
    return "high" if stakes >= HARD else "unclear" if stakes >= MOST_STAKES else "low"


def _selection(request: Request, name: str, reason: str, *, verify: bool = False) -> Selection:
    route = route_or_tier(name, request)
    if route is None:
        return Selection(request.default or name, f"{reason}; {name} cannot take this step")
    return Selection(route.name, reason, provisional=verify and bool(routes_above(request, route.name)))


__all__ = ["BOUNDED_KINDS", "HARD", "LIMIT", "MOST_STAKES", "Judged", "WholeTurns", "is_small_talk", "is_stuck"]
