"""Replay: evaluates a policy on recorded traffic that has the outcomes of several routes for each request.

The policy is called by the same methods that a router calls, with recorded outcomes in place of the models' answers. It may select only
routes with a recorded outcome, because the answers of others are not known.

Traffic is streamed: only sums are kept of each request, and a few numbers where a baseline needs them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from langroute.core.errors import DataError, UnknownRouteError
from langroute.core.records import Attempt, Price, Request, RouteInfo, Selection, Step, Usage, best_attempt
from langroute.estimators.arrays import Floats, Ints
from langroute.estimators.estimator import Estimate
from langroute.estimators.features import featurize_and_hash, word_hashes
from langroute.estimators.store import PolicyFile, load_policy_file
from langroute.learning.baselines import Baselines
from langroute.learning.beside_mix import beside_mix, line_of
from langroute.learning.frontier import aiq, apgr, cpt, gap_recovered
from langroute.learning.named import Named, is_name, named_policy
from langroute.learning.neighbours import Vectors, vectors_of
from langroute.learning.parts import Rates, Read, TrafficPart, parts_of
from langroute.learning.pieces import Engine, OneProcess
from langroute.learning.recorded import Recorded
from langroute.learning.replay_totals import ReplaySums, ReplayTotals, Setting
from langroute.learning.traffic import Exchange
from langroute.policies.learned import Learned, LearnedGroups, policy_from

CURVE = (0.0, *(round(float(setting), 4) for setting in np.geomspace(0.003, 30, 40)))
"""Tolerances at which the curve of cost and quality is computed."""


def replay(
    paths: Sequence[str | Path],
    policy: str | Path,
    *,
    frontier: str | None = None,
    prices: Mapping[str, Price] | None = None,
    embeddings: Any = None,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """Evaluate a policy on every recorded request.

    Args:
        paths: Traffic files; see `docs/traffic.md`.
        policy: A policy directory; or `default`, `always:ROUTE`, or `module:attribute` for a policy of your own.
        frontier: Route that costs are compared with; by default the best single route of this traffic.
        prices: Prices by route name; the policy's own, then list prices, for routes that are not in it.
        embeddings: The LangChain embeddings that the policy was fitted with, where it was.
        engine: What works through the traffic; this process by default.

    Returns:
        The object that `langroute replay --format json` prints.

    Raises:
        DataError: A file is broken, or has no outcome of any of the policy's routes.
        PolicyFormatError: The policy directory is damaged.
        UnknownRouteError: The frontier is not a route of this traffic, or the policy selected one without a recorded outcome.
    """
    engine = OneProcess() if engine is None else engine
    stored = load_policy_file(policy, embeddings=embeddings) if Path(policy).is_dir() else None
    if stored is None and not is_name(str(policy)):
        load_policy_file(policy)
    fitted = {name for group in stored.groups for name in group.routes} if stored else None
    rates = Rates(prices, stored)
    routes = () if stored else _routes_of(paths, rates, engine)
    work = ReplayWork(stored, str(policy), routes, rates)
    runner = work.runner()
    sums = runner.sums()
    for more in engine.run(work, paths):
        sums.merge(more)
    read, baselines = sums.read, sums.baselines
    if frontier is not None and frontier not in read.routes and read.routes:
        raise UnknownRouteError(frontier, sorted(read.routes), "this traffic")
    if not baselines.count:
        raise DataError(f"{', '.join(map(str, paths))}: {_why_none(sums, fitted)}")
    result = _report(sums, runner, frontier)
    return result | {
        "read": read.requests,
        "unscored": read.unscored,
        "unanswered": sum(sums.unanswered.values()),
        "unanswered_by_route": dict(sums.unanswered.most_common()),
        "logged": read.logged,
    }


@dataclass(slots=True)
class ReplayWork:
    """The replay of a piece of traffic."""

    makes: ClassVar[type] = ReplaySums
    stored: PolicyFile | None
    name: str
    """Name of a policy that was not fitted."""

    routes: tuple[RouteInfo, ...]
    rates: Rates
    _runner: _FittedRunner | _NamedRunner | None = None

    def runner(self) -> _FittedRunner | _NamedRunner:
        """Return what calls the policy; the same object each time."""
        if self._runner is None:
            self._runner = _FittedRunner(self.stored) if self.stored else _NamedRunner(self.name, self.routes)
        return self._runner

    def __call__(self, exchanges: Iterable[Exchange]) -> ReplaySums:
        """Return the sums of a piece."""
        runner = self.runner()
        sums = runner.sums()
        fitted = {name for group in self.stored.groups for name in group.routes} if self.stored else None
        for part in parts_of(exchanges, self.rates, fitted, sums.read):
            rows, vectors = runner.run(part, sums)
            if len(rows):
                judged = part if len(rows) == len(part) else part.only(rows.tolist())
                sums.baselines.add(judged, [one.task for one in judged.exchanges], vectors)
        return sums

    @property
    def key(self) -> str:
        """What tells this work from other work, in words."""
        named = self.stored.version if self.stored else self.name
        return repr(("replay", named, [route.name for route in self.routes], self.rates.said))

    def __getstate__(self) -> tuple[Any, ...]:
        return self.stored, self.name, self.routes, self.rates

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.stored, self.name, self.routes, self.rates = state
        self._runner = None


@dataclass(frozen=True, slots=True)
class _RoutesWork:
    """Reads which routes a piece of traffic has, and their prices."""

    rates: Rates

    def __call__(self, exchanges: Iterable[Exchange]) -> tuple[tuple[str, ...], Rates]:
        read, rates = Read(), self.rates.copy()
        for _ in parts_of(exchanges, rates, None, read):
            pass
        return tuple(read.routes), rates


def _routes_of(paths: Sequence[str | Path], rates: Rates, engine: Engine) -> tuple[RouteInfo, ...]:
    """Return all routes of the traffic that have a scored outcome, cheapest first; prices that were only billed are learned."""
    names: dict[str, None] = {}
    for found, learned in engine.run(_RoutesWork(rates.copy()), paths):
        rates.take(found, learned)
        names.update(dict.fromkeys(found))
    return rates.infos(tuple(sorted(names)))


def _why_none(sums: ReplaySums, fitted: set[str] | None) -> str:
    """Return why not one request could be judged."""
    read = sums.read
    if not read.requests:
        return "there are no requests."
    if read.unscored == read.requests:
        return f"no request has a scored outcome of {f'the policy{chr(39)}s routes: ' + ', '.join(sorted(fitted)) if fitted else 'any route'}."
    if fitted:
        return (
            "no request has scored outcomes of two of the policy's routes, so there is nothing that it could choose between. Where the "
            "routes were drawn with a known probability, --estimator judges it."
        )
    return f"no request was answered by what the policy would have chosen: {', '.join(sums.unanswered)}."


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
        self.name = ""
        self.targets: dict[Setting, Any] = {target: policy_from(stored, target=target) for target in stored.targets}
        self.curve: dict[Setting, Any] = {setting: policy_from(stored, tolerance=setting) for setting in CURVE}
        self._chooses = all(len(group.routes) > 1 for group in stored.groups)

    def sums(self) -> ReplaySums:
        """Return sums of no requests."""
        return ReplaySums.of(self.targets, self.curve)

    def run(self, part: TrafficPart, sums: ReplaySums) -> tuple[Ints, Vectors]:
        """Replay requests with the same eligible routes. Return the rows that could be judged, and their words as vectors, `(rows, SIZE)`."""
        names, rows = part.names, np.arange(len(part))
        if len(names) == 1 and self._chooses:
            # Whatever is asked of one route says nothing of a choice.
            sums.unanswered[f"another than {names[0]}"] += len(part)
            return rows[:0], np.empty((0, 0), np.float32)
        first = _policy_for(next(iter(self.curve.values())), names)
        estimator = first.group.estimator
        documents = part.documents()
        batch, hashes, owners = featurize_and_hash(documents, estimator.vocabulary)
        estimate = estimator.of(batch, documents)
        index = {name: place for place, name in enumerate(names)}
        # Index in the group's routes → column of the recorded outcomes.
        columns = np.array([index.get(name, -1) for name in estimator.routes])
        if len(names) == 2:
            sums.pairs.append((part.scores, estimate.success[:, [estimator.routes.index(name) for name in names]]))
        costs = first.costs(estimate, part.routes)
        requests: list[Request] | None = None
        settings = ((self.curve, sums.curve), (self.targets, sums.targets))
        for policy, totals in ((policy, all_[setting]) for policies, all_ in settings for setting, policy in policies.items()):
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
        self.name, self.routes = name, routes
        self._known = {route.name for route in routes}
        self.stored: PolicyFile | None = None
        self.targets: dict[Setting, Any] = {None: None}
        self._policies: dict[tuple[str, ...], Named] = {}

    def sums(self) -> ReplaySums:
        """Return sums of no requests; the one point of the curve is the policy itself."""
        return ReplaySums.of(self.targets, ())

    def run(self, part: TrafficPart, sums: ReplaySums) -> tuple[Ints, Vectors]:
        """Replay requests that the same routes answered. Return the rows that could be judged, and their words as vectors, `(rows, SIZE)`."""
        rows = []
        for row, exchange in enumerate(part.exchanges):
            routes = self.routes if self._names_one or "served" in exchange.step else part.routes
            policy = self._policy(routes)
            missing = _walk(policy, policy.request_of(exchange, routes), part, row, sums.targets[None])
            if missing is None:
                rows.append(row)
            elif missing not in self._known:
                raise UnknownRouteError(missing, sorted(self._known), exchange.where)
            else:
                sums.unanswered[missing] += 1
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


def _report(sums: ReplaySums, runner: _FittedRunner | _NamedRunner, frontier: str | None) -> dict[str, Any]:
    baselines = sums.baselines
    best = baselines.frontiers(frontier)
    reference = ReplayTotals()
    for names, group in baselines.groups.items():
        at = names.index(best[names])
        reference.count += group.count
        reference.score += float(group.score[at])
        reference.cost += float(group.cost[at])
        reference.routes[best[names]] += group.count
    found = baselines.found()
    # A policy that was not fitted has one point, itself.
    points_of = sums.curve or {runner.name: sums.targets[None]}
    curve = [{"setting": setting, "quality": totals.quality, "cost_usd": totals.cost} for setting, totals in points_of.items()]
    points = [(totals.cost, totals.quality) for totals in points_of.values()]
    singles = [value["cost_usd"] for name, value in found.items() if name.startswith("always:")]
    result: dict[str, Any] = {
        "requests": baselines.count,
        "frontier": {"route": _said(reference.routes), "quality": reference.quality, "cost_usd": reference.cost},
        "targets": [
            _target(target, runner.targets[target], totals, reference.cost, runner.stored)
            for target, totals in sums.targets.items()
        ],
        "curve": curve,
        "aiq": aiq(points, min(singles, default=0.0), max(singles, default=0.0)) if singles else None,
        "baselines": found,
    }
    _put_beside_mixes(result, baselines, list(sums.targets.values()))
    if len(best) == 1 and sums.pairs:
        ((names, strong),) = best.items()
        result["pair"] = _pair(sums.pairs, names.index(strong))
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


def _target(target: Setting, policy: Any, totals: ReplayTotals, spent: float, stored: PolicyFile | None) -> dict[str, Any]:
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
    if stored is not None and len(stored.groups) == 1 and isinstance(target, float):
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
