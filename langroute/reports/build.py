"""Builder of reports: reads the sums of a ledger and computes spend, outcomes and savings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, func, select

from langroute.core.errors import InputError
from langroute.ledger import daily_sums, schema
from langroute.ledger.daily_sums import BUCKET_NAMES, BUCKETS, names_of
from langroute.ledger.facts import PAID
from langroute.ledger.schema import labels, places
from langroute.reports.footprint import footprint_of
from langroute.reports.model import (
    DIMENSIONS,
    TASK_DIMENSIONS,
    Amount,
    Line,
    Report,
    TierShare,
    TokenTotals,
    UnknownPrice,
    Worth,
)
from langroute.reports.route_errors import route_errors
from langroute.reports.savings import savings_of
from langroute.reports.source import Source, number, open_source
from langroute.reports.stats import Range, Rate, percentile
from langroute.reports.subtasks import subtask_lines
from langroute.reports.window import Window, day_name

_CALL_SUMS = names_of(daily_sums.CALL_SUMS)
_DECISION_SUMS = names_of(daily_sums.DECISION_SUMS)
_TASK_SUMS = names_of(daily_sums.TASK_SUMS_BY_DAY)
_PART_SUMS = names_of(daily_sums.PART_SUMS)

Sums = Mapping[str, float]
NO_SUMS: Sums = defaultdict(float)


def build_report(
    ledger: Any,
    window: Window,
    *,
    by: str = "task_kind",
    hourly_usd: Range | None = None,
    footprint: bool = False,
    raw: bool = False,
) -> Report:
    """Build a report from a ledger.

    Args:
        ledger: A `SqlLedger`.
        window: The time window.
        by: Dimension of its lines: one of `team`, `project`, `environment`, `task_kind`, `user`, `day`, `route`, `model`, `node`, `step_kind`, `tier`.
        hourly_usd: Value of an hour of a person's time, for the return on spend; without it no return is computed.
        footprint: Estimate energy and greenhouse gases; needs `ecologits`.
        raw: Read raw rows rather than daily sums.

    Raises:
        InputError: There is no such dimension.
        MissingExtraError: A footprint is asked for and ecologits is not installed.

    Example:
        >>> import tempfile, pathlib
        >>> from langroute.ledger import open_ledger
        >>> with open_ledger(pathlib.Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
        ...     build_report(ledger, Window.since("7d")).first_line
        'Spend 0.00 USD, 0 tasks, no outcome was told.'
    """
    if by not in DIMENSIONS:
        raise InputError(f"A report is by one of {', '.join(DIMENSIONS)}, not {by!r}.")
    with open_source(ledger, window, raw=raw, dimension=by) as source:
        return _report(source, by, hourly_usd, footprint)


def _report(source: Source, by: str, hourly_usd: Range | None, footprint: bool) -> Report:
    tiers = tier_of_route(source)
    total, task_sums = _total(source)
    lines = _task_lines(source, by) if by in TASK_DIMENSIONS else _call_lines(source, by, tiers)
    notes = []
    if source.raw:
        notes.append("Read from raw rows.")
    if total.unknown_failed:
        left = "call" if total.unknown_failed == 1 else "calls"
        notes.append(
            f"What {total.unknown_failed:,} {left} cost is unknown: they failed or were left before the provider said what they used. "
            "Amounts leave them out, and no return on spend is stated."
        )
    free = _told_without_calls(source)
    if free:
        notes.append(
            f"Of {free:,} {'task' if free == 1 else 'tasks'} an outcome is known and no call: a mistyped id, work done without a model, or "
            "calls that were not recorded. They count, at no cost, and make a success look cheaper."
        )
    ordered = sorted(lines, key=_chronological if by == "day" else _dearest_first)
    if by == "user":
        rest = _rest(total, ordered)
        if rest is not None:
            ordered.append(rest)
            notes.append("What users spent is that of tasks that began in the window; calls of other tasks stand in the last line.")
    return Report(
        window=source.window,
        by=by,
        lines=tuple(ordered),
        total=total,
        tiers=_tiers(source),
        steps=_steps(source),
        savings=savings_of(source),
        worth=_worth(total, task_sums, hourly_usd),
        unknown_prices=_unknown_prices(source),
        route_errors=route_errors(source),
        subtasks=subtask_lines(source),
        footprint=footprint_of(_by_model(source)) if footprint else None,
        metrics=_metrics(source),
        source="raw rows" if source.raw else "daily sums",
        notes=tuple(notes),
    )


# Reading sums -------------------------------------------------------------------------------------------------------------


def _sums(
    source: Source, table: Any, names: Iterable[str], keys: Mapping[str, ColumnElement[Any]], where: tuple[Any, ...] = ()
) -> dict[tuple[Any, ...], Sums]:
    """Return sums of some columns of a table, by key. Labels and places are joined where a key or a condition needs them."""
    query = select(*keys.values(), *(func.sum(table.c[name]).label(name) for name in names)).select_from(table)
    needed = {column.table for column in keys.values() if getattr(column, "table", None) is not None}
    if labels in needed:
        query = query.join(labels, labels.c.id == table.c.label)
    if places in needed:
        query = query.join(places, places.c.id == table.c.place)
    query = query.where(source.within(table), *where)
    if keys:
        query = query.group_by(*keys.values())
    found: dict[tuple[Any, ...], Sums] = {}
    width = len(keys)
    for row in source.connection.execute(query):
        found[tuple(row[:width])] = dict(zip(names, (number(value) for value in row[width:]), strict=True))
    return found


def _one(source: Source, table: Any, names: Iterable[str], where: tuple[Any, ...] = ()) -> Sums:
    return _sums(source, table, names, {}, where)[()]


def _paid(source: Source) -> tuple[Any, ...]:
    return (source.calls.c.what.in_(PAID),)


def tier_of_route(source: Source) -> dict[str, str]:
    """Return the latest recorded tier of each route: a rejected attempt does not record its route's tier."""
    p = places.c
    query = select(p.route, p.tier).where(p.route.is_not(None), p.tier.is_not(None)).distinct()
    return {row.route: row.tier for row in source.connection.execute(query)}


# Lines --------------------------------------------------------------------------------------------------------------------


def _total(source: Source) -> tuple[Line, Sums]:
    """Return the total line, and the sums of all tasks."""
    tasks = _one(source, source.tasks, _TASK_SUMS)
    calls = _one(source, source.calls, _CALL_SUMS, _paid(source))
    return _line(None, calls, _one(source, source.decisions, _DECISION_SUMS), tasks), tasks


def _task_lines(source: Source, by: str) -> list[Line]:
    """Return lines grouped by a property of the task: its labels or the day it began."""

    def keys(table: Any) -> dict[str, ColumnElement[Any]]:
        return {"key": table.c[by] if by in ("day", "user") else labels.c[by]}

    tasks = {key: sums for (key,), sums in _sums(source, source.tasks, _TASK_SUMS, keys(source.tasks)).items()}
    if by == "user":
        # Only tasks are labelled with a user.
        return [_user_line(key or None, sums) for key, sums in tasks.items()]
    calls = {key: sums for (key,), sums in _sums(source, source.calls, _CALL_SUMS, keys(source.calls), _paid(source)).items()}
    decisions = {key: sums for (key,), sums in _sums(source, source.decisions, _DECISION_SUMS, keys(source.decisions)).items()}
    return [
        _line(
            day_name(key) if by == "day" else key,
            calls.get(key, NO_SUMS),
            decisions.get(key, NO_SUMS),
            tasks.get(key, NO_SUMS),
        )
        for key in {*tasks, *calls, *decisions}
    ]


def _call_lines(source: Source, by: str, tiers: Mapping[str, str]) -> list[Line]:
    """Return lines grouped by a property of the calls, such as route or model."""
    column = places.c[by]
    keys: dict[str, ColumnElement[Any]] = {"key": column}
    if by == "tier":
        keys["route"] = places.c.route
    calls: dict[Any, dict[str, float]] = {}
    for found, sums in _sums(source, source.calls, _CALL_SUMS, keys, _paid(source)).items():
        key = found[0] or (tiers.get(found[1]) if by == "tier" else None)
        into = calls.setdefault(key, defaultdict(float))
        for name, value in sums.items():
            into[name] += value
    decisions = {key: sums for (key,), sums in _sums(source, source.decisions, _DECISION_SUMS, {"key": column}).items()}
    parts_where = (source.parts.c.dimension == by,)
    parts_keys = {"key": source.parts.c.value}
    parts = {key or None: sums for (key,), sums in _sums(source, source.parts, _PART_SUMS, parts_keys, parts_where).items()}
    if by == "tier" and None not in calls:
        # Rejected attempts record no tier: their tasks are not counted under "(none)" either.
        parts.pop(None, None)
    return [
        _line(key, calls.get(key, NO_SUMS), decisions.get(key, NO_SUMS), parts.get(key, NO_SUMS))
        for key in {*calls, *parts, *decisions}
    ]


def _line(key: str | None, calls: Sums, decisions: Sums, tasks: Sums) -> Line:
    spend = _spend(calls)
    success, per_success, ends = _per_success(tasks, int(calls.get("unknown_costs", 0)))
    counts = [int(calls.get(name, 0)) for name in BUCKET_NAMES]
    return Line(
        key=key,
        spend=spend,
        tasks=int(tasks.get("tasks", 0)),
        success=success,
        per_success=per_success,
        per_success_range=ends,
        calls=int(calls.get("calls", 0)),
        errors=int(calls.get("errors", 0)),
        unknown_failed=int(calls.get("unknown_failed", 0)),
        retries=int(calls.get("retries", 0)),
        decisions=int(decisions.get("decisions", 0)),
        escalated=int(decisions.get("escalated", 0)),
        p50_s=percentile(counts, BUCKETS, 0.5),
        p95_s=percentile(counts, BUCKETS, 0.95),
        tokens=_tokens(calls),
        response_hits=int(decisions.get("hits", 0) + decisions.get("semantic_hits", 0)),
        response_saved_usd=float(decisions.get("avoided_usd", 0.0)),
        saved_usd=_saved(decisions),
        hours_saved=_hours(tasks),
    )


def _user_line(user: str | None, tasks: Sums) -> Line:
    success, per_success, ends = _per_success(tasks, int(tasks["unknown_costs"]))
    counts = [int(tasks[name]) for name in BUCKET_NAMES]
    unknown, known = int(tasks["unknown_costs"]), int(tasks["tasks"] - tasks["unknown_costs"])
    return Line(
        key=user,
        spend=Amount.of(float(tasks["cost_usd"]), unknown, known),
        tasks=int(tasks["tasks"]),
        success=success,
        per_success=per_success,
        per_success_range=ends,
        calls=int(tasks["calls"]),
        errors=int(tasks["errors"]),
        retries=int(tasks["retries"]),
        decisions=int(tasks["decisions"]),
        escalated=int(tasks["escalations"]),
        p50_s=percentile(counts, BUCKETS, 0.5),
        p95_s=percentile(counts, BUCKETS, 0.95),
        tokens=_tokens(tasks),
        hours_saved=_hours(tasks),
    )


def _spend(calls: Sums) -> Amount:
    unknown = int(calls.get("unknown_costs", 0))
    return Amount.of(float(calls.get("cost_usd", 0) + calls.get("verify_usd", 0)), unknown, int(calls.get("calls", 0)) - unknown)


def _per_success(tasks: Sums, unknown_calls: int) -> tuple[Rate, Amount, Range | None]:
    """Return the success rate, the cost per successful task, and that cost at the ends of the rate's interval."""
    succeeded, failed = int(tasks.get("succeeded", 0)), int(tasks.get("failed", 0))
    success = Rate(succeeded, succeeded + failed)
    # Where the sums do not contain the number of tasks with unknown costs, it is taken from the calls.
    unknown = int(tasks["unknown_costs"]) if "unknown_costs" in tasks else unknown_calls
    spent = Amount.of(float(tasks.get("known_usd", 0)), unknown, int(tasks.get("tasks", 0)) - unknown)
    ends = None
    if spent.usd is not None and success.hits:
        each = spent.usd / success.of
        ends = Range(each / success.high, each / success.low)
    return success, spent.per(succeeded), ends


def _tokens(sums: Sums) -> TokenTotals:
    return TokenTotals(
        int(sums.get("input_tokens", 0)),
        int(sums.get("output_tokens", 0)),
        int(sums.get("cache_read", 0)),
        int(sums.get("cache_write", 0) + sums.get("cache_write_1h", 0)),
    )


def _saved(decisions: Sums) -> float | None:
    if not decisions.get("compared"):
        return None
    return float(decisions["baseline_usd"] - decisions["compared_usd"] - decisions["switch_usd"])


def _hours(tasks: Sums) -> float | None:
    if not tasks.get("baselines"):
        return None
    return float(tasks["baseline_minutes"] - tasks["baseline_human_minutes"]) / 60


def _rest(total: Line, lines: Iterable[Line]) -> Line | None:
    """Return a line for the part of the total spend that the other lines do not contain, or `None`."""
    known = sum(line.spend.usd or 0.0 for line in lines)
    left = (total.spend.usd or 0.0) - known
    if abs(left) < 1e-9:
        return None
    return Line("(tasks of other days)", Amount(left))


def _dearest_first(line: Line) -> tuple[float, str]:
    return (-(line.spend.usd if line.spend.usd is not None else float("inf")), line.key or "")


def _chronological(line: Line) -> tuple[str, str]:
    return (line.key or "", "")


# The rest of the report ---------------------------------------------------------------------------------------------------


def _tiers(source: Source) -> tuple[TierShare, ...]:
    found = _sums(source, source.decisions, ("decisions", "cost_usd"), {"tier": places.c.tier})
    shares = [TierShare(tier, int(sums["decisions"]), float(sums["cost_usd"])) for (tier,), sums in found.items()]
    return tuple(sorted(shares, key=_most_frequent_first))


def _most_frequent_first(share: TierShare) -> tuple[int, str, str]:
    return (-share.decisions, share.step_kind or "", share.tier or "")


def _steps(source: Source) -> tuple[TierShare, ...]:
    keys = {"step_kind": places.c.step_kind, "tier": places.c.tier}
    found = _sums(source, source.decisions, ("decisions", "cost_usd"), keys)
    shares = [TierShare(tier, int(sums["decisions"]), float(sums["cost_usd"]), kind) for (kind, tier), sums in found.items()]
    return tuple(sorted(shares, key=_most_frequent_first))


def _unknown_prices(source: Source) -> tuple[UnknownPrice, ...]:
    keys = {"route": places.c.route, "model": places.c.model, "provider": places.c.provider}
    c = source.calls.c
    names = ("unknown_costs", "unknown_failed", "input_tokens", "output_tokens")
    found = _sums(source, source.calls, names, keys, (*_paid(source), c.unknown_costs > c.unknown_failed))
    unknown = [
        UnknownPrice(
            route,
            model,
            provider,
            int(sums["unknown_costs"] - sums["unknown_failed"]),
            int(sums["input_tokens"] + sums["output_tokens"]),
        )
        for (route, model, provider), sums in found.items()
    ]
    return tuple(sorted(unknown, key=lambda one: (-one.calls, one.model or "", one.route or "")))


def _by_model(source: Source) -> dict[tuple[str | None, str | None], Sums]:
    keys = {"provider": places.c.provider, "model": places.c.model}
    found = _sums(source, source.calls, ("calls", "output_tokens", "latency_s", "cache_hits"), keys, _paid(source))
    return {(provider, model): sums for (provider, model), sums in found.items()}


def _told_without_calls(source: Source) -> int:
    """Return the number of tasks with an outcome but without calls: they count for the success rate, not for the cost."""
    t = schema.tasks.c
    query = select(func.count()).where(
        t.day.between(source.window.first_day, source.window.last_day),
        t.started_at >= (source.window.start or 0.0),
        t.started_at < source.window.end,
        t.success.is_not(None),
        t.calls == 0,
        t.decisions == 0,
    )
    return int(source.connection.execute(query).scalar_one())


def _metrics(source: Source) -> dict[str, Rate]:
    o = source.outcomes.c
    found = _sums(source, source.outcomes, ("succeeded", "failed"), {"key": o.key})
    return {
        key: Rate(int(sums["succeeded"]), int(sums["succeeded"] + sums["failed"]))
        for (key,), sums in sorted(found.items())
        if sums["succeeded"] + sums["failed"]
    }


def _worth(total: Line, tasks: Sums, hourly: Range | None) -> Worth:
    saved = _hours(tasks)
    review = float(tasks["human_minutes"] - tasks["baseline_human_minutes"]) / 60
    value = float(tasks["value_usd"]) if tasks["valued"] else None
    returned = None
    gains = []
    if value is not None:
        gains.append(Range(value, value))
    if saved is not None and hourly is not None:
        # The lower end subtracts people's time on tasks that failed or have no baseline; negative hours count at the higher rate.
        worst = saved - review
        gains.append(Range(min(worst * hourly.low, worst * hourly.high), max(saved * hourly.low, saved * hourly.high)))
    spend = total.spend
    if gains and spend.usd and spend.complete and total.success.hits:
        # The value scales with the success rate, so the ends of its interval widen the range.
        share = total.success.hits / total.success.of
        low = sum(gain.low * (total.success.low if gain.low > 0 else share) / share for gain in gains)
        high = sum(gain.high * (total.success.high if gain.high > 0 else share) / share for gain in gains)
        returned = Range((low - spend.usd) / spend.usd, (high - spend.usd) / spend.usd)
    return Worth(saved, int(tasks["baselines"]), review, value, int(tasks["valued"]), hourly, returned)
