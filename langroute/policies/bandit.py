"""Contextual bandit: Thompson sampling over routes, updated online from outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from langroute.core.errors import ConfigurationError, DuplicateRouteError
from langroute.core.locks import at_fork, new_lock
from langroute.core.number_checks import check_number
from langroute.core.records import Attempt, Decision, Outcome, Request, RouteInfo, Selection
from langroute.estimators.arrays import Floats, Ints
from langroute.estimators.store import Group
from langroute.ledger.listening import listen
from langroute.policies.bandit_beliefs import BanditFold
from langroute.policies.base import MayAwait, awaits, reward_of
from langroute.policies.learned import Learned
from langroute.policies.outcome_keys import decision_key, task_key
from langroute.providers.failures import classify
from langroute.state.local import digest, mark_of
from langroute.state.resolve import begin_state, moved_to

DRAWS = 64
"""Posterior samples drawn for each decision that explores; the propensities are estimated from the same samples."""

EVENLY = 0.3
"""Share of the exploration that is uniform over the routes. It detects a route that improved, and gives every route a propensity above 0:
with posterior samples alone a route may have none, and its requests would be missing from an off-policy estimate."""


@dataclass(frozen=True, slots=True)
class Explored(Selection):
    """A selection with the context it was made in, which is needed when its outcome arrives."""

    context: tuple[float, ...] = ()
    """A constant 1, the estimated success, and the estimated cost."""


class Bandit(MayAwait):
    """Select routes by Thompson sampling, with a fitted estimator's predictions as context; learns from explicit outcomes.

    A decision explores with probability `explore`; otherwise it takes the route with the highest expected worth. Routes whose expected
    success is below `floor` are not chosen, unless all are: then the likeliest to succeed is. The selection records the propensity of
    the choice, so that `langroute replay --estimator` can evaluate other policies on the log. Outcomes may arrive late, for a decision
    or for its whole task; from a decision without an outcome only its cost is learned. A deterministic request is never explored.

    Workers of a service that share a ledger which lasts learn together, and what they learned outlives them: what one of them is told counts
    for all about a second later. Bandits are the same where their routes and arguments are; name those apart that are not (`id`).

    Source: Thompson (1933); Agrawal and Goyal, Thompson Sampling for Contextual Bandits with Linear Payoffs (2013); Garivier and
    Moulines, On Upper-Confidence Bound Policies for Switching Bandit Problems (2011), for forgetting.

    Args:
        routes: Names of routes to choose among.
        group: Fitted routes to start from; without it every route starts equal.
        cost_weight: Worth of one USD in probability of success.
        explore: Largest share of decisions that explore.
        floor: Least expected success of a route that is chosen.
        memory: Discount factor applied to earlier outcomes, of all routes, at each new one; 1 forgets nothing.
        seed: Seed of the random choices.
        store: Where the beliefs are: a `StateStore`, or the address of one (`redis://…`, `postgresql://…`, a file); where nothing is given,
            the database of the router's ledger if that lasts, else this process.
        id: Name of the bandit. A new one begins anew.

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
        store: Any = None,
        id: str | None = None,
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
        # The prior: an estimator's prediction counts like some forty outcomes; without one, the guess is a success rate of a half.
        start, trust = ((0.0, 1.0), 40.0) if group is not None else ((0.5, 0.0), 4.0)
        known = group.routes if group is not None else ()
        # The mean cost of a call is a multiple of the estimated cost; in USD where there is no estimate.
        begin = {name: [[trust, 0.0, trust], [weight * trust for weight in start], float(name in known), 0] for name in self.routes}
        self.id = id
        made = digest(repr((self.routes, cost_weight, floor, memory, begin)))
        self._fold = BanditFold(begin, memory)
        self._state = begin_state(f"bandit:{id or made}", self._fold, store)
        self._arrays: tuple[int, Floats, Floats, Floats] | None = None
        self._heard: Outcome | None = None
        self._ledger: Any = None
        self._random = np.random.default_rng(seed)
        self._lock = new_lock()
        at_fork(self, in_child=Bandit._draw_anew)

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return {key: value for key, value in self.__dict__.items() if key != "_lock"} | {"_ledger": None, "_heard": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=new_lock())
        at_fork(self, in_child=Bandit._draw_anew)

    def _draw_anew(self) -> None:
        # Forked children would all draw the same random numbers, and the logged propensities would be wrong.
        self._random = np.random.default_rng()

    def use_ledger(self, ledger: Any) -> None:
        """Keep the beliefs in the ledger's database, unless they are elsewhere already, and hear the outcomes that it is told."""
        listen(ledger, self.on_outcome)
        self._ledger, self._state = ledger, moved_to(ledger, self._state)

    def close(self) -> None:
        """Write what other workers do not know yet."""
        self._state.close()

    def restart(self) -> None:
        """Forget what was learned, for all workers."""
        self._state.now()
        self._state.replace({})

    def _must_await(self) -> bool:
        return awaits(self._learned)

    def routes_named(self) -> Iterable[str]:
        """Return the names of the routes that may be selected."""
        return self.routes

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select a route; after a failed attempt, another one."""
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
            best, chances = self._chances(np.array([self.routes.index(name) for name in there]), contexts)
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
        """Return the context of each route, `(routes, 3)`; see `Explored.context`."""
        found = np.column_stack([np.ones(len(names)), np.zeros(len(names)), np.ones(len(names))])
        if self._learned is None:
            return found
        estimate = self._learned.estimate(request)
        costs = self._learned.costs(estimate, request.routes or self._infos)[0]
        known = self._learned.group.routes
        for row, name in enumerate(names):
            place = known.index(name) if name in known else -1
            # A route that was not fitted gets the average success of those that were.
            found[row, 1] = estimate.success[0].mean() if place < 0 else estimate.success[0, place]
            if place >= 0:
                found[row, 2] = costs[place]
        return found

    def _chances(self, places: Ints, contexts: Floats) -> tuple[int, Floats]:
        """Return the index of the best route, and the probability with which each is chosen, `(routes,)`."""
        precision, moment, level = self._believed()
        covariance = np.linalg.inv(precision[places])
        weights = (covariance @ moment[places, :, None])[:, :, 0]
        seen = contexts[:, :2]
        success = (weights * seen).sum(1)
        worth = success - self.cost_weight * level[places] * contexts[:, 2]
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

    def _believed(self) -> tuple[Floats, Floats, Floats]:
        """Return the precision `(routes, 2, 2)` and the moment `(routes, 2)` of each route's posterior, and the mean cost of its calls."""
        document, changes = self._state.document(), self._state.changes
        if self._arrays is None or self._arrays[0] != changes:
            rows = list(self._fold.beliefs(document).values())
            precision = np.array([[[a, b], [b, c]] for (a, b, c), *_ in rows])
            self._arrays = changes, precision, np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
        return self._arrays[1:]

    def on_decision(self, decision: Decision) -> None:
        """Update the mean cost of the called routes, and keep the context of the decision until its outcome arrives."""
        paid = []
        for attempt in decision.attempts:
            if attempt.route in self._fold.start and attempt.cost_usd is not None and attempt.ok:
                selection = attempt.selection
                expected = selection.context[2] if isinstance(selection, Explored) and selection.context else 1.0
                paid.append((attempt.route, attempt.cost_usd, expected))
        kept = next((attempt for attempt in reversed(decision.attempts) if attempt.route == decision.route), None)
        explored = kept.selection if kept is not None and isinstance(kept.selection, Explored) else None
        if not paid and explored is None:
            return
        task = "" if decision.step.task is None else task_key(self._ledger, decision.step.task)
        route = kept.route if kept is not None and explored is not None else ""
        context = list(explored.context[:2]) if explored is not None else []
        self._state.tell(("decided", decision_key(decision.id), task, route, context, paid), urgent=False)

    def on_outcome(self, outcome: Outcome) -> None:
        """Update the posterior with an explicit outcome; at most once for each decision."""
        score = reward_of(outcome)
        if score is None or outcome is self._heard:
            # One may be told by the ledger and by the router.
            return
        self._heard = outcome
        if outcome.decision_id is not None:
            self._state.tell(("decision", decision_key(outcome.decision_id), score, mark_of(outcome)))
        elif outcome.task_id is not None:
            self._state.tell(("task", task_key(self._ledger, outcome.task_id), score, mark_of(outcome)))

    def beliefs(self) -> Mapping[str, tuple[float, float]]:
        """Return the posterior mean weights of each route, for inspection: of the constant and of the estimated success."""
        self._state.now()
        precision, moment, _ = self._believed()
        found = np.linalg.solve(precision, moment[:, :, None])[:, :, 0].tolist()
        return {name: (weights[0], weights[1]) for name, weights in zip(self.routes, found, strict=True)}


def _elsewhere(attempt: Attempt) -> bool:
    return attempt.error is None or (attempt.failure or classify(attempt.error)).retry_elsewhere
