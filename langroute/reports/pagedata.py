"""Data of the HTML report: sums that the page filters itself, and a few tasks in full."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from langroute.core.records import TIERS
from langroute.ledger import schema
from langroute.ledger.daily_sums import wall_of
from langroute.ledger.facts import PAID
from langroute.ledger.schema import labels, places
from langroute.reports.autopilots import autopilots_of
from langroute.reports.build import build_report, tier_of_route
from langroute.reports.selections import selections_of, spans_of
from langroute.reports.source import Source, number, open_source, short
from langroute.reports.stats import Range
from langroute.reports.timeline import timelines_of
from langroute.reports.window import Window, day_name

NAMES = 14
"""Most teams, task kinds and so on that are listed individually; the smaller ones become `(other)`."""

OTHER = "(other)"
NONE = "(none)"
MOST_CALLS = 14_000
"""Most rows of calls; days are merged into weeks, then months, until this holds."""

MOST_DECISIONS = 8_000
"""Most rows of decisions; beyond that they are not split by time."""

POINTS = 120
"""Most points in time."""

LISTED = 12
"""Tasks in each list."""

GRAINS = (1, 7, 28, 3650)
"""Days that are merged into one point in time."""


def page_data(
    ledger: Any,
    window: Window,
    *,
    hourly_usd: Range | None = None,
    footprint: bool = False,
    raw: bool = False,
    live: bool = False,
) -> dict[str, Any]:
    """Return the data of the page as plain values.

    Args:
        ledger: A `SqlLedger`.
        window: The time window.
        hourly_usd: Value of an hour of a person's time, for the return on spend.
        footprint: Estimate energy and greenhouse gases.
        raw: Read raw rows rather than daily sums.
        live: Whether the page is served, and can request more.
    """
    from langroute.reports.formats import plain

    report = plain(build_report(ledger, window, hourly_usd=hourly_usd, footprint=footprint, raw=raw))
    with open_source(ledger, window, raw=raw) as source:
        cubes = _cubes(source)
        users = _users(source)
        lists, chosen = _lists(source)
        shown = timelines_of(source.connection, chosen)
    keep = (
        "first_line", "window", "savings", "worth", "unknown_prices", "route_errors", "subtasks", "footprint", "metrics", "total", "source", "notes"
    )  # fmt: skip
    return {
        **{name: report[name] for name in keep},
        "made_at": int(time.time()),
        "live": live,
        "known_tiers": TIERS,
        **cubes,
        "autopilots": autopilots_of(ledger),
        "users": users,
        "lists": lists,
        "timelines": shown,
    }


# Cubes --------------------------------------------------------------------------------------------------------------------


def _cubes(source: Source) -> dict[str, Any]:
    """Return tasks, calls and decisions by time, team and task kind; calls also by place, decisions by step and tier.

    Rows of numbers; the first few are indexes into the lists of names beside them.
    """
    tasks, calls, decisions, saving = _tasks(source), _calls(source), _decisions(source), _saving(source)
    spent: dict[str, dict[Any, float]] = {"team": defaultdict(float), "kind": defaultdict(float), "step": defaultdict(float)}
    for row in calls:
        for name, index in (("team", 1), ("kind", 2)):
            spent[name][row[index]] += row[8] + row[7] * 1e-9
    for row in (*tasks, *saving):
        for name, index in (("team", 1), ("kind", 2)):
            spent[name][row[index]] += 0.0
    for row in decisions:
        spent["step"][row[3]] += row[5]
    teams, kinds, steps = (_names(found) for found in spent.values())
    place_names, places_of = _places(source, calls)
    first = min((row[0] for row in (*tasks, *calls)), default=source.window.last_day)
    days = source.window.last_day - first + 1

    def keys(row: Sequence[Any], grain: int) -> tuple[int, int, int]:
        return ((row[0] - first) // grain, teams[1][row[1]], kinds[1][row[2]])

    grain = next(
        grain
        for grain in GRAINS
        if grain == GRAINS[-1]
        or (days / grain <= POINTS and len({(*keys(row, grain), places_of[row[3:7]]) for row in calls}) <= MOST_CALLS)
    )
    points = [day_name(first + step * grain) for step in range(max(1, -(-days // grain)))]

    def step_keys(row: Sequence[Any], timeless: bool) -> tuple[Any, ...]:
        point, team, kind = keys(row, grain)
        return (len(points) - 1 if timeless else point, team, kind, steps[1][row[3]], row[4] or NONE)

    spans = spans_of(len(points), grain)
    tasks_by_key = _summed((keys(row, grain), row[3:]) for row in tasks)
    timeless = len({step_keys(row, False) for row in decisions}) > MOST_DECISIONS
    return {
        "points": points,
        "grain_days": grain,
        "teams": teams[0],
        "kinds": kinds[0],
        "steps": steps[0],
        "places": place_names,
        "tiers": sorted({place["tier"] for place in place_names} | {row[4] or NONE for row in decisions}, key=_tier_order),
        "spans": spans,
        "tasks": tasks_by_key,
        "success": selections_of(tasks_by_key, len(points), spans),
        "calls": _summed(((*keys(row, grain), places_of[row[3:7]]), row[7:]) for row in calls),
        "saving": _summed((keys(row, grain), row[3:]) for row in saving),
        "decisions": _summed((step_keys(row, timeless), row[5:]) for row in decisions),
        "decisions_timeless": timeless,
    }


def _tier_order(tier: str) -> tuple[int, str]:
    return (TIERS.index(tier) if tier in TIERS else len(TIERS), tier)


def _names(spent: Mapping[Any, float]) -> tuple[list[str], dict[Any, int]]:
    """Return the names that are listed individually, by descending cost, and the index of each name."""
    ordered = sorted(spent, key=lambda name: (-spent[name], str(name)))
    told = ordered[:NAMES]
    names = [name if name not in (None, "") else NONE for name in told]
    numbers = {name: place for place, name in enumerate(told)}
    if len(ordered) > NAMES:
        names.append(OTHER)
        numbers.update(dict.fromkeys(ordered[NAMES:], NAMES))
    return names, numbers


def _places(source: Source, calls: Iterable[Sequence[Any]]) -> tuple[list[dict[str, str]], dict[Any, int]]:
    """Return routes with their model and tier, by descending cost."""
    tiers = tier_of_route(source)
    spent: dict[Any, float] = defaultdict(float)
    for row in calls:
        spent[row[3:7]] += row[8] + row[7] * 1e-9
    ordered = sorted(spent, key=lambda place: (-spent[place], str(place)))
    names: list[dict[str, str]] = []
    numbers: dict[Any, int] = {}
    for place in ordered:
        route, model, tier, what = place
        name = {
            "route": route or (NONE if what == "model" else f"({what})"),
            "model": model or NONE,
            "tier": tier or tiers.get(route, NONE),
        }
        if len(names) >= 2 * NAMES and name not in names:
            name = {"route": OTHER, "model": OTHER, "tier": name["tier"]}
        if name not in names:
            names.append(name)
        numbers[place] = names.index(name)
    return names, numbers


def _summed(rows: Iterable[tuple[tuple[Any, ...], Sequence[float]]]) -> list[list[Any]]:
    sums: dict[tuple[Any, ...], list[float]] = {}
    for key, values in rows:
        into = sums.get(key)
        if into is None:
            sums[key] = list(values)
        else:
            for place, value in enumerate(values):
                into[place] += value
    return [[*key, *(short(value) if isinstance(value, float) else value for value in values)] for key, values in sums.items()]


def _rows(source: Source, table: Any, keys: Sequence[Any], sums: Sequence[Any], *where: Any) -> list[tuple[Any, ...]]:
    query = select(table.c.day, labels.c.team, labels.c.task_kind, *keys, *(func.sum(one) for one in sums))
    query = query.join_from(table, labels, labels.c.id == table.c.label, isouter=True)
    if keys:
        query = query.join(places, places.c.id == table.c.place, isouter=True)
    query = query.where(source.within(table), *where).group_by(table.c.day, labels.c.team, labels.c.task_kind, *keys)
    named = 3 + len(keys)
    return [(*row[:named], *(number(value) for value in row[named:])) for row in source.connection.execute(query)]


def _tasks(source: Source) -> list[tuple[Any, ...]]:
    t = source.tasks.c
    saved = t.baseline_minutes - t.baseline_human_minutes
    sums = (t.tasks, t.succeeded, t.failed, t.cost_usd, t.known_usd, t.unknown_costs, saved, t.baselines)
    return _rows(source, source.tasks, (), sums)


def _calls(source: Source) -> list[tuple[Any, ...]]:
    c, p = source.calls.c, places.c
    sums = (c.calls, c.cost_usd + c.verify_usd, c.unknown_costs)
    return _rows(source, source.calls, (p.route, p.model, p.tier, c.what), sums, c.what.in_(PAID))


def _decisions(source: Source) -> list[tuple[Any, ...]]:
    d, p = source.decisions.c, places.c
    sums = (d.decisions, d.escalated, d.hits + d.semantic_hits)
    return _rows(source, source.decisions, (p.step_kind, p.tier), sums)


def _saving(source: Source) -> list[tuple[Any, ...]]:
    d = source.decisions.c
    return _rows(source, source.decisions, (), (d.compared, d.baseline_usd, d.compared_usd, d.switch_usd))


def _users(source: Source) -> list[list[Any]]:
    t = source.tasks.c
    spent = func.sum(t.cost_usd)
    query = select(t.user, spent, func.sum(t.tasks), func.sum(t.unknown_costs)).where(source.within(source.tasks))
    rows = source.connection.execute(query.group_by(t.user).order_by(spent.desc()).limit(NAMES))
    return [[row[0] or NONE, short(float(row[1])), int(row[2]), int(row[3])] for row in rows]


# Tasks --------------------------------------------------------------------------------------------------------------------


def _lists(source: Source) -> tuple[dict[str, list[str]], list[int]]:
    """Return the tasks that are listed individually: most expensive failed, slowest, most expensive and latest ones."""
    t = schema.tasks.c
    within = t.day.between(source.window.first_day, source.window.last_day)
    wall = wall_of(t)
    orders = {
        "worst": (t.success == 0, t.cost_usd.desc()),
        "slowest": (wall.is_not(None), wall.desc()),
        "dearest": (t.cost_usd > 0, t.cost_usd.desc()),
        "latest": (t.started_at >= 0, t.started_at.desc()),
    }
    lists: dict[str, list[str]] = {}
    chosen: dict[int, None] = {}
    for name, (condition, order) in orders.items():
        rows = source.connection.execute(select(t.n, t.id).where(within, condition).order_by(order, t.n.desc()).limit(LISTED)).all()
        lists[name] = [row.id for row in rows]
        chosen.update(dict.fromkeys(row.n for row in rows))
    return lists, list(chosen)
