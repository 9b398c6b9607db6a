"""Replay: evaluates a policy on recorded traffic that has the outcomes of several routes for each request.

The policy is called by the same methods that a router calls, with recorded outcomes in place of the models' answers. It may select only
routes with a recorded outcome, because the answers of others are not known.

Traffic is streamed: only sums are kept of each request, and a few numbers where a baseline needs them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from langroute.core.errors import DataError, UnknownRouteError
from langroute.core.records import Attempt, Price, Request, RouteInfo, Selection, Step, Usage, best_attempt
from langroute.estimators.arrays import Floats, Ints
from langroute.estimators.estimator import Estimate
from langroute.estimators.features import featurize_and_hash, word_hashes
from langroute.estimators.store import PolicyFile, load_policy_file
from langroute.learning.baselines import Baselines
from langroute.learning.beside_mix import BesideSums, beside_mix, line_of
from langroute.learning.frontier import aiq, apgr, cpt, gap_recovered
from langroute.learning.named import Named, is_name, named_policy
from langroute.learning.neighbours import Vectors, vectors_of
from langroute.learning.parts import Rates, Read, TrafficPart, parts_of, routes_of
from langroute.learning.recorded import Recorded
from langroute.learning.traffic import Exchange, read_traffic
from langroute.policies.learned import Learned, LearnedGroups, policy_from
from langroute.policies.shadow import wilson

CURVE = (0.0, *(round(float(setting), 4) for setting in np.geomspace(0.003, 30, 40)))
"""Tolerances at which the curve of cost and quality is computed."""


@dataclass(slots=True)
class ReplayTotals:
    """Running totals of one routing strategy: scores, costs, calls and routes."""

    count: int = 0
    score: float = 0.0
    squares: float = 0.0
    cost: float = 0.0
    calls: int = 0
    routes: Counter[str] = field(default_factory=Counter)
    """Number of requests by the route whose answer was kept."""

    beside: dict[tuple[str, ...], BesideSums] = field(default_factory=dict)
    """Sums beside what each route alone scored, by the routes that answered."""

    def add(self, part: TrafficPart, row: int, route: str, cost_usd: float, calls: int = 1) -> None:
        """Add one request.

        Args:
            part: The requests and their outcomes.
            row: The request's row in the part.
            route: The route whose answer was kept.
            cost_usd: What all calls cost.
            calls: How many there were.
        """
        score = float(part.scores[row, part.names.index(route)])
        self._beside(part).add(np.array([score]), np.array([cost_usd]), part.scores[row : row + 1])
        self.count += 1
        self.score += score
        self.squares += score * score
        self.cost += cost_usd
        self.routes[route] += 1
        self.calls += calls

    def add_calls(self, part: TrafficPart, at: Ints, rows: Ints) -> None:
        """Add requests of a part that were answered with one call each.

        Args:
            part: The requests and their outcomes.
            at: Column of the selected route of each request, `(requests,)`.
            rows: Row of each request in the part, `(requests,)`.
        """
        scores = part.scores[rows, at]
        self._beside(part).add(scores, part.costs[rows, at], part.scores[rows])
        self.count += len(scores)
        self.score += float(scores.sum())
        self.squares += float(scores @ scores)
        self.cost += float(part.costs[rows, at].sum())
        self.calls += len(scores)
        for name, many in zip(part.names, np.bincount(at, minlength=len(part.names)).tolist(), strict=True):
            if many:
                self.routes[name] += many

    def _beside(self, part: TrafficPart) -> BesideSums:
        return self.beside.setdefault(part.names, BesideSums(len(part.names)))

    @property
    def quality(self) -> float:
        """Mean score."""
        return self.score / max(self.count, 1)

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % Wilson interval of the mean score; scores that scatter less than right and wrong count for more."""
        mean = self.quality
        variance = self.squares / max(self.count, 1) - mean * mean
        # Equal scores may be equal by chance.
        counts = self.count if variance < 1e-9 else self.count * max(mean * (1 - mean) / variance, 1.0)
        return wilson(mean * counts, counts)


def replay(
    paths: Sequence[str | Path],
    policy: str | Path,
    *,
    frontier: str | None = None,
    prices: Mapping[str, Price] | None = None,
    embeddings: Any = None,
) -> dict[str, Any]:
    """Evaluate a policy on every recorded request.

    Args:
        paths: Traffic files; see `docs/traffic.md`.
        policy: A policy directory; or `default`, `always:ROUTE`, or `module:attribute` for a policy of your own.
        frontier: Route that costs are compared with; by default the best single route of this traffic.
        prices: Prices by route name; the policy's own, then list prices, for routes that are not in it.
        embeddings: The LangChain embeddings that the policy was fitted with, where it was.

    Returns:
        The object that `langroute replay --format json` prints.

    Raises:
        DataError: A file is broken, or has no outcome of any of the policy's routes.
        PolicyFormatError: The policy directory is damaged.
        UnknownRouteError: The frontier is not a route of this traffic, or the policy selected one without a recorded outcome.
    """
    stored = load_policy_file(policy, embeddings=embeddings) if Path(policy).is_dir() else None
    if stored is None and not is_name(str(policy)):
        load_policy_file(policy)
    fitted = {name for group in stored.groups for name in group.routes} if stored else None
    rates, read, baselines = Rates(prices, stored), Read(), Baselines()
    runner = _FittedRunner(stored) if stored else _NamedRunner(str(policy), routes_of(paths, rates))
    for part in parts_of(read_traffic(paths), rates, fitted, read):
        rows, vectors = runner.run(part)
        if len(rows):
            judged = part if len(rows) == len(part) else part.only(rows.tolist())
            baselines.add(judged, [one.task for one in judged.exchanges], vectors)
    if frontier is not None and frontier not in read.routes and read.routes:
        raise UnknownRouteError(frontier, sorted(read.routes), "this traffic")
    if not baselines.count:
        raise DataError(f"{', '.join(map(str, paths))}: {_why_none(read, fitted, runner)}")
    result = _report(baselines, runner, frontier)
    return result | {
        "read": read.requests,
        "unscored": read.unscored,
        "unanswered": sum(runner.unanswered.values()),
        "unanswered_by_route": dict(runner.unanswered.most_common()),
        "logged": read.logged,
    }


def _why_none(read: Read, fitted: set[str] | None, runner: _FittedRunner | _NamedRunner) -> str:
    """Return why not one request could be judged."""
    if not read.requests:
        return "there are no requests."
    if read.unscored == read.requests:
        return f"no request has a scored outcome of {f'the policy{chr(39)}s routes: ' + ', '.join(sorted(fitted)) if fitted else 'any route'}."
    if fitted:
        return (
            "no request has scored outcomes of two of the policy's routes, so there is nothing that it could choose between. Where the "
            "routes were drawn with a known probability, --estimator judges it."
        )
    return f"no request was answered by what the policy would have chosen: {', '.join(runner.unanswered)}."


def request_of(exchange: Exchange, routes: tuple[RouteInfo, ...]) -> Request:
    """Return a recorded request as a policy receives it."""
    step = exchange.step
    return Request(
        exchange.messages,
        Step(str(step.get("kind") or ""), step.get("node"), task_kind=exchange.task or None),
        routes,
        routes[-1].name,
        exchange.tools,
    )


def attempt_of(selection: Selection, outcome: Recorded, cost_usd: float) -> Attempt:
    """Return a recorded outcome as the attempt of a selection."""
    return Attempt(
        selection,
        outcome.answer or "",
        usage=Usage(outcome.input_tokens, outcome.output_tokens),
        cost_usd=cost_usd,
        latency_s=outcome.latency_s or 0.0,
        # The recorded answer is in canonical form already: exactly equal strings agree.
        parsed=outcome.answer,
    )


def _walk(policy: Any, request: Request, part: TrafficPart, row: int, totals: ReplayTotals) -> str | None:
    """Run a policy on one request, with recorded outcomes as answers, and add the result to the totals.

    Returns the route whose answer is not recorded, where the policy selected one; nothing is added then.
    """
    names, one = part.names, part.exchanges[row]
    attempts: list[Attempt] = []
    while len(attempts) < 2 * len(names) + 4 and (selection := policy.select(request, attempts)) is not None:
        if selection.route not in names:
            return str(selection.route)
        cost_usd = float(part.costs[row, names.index(selection.route)])
        attempts.append(attempt_of(selection, one.outcomes[selection.route], cost_usd))
    kept = best_attempt(attempts)
    if kept is None:
        raise DataError(f"{one.where}: the policy selected no route.")
    spent = sum(attempt.cost_usd or 0.0 for attempt in attempts)
    totals.add(part, row, kept.route, spent, len(attempts))
    return None


class _FittedRunner:
    """Replays a policy directory: every target, and the curve of tolerances."""

    def __init__(self, stored: PolicyFile) -> None:
        self.stored: PolicyFile | None = stored
        self.targets: dict[float | None, tuple[Any, ReplayTotals]] = {
            target: (policy_from(stored, target=target), ReplayTotals()) for target in stored.targets
        }
        self.curve: dict[float | str, tuple[Any, ReplayTotals]] = {
            setting: (policy_from(stored, tolerance=setting), ReplayTotals()) for setting in CURVE
        }
        self.pairs: list[tuple[Floats, Floats]] = []
        """Scores and estimated success of the requests with two routes, `(requests, 2)` each."""

        self.unanswered: Counter[str] = Counter()
        """Requests that cannot be judged, by the only route that was asked."""

        self._chooses = all(len(group.routes) > 1 for group in stored.groups)

    def run(self, part: TrafficPart) -> tuple[Ints, Vectors]:
        """Replay requests with the same eligible routes. Return the rows that could be judged, and their words as vectors, `(rows, SIZE)`."""
        names, rows = part.names, np.arange(len(part))
        if len(names) == 1 and self._chooses:
            # Whatever is asked of one route says nothing of a choice.
            self.unanswered[f"another than {names[0]}"] += len(part)
            return rows[:0], np.empty((0, 0), np.float32)
        first = _policy_for(next(iter(self.curve.values()))[0], names)
        estimator = first.group.estimator
        documents = part.documents()
        batch, hashes, owners = featurize_and_hash(documents, estimator.vocabulary)
        estimate = estimator.of(batch, documents)
        index = {name: place for place, name in enumerate(names)}
        # Index in the group's routes → column of the recorded outcomes.
        columns = np.array([index.get(name, -1) for name in estimator.routes])
        if len(names) == 2:
            self.pairs.append((part.scores, estimate.success[:, [estimator.routes.index(name) for name in names]]))
        costs = first.costs(estimate, part.routes)
        requests: list[Request] | None = None
        for policy, totals in (*self.curve.values(), *self.targets.values()):
            own = _policy_for(policy, names)
            if isinstance(own, Learned):
                totals.add_calls(part, columns[own.places(estimate, part.routes, costs)], rows)
                continue
            requests = requests or [request_of(one, part.routes) for one in part.exchanges]
            for row, request in enumerate(requests):
                own.remember(request, _row(estimate, row))
                _walk(own, request, part, row, totals)
        return rows, vectors_of(hashes, owners, len(part))


def _policy_for(policy: Any, names: Sequence[str]) -> Any:
    return policy.of(names) if isinstance(policy, LearnedGroups) else policy


def _row(estimate: Estimate, row: int) -> Estimate:
    at = slice(row, row + 1)
    return Estimate(estimate.success[at], estimate.input_tokens[at], estimate.output_tokens[at], estimate.log_output)


class _NamedRunner:
    """Replays a policy by name, which was not fitted.

    Args:
        name: The policy.
        routes: All routes of the traffic. Of a ledger's requests every one had them all, though few were asked.
    """

    def __init__(self, name: str, routes: tuple[RouteInfo, ...]) -> None:
        self.name, self.routes, totals = name, routes, ReplayTotals()
        self._known = {route.name for route in routes}
        self.unanswered: Counter[str] = Counter()
        self.stored: PolicyFile | None = None
        self.targets: dict[float | None, tuple[Any, ReplayTotals]] = {None: (None, totals)}
        self.curve: dict[float | str, tuple[Any, ReplayTotals]] = {name: (None, totals)}
        self.pairs: list[tuple[Floats, Floats]] = []
        self._totals = totals
        self._policies: dict[tuple[str, ...], Named] = {}

    def run(self, part: TrafficPart) -> tuple[Ints, Vectors]:
        """Replay requests that the same routes answered. Return the rows that could be judged, and their words as vectors, `(rows, SIZE)`."""
        rows = []
        for row, exchange in enumerate(part.exchanges):
            routes = self.routes if self._names_one or "served" in exchange.step else part.routes
            policy = self._policy(routes)
            missing = _walk(policy, policy.request_of(exchange, routes), part, row, self._totals)
            if missing is None:
                rows.append(row)
            elif missing not in self._known:
                raise UnknownRouteError(missing, sorted(self._known), exchange.where)
            else:
                self.unanswered[missing] += 1
        if not rows:
            return np.array(rows, np.int64), np.empty((0, 0), np.float32)
        return np.array(rows, np.int64), vectors_of(*word_hashes(part.only(rows).documents()), len(rows))

    @property
    def _names_one(self) -> bool:
        return self.name.startswith("always:")

    def _policy(self, routes: tuple[RouteInfo, ...]) -> Named:
        names = tuple([route.name for route in routes])
        policy = self._policies.get(names)
        if policy is None:
            policy = self._policies[names] = Named(self.name, named_policy(self.name, routes))
        return policy


def _report(baselines: Baselines, runner: _FittedRunner | _NamedRunner, frontier: str | None) -> dict[str, Any]:
    best = baselines.frontiers(frontier)
    reference = ReplayTotals()
    for names, sums in baselines.groups.items():
        at = names.index(best[names])
        reference.count += sums.count
        reference.score += float(sums.score[at])
        reference.cost += float(sums.cost[at])
        reference.routes[best[names]] += sums.count
    found = baselines.found()
    curve = [
        {"setting": setting, "quality": totals.quality, "cost_usd": totals.cost} for setting, (_, totals) in runner.curve.items()
    ]
    points = [(totals.cost, totals.quality) for _, totals in runner.curve.values()]
    singles = [value["cost_usd"] for name, value in found.items() if name.startswith("always:")]
    result: dict[str, Any] = {
        "requests": baselines.count,
        "frontier": {"route": _said(reference.routes), "quality": reference.quality, "cost_usd": reference.cost},
        "targets": [
            _target(target, policy, totals, reference.cost, runner.stored) for target, (policy, totals) in runner.targets.items()
        ],
        "curve": curve,
        "aiq": aiq(points, min(singles, default=0.0), max(singles, default=0.0)) if singles else None,
        "baselines": found,
    }
    _put_beside_mixes(result, baselines, [totals for _, totals in runner.targets.values()])
    if len(best) == 1 and runner.pairs:
        ((names, strong),) = best.items()
        result["pair"] = _pair(runner.pairs, names.index(strong))
    return result


def _put_beside_mixes(result: dict[str, Any], baselines: Baselines, targets: Sequence[ReplayTotals]) -> None:
    """Put the line of random mixes into a report, and the mix of the same cost beside every strategy in it."""
    found = line_of(baselines)
    corners = [] if found is None else found[1].corners
    result["mix_line"] = [{**corner._asdict(), "cost_usd": corner.cost_usd * baselines.count} for corner in corners]
    for one, totals in zip(result["targets"], targets, strict=True):
        one["random_mix"] = None if found is None else beside_mix(totals.beside.get(found[0]), baselines.groups[found[0]], *found)
    for one in result["baselines"].values():
        mix = None if found is None else found[1].at_cost(one["cost_usd"] / baselines.count)
        one["random_mix_quality"] = None if mix is None else mix.quality


def _said(routes: Counter[str]) -> str:
    """Return the frontier's name, or several joined by `|` where no route is the frontier of more than 90 % of the requests."""
    (first, many), *others = routes.most_common()
    return first if not others or many > 0.9 * sum(routes.values()) else " | ".join(name for name, _ in routes.most_common())


def _target(target: float | None, policy: Any, totals: ReplayTotals, spent: float, stored: PolicyFile | None) -> dict[str, Any]:
    low, high = totals.interval
    found: dict[str, Any] = {
        "target": target,
        "quality": totals.quality,
        "cost_usd": totals.cost,
        "cost_ratio": totals.cost / spent if spent else None,
        "quality_low": low,
        "quality_high": high,
        "calls_per_request": totals.calls / totals.count,
        "shares": {route: many / totals.count for route, many in sorted(totals.routes.items(), key=lambda item: -item[1])},
    }
    if stored is not None and len(stored.groups) == 1 and target is not None:
        promised = stored.groups[0].point(target).promised
    else:
        promised = {}
    if promised:
        # The promise is an expected mean; the interval is for the mean of as many requests as these.
        scatter = promised["spread"] * np.sqrt(1 / promised["requests"] + 1 / totals.count)
        wide = 1.96 * np.hypot(scatter, promised.get("unsettled", 0.0))
        found["promised"] = {
            "quality": promised["quality"],
            "quality_low": max(0.0, promised["quality"] - wide),
            "quality_high": min(1.0, promised["quality"] + wide),
            "cost_ratio": promised["cost_ratio"],
        }
    if policy is not None:
        found["policy"] = policy.name
    return found


def _pair(pairs: Sequence[tuple[Floats, Floats]], strong: int) -> dict[str, Any]:
    scores, success = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    recovered = gap_recovered(scores[:, strong] - scores[:, 1 - strong], success[:, strong] - success[:, 1 - strong])
    if np.isnan(recovered).any():
        return {"apgr": None, "cpt": {"50": None, "80": None, "95": None}}
    return {"apgr": apgr(recovered), "cpt": {str(share): cpt(recovered, share / 100) for share in (50, 80, 95)}}
