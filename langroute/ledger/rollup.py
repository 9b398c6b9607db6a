"""How do raw rows become daily sums, and when are they let go?"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, case, delete, func, literal, literal_column, select

from langroute.ledger import schema
from langroute.ledger.schema import BUCKET_NAMES, BUCKETS, STATES

TOKENS = ("input_tokens", "output_tokens", "cache_read", "cache_write", "cache_write_1h", "reasoning")
EMPTY: ColumnElement[Any] = literal_column("''")
"""Written out: PostgreSQL takes two parameters of one value for two values, and will not group by them."""

DIMENSIONS = ("route", "model", "node", "step_kind", "tier")


def _total(value: Any) -> ColumnElement[Any]:
    return func.coalesce(func.sum(value), 0)


def _times(condition: Any) -> ColumnElement[Any]:
    return _total(case((condition, 1), else_=0))


def _where(condition: Any, value: Any) -> ColumnElement[Any]:
    return _total(case((condition, value), else_=0))


def _buckets(seconds: Any) -> dict[str, ColumnElement[Any]]:
    borders = (0.0, *BUCKETS)
    out = {
        name: _times((seconds >= low) & (seconds < high)) for name, low, high in zip(BUCKET_NAMES, borders, BUCKETS, strict=False)
    }
    out[BUCKET_NAMES[-1]] = _times(seconds >= BUCKETS[-1])
    return out


def label_of(own: ColumnElement[Any]) -> ColumnElement[Any]:
    """The label of a call or a decision, in a query joined to its task.

    One made before its task had a label, or by a thread that did not carry it, has none of its own: it is its task's.
    """
    n = schema.labels.c
    nameless = select(n.id).where(n.team.is_(None), n.project.is_(None), n.environment.is_(None), n.task_kind.is_(None))
    return case((own == nameless.scalar_subquery(), func.coalesce(schema.tasks.c.label, own)), else_=own)


def calls_by(*keys: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
    """The sums of `daily_calls`, by column name, for any grouping of `calls`."""
    c = schema.calls.c
    return {
        **{getattr(key, "name", str(key)): key for key in keys},
        "calls": func.count(),
        "errors": _times(c.error_type.is_not(None)),
        "retries": _total(c.retry),
        "rejected": _times((c.kept == 0) & c.error_type.is_(None)),
        "cache_hits": _times(c.cache.is_not(None)),
        "cost_usd": _total(c.cost_usd),
        "unknown_costs": _times(c.cost_usd.is_(None) | c.verify_usd.is_(None)),
        "verify_usd": _total(c.verify_usd),
        **{name: _total(c[name]) for name in TOKENS},
        "latency_s": _total(c.latency_s),
        "first_token_s": _total(c.first_token_s),
        "first_tokens": func.count(c.first_token_s),
        **_buckets(c.latency_s),
    }


def decisions_by(*keys: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
    """The sums of `daily_decisions`, by column name, for any grouping of `decisions`."""
    c = schema.decisions.c
    both = c.cost_usd.is_not(None) & c.baseline_usd.is_not(None)
    hit = c.cache.in_(("hit", "semantic_hit"))
    return {
        **{getattr(key, "name", str(key)): key for key in keys},
        "decisions": func.count(),
        "failed": _times(c.ok == 0),
        "hits": _times(c.cache == "hit"),
        "semantic_hits": _times(c.cache == "semantic_hit"),
        "escalated": _times(c.escalations > 0),
        "fell_back": _times(c.fallbacks > 0),
        "attempts": _total(c.attempts),
        "cost_usd": _total(c.cost_usd),
        "unknown_costs": _times(c.cost_usd.is_(None)),
        "verify_usd": _total(c.verify_usd),
        "compared_usd": _where(both, c.cost_usd),
        "baseline_usd": _where(both, c.baseline_usd),
        "compared": _times(both),
        "hit_baseline_usd": _where(hit, c.baseline_usd),
        "avoided_usd": _total(c.avoided_usd),
        "switch_usd": _total(c.switch_usd),
        "latency_s": _total(c.latency_s),
        "overhead_s": _total(c.overhead_s),
        "problems": _total(c.problems),
    }


def tasks_by(*keys: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
    """The sums of `daily_tasks`, by column name, for any grouping of `tasks`."""
    c = schema.tasks.c
    told = c.success.is_not(None)
    wall = c.ended_at - c.started_at
    saved = (c.success == 1) & c.baseline_minutes.is_not(None)
    return {
        **{getattr(key, "name", str(key)): key for key in keys},
        "tasks": func.count(),
        **{state: _times(c.state == state) for state in STATES},
        "succeeded": _times(c.success == 1),
        "failed": _times(c.success == 0),
        "cost_usd": _total(c.cost_usd),
        "known_usd": _where(told, c.cost_usd),
        "succeeded_usd": _where(c.success == 1, c.cost_usd),
        "unknown_costs": _times(c.unknown_costs > 0),
        "verify_usd": _total(c.verify_usd),
        "baseline_usd": _total(c.baseline_usd),
        **{
            name: _total(c[name])
            for name in ("decisions", "calls", "errors", "retries", "escalations", "cache_hits", "tools", "tool_errors", *TOKENS)
        },
        "latency_s": _total(c.latency_s),
        "overhead_s": _total(c.overhead_s),
        "wall_s": _total(wall),
        "walls": func.count(wall),
        "human_minutes": _total(c.human_minutes),
        "baseline_minutes": _where(saved, c.baseline_minutes),
        "baseline_human_minutes": _where(saved, func.coalesce(c.human_minutes, 0)),
        "baselines": _times(saved),
        "value_usd": _total(c.value_usd),
        "valued": func.count(c.value_usd),
        **_buckets(wall),
    }


def outcomes_by(*keys: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
    """The sums of `daily_outcomes`, by column name, for any grouping of `outcomes` joined to `tasks`."""
    c = schema.outcomes.c
    return {
        **{getattr(key, "name", str(key)): key for key in keys},
        "outcomes": func.count(),
        "succeeded": _times(c.success == 1),
        "failed": _times(c.success == 0),
        "score": _total(c.score),
        "scores": func.count(c.score),
    }


def _fill(connection: Connection, table: Table, sums: dict[str, ColumnElement[Any]], source: Any) -> None:
    connection.execute(table.insert().from_select(list(sums), source))


def sum_day(connection: Connection, day: int, *, raw: bool = True) -> None:
    """Sum one day anew inside the connection's transaction.

    Args:
        connection: In a transaction that writes.
        day: The day.
        raw: Its calls and decisions are still there; where not, only what is kept of its tasks and outcomes is summed.
    """
    # First of all: whoever writes rows of this day from now on waits, and marks it again.
    connection.execute(delete(schema.dirty_days).where(schema.dirty_days.c.day == day))
    t, o = schema.tasks.c, schema.outcomes.c
    stale = schema.ROLLUPS if raw else (schema.daily_tasks, schema.daily_outcomes)
    for table in stale:
        connection.execute(delete(table).where(table.c.day == day))
    if raw:
        c, d = schema.calls.c, schema.decisions.c
        of_call, of_decision = label_of(c.label), label_of(d.label)
        sums = calls_by(c.day, of_call.label("label"), c.place, c.what)
        query = select(*sums.values()).join_from(schema.calls, schema.tasks, t.n == c.task, isouter=True)
        _fill(connection, schema.daily_calls, sums, query.where(c.day == day).group_by(c.day, of_call, c.place, c.what))
        sums = decisions_by(d.day, of_decision.label("label"), d.place)
        query = select(*sums.values()).join_from(schema.decisions, schema.tasks, t.n == d.task, isouter=True)
        _fill(connection, schema.daily_decisions, sums, query.where(d.day == day).group_by(d.day, of_decision, d.place))
        for dimension in DIMENSIONS:
            _fill_part(connection, day, dimension)
    user = func.coalesce(t.user, EMPTY).label("user")
    sums = tasks_by(t.day, t.label, user)
    _fill(
        connection,
        schema.daily_tasks,
        sums,
        select(*sums.values()).where(t.day == day).group_by(t.day, t.label, func.coalesce(t.user, EMPTY)),
    )
    sums = outcomes_by(t.day, t.label, o.key, o.source)
    query = select(*sums.values()).join_from(schema.outcomes, schema.tasks, o.task == t.n).where(t.day == day)
    _fill(connection, schema.daily_outcomes, sums, query.group_by(t.day, t.label, o.key, o.source))


def _fill_part(connection: Connection, day: int, dimension: str) -> None:
    """Tasks of a day by what they used of one dimension."""
    t, c, p = schema.tasks.c, schema.calls.c, schema.places.c
    value_or_none = func.coalesce(p[dimension], EMPTY)
    spent = _total(func.coalesce(c.cost_usd, 0) + func.coalesce(c.verify_usd, 0))
    used = (
        select(t.n, t.label, t.success, value_or_none.label("value"), spent.label("spent"))
        .join_from(schema.tasks, schema.calls, c.task == t.n)
        .join(schema.places, p.id == c.place)
        .where(t.day == day, c.what.in_(("model", "judge")))
        .group_by(t.n, t.label, t.success, value_or_none)
        .subquery()
    )
    u = used.c
    query = select(
        literal(day).label("day"),
        u.label,
        literal(dimension).label("dimension"),
        u.value,
        func.count(),
        _times(u.success == 1),
        _times(u.success == 0),
        _total(u.spent),
        _where(u.success.is_not(None), u.spent),
    ).group_by(u.label, u.value)
    names = ["day", "label", "dimension", "value", "tasks", "succeeded", "failed", "cost_usd", "known_usd"]
    connection.execute(schema.daily_parts.insert().from_select(names, query))


def dirty(connection: Connection) -> list[int]:
    """Days whose sums are older than their rows, oldest first."""
    return list(connection.execute(select(schema.dirty_days.c.day).order_by(schema.dirty_days.c.day)).scalars())


def purge_raw(connection: Connection, before: int) -> None:
    """Let decisions, calls and what was said in them go that are older than a day. Their sums stay."""
    d, c = schema.decisions.c, schema.calls.c
    old = select(d.n).where(d.day < before)
    connection.execute(delete(schema.details).where(schema.details.c.decision.in_(old)))
    connection.execute(delete(schema.texts).where(schema.texts.c.call.in_(select(c.n).where(c.day < before))))
    connection.execute(delete(schema.decisions).where(d.day < before))
    connection.execute(delete(schema.calls).where(c.day < before))


def purge_tasks(connection: Connection, before: int) -> None:
    """Let tasks and their outcomes go that are older than a day. Their sums stay."""
    t = schema.tasks.c
    old = select(t.n).where(t.day < before)
    for table in (schema.outcomes, schema.tags, schema.roots):
        connection.execute(delete(table).where(table.c.task.in_(old)))
    connection.execute(delete(schema.tasks).where(t.day < before))
    # Days without tasks would be summed to nothing.
    connection.execute(delete(schema.dirty_days).where(schema.dirty_days.c.day < before))
