"""What would a policy have done on recorded traffic, what would that have cost, and how good would it have been?

The shipped policy is asked, through the same methods that a router asks: recorded outcomes stand in for the models' answers. A policy
may select no route that was not asked at the time, because nobody knows what it would have answered.

Traffic streams by: of each request only sums are kept, and some numbers where a baseline needs them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from langroute.errors import DataError, UnknownRouteError
from langroute.estimators.estimator import Estimate
from langroute.estimators.features import Floats, Ints, featurize_and_hash, word_hashes
from langroute.estimators.store import PolicyFile, load_policy_file
from langroute.learning.baselines import Baselines
from langroute.learning.frontier import aiq, apgr, cpt, gap_recovered
from langroute.learning.named import Named, named_policy
from langroute.learning.neighbours import Vectors, vectors_of
from langroute.learning.parts import Part, Rates, parts_of
from langroute.learning.traffic import Exchange, Recorded, read_traffic
from langroute.policies.learned import Learned, LearnedGroups, policy_from
from langroute.records import Attempt, Price, Request, RouteInfo, Selection, Step, Usage, best_attempt

CURVE = (0.0, *(round(float(setting), 4) for setting in np.geomspace(0.003, 30, 40)))
"""Tolerances of the curve."""


@dataclass(slots=True)
class Tally:
    """What one way of routing got and cost."""

    count: int = 0
    score: float = 0.0
    squares: float = 0.0
    cost: float = 0.0
    calls: int = 0
    routes: Counter[str] = field(default_factory=Counter)
    """Whose answer was kept."""

    def add(self, score: float, cost_usd: float, route: str, calls: int = 1) -> None:
        """Count one request."""
        self.count += 1
        self.score += score
        self.squares += score * score
        self.cost += cost_usd
        self.routes[route] += 1
        self.calls += calls

    def add_calls(self, part: Part, at: Ints, rows: Ints) -> None:
        """Count a part that was answered with one call a request: by the routes in columns `at`, `(requests,)`."""
        scores = part.scores[rows, at]
        self.count += len(scores)
        self.score += float(scores.sum())
        self.squares += float(scores @ scores)
        self.cost += float(part.costs[rows, at].sum())
        self.calls += len(scores)
        for name, many in zip(part.names, np.bincount(at, minlength=len(part.names)).tolist(), strict=True):
            if many:
                self.routes[name] += many

    @property
    def quality(self) -> float:
        """Mean score."""
        return self.score / max(self.count, 1)

    @property
    def error(self) -> float:
        """Standard error of the mean score."""
        if self.count < 2:
            return 1.0 / 1.96
        variance = max(self.squares - self.score * self.score / self.count, 0.0) / (self.count - 1)
        return float(np.sqrt(variance / self.count))


def replay(
    paths: Sequence[str | Path],
    policy: str | Path,
    *,
    frontier: str | None = None,
    prices: Mapping[str, Price] | None = None,
    embeddings: Any = None,
) -> dict[str, Any]:
    """Ask a policy for every recorded request.

    Args:
        paths: Traffic files; see `docs/traffic.md`.
        policy: A policy directory; or `default`, `always:ROUTE`, `module:attribute` for a policy of one's own.
        frontier: What costs are compared with; the best single route of this traffic where none is given.
        prices: By route name; the policy's own, then list prices, where a route is not in it.
        embeddings: Those that the policy directory was fitted with, where it was.

    Returns:
        What `langroute replay --json` prints.

    Raises:
        DataError: A file is broken, or has no outcome of any of the policy's routes.
        PolicyFormatError: The policy directory is damaged.
        UnknownRouteError: The frontier is no route of this traffic.
    """
    stored = load_policy_file(policy, embeddings=embeddings) if Path(policy).is_dir() else None
    if stored is None and not _is_name(str(policy)):
        load_policy_file(policy)
    fitted = {name for group in stored.groups for name in group.routes} if stored else None
    runner = _FittedRunner(stored) if stored else _NamedRunner(str(policy))
    baselines = Baselines()
    for part in parts_of(read_traffic(paths), Rates(prices, stored), fitted):
        if frontier is not None and frontier not in part.names:
            raise UnknownRouteError(frontier, part.names, part.exchanges[0].where)
        vectors = runner.run(part)
        baselines.add(part, [one.task for one in part.exchanges], vectors)
    if not baselines.count:
        if next(read_traffic(paths), None) is None:
            raise DataError(f"{', '.join(map(str, paths))}: there are no requests.")
        wanted = f"the policy's routes: {', '.join(sorted(fitted))}" if fitted else "any route"
        raise DataError(f"{', '.join(map(str, paths))}: no request has a scored outcome of {wanted}.")
    return _report(baselines, runner, frontier)


def _is_name(policy: str) -> bool:
    return policy == "default" or ":" in policy


def request_of(exchange: Exchange, routes: tuple[RouteInfo, ...]) -> Request:
    """The recorded request as a policy sees it."""
    step = exchange.step
    return Request(
        exchange.messages,
        Step(str(step.get("kind") or ""), step.get("node"), task_kind=exchange.task or None),
        routes,
        routes[-1].name,
        exchange.tools,
    )


def attempt_of(selection: Selection, outcome: Recorded, cost_usd: float) -> Attempt:
    """The recorded outcome as the attempt that it would have been."""
    return Attempt(
        selection,
        outcome.answer or "",
        usage=Usage(outcome.input_tokens, outcome.output_tokens),
        cost_usd=cost_usd,
        latency_s=outcome.latency_s or 0.0,
        # The answer is canonical already: equal strings, and no others, agree.
        parsed=outcome.answer,
    )


def _walk(policy: Any, request: Request, part: Part, row: int, tally: Tally) -> None:
    """Carry out a policy on one request, with recorded outcomes for answers."""
    names, one = part.names, part.exchanges[row]
    attempts: list[Attempt] = []
    while len(attempts) < 2 * len(names) + 4 and (selection := policy.select(request, attempts)) is not None:
        if selection.route not in names:
            raise UnknownRouteError(selection.route, names, one.where)
        cost_usd = float(part.costs[row, names.index(selection.route)])
        attempts.append(attempt_of(selection, one.outcomes[selection.route], cost_usd))
    kept = best_attempt(attempts)
    if kept is None:
        raise DataError(f"{one.where}: the policy selected no route.")
    spent = sum(attempt.cost_usd or 0.0 for attempt in attempts)
    tally.add(float(part.scores[row, names.index(kept.route)]), spent, kept.route, len(attempts))


class _FittedRunner:
    """Runs a policy directory: every target, and the curve of tolerances."""

    def __init__(self, stored: PolicyFile) -> None:
        self.stored: PolicyFile | None = stored
        self.targets: dict[float | None, tuple[Any, Tally]] = {
            target: (policy_from(stored, target=target), Tally()) for target in stored.targets
        }
        self.curve: dict[float | str, tuple[Any, Tally]] = {
            setting: (policy_from(stored, tolerance=setting), Tally()) for setting in CURVE
        }
        self.pairs: list[tuple[Floats, Floats]] = []
        """Of requests with two routes: scores, and estimated success; `(requests, 2)` each."""

    def run(self, part: Part) -> Vectors:
        """Replay requests with the same eligible routes; their words as vectors."""
        names, rows = part.names, np.arange(len(part))
        first = _policy_for(next(iter(self.curve.values()))[0], names)
        estimator = first.group.estimator
        documents = part.documents()
        batch, hashes, owners = featurize_and_hash(documents, estimator.vocabulary)
        estimate = estimator.of(batch, documents)
        index = {name: place for place, name in enumerate(names)}
        # Places among the group's routes → columns of what was recorded.
        columns = np.array([index.get(name, -1) for name in estimator.routes])
        if len(names) == 2:
            self.pairs.append((part.scores, estimate.success[:, [estimator.routes.index(name) for name in names]]))
        costs = first.costs(estimate, part.routes)
        requests: list[Request] | None = None
        for policy, tally in (*self.curve.values(), *self.targets.values()):
            own = _policy_for(policy, names)
            if isinstance(own, Learned):
                tally.add_calls(part, columns[own.places(estimate, part.routes, costs)], rows)
                continue
            requests = requests or [request_of(one, part.routes) for one in part.exchanges]
            for row, request in enumerate(requests):
                own.remember(request, _row(estimate, row))
                _walk(own, request, part, row, tally)
        return vectors_of(hashes, owners, len(part))


def _policy_for(policy: Any, names: Sequence[str]) -> Any:
    return policy.of(names) if isinstance(policy, LearnedGroups) else policy


def _row(estimate: Estimate, row: int) -> Estimate:
    at = slice(row, row + 1)
    return Estimate(estimate.success[at], estimate.input_tokens[at], estimate.output_tokens[at], estimate.log_output)


class _NamedRunner:
    """Runs a policy that was not fitted."""

    def __init__(self, name: str) -> None:
        self.name, tally = name, Tally()
        self.stored: PolicyFile | None = None
        self.targets: dict[float | None, tuple[Any, Tally]] = {None: (None, tally)}
        self.curve: dict[float | str, tuple[Any, Tally]] = {name: (None, tally)}
        self.pairs: list[tuple[Floats, Floats]] = []
        self._tally = tally
        self._policies: dict[tuple[str, ...], Named] = {}

    def run(self, part: Part) -> Vectors:
        """Replay requests with the same eligible routes; their words as vectors."""
        policy = self._policies.get(part.names)
        if policy is None:
            policy = self._policies[part.names] = Named(self.name, named_policy(self.name, part.routes))
        for row, exchange in enumerate(part.exchanges):
            _walk(policy, policy.request_of(exchange, part.routes), part, row, self._tally)
        return vectors_of(*word_hashes(part.documents()), len(part))


def _report(baselines: Baselines, runner: _FittedRunner | _NamedRunner, frontier: str | None) -> dict[str, Any]:
    best = baselines.frontiers(frontier)
    reference = Tally()
    for names, sums in baselines.groups.items():
        at = names.index(best[names])
        reference.count += sums.count
        reference.score += float(sums.score[at])
        reference.cost += float(sums.cost[at])
        reference.routes[best[names]] += sums.count
    found = baselines.found()
    curve = [{"setting": setting, "quality": tally.quality, "cost_usd": tally.cost} for setting, (_, tally) in runner.curve.items()]
    points = [(tally.cost, tally.quality) for _, tally in runner.curve.values()]
    singles = [value["cost_usd"] for name, value in found.items() if name.startswith("always:")]
    result: dict[str, Any] = {
        "requests": baselines.count,
        "frontier": {"route": _said(reference.routes), "quality": reference.quality, "cost_usd": reference.cost},
        "targets": [
            _target(target, policy, tally, reference.cost, runner.stored) for target, (policy, tally) in runner.targets.items()
        ],
        "curve": curve,
        "aiq": aiq(points, min(singles, default=0.0), max(singles, default=0.0)) if singles else None,
        "baselines": found,
    }
    if len(best) == 1 and runner.pairs:
        ((names, strong),) = best.items()
        result["pair"] = _pair(runner.pairs, names.index(strong))
    return result


def _said(routes: Counter[str]) -> str:
    """The frontier's name; several where the traffic has several."""
    (first, many), *others = routes.most_common()
    return first if not others or many > 0.9 * sum(routes.values()) else " | ".join(name for name, _ in routes.most_common())


def _target(target: float | None, policy: Any, tally: Tally, spent: float, stored: PolicyFile | None) -> dict[str, Any]:
    wide = 1.96 * tally.error
    found: dict[str, Any] = {
        "target": target,
        "quality": tally.quality,
        "cost_usd": tally.cost,
        "cost_ratio": tally.cost / spent if spent else None,
        "quality_low": max(0.0, tally.quality - wide),
        "quality_high": min(1.0, tally.quality + wide),
        "calls_per_request": tally.calls / tally.count,
        "shares": {route: many / tally.count for route, many in sorted(tally.routes.items(), key=lambda item: -item[1])},
    }
    if stored is not None and len(stored.groups) == 1 and target is not None:
        promised = stored.groups[0].point(target).promised
    else:
        promised = {}
    if promised:
        # The promise is a mean; as many requests as these scatter around it.
        scatter = promised["spread"] * np.sqrt(1 / promised["requests"] + 1 / tally.count)
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
