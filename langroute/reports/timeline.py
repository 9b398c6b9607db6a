"""Timeline of a task: its steps with the decisions, their reasons and the calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from langroute.core.decision_metadata import verdict_of
from langroute.core.errors import DataError
from langroute.core.records import Decision
from langroute.ledger import schema
from langroute.ledger.codec import loads
from langroute.ledger.facts import PAID
from langroute.reports.source import short

MOST_STEPS = 60
"""Most steps of one task that are shown."""


def timelines_of(connection: Connection, tasks: Iterable[int]) -> dict[str, Any]:
    """Return tasks with their steps, by id.

    Args:
        connection: To the ledger.
        tasks: Row numbers of the tasks.
    """
    return {found["id"]: found for number in tasks if (found := _timeline(connection, number)) is not None}


def timeline_of(ledger: Any, task_id: str) -> dict[str, Any] | None:
    """Return one task with its steps, or `None` where there is no such task.

    Args:
        ledger: A `SqlLedger`.
        task_id: The task's id.
    """
    t = schema.tasks.c
    with ledger.reading() as connection:
        number = connection.execute(select(t.n).where(t.id.in_(ledger.privacy.task_ids(task_id)))).scalar()
        return None if number is None else _timeline(connection, number)


def _timeline(connection: Connection, number: int) -> dict[str, Any] | None:
    t, n = schema.tasks, schema.labels.c
    task = connection.execute(
        select(t, n.team, n.task_kind).join_from(t, schema.labels, n.id == t.c.label, isouter=True).where(t.c.n == number)
    ).first()
    if task is None:
        return None
    ended = task.ended_at if task.ended_at is not None else task.last_at
    o = schema.outcomes.c
    told = connection.execute(
        select(o.key, o.source, o.success, o.score).where(o.task == number).order_by(o.at, o.n).limit(20)
    ).all()
    steps = _decided(connection, number, task.started_at) + _called(connection, number, task.started_at)
    steps.sort(key=lambda step: step["at"])
    return {
        "id": task.id,
        "team": task.team,
        "kind": task.task_kind,
        "user": task.user,
        "state": task.state,
        "success": None if task.success is None else bool(task.success),
        "source": task.success_source,
        "started": round(task.started_at),
        "wall_s": None if ended is None else round(ended - task.started_at, 3),
        "usd": short(task.cost_usd),
        "unknown": task.unknown_costs,
        "count": task.decisions or task.calls,
        "escalations": task.escalations,
        "steps": steps[:MOST_STEPS],
        "outcomes": [list(row) for row in told],
    }


def _decided(connection: Connection, number: int, began: float) -> list[dict[str, Any]]:
    d, p = schema.decisions, schema.places.c
    query = (
        select(d, p.route, p.model, p.tier, p.node, p.step_kind, schema.details.c.record)
        .join_from(d, schema.places, p.id == d.c.place, isouter=True)
        .join(schema.details, schema.details.c.decision == d.c.n, isouter=True)
        .where(d.c.task == number)
        .order_by(d.c.at, d.c.n)
        .limit(MOST_STEPS)
    )
    return [_step(row, began) for row in connection.execute(query)]


def _step(row: Any, began: float) -> dict[str, Any]:
    decision = _decision(row.record)
    step = {
        "at": round(row.at - began, 3),
        "s": round(row.latency_s, 3),
        "kind": row.step_kind,
        "node": row.node,
        "route": row.route,
        "model": row.model,
        "tier": row.tier,
        "usd": None if row.cost_usd is None else short(row.cost_usd),
        "cache": None if row.cache == "miss" else row.cache,
        "ok": bool(row.ok),
        "id": row.id,
    }
    if decision is not None:
        step["why"] = decision.reason
        if decision.rejected:
            step["not"] = dict(decision.rejected)
        if decision.problems:
            step["problems"] = list(decision.problems)
        if len(decision.attempts) > 1 or not row.ok:
            step["tried"] = [
                [one.route, verdict_of(one), None if one.cost_usd is None else short(one.cost_usd), round(one.latency_s, 3)]
                for one in decision.attempts
            ]
    return {name: value for name, value in step.items() if value is not None}


def _decision(record: str | None) -> Decision | None:
    if record is None:
        return None
    try:
        return loads(record)
    except DataError:
        # An unreadable record loses its reason, but must not fail the page.
        return None


def _called(connection: Connection, number: int, began: float) -> list[dict[str, Any]]:
    """Return calls that no router made: tools, and models observed by a tracker."""
    c, p = schema.calls, schema.places.c
    query = (
        select(c, p.route, p.model, p.tier, p.node, p.step_kind, p.tool)
        .join_from(c, schema.places, p.id == c.c.place, isouter=True)
        .where(c.c.task == number, c.c.decision.is_(None))
        .order_by(c.c.at, c.c.n)
        .limit(MOST_STEPS)
    )
    found = []
    for row in connection.execute(query):
        step = {
            "at": round(row.at - began, 3),
            "s": round(row.latency_s, 3),
            "kind": row.step_kind if row.what == "model" else row.what,
            "node": row.node,
            "route": row.route or row.tool,
            "model": row.model,
            "tier": row.tier,
            "ok": row.error_type is None,
            "why": f"failed: {row.error_type}" if row.error_type else None,
        }
        if row.what in PAID and row.cost_usd is not None:
            step["usd"] = short(row.cost_usd)
        step["what"] = row.what
        found.append({name: value for name, value in step.items() if value is not None})
    return found
