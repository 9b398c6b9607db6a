"""Policies that were fitted on recorded outcomes: `Learned` for single calls, `LearnedCascade` for cascades, and `load_policy`."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from langroute.core.answers import canonical
from langroute.core.errors import ConfigurationError
from langroute.core.number_checks import check_able, check_number
from langroute.core.records import Attempt, Price, Request, RouteInfo, Selection
from langroute.estimators.arrays import Floats, Ints
from langroute.estimators.documents import Document, document_of
from langroute.estimators.estimator import Estimate
from langroute.estimators.plan import Plan, agreement_code, state_features
from langroute.estimators.policy_schema import MOST_TARGET
from langroute.estimators.store import Group, Point, PolicyFile, load_policy_file
from langroute.policies.base import MayAwait, ask, awaits
from langroute.routes.price_arrays import PriceTable


def read_request(request: Request) -> Document:
    """Return the document that an estimator reads of a request: its messages, its tools and the labels of its step.

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


class _Fitted(MayAwait, ABC):
    """Base class of the learned policies: one group of routes, and the estimate of the current request, cached for each thread."""

    def __init__(self, group: Group, *, version: str = "") -> None:
        if not isinstance(group, Group):
            raise ConfigurationError(f"group is {group!r}; give one of a fitted policy's groups, or use load_policy.")
        self.group, self.version = group, version
        self._place = {route: place for place, route in enumerate(group.routes)}
        self._last = threading.local()
        self._tables: dict[tuple[int, ...], tuple[Sequence[RouteInfo], PriceTable]] = {}
        if group.estimator.sense is not None:
            self._reader = group.estimator.sense.reading()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_last", "_tables")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _last=threading.local(), _tables={})

    def _must_await(self) -> bool:
        return self.group.estimator.sense is not None

    @abstractmethod
    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select the next route, or stop."""

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        await self.prepare(request)
        return self.select(request, attempts)

    async def prepare(self, request: Request) -> None:
        """Compute and cache the request's embedding for `estimate`, without blocking the event loop."""
        await self._reader.prepare(read_request(request).text)

    def routes_named(self) -> Iterable[str]:
        """Return the names of the routes that may be selected."""
        return self.group.routes

    def estimate(self, request: Request) -> Estimate:
        """Return the estimate of each route; for the same request in the same thread it is computed once."""
        known = getattr(self._last, "known", None)
        if known is not None and known[0] is request:
            return known[1]  # type: ignore[no-any-return]
        found = self.group.estimator.estimate([read_request(request)])
        self._last.known = (request, found)
        return found

    def remember(self, request: Request, estimate: Estimate) -> None:
        """Cache an estimate that was computed elsewhere, in a batch."""
        self._last.known = (request, estimate)

    def costs(self, estimate: Estimate, routes: Sequence[RouteInfo]) -> Floats:
        """Return the expected cost in USD, `(requests, routes of the group)`; infinite for routes that are not eligible.

        A route's own price wins over the one it was fitted with.
        """
        key = tuple([id(route) for route in routes])
        known = self._tables.get(key)
        if known is None:
            if len(self._tables) > 256:
                self._tables.clear()
            # Keeping a reference to the routes keeps their ids from being reused.
            known = self._tables[key] = (routes, self._prices_of(routes))
        return known[1].costs(estimate.input_tokens, estimate.output_tokens)

    def _prices_of(self, routes: Sequence[RouteInfo]) -> PriceTable:
        group = self.group
        prices: list[Price | None] = [None] * len(group.routes)
        for route in routes:
            place = self._place.get(route.name)
            if place is not None:
                prices[place] = route.price or group.prices.get(route.name)
        return PriceTable(prices, [group.seconds.get(name, 0.0) for name in group.routes])

    def _after_failure(self, request: Request, attempts: Sequence[Attempt], worth: Floats) -> Selection | None:
        """Return the untried route of the highest worth after a failure, or `None` where no other could help or there is an answer already."""
        # Imported here because it imports asyncio, which a replay does not need.
        from langroute.providers.failures import classify

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
    """Select the route of the highest estimated success minus `tolerance` times its cost in units of the frontier's mean cost.

    The tolerance is thus the probability of success that saving the whole cost of a frontier call is worth; saving half of it is worth half
    as much.

    Source: Ong et al., RouteLLM (2024); Hu et al., RouterBench (2024), section 4.

    Args:
        group: Fitted routes; see `load_policy`.
        tolerance: Weight of the cost; 0 takes the route of the highest estimate whatever it costs, `None` always the best single route.
        version: Version that decisions record.
    """

    name = "Learned"

    def __init__(self, group: Group, *, tolerance: float | None, version: str = "") -> None:
        if tolerance is not None:
            check_number("tolerance", tolerance, least=0)
        super().__init__(group, version=version)
        self.tolerance = tolerance

    def worth(self, estimate: Estimate, costs: Floats) -> Floats:
        """Return the estimated success minus the weighted cost, `(requests, routes)`."""
        # With a tolerance of 0 an infinite cost would become NaN.
        if self.tolerance is None:
            # No estimate is above 1.
            first = np.arange(estimate.success.shape[1]) == self._place[self.group.frontier]
            return np.asarray(estimate.success + 2.0 * first - 1e-9 * costs)
        return estimate.success - max(self.tolerance / self.group.unit_usd, 1e-9) * costs

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Select a route; after a failed attempt, another one."""
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
        why = f"estimated success {success:.2f}" if self.tolerance is not None else "the best single route"
        return Selection(self.group.routes[place], why, confidence=success)

    def places(self, estimate: Estimate, routes: Sequence[RouteInfo], costs: Floats | None = None) -> Ints:
        """Return the selected route of each request as an index into `group.routes`, `(requests,)`; -1 where no eligible route was fitted.

        Args:
            estimate: Estimate of the requests.
            routes: The eligible routes.
            costs: The result of `costs` for these, where it is known already.
        """
        worth = self.worth(estimate, self.costs(estimate, routes) if costs is None else costs)
        best = worth.argmax(1)
        return np.where(worth[np.arange(len(best)), best] == -np.inf, -1, best)


class LearnedCascade(_Fitted):
    """Call cheap routes in turn; after each answer, accept it, call another cheap route, or go up, whichever has the highest expected worth.

    An answer is judged by whether it agrees with the earlier ones, whether it could be parsed, and how its length compares with the
    expected one. No judge and no labels are needed at run time. Answers that a verifier scored 0 are not accepted.

    Source: Dekoninck et al., A Unified Approach to Routing and Cascading for LLMs (2025); see also `langroute.estimators.plan`.

    Args:
        group: Fitted routes; see `load_policy`.
        plan: The order of the cheap routes, and the fitted worth of each action.
        version: Version that decisions record.
        same: Returns the canonical form of an attempt's answer for comparison, `None` where there is none.
    """

    name = "LearnedCascade"

    def __init__(self, group: Group, *, plan: Plan, version: str = "", same: Callable[[Attempt], str | None] = canonical) -> None:
        if not isinstance(plan, Plan):
            raise ConfigurationError(f"plan is {plan!r}; give a point's plan, or use Learned where it has none.")
        check_able("same", same)
        super().__init__(group, version=version)
        self.plan = plan
        self._frontier = self._place[group.frontier]
        # The plan knows the fitted routes only; routes that were added later come after them.
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
            # A final route has answered, or one outside the plan: the plan has no further stage.
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
        return Selection(name, why, provisional=goes_on, confidence=float(min(max(worth[best], 0.0), 1.0)))

    def _only_choice(self, request: Request, estimate: Estimate, costs: Floats, price: float) -> Selection:
        """Return the best eligible route where neither the plan's first route nor one of its final routes is eligible."""
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
    """Several learned policies, one for each group of routes; a request goes to the one whose routes match the eligible ones best.

    Args:
        policies: One for each group.
        version: Version that decisions record.
    """

    name = "Learned"

    def __init__(self, policies: Sequence[Learned | LearnedCascade], *, version: str = "") -> None:
        self.policies, self.version = tuple(policies), version
        if not self.policies:
            raise ConfigurationError("Give a policy for each group of routes; there is none.")

    def _must_await(self) -> bool:
        return any(map(awaits, self.policies))

    def routes_named(self) -> Iterable[str]:
        """Return the names of the routes that may be selected."""
        return dict.fromkeys(route for policy in self.policies for route in policy.routes_named())

    def of(self, names: Iterable[str]) -> Learned | LearnedCascade:
        """Return the policy whose routes have the highest Jaccard similarity with these eligible ones."""
        there = set(names)
        return max(
            self.policies, key=lambda policy: len(there.intersection(policy.group.routes)) / len(there | {*policy.group.routes})
        )

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Return the selection of the policy for the eligible routes."""
        return self.of(request.route_names).select(request, attempts)

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        return await ask(self.of(request.route_names), request, attempts)


def load_policy(
    directory: str | Path, *, target: float | None = None, tolerance: float | None = None, embeddings: Any = None
) -> Any:
    """Load a fitted policy from its directory.

    Args:
        directory: The directory that `langroute fit` wrote.
        target: Quality relative to the best single route; one of those it was fitted for. Where none is given, the highest that is at most
            1.0, or the lowest of all where there is none.
        tolerance: Use `Learned` with this tolerance instead of an operating point.
        embeddings: The LangChain embeddings that it was fitted with, where it was.

    Raises:
        PolicyFormatError: The directory is not a policy, is damaged, or was made by a newer langroute.
        ConfigurationError: The policy has no such target, both a target and a tolerance are given, or it was fitted with other
            embeddings than these.
    """
    return policy_from(load_policy_file(directory, embeddings=embeddings), target=target, tolerance=tolerance)


def policy_from(stored: PolicyFile, *, target: float | None = None, tolerance: float | None = None) -> Any:
    """Return a policy built from a loaded policy file; see `load_policy`."""
    if not stored.groups:
        raise ConfigurationError("The policy has no routes.")
    if tolerance is not None:
        if target is not None:
            raise ConfigurationError("Give a target or a tolerance, not both.")
        policies: list[Learned | LearnedCascade] = [
            Learned(group, tolerance=tolerance, version=stored.version) for group in stored.groups
        ]
    else:
        wanted = stored.usual_target if target is None else target
        check_number("target", wanted, above=0, most=MOST_TARGET)
        if not any(abs(wanted - known) < 1e-9 for known in stored.targets):
            known = ", ".join(f"{one:g}" for one in stored.targets)
            raise ConfigurationError(f"The policy was not fitted for target {wanted:g}. It has: {known}.")
        policies = [_at(group, group.point(wanted), stored.version) for group in stored.groups]
    return policies[0] if len(policies) == 1 else LearnedGroups(policies, version=stored.version)


def _at(group: Group, point: Point, version: str) -> Learned | LearnedCascade:
    if point.plan is not None:
        return LearnedCascade(group, plan=point.plan, version=version)
    return Learned(group, tolerance=point.tolerance, version=version)
