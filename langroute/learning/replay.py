"""What would a policy have done on recorded traffic, what would that have cost, and how good would it have been?

The shipped policy is asked, through the same methods that a router asks: recorded outcomes stand in for the models' answers. A policy
may select no route that was not asked at the time, because nobody knows what it would have answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.errors import ConfigurationError, DataError, UnknownRouteError
from langroute.estimators.documents import Document, document_of
from langroute.estimators.estimator import Estimate
from langroute.estimators.features import Floats, word_hashes
from langroute.estimators.store import PolicyFile, load_policy_file
from langroute.learning.frontier import aiq, apgr, cpt, gap_recovered
from langroute.learning.prices import prices_for
from langroute.learning.traffic import Exchange, Recorded, read_traffic
from langroute.policies.learned import Learned, LearnedGroups, policy_from
from langroute.pricing import cost
from langroute.records import Attempt, Price, Request, RouteInfo, Selection, Step, Usage, best_attempt

CHUNK = 512
"""Requests that are estimated together."""

CURVE = (0.0, *(round(float(setting), 4) for setting in np.geomspace(0.003, 30, 40)))
"""Tolerances of the curve."""

NEIGHBOURS = 20
KEPT = 1000
"""Requests that the nearest-neighbour baseline looks among."""


@dataclass(slots=True)
class Tally:
    """What one way of routing got and cost, request by request."""

    score: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    calls: int = 0
    routes: Counter[str] = field(default_factory=Counter)
    """Whose answer was kept."""

    def add(self, score: float, cost_usd: float, route: str, calls: int = 1) -> None:
        """Count one request."""
        self.score.append(score)
        self.cost.append(cost_usd)
        self.routes[route] += 1
        self.calls += calls

    @property
    def quality(self) -> float:
        """Mean score."""
        return sum(self.score) / max(len(self.score), 1)

    def plain(self) -> dict[str, float]:
        """For JSON."""
        return {"quality": self.quality, "cost_usd": sum(self.cost)}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the baselines need to know of a request."""

    exchange: Exchange
    names: tuple[str, ...]
    scores: tuple[float, ...]
    costs: tuple[float, ...]


def replay(
    paths: Sequence[str | Path],
    policy: str | Path,
    *,
    frontier: str | None = None,
    prices: Mapping[str, Price] | None = None,
) -> dict[str, Any]:
    """Ask a policy for every recorded request.

    Args:
        paths: Traffic files; see `docs/traffic.md`.
        policy: A policy directory; or `default`, `always:ROUTE`, `module:attribute` for a policy of one's own.
        frontier: What costs are compared with; the best single route of this traffic where none is given.
        prices: By route name; the policy's own, then list prices, where a route is not in it.

    Returns:
        What `langroute replay --json` prints.

    Raises:
        DataError: A file is broken, or has no outcome of any of the policy's routes.
        PolicyFormatError: The policy directory is damaged.
        UnknownRouteError: The frontier is no route of this traffic.
    """
    stored = load_policy_file(policy) if Path(policy).is_dir() else None
    if stored is None and not _is_name(str(policy)):
        load_policy_file(policy)
    fitted = {name for group in stored.groups for name in group.routes} if stored else None
    table = _Prices(prices, stored)
    runner = _FittedRunner(stored) if stored else _NamedRunner(str(policy))
    seen: list[_Seen] = []
    for chunk in _chunks(_usable(read_traffic(paths), fitted, table)):
        for key, members in _by_routes(chunk).items():
            runner.run(members, table.infos(key))
        seen.extend(chunk)
    if not seen:
        wanted = f"the policy's routes: {', '.join(sorted(fitted))}" if fitted else "any route"
        raise DataError(f"{', '.join(map(str, paths))}: no request has a scored outcome of {wanted}.")
    seen = runner.in_order or seen
    return _report(seen, runner, frontier)


def _is_name(policy: str) -> bool:
    return policy == "default" or ":" in policy


class _Prices:
    """Prices of routes, looked up once."""

    def __init__(self, table: Mapping[str, Price] | None, stored: PolicyFile | None) -> None:
        self._known: dict[str, Price] = {}
        for group in stored.groups if stored else ():
            self._known.update(group.prices)
        self._known.update(table or {})
        self._infos: dict[tuple[str, ...], tuple[RouteInfo, ...]] = {}

    def __getitem__(self, route: str) -> Price:
        if route not in self._known:
            self._known.update(prices_for([route]))
        return self._known[route]

    def infos(self, names: tuple[str, ...]) -> tuple[RouteInfo, ...]:
        """The routes as a router would describe them, cheapest first."""
        if names not in self._infos:
            ordered = sorted(names, key=lambda name: (self[name].input + 3 * self[name].output, name))
            last = max(len(ordered) - 1, 1)
            tiers = [("cheap", "balanced", "frontier")[round(2 * place / last)] for place in range(len(ordered))]
            self._infos[names] = tuple(
                RouteInfo(name, tier, place, model=name, price=self[name])
                for place, (name, tier) in enumerate(zip(ordered, tiers, strict=True))
            )
        return self._infos[names]


def _usable(exchanges: Iterable[Exchange], fitted: set[str] | None, prices: _Prices) -> Iterator[_Seen]:
    for one in exchanges:
        names, scores, costs = [], [], []
        for name, outcome in sorted(one.outcomes.items()):
            if outcome.score is None or (fitted is not None and name not in fitted):
                continue
            names.append(name)
            scores.append(outcome.score)
            costs.append(_cost(prices[name], outcome))
        if names:
            yield _Seen(one, tuple(names), tuple(scores), tuple(costs))


def _cost(price: Price, outcome: Recorded) -> float:
    return cost(price, Usage(outcome.input_tokens, outcome.output_tokens), outcome.latency_s or 0.0) or 0.0


def _chunks(seen: Iterable[_Seen]) -> Iterator[list[_Seen]]:
    part: list[_Seen] = []
    for one in seen:
        part.append(one)
        if len(part) == CHUNK:
            yield part
            part = []
    if part:
        yield part


def _by_routes(seen: Sequence[_Seen]) -> dict[tuple[str, ...], list[_Seen]]:
    found: dict[tuple[str, ...], list[_Seen]] = {}
    for one in seen:
        found.setdefault(one.names, []).append(one)
    return found


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


def _walk(policy: Any, request: Request, one: _Seen, tally: Tally) -> None:
    """Carry out a policy on one request, with recorded outcomes for answers."""
    attempts: list[Attempt] = []
    while len(attempts) < 2 * len(one.names) + 4 and (selection := policy.select(request, attempts)) is not None:
        if selection.route not in one.names:
            raise UnknownRouteError(selection.route, one.names, one.exchange.where)
        place = one.names.index(selection.route)
        attempts.append(attempt_of(selection, one.exchange.outcomes[selection.route], one.costs[place]))
    kept = best_attempt(attempts)
    if kept is None:
        raise DataError(f"{one.exchange.where}: the policy selected no route.")
    spent = sum(attempt.cost_usd or 0.0 for attempt in attempts)
    tally.add(one.scores[one.names.index(kept.route)], spent, kept.route, len(attempts))


class _FittedRunner:
    """Runs a policy directory: every target, and the curve of tolerances."""

    def __init__(self, stored: PolicyFile) -> None:
        self.stored = stored
        self.targets = {target: (policy_from(stored, target=target), Tally()) for target in stored.targets}
        self.curve = {setting: (policy_from(stored, tolerance=setting), Tally()) for setting in CURVE}
        self.preference: list[Floats] = []
        self.in_order: list[_Seen] = []

    def run(self, members: Sequence[_Seen], routes: tuple[RouteInfo, ...]) -> None:
        """Replay requests with the same eligible routes."""
        self.in_order.extend(members)
        names = members[0].names
        first = _policy_for(next(iter(self.curve.values()))[0], names)
        estimator = first.group.estimator
        documents = [document_of(one.exchange.messages, one.exchange.tools, one.exchange.labels) for one in members]
        estimate = estimator.estimate(documents)
        index = {name: place for place, name in enumerate(names)}
        # Places among the group's routes → columns of what was recorded.
        columns = np.array([index.get(name, -1) for name in estimator.routes])
        scores = np.array([one.scores for one in members])
        costs = np.array([one.costs for one in members])
        rows = np.arange(len(members))
        if len(names) == 2:
            places = [estimator.routes.index(name) for name in names]
            self.preference.append(estimate.success[:, places])

        for policy, tally in self.curve.values():
            own = _policy_for(policy, names)
            at = columns[own.places(estimate, routes)]
            tally.score.extend(scores[rows, at].tolist())
            tally.cost.extend(costs[rows, at].tolist())
        requests: list[Request] | None = None
        for policy, tally in self.targets.values():
            own = _policy_for(policy, names)
            if isinstance(own, Learned):
                at = columns[own.places(estimate, routes)]
                tally.score.extend(scores[rows, at].tolist())
                tally.cost.extend(costs[rows, at].tolist())
                tally.calls += len(members)
                tally.routes.update(names[place] for place in at)
                continue
            requests = requests or [request_of(one.exchange, routes) for one in members]
            for row, (request, one) in enumerate(zip(requests, members, strict=True)):
                own.remember(request, _row(estimate, row))
                _walk(own, request, one, tally)


def _policy_for(policy: Any, names: Sequence[str]) -> Any:
    return policy.of(names) if isinstance(policy, LearnedGroups) else policy


def _row(estimate: Estimate, row: int) -> Estimate:
    at = slice(row, row + 1)
    return Estimate(estimate.success[at], estimate.input_tokens[at], estimate.output_tokens[at], estimate.log_output)


class _NamedRunner:
    """Runs a policy that was not fitted."""

    stored = None

    def __init__(self, name: str) -> None:
        self.name, self.tally = name, Tally()
        self.targets = {None: (None, self.tally)}
        self.curve = {self.name: (None, self.tally)}
        self.preference: list[Floats] = []
        self.in_order: list[_Seen] = []
        self._policies: dict[tuple[str, ...], Any] = {}

    def run(self, members: Sequence[_Seen], routes: tuple[RouteInfo, ...]) -> None:
        """Replay requests with the same eligible routes."""
        from langchain_core.messages import convert_to_messages

        from langroute.steps import Inspector

        self.in_order.extend(members)
        names = members[0].names
        policy = self._policies.get(names)
        if policy is None:
            policy = self._policies[names] = named_policy(self.name, routes)
        inspector = Inspector()
        for one in members:
            exchange = one.exchange
            messages = convert_to_messages([dict(message) for message in exchange.messages])
            metadata = {"langroute_task_kind": exchange.task} if exchange.task else {}
            step = inspector.inspect(messages, tools=exchange.tools, metadata=metadata)
            request = Request(messages, step, routes, routes[-1].name, exchange.tools)
            _walk(policy, request, one, self.tally)


def named_policy(name: str, routes: Sequence[RouteInfo]) -> Any:
    """A policy by name: `default`, `always:ROUTE`, or `module:attribute`.

    Raises:
        ConfigurationError: There is no such policy.

    Example:
        >>> named_policy("always:small", [RouteInfo("small")]).route
        'small'
    """
    if name == "default":
        from langroute.policies.default import default_policy

        return default_policy(routes)
    kind, _, rest = name.partition(":")
    if kind == "always":
        from langroute.policies.fixed import Fixed

        if rest not in {route.name for route in routes}:
            raise UnknownRouteError(rest, [route.name for route in routes], "this traffic")
        return Fixed(rest)
    try:
        found = getattr(import_module(kind), rest)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"There is no policy {name!r}: {error}. Give a directory, `default`, `always:ROUTE` or `module:attribute`."
        ) from error
    return found() if isinstance(found, type) else found


def _report(seen: Sequence[_Seen], runner: Any, frontier: str | None) -> dict[str, Any]:
    count = len(seen)
    groups = _by_routes(seen)
    best = _frontiers(groups, frontier)
    reference = Tally()
    for one in seen:
        route = best[one.names]
        place = one.names.index(route)
        reference.add(one.scores[place], one.costs[place], route)
    spent = sum(reference.cost)
    baselines = _baselines(seen)
    curve = [
        {"setting": setting, "quality": tally.quality, "cost_usd": sum(tally.cost)} for setting, (_, tally) in runner.curve.items()
    ]
    points = [(point["cost_usd"], point["quality"]) for point in curve]
    singles = [value["cost_usd"] for name, value in baselines.items() if name.startswith("always:")]
    result: dict[str, Any] = {
        "requests": count,
        "frontier": {
            "route": _said(reference.routes),
            "quality": reference.quality,
            "cost_usd": spent,
        },
        "targets": [_target(target, policy, tally, spent, runner.stored) for target, (policy, tally) in runner.targets.items()],
        "curve": curve,
        "aiq": aiq(points, min(singles, default=0.0), max(singles, default=0.0)) if singles else None,
        "baselines": baselines,
    }
    if len(groups) == 1 and len(seen[0].names) == 2 and runner.preference:
        result["pair"] = _pair(seen, best[seen[0].names], np.concatenate(runner.preference))
    return result


def _said(routes: Counter[str]) -> str:
    """The frontier's name; several where the traffic has several."""
    (first, many), *others = routes.most_common()
    return first if not others or many > 0.9 * sum(routes.values()) else " | ".join(name for name, _ in routes.most_common())


def _frontiers(groups: Mapping[tuple[str, ...], Sequence[_Seen]], wanted: str | None) -> dict[tuple[str, ...], str]:
    """The best single route of the largest group, and where it was not asked, the best of those that were."""
    found: dict[tuple[str, ...], str] = {}
    for names, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        if wanted is not None:
            if wanted not in names:
                raise UnknownRouteError(wanted, names, members[0].exchange.where)
            found[names] = wanted
            continue
        same = [route for route in found.values() if route in names]
        quality = np.array([one.scores for one in members]).mean(0)
        spent = np.array([one.costs for one in members]).mean(0)
        found[names] = same[0] if same else names[max(range(len(names)), key=lambda place: (quality[place], -spent[place]))]
    return found


def _target(target: float | None, policy: Any, tally: Tally, spent: float, stored: PolicyFile | None) -> dict[str, Any]:
    score = np.array(tally.score)
    error = 1.96 * float(score.std(ddof=1)) / np.sqrt(len(score)) if len(score) > 1 else 1.0
    found: dict[str, Any] = {
        "target": target,
        "quality": tally.quality,
        "cost_usd": sum(tally.cost),
        "cost_ratio": sum(tally.cost) / spent if spent else None,
        "quality_low": max(0.0, tally.quality - error),
        "quality_high": min(1.0, tally.quality + error),
        "calls_per_request": tally.calls / len(score),
        "shares": {route: many / len(score) for route, many in sorted(tally.routes.items(), key=lambda item: -item[1])},
    }
    if stored is not None and len(stored.groups) == 1 and target is not None:
        promised = stored.groups[0].point(target).promised
        # The promise is a mean; as many requests as these scatter around it.
        wide = 1.96 * promised["spread"] * np.sqrt(1 / promised["requests"] + 1 / len(score))
        found["promised"] = {
            "quality": promised["quality"],
            "quality_low": max(0.0, promised["quality"] - wide),
            "quality_high": min(1.0, promised["quality"] + wide),
            "cost_ratio": promised["cost_ratio"],
        }
    if policy is not None:
        found["policy"] = policy.name
    return found


def _pair(seen: Sequence[_Seen], strong: str, success: Floats) -> dict[str, Any]:
    place = seen[0].names.index(strong)
    scores = np.array([one.scores for one in seen])
    recovered = gap_recovered(scores[:, place] - scores[:, 1 - place], success[:, place] - success[:, 1 - place])
    if np.isnan(recovered).any():
        return {"apgr": None, "cpt": {"50": None, "80": None, "95": None}}
    return {"apgr": apgr(recovered), "cpt": {str(share): cpt(recovered, share / 100) for share in (50, 80, 95)}}


def _baselines(seen: Sequence[_Seen]) -> dict[str, dict[str, float]]:
    count = len(seen)
    there = Counter(name for one in seen for name in one.names)
    found = {f"always:{name}": _always(seen, name) for name, many in sorted(there.items()) if many > 0.9 * count}
    found["random"] = {
        "quality": sum(sum(one.scores) / len(one.scores) for one in seen) / count,
        "cost_usd": sum(sum(one.costs) / len(one.costs) for one in seen),
    }
    found["best_by_task"] = _routed(seen, _best_by_task(seen))
    found["knn"] = _routed(seen, _nearest(seen))
    found["oracle"] = _routed(seen, [_best(one.names, one.scores, one.costs) for one in seen])
    return found


def _always(seen: Sequence[_Seen], route: str) -> dict[str, float]:
    """One route for everything; the few requests it was not asked count as its average."""
    both = [(one.scores[place], one.costs[place]) for one in seen if route in one.names for place in (one.names.index(route),)]
    score, spent = np.array(both).mean(0)
    return {"quality": float(score), "cost_usd": float(spent) * len(seen)}


def _routed(seen: Sequence[_Seen], routes: Sequence[str]) -> dict[str, float]:
    tally = Tally()
    for one, route in zip(seen, routes, strict=True):
        place = one.names.index(route)
        tally.add(one.scores[place], one.costs[place], route)
    return tally.plain()


def _best(names: Sequence[str], scores: Sequence[float], costs: Sequence[float]) -> str:
    return names[max(range(len(names)), key=lambda place: (scores[place], -costs[place]))]


def _best_by_task(seen: Sequence[_Seen]) -> list[str]:
    """In hindsight: the best single route of each task on this very traffic."""
    sums: dict[tuple[str, tuple[str, ...]], list[Floats]] = {}
    for one in seen:
        both = sums.setdefault((one.exchange.task, one.names), [np.zeros(len(one.names)), np.zeros(len(one.names))])
        both[0] += one.scores
        both[1] += one.costs
    best = {key: _best(key[1], list(scores), list(costs)) for key, (scores, costs) in sums.items()}
    return [best[one.exchange.task, one.names] for one in seen]


def _nearest(seen: Sequence[_Seen]) -> list[str]:
    """In hindsight: the best route of the most similar other requests of this very traffic.

    Source: Hu et al., RouterBench (2024), section 4.1.
    """
    chosen: list[str] = [""] * len(seen)
    for names in {one.names for one in seen}:
        places = [place for place, one in enumerate(seen) if one.names == names]
        vectors = _vectors([document_of(seen[place].exchange.messages, seen[place].exchange.tools) for place in places])
        among = np.linspace(0, len(places) - 1, min(len(places), KEPT)).astype(int)
        scores = np.array([seen[places[at]].scores for at in among])
        costs = np.array([seen[place].costs for place in places]).mean(0)
        pool = vectors[among]
        near = min(NEIGHBOURS, max(len(among) - 1, 1))
        for begin in range(0, len(places), CHUNK):
            part = np.arange(begin, min(begin + CHUNK, len(places)))
            likeness = vectors[part] @ pool.T
            likeness[part[:, None] == among[None, :]] = -np.inf
            found = np.argpartition(-likeness, near - 1, axis=1)[:, :near]
            quality = scores[found].mean(1) - 1e-9 * costs
            for row, place in enumerate(quality.argmax(1)):
                chosen[places[part[row]]] = names[place]
    return chosen


def _vectors(documents: Sequence[Document], size: int = 128) -> NDArray[np.float32]:
    """Signed hashed words, each of length 1. Source: Weinberger et al., Feature Hashing (2009)."""
    hashes, owners = word_hashes(documents)
    signs = np.where(hashes >> np.uint64(63), 1.0, -1.0)
    places = owners * size + (hashes % np.uint64(size)).astype(np.int64)
    vectors = np.bincount(places, signs, len(documents) * size).reshape(len(documents), size)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray((vectors / lengths).astype(np.float32))
