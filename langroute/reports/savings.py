"""What did routing save against one route for everything, after all that routing itself takes?

Two answers stand side by side. Priced: the same answers at the baseline route's price, minus every attempt, retry and check, and
minus prompt caches left cold. Measured: what a successful task cost with one route alone, from the tasks that were done so; this
one has extra steps in it too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, select

from langroute.ledger import schema
from langroute.pricing import price_of
from langroute.reports.model import Amount, Savings, SingleRoute
from langroute.reports.source import Source, number
from langroute.reports.stats import Rate

MIN_TOLD = 20
"""Tasks with an outcome that a route must have done alone before anything is said of it."""

MOST_TASKS = 10_000
"""The latest tasks with an outcome that are looked at."""

LATEST_DECISIONS = 200
"""How many decisions are asked for the baseline they name."""


def savings_of(source: Source) -> Savings:
    """What was saved in the window, and how sure that is."""
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
    singles = _singles(source)
    best = _best(singles)
    routed = next((one for one in singles if one.route is None), None)
    extra = None
    if best is not None and routed is not None and routed.success.of >= MIN_TOLD:
        extra = routed.steps_per_task - next(one.steps_per_task for one in singles if one.route == best)
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
        singles=singles,
        best_single=best,
        extra_steps=extra,
    )


def _baselines(source: Source) -> tuple[str, ...]:
    """The routes that the latest decisions of the window name as their baseline."""
    d = schema.decisions.c
    query = (
        select(schema.details.c.record)
        .join_from(schema.details, schema.decisions, schema.details.c.decision == d.n)
        .where(d.day.between(source.window.first_day, source.window.last_day), d.baseline_usd.is_not(None))
        .order_by(d.day.desc())
        .limit(LATEST_DECISIONS)
    )
    named = {json.loads(record).get("baseline_route") for record in source.connection.execute(query).scalars()}
    return tuple(sorted(name for name in named if name))


def _singles(source: Source) -> tuple[SingleRoute, ...]:
    """The latest tasks with an outcome, by the one route that their decisions went to; last those that used several."""
    t, d, p = schema.tasks.c, schema.decisions.c, schema.places.c
    recent = (
        select(t.n, t.success, t.cost_usd, t.unknown_costs, t.decisions)
        .where(t.day.between(source.window.first_day, source.window.last_day), t.success.is_not(None), t.decisions > 0)
        .order_by(t.n.desc())
        .limit(MOST_TASKS)
        .subquery()
    )
    used = (
        select(
            recent.c.n,
            recent.c.success,
            recent.c.cost_usd,
            recent.c.unknown_costs,
            recent.c.decisions,
            func.min(p.route).label("first"),
            func.max(p.route).label("last"),
            func.max(d.attempts).label("attempts"),
            func.max(d.escalations + d.fallbacks).label("changes"),
        )
        .join_from(recent, schema.decisions, d.task == recent.c.n)
        .join(schema.places, p.id == d.place)
        .group_by(recent.c.n, recent.c.success, recent.c.cost_usd, recent.c.unknown_costs, recent.c.decisions)
    )
    groups: dict[str | None, list[Any]] = {}
    for row in source.connection.execute(used):
        alone = row.first is not None and row.first == row.last and not row.changes
        groups.setdefault(row.first if alone else None, []).append(row)
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


def _best(singles: Iterable[SingleRoute]) -> str | None:
    """The cheapest per successful task among the single routes whose success is not clearly lower than another's."""
    seen = [one for one in singles if one.route is not None and one.success.of >= MIN_TOLD]
    surest = max((one.success.low for one in seen), default=0.0)
    good = [one for one in seen if one.success.high >= surest and one.cost.complete and one.per_success.usd is not None]
    best = min(good, key=lambda one: one.per_success.usd or 0.0, default=None)
    return best.route if best is not None else None


def _prompt_cache(source: Source) -> float | None:
    """What prompt caches saved at list prices; `None` where no model that used one has a known price."""
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
        write = price.input if price.cache_write is None else price.cache_write
        longer = write if price.cache_write_1h is None else price.cache_write_1h
        cheaper = price.input - (price.input if price.cache_read is None else price.cache_read)
        saved += (read * cheaper - written * (write - price.input) - hour * (longer - price.input)) / 1e6
    return saved if known else None
