"""Does a switch pay, given what the provider holds warm?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from cachetools import LRUCache, TTLCache

from langroute.habits import Habits, learned
from langroute.policies.base import Wrapper
from langroute.policies.default import is_stuck
from langroute.policies.sticky import SIDE_KINDS
from langroute.records import TIERS, Attempt, Decision, Request, RouteInfo, Selection, Step
from langroute.switching import Terms
from langroute.tab import Tab
from langroute.warmth import Prompt, Warmth


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a conversation stands: which route answered last, and after what."""

    route: str
    turn: int
    task: str | None
    messages: int
    link: int
    """Hash of the prompt that was answered: a prompt that does not go on from it is another conversation."""

    tokens: int
    at: float
    steps: int
    """Answers of the turn, this one included."""

    tab: Tab
    left: str | None = None
    """The route that was left last, as long as it may be come back to."""

    away: int = 0
    """Steps since it was left."""


class CacheAware(Wrapper):
    """Let a policy switch routes only where that pays, prompt caches counted.

    A switch to a route that is no stronger must save more, over the expected rest of the user's turn (and of the later turns that find it warm), than it costs: the history that
    the new route has to read cold, and the way back. A switch to a stronger route saves nothing; it is for quality. It is allowed at
    boundaries (a new user turn, task or conversation, a sub-agent's beginning) as far as the thread's own savings pay for it, and at any
    time where the agent is stuck or the policy is `firm`. What answers report of cached tokens corrects the picture, and how long turns
    are, how fast steps follow and how often a thread comes back is learned from the decisions. Steps beside the conversation (titles,
    summaries) go where the policy sends them.

    A selection's `switch_cost_usd` is what leaving the warm route costs.

    Args:
        policy: Says where a step should go.
        warmth: What providers hold warm; shared where several routers call the same routes.
        release: Called with a request; where it is true the policy has its way.
        margin: Share by which the saving has to exceed the cost of a switch.
        max_regret: A thread goes up at a boundary only while that leaves it no dearer, by more than this share, than the stronger route alone
            would have been: what it saved so far pays for reading the history cold.
        max_entries: How many conversations are remembered.
        ttl_seconds: How long one is remembered.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.records import Price
        >>> routes = (RouteInfo("haiku", "cheap", 0, price=Price(1, 5)), RouteInfo("opus", "frontier", 1, price=Price(5, 25)))
        >>> CacheAware(Fixed("haiku")).select(Request("Hi.", routes=routes), []).route
        'haiku'
    """

    def __init__(
        self,
        policy: Any,
        *,
        warmth: Warmth | None = None,
        release: Callable[[Request], bool] = is_stuck,
        margin: float = 0.1,
        max_regret: float = 0.02,
        max_entries: int = 10_000,
        ttl_seconds: float = 7200.0,
    ) -> None:
        super().__init__(policy)
        self.warmth = warmth or Warmth()
        self.release, self.margin, self.max_regret = release, margin, max_regret
        self._size, self._ttl = max_entries, ttl_seconds
        self._places: TTLCache[tuple[Any, ...], _Place] = TTLCache(max_entries, ttl_seconds, timer=self.warmth.clock)
        self._habits: LRUCache[tuple[Any, ...], Habits] = LRUCache(1000)
        self._asked: LRUCache[int, tuple[Step, Prompt, dict[str, RouteInfo]]] = LRUCache(1024)
        self._lock = Lock()

    # What a call costs -----------------------------------------------------------------------------------------------

    def effective_cost(self, route: RouteInfo, request: Request) -> float | None:
        """What a call of the route would be billed now in USD, and the expected way back; `None` where its price is unknown.

        Args:
            route: The route.
            request: The call.
        """
        prompt = self._prompt(request)
        place, habits = self._known(request.step)
        terms = self.warmth.terms(route, prompt)
        if terms is None:
            return None
        billed = terms.now(habits.output_tokens)
        current = request.route(place.route) if place is not None and place.route != route.name else None
        leaving = self.warmth.terms(current, prompt) if current is not None else None
        return billed if leaving is None else billed + self._way_back(leaving, request.step, habits)

    @staticmethod
    def _way_back(leaving: Terms, step: Step, habits: Habits) -> float:
        """USD that coming back to the present route is expected to cost, over staying on it."""
        if not leaving.warm:
            return 0.0
        pace = habits.pace(step.signals.turn_steps)
        away = pace.steps * habits.step_seconds
        # Where it forgets in the pause between two turns either way, leaving makes nothing worse.
        forgets = habits.pause_seconds < leaving.lives <= away + habits.pause_seconds
        # What the history grows by meanwhile has to be written then, for both routes.
        grown = pace.steps * pace.grows * leaving.rates.write
        return habits.back * (grown + (leaving.rates.cold(leaving.warm) if forgets else 0.0))

    # Choosing --------------------------------------------------------------------------------------------------------

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Keep the route of the conversation where a switch does not pay."""
        if attempts or selection is None or request.step.kind in SIDE_KINDS:
            return selection
        step = request.step
        prompt = self._prompt(request)
        with self._lock:
            self._asked[id(step)] = (step, prompt, {route.name: route for route in request.routes})
        place, habits = self._known(step)
        if place is None or place.route == selection.route:
            return selection
        current, wanted = request.route(place.route), request.route(selection.route)
        if current is None or wanted is None:
            return selection
        stay, go = self.warmth.terms(current, prompt), self.warmth.terms(wanted, prompt)
        if stay is not None and go is not None:
            loss = max(0.0, go.rates.cold(max(0, stay.warm - go.warm))) + self._way_back(stay, step, habits)
            switch = replace(selection, switch_cost_usd=loss)
        else:
            switch = selection
        if selection.firm:
            return switch
        if _stronger(wanted, current):
            if self.release(request):
                return switch
            why = self._why_not_up(place, request, prompt, wanted.name, go, habits)
        elif stay is None or go is None:
            return selection
        else:
            saved = self._saving(stay, go, step, habits)
            if saved > loss * (1 + self.margin):
                return switch
            why = f"stays: a switch to {wanted.name} costs {loss:.4f} USD and saves {saved:.4f}"
        if why is None:
            return switch
        return Selection(place.route, f"{why}; {selection.reason}", confidence=selection.confidence)

    def _why_not_up(
        self, place: _Place, request: Request, prompt: Prompt, name: str, go: Terms | None, habits: Habits
    ) -> str | None:
        """Why a conversation may not go up now; nothing is saved by it, so it is for quality, where that costs least."""
        step = request.step
        if place.turn == step.signals.turn and place.task == step.task and prompt.extends(place.link, place.messages):
            return "stays until the turn ends"
        alone = place.tab.alone(name, go, habits.output_tokens, at=self.warmth.clock()) if go is not None else 0.0
        if go is None or not alone:
            return None
        over = (place.tab.spent + go.now(habits.output_tokens)) / alone - 1
        if over <= self.max_regret:
            return None
        return f"stays: with {name} now, the thread would be {over:.0%} dearer than with it alone"

    @staticmethod
    def _saving(stay: Terms, go: Terms, step: Step, habits: Habits) -> float:
        """USD that the new route saves over the rest of the turn and in later ones, were it as warm as the present one."""
        pace = habits.pace(step.signals.turn_steps)
        saved = stay.run(pace) - go.run(pace, max(stay.warm, go.warm))
        if saved > 0 and habits.pause_seconds < go.lives:
            # What is read cold now is still warm when a later turn wants the same, and every second one may.
            saved *= 1 + 0.5 * habits.turns_left(step.signals.turn)
        return saved

    def _prompt(self, request: Request) -> Prompt:
        return self.warmth.prompt(request.messages, request.tools, request.step.signals.tokens)

    def _known(self, step: Step) -> tuple[_Place | None, Habits]:
        with self._lock:
            place = self._places.get((step.thread, step.agent, step.node)) if step.thread else None
            return place, self._habits.setdefault((step.agent, step.node), Habits())

    # Learning --------------------------------------------------------------------------------------------------------

    def on_decision(self, decision: Decision) -> None:
        """Take in what the answers say of cached tokens, and where the conversation stands now."""
        with self._lock:
            asked = self._asked.pop(id(decision.step), None)
        if asked is not None and asked[0] is decision.step:
            self._take(decision, asked[1], asked[2])
        super().on_decision(decision)

    def _take(self, decision: Decision, prompt: Prompt, routes: dict[str, RouteInfo]) -> None:
        now = self.warmth.clock()
        # Before the answers are taken in: what was warm when the call was made.
        terms = {name: found for name, route in routes.items() if (found := self.warmth.terms(route, prompt)) is not None}
        for attempt in decision.attempts:
            called = attempt.stored is None and attempt.cache not in ("hit", "semantic_hit")
            if attempt.usage is not None and called and (route := routes.get(attempt.route)) is not None:
                self.warmth.observe(route, prompt, attempt.usage, now)
        step, kept = decision.step, decision.kept
        if decision.route is None or kept is None or not step.thread or decision.route not in routes:
            return
        signals, key = step.signals, (step.thread, step.agent, step.node)
        with self._lock:
            habits = self._habits.setdefault((step.agent, step.node), Habits())
            before = self._places.get(key)
            left, away, tab = None, 0, Tab()
            if before is not None:
                self._compare(habits, before, decision, now)
                left, away = self._left(habits, before, decision)
                if prompt.extends(before.link, before.messages):
                    tab = before.tab
            else:
                habits.turn_began(signals.turn)
            output = kept.usage.output_tokens if kept.usage is not None else int(habits.output_tokens)
            tab.add(sum(attempt.cost_usd or 0.0 for attempt in decision.attempts), terms, output, at=now)
            habits.output_tokens = learned(habits.output_tokens, output)
            self._places[key] = _Place(
                decision.route,
                signals.turn,
                step.task,
                len(prompt.chain) - 1,
                prompt.chain[-1],
                signals.tokens,
                now,
                signals.turn_steps + 1,
                tab,
                left,
                away,
            )

    @staticmethod
    def _compare(habits: Habits, before: _Place, decision: Decision, now: float) -> None:
        signals = decision.step.signals
        grown = signals.tokens - before.tokens - habits.output_tokens
        if grown > 0:
            habits.input_tokens = learned(habits.input_tokens, grown)
        if signals.turn == before.turn:
            habits.step_seconds = learned(habits.step_seconds, now - before.at)
        elif signals.turn > before.turn:
            habits.pause_seconds = learned(habits.pause_seconds, now - before.at)
            habits.turn_ended(before.steps)
            habits.turn_began(signals.turn)

    @staticmethod
    def _left(habits: Habits, before: _Place, decision: Decision) -> tuple[str | None, int]:
        """The route that may be come back to, and the steps since it was left."""
        same_turn = decision.step.signals.turn == before.turn
        if before.left is not None:
            if decision.route == before.left:
                habits.came_back(before.away)
            elif not same_turn:
                habits.came_back(None)
        if decision.route != before.route:
            return before.route, 1
        return (before.left, before.away + 1) if same_turn else (None, 0)

    def __getstate__(self) -> dict[str, Any]:
        names = ("policy", "warmth", "release", "margin", "max_regret")
        return {**{name: getattr(self, name) for name in names}, "max_entries": self._size, "ttl_seconds": self._ttl}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state.pop("policy"), **state)  # type: ignore[misc]


def _stronger(one: RouteInfo, other: RouteInfo) -> bool:
    if one.tier != other.tier and one.tier in TIERS and other.tier in TIERS:
        return TIERS.index(one.tier) > TIERS.index(other.tier)
    return one.tier != other.tier and one.rank > other.rank
