"""Savings of routing against one route for everything, net of the costs of routing itself.

Two estimates are reported. Priced: the same answers at the baseline route's price, minus every attempt, retry and check, and
minus prompt caches left cold. Measured: the cost of a successful task with one route alone, from the tasks that used only one; this
includes extra steps. Tasks are compared within their kinds, and the kinds are weighted alike for all routes (direct standardisation): a
route that did only the easy kinds is compared with nobody.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func, select

from langroute.core.records import Usage
from langroute.core.storable import storable
from langroute.ledger import schema
from langroute.reports.model import Amount, Savings, SingleRoute
from langroute.reports.source import Source, number
from langroute.reports.stats import Rate
from langroute.routes.pricing import cached_saving, price_of

MIN_TOLD = 20
"""Fewest tasks of a kind with an outcome that a route must have done alone to be compared."""

MOSTLY = 0.8
"""Share of the tasks with an outcome that the compared kinds of task must have together."""

MOST_TASKS = 10_000
"""Most tasks with an outcome that are read, the latest ones."""

LATEST_DECISIONS = 200
"""Number of latest decisions that are searched for their baseline."""


def savings_of(source: Source) -> Savings:
    """Return the savings in the time window, with their uncertainty."""
    d, c = source.decisions.c, source.calls.c
    sums = source.connection.execute(
        select(
            func.coalesce(func.sum(d.decisions), 0).label("decisions"),
            func.coalesce(func.sum(d.compared), 0).label("compared"),
            func.coalesce(func.sum(d.baseline_usd), 0.0).label("baseline_usd"),
            func.coalesce(func.sum(d.compared_usd), 0.0).label("cost_usd"),
            func.coalesce(func.sum(d.verify_usd), 0.0).label("verify_usd"),
            func.coalesce(func.sum(d.switch_usd), 0.0).label("switch_usd"),
            func.coalesce(func.sum(d.overhead_s), 0.0).label("overhead_s"),
        ).where(source.within(source.decisions))
    ).one()
    rejected = source.connection.execute(
        select(func.coalesce(func.sum(c.rejected), 0)).where(source.within(source.calls), c.what == "model")
    ).scalar_one()
    tasks = _tasks(source)
    alike = _alike(tasks)
    best = _best(alike.values())
    routed, single = alike.get(None), alike.get(best) if best is not None else None
    extra = measured = share = None
    if routed is not None and single is not None:
        extra = routed.steps_per_task - single.steps_per_task
        if routed.per_success_usd is not None and single.per_success_usd is not None:
            measured = single.per_success_usd - routed.per_success_usd
            share = measured / single.per_success_usd if single.per_success_usd > 0 else None
    return Savings(
        baselines=_baselines(source),
        decisions=int(sums.decisions),
        compared=int(sums.compared),
        baseline_usd=float(sums.baseline_usd),
        cost_usd=float(sums.cost_usd),
        checks_usd=float(sums.verify_usd),
        rejected_calls=int(rejected),
        cold_usd=float(sums.switch_usd),
        overhead_s=float(sums.overhead_s),
        prompt_cache_usd=_prompt_cache(source),
        singles=_singles(tasks),
        best_single=best,
        extra_steps=extra,
        measured_per_success=measured,
        measured_share=share,
        measured_kinds=len(_kinds(tasks)) if measured is not None else 0,
    )


def _baselines(source: Source) -> tuple[str, ...]:
    """Return the routes that the latest decisions of the window name as their baseline."""
    d, details = schema.decisions.c, schema.details.c
    latest = (
        select(d.n)
        .where(d.day.between(source.window.first_day, source.window.last_day), d.baseline_usd.is_not(None))
        .order_by(d.day.desc())
        .limit(LATEST_DECISIONS)
    )
    # Asked for by number: a lake reads the records of those alone.
    numbers = source.connection.execute(latest).scalars().all()
    query = select(details.record).where(details.decision.in_(numbers))
    named = {_baseline_of(record) for record in source.connection.execute(query).scalars()}
    return tuple(sorted(name for name in named if name))


def _tasks(source: Source) -> dict[tuple[str, str | None], list[Any]]:
    """Return the latest tasks with an outcome by their kind and the one route of their decisions, `None` for several."""
    t, d, p, la = schema.tasks.c, schema.decisions.c, schema.places.c, schema.labels.c
    recent = (
        select(t.n, t.success, t.cost_usd, t.unknown_costs, t.decisions, la.task_kind)
        .join_from(schema.tasks, schema.labels, la.id == t.label)
        .where(t.day.between(source.window.first_day, source.window.last_day), t.success.is_not(None), t.decisions > 0)
        .order_by(t.n.desc())
        .limit(MOST_TASKS)
        .subquery()
    )
    columns = (recent.c.n, recent.c.success, recent.c.cost_usd, recent.c.unknown_costs, recent.c.decisions, recent.c.task_kind)
    used = (
        select(
            *columns,
            func.min(p.route).label("first"),
            func.max(p.route).label("last"),
            func.max(d.escalations + d.fallbacks).label("changes"),
        )
        .join_from(recent, schema.decisions, d.task == recent.c.n)
        .join(schema.places, p.id == d.place)
        # No decision is before its task; the day says which partitions have some.
        .where(d.cache != "closing", d.day >= source.window.first_day)
        .group_by(*columns)
    )
    groups: dict[tuple[str, str | None], list[Any]] = {}
    for row in source.connection.execute(used):
        alone = row.first is not None and row.first == row.last and not row.changes
        groups.setdefault((row.task_kind or "", row.first if alone else None), []).append(row)
    return groups


def _singles(tasks: Mapping[tuple[str, str | None], list[Any]]) -> tuple[SingleRoute, ...]:
    """Return the tasks of all kinds by the one route that did them; those with several routes last."""
    groups: dict[str | None, list[Any]] = {}
    for (_, route), rows in tasks.items():
        groups.setdefault(route, []).extend(rows)
    found = [_single(route, rows) for route, rows in groups.items()]
    return tuple(sorted(found, key=lambda one: (one.route is None, one.route or "")))


def _single(route: str | None, rows: list[Any]) -> SingleRoute:
    unknown = sum(1 for row in rows if row.unknown_costs)
    return SingleRoute(
        route,
        len(rows),
        Rate(sum(row.success for row in rows), len(rows)),
        Amount.of(sum(row.cost_usd for row in rows), unknown, len(rows) - unknown),
        sum(row.decisions for row in rows),
    )


@dataclass(frozen=True, slots=True)
class _Alike:
    """What a route would have made of the window's mix of task kinds, from the tasks of each kind that it did alone."""

    route: str | None
    success: float
    low: float
    high: float
    cost_usd: float | None
    """Of a task."""

    steps_per_task: float

    @property
    def per_success_usd(self) -> float | None:
        return None if self.cost_usd is None or not self.success else self.cost_usd / self.success


def _kinds(tasks: Mapping[tuple[str, str | None], list[Any]]) -> dict[str, float]:
    """Return the share of the tasks by kind, of the kinds with enough tasks; nothing where those are not most of all."""
    counts: Counter[str] = Counter()
    for (kind, _), rows in tasks.items():
        counts[kind] += len(rows)
    enough = {kind: count for kind, count in counts.items() if count >= MIN_TOLD}
    total = sum(enough.values())
    return {kind: count / total for kind, count in enough.items()} if total >= MOSTLY * counts.total() else {}


def _alike(tasks: Mapping[tuple[str, str | None], list[Any]]) -> dict[str | None, _Alike]:
    """Return the routes that did enough tasks of every kind alone, and under `None` the tasks with several routes where these are of every kind."""
    weights = _kinds(tasks)
    found = {}
    for route in {route for _, route in tasks}:
        parts = {kind: _single(route, tasks.get((kind, route), [])) for kind in weights}
        if parts and all(one.success.of >= MIN_TOLD for one in parts.values()):
            found[route] = _standardised(route, parts, weights)
    return found


def _standardised(route: str | None, parts: Mapping[str, SingleRoute], weights: Mapping[str, float]) -> _Alike:
    """Return the weighted means over task kinds. Source: Wilson's interval of each kind; the squares of their halves are added up."""
    success = sum(weights[kind] * (one.success.share or 0.0) for kind, one in parts.items())
    below = sum((weights[kind] * ((one.success.share or 0.0) - one.success.low)) ** 2 for kind, one in parts.items())
    above = sum((weights[kind] * (one.success.high - (one.success.share or 0.0))) ** 2 for kind, one in parts.items())
    known = all(one.cost.complete and one.cost.usd is not None for one in parts.values())
    cost = sum(weights[kind] * (one.cost.usd or 0.0) / one.tasks for kind, one in parts.items()) if known else None
    steps = sum(weights[kind] * one.steps_per_task for kind, one in parts.items())
    return _Alike(route, success, success - below**0.5, success + above**0.5, cost, steps)


def _best(alike: Iterable[_Alike]) -> str | None:
    """Return the route with the lowest cost per success among those whose success rate is not clearly below another's."""
    seen = [one for one in alike if one.route is not None]
    surest = max((one.low for one in seen), default=0.0)
    good = [one for one in seen if one.high >= surest and one.per_success_usd is not None]
    best = min(good, key=lambda one: one.per_success_usd or 0.0, default=None)
    return best.route if best is not None else None


def _prompt_cache(source: Source) -> float | None:
    """Return what prompt caches saved at list prices; `None` where no model that used one has a known price."""
    c, p = source.calls.c, schema.places.c
    query = (
        select(p.model, p.provider, func.sum(c.cache_read), func.sum(c.cache_write), func.sum(c.cache_write_1h))
        .join_from(source.calls, schema.places, p.id == c.place)
        .where(source.within(source.calls), (c.cache_read > 0) | (c.cache_write > 0) | (c.cache_write_1h > 0))
        .group_by(p.model, p.provider)
    )
    saved, known = 0.0, False
    for model, provider, *tokens in source.connection.execute(query):
        read, written, hour = (number(one) for one in tokens)
        price = price_of(model, provider)
        if price is None:
            continue
        known = True
        # Sums of many calls have no prompt size, so the base rates apply.
        saved += cached_saving(replace(price, above=()), Usage(read + written + hour, 0, read, written, hour))
    return saved if known else None


def _baseline_of(record: str) -> str | None:
    """Return the baseline of a stored decision, or `None` if the record cannot be read."""
    try:
        found = json.loads(record)
    except (ValueError, RecursionError):
        return None
    name = found.get("baseline_route") if isinstance(found, dict) else None
    return storable(name) if isinstance(name, str) else None
