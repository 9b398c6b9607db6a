"""Which route is the cheapest that will do, judged by what was fitted on recorded outcomes?"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from langroute.answers import canonical
from langroute.arguments import check_able, check_number
from langroute.errors import ConfigurationError
from langroute.estimators.documents import Document, document_of
from langroute.estimators.estimator import Estimate
from langroute.estimators.features import Floats, Ints
from langroute.estimators.plan import Plan, agreement_code, state_features
from langroute.estimators.store import Group, Point, PolicyFile, load_policy_file
from langroute.policies.base import MayAwait, ask, awaits
from langroute.records import Attempt, Request, RouteInfo, Selection


def read_request(request: Request) -> Document:
    """What a request says to an estimator: its messages and tools, and what the step is called.

    Example:
        >>> read_request(Request("Define entropy.")).text
        'Define entropy.'
    """
    step = request.step
    labels = []
    if step.task_kind:
        labels.append(f"task={step.task_kind}")
    if step.kind:
        labels.append(f"kind={step.kind}")
    if step.node:
        labels.append(f"node={step.node}")
    return document_of(request.messages, request.tools, labels)


_Rates = tuple[Floats, Floats, Floats]
"""USD for a token read, a token written and a call, for each route of a group; infinite where a route is not eligible."""


class _Fitted(MayAwait, ABC):
    """What the learned policies share: one group of routes, and estimates that are remembered for the request at hand."""

    def __init__(self, group: Group, *, version: str = "") -> None:
        if not isinstance(group, Group):
            raise ConfigurationError(f"group is {group!r}; give one of a fitted policy's groups, or use load_policy.")
        self.group, self.version = group, version
        self._place = {route: place for place, route in enumerate(group.routes)}
        self._last = threading.local()
        self._rates: dict[tuple[int, ...], tuple[Sequence[RouteInfo], _Rates]] = {}
        if group.estimator.sense is not None:
            self._reader = group.estimator.sense.reading()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_last", "_rates")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _last=threading.local(), _rates={})

    def _must_await(self) -> bool:
        return self.group.estimator.sense is not None

    @abstractmethod
    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select the next route, or stop."""

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        await self.prepare(request)
        return self.select(request, attempts)

    async def prepare(self, request: Request) -> None:
        """Have the request's vector at hand for `estimate`, without keeping an event loop waiting."""
        await self._reader.prepare(read_request(request).text)

    def routes_named(self) -> Iterable[str]:
        """Every route that may be selected."""
        return self.group.routes

    def estimate(self, request: Request) -> Estimate:
        """What is expected of each route; asked again after an attempt, the same is said at once."""
        known = getattr(self._last, "known", None)
        if known is not None and known[0] is request:
            return known[1]  # type: ignore[no-any-return]
        found = self.group.estimator.estimate([read_request(request)])
        self._last.known = (request, found)
        return found

    def remember(self, request: Request, estimate: Estimate) -> None:
        """Take an estimate that was made elsewhere, in a batch of many."""
        self._last.known = (request, estimate)

    def costs(self, estimate: Estimate, routes: Sequence[RouteInfo]) -> Floats:
        """Expected USD, `(requests, routes of the group)`; infinite for those that are not eligible.

        A route's own price wins over the one it was fitted with.
        """
        key = tuple([id(route) for route in routes])
        known = self._rates.get(key)
        if known is None:
            if len(self._rates) > 256:
                self._rates.clear()
            # Holding the routes keeps their ids from being given to others.
            known = self._rates[key] = (routes, self._rates_of(routes))
        given, written, per_call = known[1]
        return estimate.input_tokens * given + estimate.output_tokens * written + per_call

    def _rates_of(self, routes: Sequence[RouteInfo]) -> _Rates:
        size = len(self.group.routes)
        given, written, per_call = np.zeros(size), np.zeros(size), np.full(size, np.inf)
        for route in routes:
            place = self._place.get(route.name)
            price = route.price or self.group.prices.get(route.name)
            if place is not None and price is not None:
                given[place], written[place], per_call[place] = price.input / 1e6, price.output / 1e6, price.per_call
        return given, written, per_call

    def _after_failure(self, request: Request, attempts: Sequence[Attempt], worth: Floats) -> Selection | None:
        """Another route where the last one failed, unless no other could do better or an answer is there already."""
        # Brings asyncio, which a replay does without.
        from langroute.failures import classify

        last = attempts[-1]
        if any(attempt.ok for attempt in attempts):
            return None
        if last.error is not None and not (last.failure or classify(last.error)).retry_elsewhere:
            return None
        tried = {attempt.route for attempt in attempts}
        left = [route for route in request.route_names if route not in tried]
        if not left:
            return None
        known = [route for route in left if route in self._place]
        best = max(known, key=lambda route: worth[0, self._place[route]]) if known else left[-1]
        return Selection(best, f"{last.route} failed: {last.error_type}")


class Learned(_Fitted):
    """The cheapest route whose estimated success is not worse than the frontier's by more than the tolerance.

    The tolerance is what saving the whole cost of a frontier call may cost in probability of success; a route that saves half of it
    has half the tolerance. Of several that pass, the one with most to spare is taken.

    Source: Ong et al., RouteLLM (2024); Hu et al., RouterBench (2024), section 4.

    Args:
        group: Fitted routes; see `load_policy`.
        tolerance: 0 takes the best route whatever it costs.
        version: What decisions are stamped with.
    """

    name = "Learned"

    def __init__(self, group: Group, *, tolerance: float, version: str = "") -> None:
        check_number("tolerance", tolerance, least=0)
        super().__init__(group, version=version)
        self.tolerance = tolerance

    def worth(self, estimate: Estimate, costs: Floats) -> Floats:
        """Estimated success less what the cost is worth, `(requests, routes)`."""
        # A tolerance of 0 would make 0 of an infinite cost.
        return estimate.success - max(self.tolerance / self.group.unit_usd, 1e-9) * costs

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select a route; another one where it failed."""
        if attempts and attempts[-1].ok:
            return None
        estimate = self.estimate(request)
        if attempts:
            worth = self.worth(estimate, self.costs(estimate, request.routes))
            return self._after_failure(request, attempts, worth)
        place = int(self.places(estimate, request.routes)[0])
        if place < 0:
            return Selection(request.default or request.route_names[-1], "no eligible route was fitted")
        success = float(estimate.success[0, place])
        return Selection(self.group.routes[place], f"estimated success {success:.2f}", confidence=success)

    def places(self, estimate: Estimate, routes: Sequence[RouteInfo], costs: Floats | None = None) -> Ints:
        """Which route each of many requests goes to, as places in `group.routes`; -1 where none of the eligible was fitted.

        Args:
            estimate: Of the requests.
            routes: The eligible ones.
            costs: What `costs` says of these, where it is known already.
        """
        worth = self.worth(estimate, self.costs(estimate, routes) if costs is None else costs)
        best = worth.argmax(1)
        return np.where(worth[np.arange(len(best)), best] == -np.inf, -1, best)


class LearnedCascade(_Fitted):
    """Ask cheap routes in turn; after each answer, accept it, ask another cheap one, or go up, whichever is worth most.

    What an answer shows is whether it agrees with the earlier ones, whether it can be read, and whether it is longer than was to be
    expected. No judge and no labels are needed at run time. Answers that a verifier rejected are not accepted.

    Source: Dekoninck et al., A Unified Approach to Routing and Cascading for LLMs (2025); see also `langroute.estimators.plan`.

    Args:
        group: Fitted routes; see `load_policy`.
        plan: Which routes in which order, and what each answer is worth.
        version: What decisions are stamped with.
        same: The answer of an attempt in a form that can be compared, `None` where there is none.
    """

    name = "LearnedCascade"

    def __init__(self, group: Group, *, plan: Plan, version: str = "", same: Callable[[Attempt], str | None] = canonical) -> None:
        if not isinstance(plan, Plan):
            raise ConfigurationError(f"plan is {plan!r}; give a point's plan, or use Learned where it has none.")
        check_able("same", same)
        super().__init__(group, version=version)
        self.plan = plan
        self._frontier = self._place[group.frontier]
        # The plan was fitted before newcomers were placed behind the others.
        self._fitted = len(group.estimator.blend.shift)
        self._same = same

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select the next route, or accept the latest answer."""
        estimate = self.estimate(request)
        costs = self.costs(estimate, request.routes)
        price = self.plan.price_of_quality / self.plan.unit_usd
        if attempts and not attempts[-1].ok:
            return self._after_failure(request, attempts, estimate.success - price * costs)
        order = self.plan.order
        tried = [self._place.get(attempt.route, -1) for attempt in attempts]
        asked = len(tried)
        if asked > len(order) or tuple(tried) != order[:asked]:
            # One of the last routes has answered, or one outside the plan: nothing more to learn from.
            return None
        stage = self.plan.stages[asked]
        features = self._features(estimate, attempts, asked)
        worth = (features @ stage.weights + stage.bias)[0]
        for place, action in enumerate(stage.actions):
            if action >= 0:
                worth[place] -= price * costs[0, action]
        rejected = attempts and attempts[-1].score is not None and attempts[-1].score <= 0
        if rejected:
            worth[0] = -np.inf
        best = int(worth.argmax())
        if worth[best] == -np.inf:
            return None if attempts else self._only_choice(request, estimate, costs, price)
        action = stage.actions[best]
        if action < 0:
            return None
        goes_on = stage.goes_on and best == len(stage.actions) - 1
        name = self.group.routes[action]
        why = f"worth {worth[best]:.2f}" if not attempts else f"worth {worth[best]:.2f}, the answer so far {worth[0]:.2f}"
        return Selection(name, why, tentative=goes_on, confidence=float(min(max(worth[best], 0.0), 1.0)))

    def _only_choice(self, request: Request, estimate: Estimate, costs: Floats, price: float) -> Selection:
        """Neither the plan's first route nor one of its last is eligible: the best of those that are."""
        worth = np.where(np.isinf(costs[0]), -np.inf, estimate.success[0] - price * costs[0])
        place = int(worth.argmax())
        if worth[place] == -np.inf:
            return Selection(request.default or request.route_names[-1], "no eligible route was fitted")
        return Selection(self.group.routes[place], "the plan's routes are not eligible")

    def _features(self, estimate: Estimate, attempts: Sequence[Attempt], asked: int) -> Floats:
        logits = estimate.logits[:, : self._fitted]
        if not asked:
            return logits
        answers = [self._same(attempt) for attempt in attempts]
        code = agreement_code(
            [[answers[row] is not None and answers[row] == answers[place] for place in range(row)] for row in range(asked)]
        )
        order = self.plan.order[:asked]
        lengths = [
            0.0 if attempt.usage is None else np.log1p(attempt.usage.output_tokens) - estimate.log_output[place]
            for attempt, place in zip(attempts, order, strict=True)
        ]
        return state_features(
            logits,
            order,
            self._frontier,
            np.array([code]),
            self.plan.stages[asked].patterns,
            np.array([lengths]),
            np.array([[float(answer is not None) for answer in answers]]),
        )


class LearnedGroups(MayAwait):
    """Several groups of routes, each with a policy of its own: the one that knows most of the eligible routes is asked.

    Args:
        policies: One for each group.
        version: What decisions are stamped with.
    """

    name = "Learned"

    def __init__(self, policies: Sequence[Learned | LearnedCascade], *, version: str = "") -> None:
        self.policies, self.version = tuple(policies), version
        if not self.policies:
            raise ConfigurationError("Give a policy for each group of routes; there is none.")

    def _must_await(self) -> bool:
        return any(map(awaits, self.policies))

    def routes_named(self) -> Iterable[str]:
        """Every route that may be selected."""
        return dict.fromkeys(route for policy in self.policies for route in policy.routes_named())

    def of(self, names: Iterable[str]) -> Learned | LearnedCascade:
        """The policy for these eligible routes."""
        there = set(names)
        return max(
            self.policies, key=lambda policy: len(there.intersection(policy.group.routes)) / len(there | {*policy.group.routes})
        )

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Ask the group's policy."""
        return self.of(request.route_names).select(request, attempts)

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        return await ask(self.of(request.route_names), request, attempts)


def load_policy(
    directory: str | Path, *, target: float | None = None, tolerance: float | None = None, embeddings: Any = None
) -> Any:
    """A fitted policy from its directory.

    Args:
        directory: What `langroute fit` wrote.
        target: Quality relative to the best single route; one of those it was fitted for, the highest where none is given.
        tolerance: Use `Learned` with this tolerance instead of an operating point.
        embeddings: LangChain embeddings, the same as it was fitted with, where it was.

    Raises:
        PolicyFormatError: The directory is no policy, is damaged, or was made by a newer langroute.
        ConfigurationError: The policy has no such target, both a target and a tolerance are given, or it was fitted with other
            embeddings than these.
    """
    return policy_from(load_policy_file(directory, embeddings=embeddings), target=target, tolerance=tolerance)


def policy_from(stored: PolicyFile, *, target: float | None = None, tolerance: float | None = None) -> Any:
    """A policy from what was loaded; see `load_policy`."""
    if not stored.groups:
        raise ConfigurationError("The policy has no routes.")
    if tolerance is not None:
        if target is not None:
            raise ConfigurationError("Give a target or a tolerance, not both.")
        policies: list[Learned | LearnedCascade] = [
            Learned(group, tolerance=tolerance, version=stored.version) for group in stored.groups
        ]
    else:
        wanted = stored.targets[0] if target is None else target
        check_number("target", wanted, above=0, most=1)
        if not any(abs(wanted - known) < 1e-9 for known in stored.targets):
            known = ", ".join(f"{one:g}" for one in stored.targets)
            raise ConfigurationError(f"The policy was not fitted for target {wanted:g}. It has: {known}.")
        policies = [_at(group, group.point(wanted), stored.version) for group in stored.groups]
    return policies[0] if len(policies) == 1 else LearnedGroups(policies, version=stored.version)


def _at(group: Group, point: Point, version: str) -> Learned | LearnedCascade:
    if point.plan is not None:
        return LearnedCascade(group, plan=point.plan, version=version)
    return Learned(group, tolerance=point.tolerance, version=version)
