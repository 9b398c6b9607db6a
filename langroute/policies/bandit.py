"""Which route next, when the outcomes of today shall teach the choices of tomorrow?"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from langroute.errors import ConfigurationError
from langroute.estimators.features import Floats, Ints
from langroute.estimators.store import Group
from langroute.failures import classify
from langroute.policies.learned import Learned
from langroute.records import Attempt, Decision, Outcome, Request, Selection

DRAWS = 64
"""Samples of what may be true, drawn for each decision that explores; they give its propensities too."""


@dataclass(frozen=True, slots=True)
class Explored(Selection):
    """A selection that remembers what was known when it was made, for when its outcome comes."""

    context: tuple[float, ...] = ()


@dataclass(slots=True)
class _Belief:
    """What is believed of one route: a Gaussian over the weights of its context."""

    precision: Floats
    moment: Floats
    prior_precision: Floats
    prior_moment: Floats
    cost: float = 0.0
    calls: float = 0.0

    def learn(self, context: Floats, score: float, memory: float) -> None:
        """Take an outcome in; earlier ones fade back towards where it all began."""
        fade = 1 - memory
        self.precision = memory * self.precision + fade * self.prior_precision + np.outer(context, context) * PRECISION
        self.moment = memory * self.moment + fade * self.prior_moment + context * score * PRECISION

    def paid(self, cost_usd: float) -> None:
        """Take a cost in; the latest hundred or so count."""
        self.calls = min(self.calls + 1, 100)
        self.cost += (cost_usd - self.cost) / self.calls


PRECISION = 4.0
"""Of one outcome: scores scatter by at most a half."""


class Bandit:
    """Thompson sampling over routes, on what a fitted estimator expects of each; it learns from explicit outcomes.

    A decision explores with probability `explore`, and then only among routes whose expected success is not below `floor`; otherwise
    it takes what looks best. The propensity of every choice is in the selection, so that `langroute replay --estimator` can judge other
    policies by the log. Outcomes may come late; decisions without one teach only what they cost.

    Source: Thompson (1933); Agrawal and Goyal, Thompson Sampling for Contextual Bandits with Linear Payoffs (2013); Garivier and
    Moulines, On Upper-Confidence Bound Policies for Switching Bandit Problems (2011), for forgetting.

    Args:
        routes: Names of routes to choose among.
        group: Fitted routes to start from; without it every route starts equal.
        cost_weight: Worth of one USD in probability of success.
        explore: Largest share of decisions that explore.
        floor: Least expected success of a route that is explored.
        memory: How much of earlier outcomes is kept at each new one; 1 forgets nothing.
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
        if not routes or isinstance(routes, str):
            raise ConfigurationError("Give a bandit the names of its routes as a list.")
        if not 0 <= explore <= 1 or not 0 <= floor <= 1 or not 0 < memory <= 1 or not cost_weight >= 0:
            raise ConfigurationError("explore and floor are shares, memory is above 0 and at most 1, cost_weight is not negative.")
        self.routes, self.group = tuple(routes), group
        self.cost_weight, self.explore, self.floor, self.memory = cost_weight, explore, floor, memory
        self._learned = Learned(group, tolerance=0.0) if group is not None else None
        self.version = ""
        # With an estimator its word is trusted like some forty outcomes; without, a coin's toss is the guess.
        start, trust = (np.array([0.0, 1.0]), 40.0) if group is not None else (np.array([0.5, 0.0]), 4.0)
        self._beliefs = {name: _Belief(np.eye(2) * trust, start * trust, np.eye(2) * trust, start * trust) for name in self.routes}
        self._open: OrderedDict[str, tuple[str, tuple[float, ...]]] = OrderedDict()
        self._random = np.random.default_rng(seed)
        self._lock = threading.Lock()

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
            means, draws = self._worths(there, contexts)
            best = int(means.argmax())
            allowed = self._allowed(there, contexts, best)
            shares = np.bincount(allowed[draws[:, allowed].argmax(1)], minlength=len(there)) / DRAWS
            chances = self.explore * shares
            chances[best] += 1 - self.explore
            choice = int(self._random.choice(len(there), p=chances / chances.sum()))
        context = tuple(float(value) for value in contexts[choice])
        reason = "looks best" if choice == best else "explores"
        return Explored(there[choice], reason, float(chances[choice]), context=context)

    def _contexts(self, request: Request, names: Sequence[str]) -> Floats:
        if self._learned is None:
            return np.column_stack([np.ones(len(names)), np.zeros(len(names))])
        known = self._learned.group.routes
        success = self._learned.estimate(request).success[0]
        guesses = [success[known.index(name)] if name in known else success.mean() for name in names]
        return np.column_stack([np.ones(len(names)), guesses])

    def _worths(self, names: Sequence[str], contexts: Floats) -> tuple[Floats, Floats]:
        """Expected success less the worth of the cost, and draws of the same, `(routes,)` and `(draws, routes)`."""
        means, draws = np.empty(len(names)), np.empty((DRAWS, len(names)))
        for place, name in enumerate(names):
            belief = self._beliefs[name]
            covariance = np.linalg.inv(belief.precision)
            weights, context = covariance @ belief.moment, contexts[place]
            means[place] = weights @ context - self.cost_weight * belief.cost
            spread = np.sqrt(max(float(context @ covariance @ context), 0.0))
            draws[:, place] = means[place] + spread * self._random.standard_normal(DRAWS)
        return means, draws

    def _allowed(self, names: Sequence[str], contexts: Floats, best: int) -> Ints:
        good = []
        for place, name in enumerate(names):
            belief = self._beliefs[name]
            success = float(np.linalg.solve(belief.precision, belief.moment) @ contexts[place])
            if place == best or success >= self.floor:
                good.append(place)
        return np.array(good)

    def on_decision(self, decision: Decision) -> None:
        """Learn what calls cost, and remember what was known until the outcome comes."""
        with self._lock:
            for attempt in decision.attempts:
                if attempt.route in self._beliefs and attempt.cost_usd is not None and attempt.ok:
                    self._beliefs[attempt.route].paid(attempt.cost_usd)
            kept = next((attempt for attempt in reversed(decision.attempts) if attempt.route == decision.route), None)
            if kept is not None and isinstance(kept.selection, Explored):
                self._open[decision.id] = (kept.route, kept.selection.context)
                while len(self._open) > 50_000:
                    self._open.popitem(last=False)

    def on_outcome(self, outcome: Outcome) -> None:
        """Learn from an outcome that somebody told; once for each decision."""
        score = float(outcome.success) if outcome.success is not None else outcome.score
        if outcome.decision_id is None or score is None or not 0 <= score <= 1:
            return
        with self._lock:
            known = self._open.pop(outcome.decision_id, None)
            if known is not None:
                self._beliefs[known[0]].learn(np.array(known[1]), score, self.memory)

    def beliefs(self) -> Mapping[str, tuple[float, float]]:
        """For whoever looks: each route's weights, of the constant and of the estimator's guess."""
        with self._lock:
            found = {name: np.linalg.solve(one.precision, one.moment) for name, one in self._beliefs.items()}
        return {name: (float(weights[0]), float(weights[1])) for name, weights in found.items()}


def _elsewhere(attempt: Attempt) -> bool:
    return attempt.error is None or (attempt.failure or classify(attempt.error)).retry_elsewhere
