"""Policy wrapper that switches routes only where the saving exceeds the cost of a cold prompt cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cachetools import LRUCache, TTLCache

from langroute.core.locks import new_lock
from langroute.core.records import TIERS, Attempt, Decision, Request, RouteInfo, Selection, Step
from langroute.policies.base import Wrapper
from langroute.policies.conversation import Standing, latest_of, recalled
from langroute.policies.judged import is_stuck
from langroute.policies.sticky import SIDE_KINDS
from langroute.policies.thread_memory import thread_key
from langroute.prompt_cache.state import Prompt, PromptCacheState
from langroute.prompt_cache.switch_cost import PromptCost
from langroute.prompt_cache.thread_spend import ThreadSpend
from langroute.prompt_cache.turn_statistics import TurnStatistics, learned


class CacheAware(Wrapper):
    """Allow the inner policy's switch of routes only where it pays, the cost of prompt caches included.

    A switch to a route that is no stronger must save more than it costs. The saving counts over the expected rest of the user's turn, and
    over later turns that find the new route's cache warm. The cost is the history that the new route has to read cold, and the expected
    return to the old route. A switch to a stronger route saves nothing; it is for quality. It is allowed at boundaries (a new user turn,
    task or conversation, the start of a sub-agent) as far as the thread's own savings pay for it, and at any time where the agent is
    stuck or the selection has `override_wrappers`. The estimate of what is cached is corrected by the cached tokens that answers report.
    The length of turns, the time between steps and the frequency of returns are learned from the decisions. Side steps (titles, summaries)
    go where the inner policy sends them.

    A selection's `switch_cost_usd` is the expected cost of leaving the warm route.

    Args:
        policy: The inner policy, which selects the preferred route of a step.
        prompt_cache: State of the providers' prompt caches; shared where several routers call the same routes.
        unstick_when: Called with a request; where it returns true, a switch to a stronger route is always allowed.
        margin: Share by which the saving has to exceed the cost of a switch.
        max_regret: Most by which a thread that switches to a stronger route at a boundary may be dearer than it would have been with the
            stronger route alone, as a share of the latter.
        max_entries: Most conversations that are remembered.
        ttl_seconds: Seconds for which a conversation is remembered.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.core.records import Price
        >>> routes = (RouteInfo("haiku", "cheap", 0, price=Price(1, 5)), RouteInfo("opus", "frontier", 1, price=Price(5, 25)))
        >>> CacheAware(Fixed("haiku")).select(Request("Hi.", routes=routes), []).route
        'haiku'
    """

    def __init__(
        self,
        policy: Any,
        *,
        prompt_cache: PromptCacheState | None = None,
        unstick_when: Callable[[Request], bool] = is_stuck,
        margin: float = 0.1,
        max_regret: float = 0.02,
        max_entries: int = 10_000,
        ttl_seconds: float = 7200.0,
    ) -> None:
        super().__init__(policy)
        self.prompt_cache = prompt_cache or PromptCacheState()
        self.unstick_when, self.margin, self.max_regret = unstick_when, margin, max_regret
        self._size, self._ttl = max_entries, ttl_seconds
        self._places: TTLCache[tuple[Any, ...], Standing] = TTLCache(max_entries, ttl_seconds, timer=self.prompt_cache.clock)
        self._habits: LRUCache[tuple[Any, ...], TurnStatistics] = LRUCache(1000)
        self._asked: LRUCache[int, tuple[Step, Prompt, dict[str, RouteInfo], Standing | None]] = LRUCache(1024)
        self._lock = new_lock()

    # What a call costs -----------------------------------------------------------------------------------------------

    def effective_cost(self, route: RouteInfo, request: Request) -> float | None:
        """Return the expected cost in USD of a call of the route now, the expected return included; `None` where its price is unknown.

        Args:
            route: The route.
            request: The call.
        """
        prompt = self._prompt(request)
        place, habits = self._known(request, prompt)
        terms = self.prompt_cache.terms(route, prompt)
        if terms is None:
            return None
        billed = terms.now(habits.output_tokens)
        current = request.route(place.route) if place is not None and place.route != route.name else None
        leaving = self.prompt_cache.terms(current, prompt) if current is not None else None
        return billed if leaving is None else billed + self._way_back(leaving, request.step, habits)

    @staticmethod
    def _way_back(leaving: PromptCost, step: Step, habits: TurnStatistics) -> float:
        """Return the expected cost in USD of returning to the present route later, compared with staying on it."""
        if not leaving.warm:
            return 0.0
        pace = habits.pace(step.signals.turn_steps)
        away = pace.steps * habits.step_seconds
        # A cache that expires in the pause between two turns anyway is not lost by leaving.
        forgets = habits.pause_seconds < leaving.lives <= away + habits.pause_seconds
        # The history that is added meanwhile has to be written to the cache on return, whether or not it expired.
        grown = pace.steps * pace.grows * leaving.rates.write
        return habits.back * (grown + (leaving.rates.cold(leaving.warm) if forgets else 0.0))

    # Choosing --------------------------------------------------------------------------------------------------------

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Return the inner policy's selection where the switch pays, else one of the conversation's present route."""
        if attempts or selection is None or request.step.kind in SIDE_KINDS:
            return selection
        step = request.step
        prompt = self._prompt(request)
        place, habits = self._known(request, prompt)
        with self._lock:
            self._asked[id(step)] = (step, prompt, {route.name: route for route in request.routes}, place)
        if place is None or place.route == selection.route:
            return selection
        current, wanted = request.route(place.route), request.route(selection.route)
        if current is None or wanted is None:
            return selection
        stay, go = self.prompt_cache.terms(current, prompt), self.prompt_cache.terms(wanted, prompt)
        if stay is not None and go is not None:
            loss = max(0.0, go.rates.cold(max(0, stay.warm - go.warm))) + self._way_back(stay, step, habits)
            switch = replace(selection, switch_cost_usd=loss)
        else:
            switch = selection
        upward = _stronger(wanted, current)
        if selection.override_wrappers or (upward and self.unstick_when(request)):
            return switch
        if upward:
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
        return Selection(place.route, f"{why}; {selection.reason}", confidence=selection.confidence, memory=selection.memory)

    def _why_not_up(
        self, place: Standing, request: Request, prompt: Prompt, name: str, go: PromptCost | None, habits: TurnStatistics
    ) -> str | None:
        """Return the reason why a conversation may not switch to the stronger route now, or `None` where it may.

        Such a switch saves nothing and is for quality, so it is made where it costs least: at boundaries.
        """
        step = request.step
        if place.turn == step.signals.turn and place.task == step.task and prompt.extends(place.link, place.messages):
            return "stays until the turn ends"
        alone = place.tab.alone(name, go, habits.output_tokens, at=self.prompt_cache.clock()) if go is not None else 0.0
        if go is None or not alone:
            return None
        over = (place.tab.spent + go.now(habits.output_tokens)) / alone - 1
        if over <= self.max_regret:
            return None
        return f"stays: with {name} now, the thread would be {over:.0%} dearer than with it alone"

    @staticmethod
    def _saving(stay: PromptCost, go: PromptCost, step: Step, habits: TurnStatistics) -> float:
        """Return the USD that the new route would save over the rest of this turn and later ones if its cache were as warm as the present one's."""
        pace = habits.pace(step.signals.turn_steps)
        saved = stay.run(pace) - go.run(pace, max(stay.warm, go.warm))
        if saved > 0 and habits.pause_seconds < go.lives:
            # What is read cold now is still warm for later turns; half of them are assumed to want the same route.
            saved *= 1 + 0.5 * habits.turns_left(step.signals.turn)
        return saved

    def _prompt(self, request: Request) -> Prompt:
        return self.prompt_cache.prompt(request.messages, request.tools, request.step.signals.tokens)

    @staticmethod
    def _key(step: Step, *, past: bool) -> tuple[Any, ...] | None:
        """Return what a conversation is remembered by; without an id of its own, it is told apart by all its messages."""
        thread = thread_key(step, past=past) if step.thread else None
        return None if thread is None else (thread, step.agent, step.node)

    def _known(self, request: Request, prompt: Prompt) -> tuple[Standing | None, TurnStatistics]:
        """Return where a conversation stands, and the statistics of its agent."""
        step = request.step
        with self._lock:
            key = self._key(step, past=True)
            place = self._places.get(key) if key is not None else None
            habits = self._habits.setdefault((step.agent, step.node), TurnStatistics())
        latest = latest_of(request)
        if latest is not None and (place is None or place.decision != latest.id):
            # Another process answered last, or the conversation goes on from an earlier place.
            place = recalled(request, prompt, self.prompt_cache)
        return place, habits

    # Learning --------------------------------------------------------------------------------------------------------

    def on_decision(self, decision: Decision) -> None:
        """Update the prompt-cache state, the conversation's state and the turn statistics from a decision."""
        with self._lock:
            asked = self._asked.pop(id(decision.step), None)
        if asked is not None and asked[0] is decision.step:
            self._take(decision, *asked[1:])
        super().on_decision(decision)

    def _take(self, decision: Decision, prompt: Prompt, routes: dict[str, RouteInfo], before: Standing | None) -> None:
        now = self.prompt_cache.clock()
        # Before the answers are observed, so that these terms describe the cache as it was when the call was made.
        terms = {name: found for name, route in routes.items() if (found := self.prompt_cache.terms(route, prompt)) is not None}
        for attempt in decision.attempts:
            called = attempt.stored is None and attempt.cache not in ("hit", "semantic_hit")
            if attempt.usage is not None and called and (route := routes.get(attempt.route)) is not None:
                self.prompt_cache.observe(route, prompt, attempt.usage, now)
        step, kept = decision.step, decision.kept
        if decision.route is None or kept is None or not step.thread or decision.route not in routes:
            return
        signals, key = step.signals, self._key(step, past=False)
        if key is None:
            return
        with self._lock:
            habits = self._habits.setdefault((step.agent, step.node), TurnStatistics())
            left, away, tab = None, 0, ThreadSpend()
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
            self._places[key] = Standing(
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
                decision.id,
            )

    @staticmethod
    def _compare(habits: TurnStatistics, before: Standing, decision: Decision, now: float) -> None:
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
    def _left(habits: TurnStatistics, before: Standing, decision: Decision) -> tuple[str | None, int]:
        """Return the route that was left last, where a return to it is possible, and the steps since; records returns."""
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
        names = ("policy", "prompt_cache", "unstick_when", "margin", "max_regret")
        return {**{name: getattr(self, name) for name in names}, "max_entries": self._size, "ttl_seconds": self._ttl}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state.pop("policy"), **state)  # type: ignore[misc]


def _stronger(one: RouteInfo, other: RouteInfo) -> bool:
    if one.tier != other.tier and one.tier in TIERS and other.tier in TIERS:
        return TIERS.index(one.tier) > TIERS.index(other.tier)
    return one.tier != other.tier and one.rank > other.rank
