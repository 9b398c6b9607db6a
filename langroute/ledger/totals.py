"""What did one task come to, from its rows?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, case, func, select

from langroute.ledger import schema
from langroute.ledger.facts import Share, TaskTotals
from langroute.records import Usage


def totals_of(connection: Connection, ids: Sequence[str]) -> TaskTotals | None:
    """The totals of the task with one of these ids."""
    t = schema.tasks.c
    row = connection.execute(
        select(schema.tasks, schema.labels.c.task_kind)
        .join_from(schema.tasks, schema.labels, schema.labels.c.id == t.label, isouter=True)
        .where(t.id.in_(ids))
    ).first()
    if row is None:
        return None
    p, c = schema.places.c, schema.calls.c
    return TaskTotals(
        id=row.id,
        kind=row.task_kind,
        state=row.state,
        success=None if row.success is None else bool(row.success),
        decisions=row.decisions,
        calls=row.calls,
        errors=row.errors,
        retries=row.retries,
        escalations=row.escalations,
        cache_hits=row.cache_hits,
        tools=row.tools,
        tool_errors=row.tool_errors,
        judges=row.judges,
        cost_usd=row.cost_usd,
        unknown_costs=row.unknown_costs,
        verify_usd=row.verify_usd,
        usage=Usage(row.input_tokens, row.output_tokens, row.cache_read, row.cache_write, row.cache_write_1h, row.reasoning),
        latency_s=row.latency_s,
        overhead_s=row.overhead_s,
        by_route=_shares(connection, row.n, p.route),
        by_model=_shares(connection, row.n, p.model),
        by_node=_shares(connection, row.n, p.node),
        by_step_kind=_shares(connection, row.n, p.step_kind),
        by_basis=_shares(connection, row.n, c.cost_basis),
    )


def _shares(connection: Connection, task: int, column: Any) -> dict[str, Share]:
    c, p = schema.calls.c, schema.places.c
    query = (
        select(
            column,
            func.count(),
            func.sum(case((c.error_type.is_not(None), 1), else_=0)),
            func.sum(c.input_tokens + c.output_tokens),
            func.sum(func.coalesce(c.cost_usd, 0) + func.coalesce(c.verify_usd, 0)),
            func.sum(case((c.cost_usd.is_(None) | c.verify_usd.is_(None), 1), else_=0)),
        )
        .join_from(schema.calls, schema.places, p.id == c.place)
        .where(c.task == task, c.what.in_(("model", "judge")))
        .group_by(column)
        .order_by(column)
    )
    return {
        name or "": Share(calls, int(errors), int(tokens), float(cost), int(unknown))
        for name, calls, errors, tokens, cost, unknown in connection.execute(query)
    }
