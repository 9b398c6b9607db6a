"""Which route next, when the outcomes of today shall teach the choices of tomorrow?"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from langroute.arguments import check_number
from langroute.errors import ConfigurationError, DuplicateRouteError
from langroute.estimators.features import Floats, Ints
from langroute.estimators.store import Group
from langroute.failures import classify
from langroute.policies.base import MayAwait, awaits, reward_of
from langroute.policies.learned import Learned
from langroute.records import Attempt, Decision, Outcome, Request, RouteInfo, Selection

DRAWS = 64
"""Samples of what may be true, drawn for each decision that explores; they give its propensities too."""

EVENLY = 0.3
"""This share of the exploring goes to all routes alike. It notices a route that got better, and it gives every route a propensity: by
draws alone a route may have none, and its requests would be missing from an off-policy estimate."""

PRECISION = 4.0
"""Of one outcome: scores scatter by at most a half."""

PAID = 30
"""Calls whose cost counts: the latest."""

OPEN = 50_000
"""Decisions that are remembered until their outcome comes."""


@dataclass(frozen=True, slots=True)
class Explored(Selection):
    """A selection that remembers what was known when it was made, for when its outcome comes."""

    context: tuple[float, ...] = ()
    """A constant 1, the estimated success, and the estimated cost."""


class Bandit(MayAwait):
    """Thompson sampling over routes, on what a fitted estimator expects of each; it learns from explicit outcomes.

    A decision explores with probability `explore`; otherwise it takes what looks best. Routes whose expected success is below `floor`
    are not chosen, unless all are: then the likeliest to succeed is. The propensity of every choice is in the selection, so that
    `langroute replay --estimator` can judge other policies by the log. Outcomes may come late, of a decision or of its whole task;
    decisions without one teach only what they cost. Where a run shall be deterministic, nothing is explored.

    Source: Thompson (1933); Agrawal and Goyal, Thompson Sampling for Contextual Bandits with Linear Payoffs (2013); Garivier and
    Moulines, On Upper-Confidence Bound Policies for Switching Bandit Problems (2011), for forgetting.

    Args:
        routes: Names of routes to choose among.
        group: Fitted routes to start from; without it every route starts equal.
        cost_weight: Worth of one USD in probability of success.
        explore: Largest share of decisions that explore.
        floor: Least expected success of a route that is chosen.
        memory: How much of earlier outcomes, of all routes, is kept at each new one; 1 forgets nothing.
        seed: Of the random choices.

    Example:
        >>> policy = Bandit(["small", "large"], cost_weight=0.0, explore=0.0)
        >>> policy.select(Request("Hi.", routes=()), ()).propensity
        1.0
    """

    name = "Bandit"

    def __init__(
        self,
        routes: Sequence[str],
        *,
        group: Group | None = None,
        cost_weight: float,
        explore: float = 0.1,
        floor: float = 0.0,
        memory: float = 0.995,
        seed: int = 0,
    ) -> None:
        if isinstance(routes, str) or not isinstance(routes, Iterable):
            raise ConfigurationError("Give a bandit the names of its routes as a list.")
        self.routes, self.group = tuple(routes), group
        if not self.routes or not all(isinstance(name, str) and name for name in self.routes):
            raise ConfigurationError(f"Give a bandit the names of its routes as a list, not {routes!r}.")
        if twice := [name for name in self.routes if self.routes.count(name) > 1]:
            raise DuplicateRouteError(twice[0])
        check_number("cost_weight", cost_weight, least=0)
        check_number("explore", explore, least=0, most=1)
        check_number("floor", floor, least=0, most=1)
        check_number("memory", memory, above=0, most=1)
        check_number("seed", seed, least=0, whole=True)
        self.cost_weight, self.explore, self.floor, self.memory = cost_weight, explore, floor, memory
        self._learned = Learned(group, tolerance=0.0) if group is not None else None
        self._infos = () if group is None else tuple(RouteInfo(name, price=price) for name, price in group.prices.items())
        self.version = ""
        # With an estimator its word is trusted like some forty outcomes; without, a coin's toss is the guess.
        start, trust = (np.array([0.0, 1.0]), 40.0) if group is not None else (np.array([0.5, 0.0]), 4.0)
        self._place = {name: place for place, name in enumerate(self.routes)}
        count = len(self.routes)
        # What is believed of each route: a Gaussian over the weights of its context, `(routes, 2, 2)` and `(routes, 2)`.
        self._start = np.broadcast_to(np.eye(2) * trust, (count, 2, 2)), np.broadcast_to(start * trust, (count, 2))
        self._precision, self._moment = self._start[0].copy(), self._start[1].copy()
        # What a call costs, as a multiple of the estimate; of one USD where there is none.
        known = group.routes if group is not None else ()
        self._level, self._calls = np.array([float(name in known) for name in self.routes]), np.zeros(count)
        self._open: OrderedDict[str, tuple[int, tuple[float, ...]]] = OrderedDict()
        self._tasks: OrderedDict[str, list[str]] = OrderedDict()
        self._random = np.random.default_rng(seed)
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            kept = {key: value for key, value in self.__dict__.items() if key != "_lock"}
            return kept | {"_open": self._open.copy(), "_tasks": self._tasks.copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def _must_await(self) -> bool:
        return awaits(self._learned)

    def routes_named(self) -> Iterable[str]:
        """Routes that may be selected."""
        return self.routes

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select a route; another one where it failed."""
        if attempts and (attempts[-1].ok or not _elsewhere(attempts[-1])):
            return None
        tried = {attempt.route for attempt in attempts}
        there = [name for name in self.routes if name not in tried and (not request.routes or request.route(name) is not None)]
        if not there:
            return (
                None
                if attempts
                else Selection(request.default or request.route_names[-1], "none of the bandit's routes is eligible")
            )
        contexts = self._contexts(request, there)
        with self._lock:
            best, chances = self._chances(np.array([self._place[name] for name in there]), contexts)
            if request.deterministic:
                chances = np.eye(len(there))[best]
            choice = int(self._random.choice(len(there), p=chances))
        context = tuple(contexts[choice].tolist())
        reason = "looks best" if choice == best else "explores"
        return Explored(there[choice], reason, float(chances[choice]), context=context)

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        if self._learned is not None and not attempts:
            await self._learned.prepare(request)
        return self.select(request, attempts)

    def _contexts(self, request: Request, names: Sequence[str]) -> Floats:
        """`(routes, 3)`: see `Explored.context`."""
        found = np.column_stack([np.ones(len(names)), np.zeros(len(names)), np.ones(len(names))])
        if self._learned is None:
            return found
        estimate = self._learned.estimate(request)
        costs = self._learned.costs(estimate, request.routes or self._infos)[0]
        known = self._learned.group.routes
        for row, name in enumerate(names):
            place = known.index(name) if name in known else -1
            # A route that was not fitted is taken for an average one.
            found[row, 1] = estimate.success[0].mean() if place < 0 else estimate.success[0, place]
            if place >= 0:
                found[row, 2] = costs[place]
        return found

    def _chances(self, places: Ints, contexts: Floats) -> tuple[int, Floats]:
        """What looks best, and with which probability each route is chosen, `(routes,)`."""
        covariance = np.linalg.inv(self._precision[places])
        weights = (covariance @ self._moment[places, :, None])[:, :, 0]
        seen = contexts[:, :2]
        success = (weights * seen).sum(1)
        worth = success - self.cost_weight * self._level[places] * contexts[:, 2]
        good = np.flatnonzero(success >= self.floor)
        if not len(good):
            good = success.argmax()[None]
        best = int(good[worth[good].argmax()])
        chances = np.zeros(len(places))
        if self.explore and len(good) > 1:
            spread = np.sqrt(np.maximum(np.einsum("ri,rij,rj->r", seen, covariance, seen), 0.0))
            draws = worth[good] + spread[good] * self._random.standard_normal((DRAWS, len(good)))
            drawn = np.bincount(draws.argmax(1), minlength=len(good)) / DRAWS
            chances[good] = self.explore * ((1 - EVENLY) * drawn + EVENLY / len(good))
        chances[best] = 0.0
        chances[best] = 1 - chances.sum()
        return best, chances

    def on_decision(self, decision: Decision) -> None:
        """Learn what calls cost, and remember what was known until the outcome comes."""
        with self._lock:
            for attempt in decision.attempts:
                if attempt.route in self._place and attempt.cost_usd is not None and attempt.ok:
                    selection = attempt.selection
                    expected = selection.context[2] if isinstance(selection, Explored) and selection.context else 1.0
                    self._paid(self._place[attempt.route], attempt.cost_usd, expected)
            kept = next((attempt for attempt in reversed(decision.attempts) if attempt.route == decision.route), None)
            if kept is not None and isinstance(kept.selection, Explored) and kept.route in self._place:
                self._open[decision.id] = (self._place[kept.route], kept.selection.context)
                if decision.step.task is not None:
                    self._tasks.setdefault(decision.step.task, []).append(decision.id)
                for memory in (self._open, self._tasks):
                    while len(memory) > OPEN:
                        memory.popitem(last=False)

    def _paid(self, place: int, cost_usd: float, expected: float) -> None:
        if expected > 0:
            self._calls[place] = min(self._calls[place] + 1, PAID)
            self._level[place] += (cost_usd / expected - self._level[place]) / self._calls[place]

    def on_outcome(self, outcome: Outcome) -> None:
        """Learn from an outcome that somebody told; once for each decision."""
        score = reward_of(outcome)
        if score is None:
            return
        with self._lock:
            told = [outcome.decision_id] if outcome.decision_id is not None else self._tasks.pop(outcome.task_id or "", [])
            for decision in told:
                known = self._open.pop(decision, None)
                if known is not None:
                    self._learn(known[0], np.array(known[1][:2]), score)

    def _learn(self, place: int, context: Floats, score: float) -> None:
        """Take an outcome in; earlier ones, of all routes, fade back towards where it all began."""
        for belief, start in zip((self._precision, self._moment), self._start, strict=True):
            belief *= self.memory
            belief += (1 - self.memory) * start
        self._precision[place] += np.outer(context, context) * PRECISION
        self._moment[place] += context * score * PRECISION

    def beliefs(self) -> Mapping[str, tuple[float, float]]:
        """For whoever looks: each route's weights, of the constant and of the estimator's guess."""
        with self._lock:
            found = np.linalg.solve(self._precision, self._moment[:, :, None])[:, :, 0].tolist()
        return {name: (weights[0], weights[1]) for name, weights in zip(self.routes, found, strict=True)}


def _elsewhere(attempt: Attempt) -> bool:
    return attempt.error is None or (attempt.failure or classify(attempt.error)).retry_elsewhere
