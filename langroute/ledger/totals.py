"""Totals of one task, computed from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, case, func, select

from langroute.core.records import TOKENS, Usage
from langroute.core.storable import finite
from langroute.ledger import schema
from langroute.ledger.columns import SUMMED
from langroute.ledger.facts import PAID, Share, TaskTotals


def totals_of(connection: Connection, ids: Sequence[str]) -> TaskTotals | None:
    """Return the totals of the task with one of these ids."""
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
        usage=Usage(**{name: getattr(row, name) for name in TOKENS}),
        **{name: _number(getattr(row, name)) for name in SUMMED},
        by_route=_shares(connection, row.n, p.route),
        by_model=_shares(connection, row.n, p.model),
        by_node=_shares(connection, row.n, p.node),
        by_step_kind=_shares(connection, row.n, p.step_kind),
        by_basis=_shares(connection, row.n, c.cost_basis),
    )


def _number(value: Any) -> Any:
    return finite(value) or 0.0 if isinstance(value, float) else value


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
        .where(c.task == task, c.what.in_(PAID))
        .group_by(column)
        .order_by(column)
    )
    return {
        name or "": Share(calls, int(errors), int(tokens), finite(cost) or 0.0, int(unknown))
        for name, calls, errors, tokens, cost, unknown in connection.execute(query)
    }
