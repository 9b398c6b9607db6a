"""Sessions that are under way: who works, on which step and route, what it cost and saved so far. Read from a ledger in a database."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from langroute.core.fast_dataclass import fast_dataclass
from langroute.ledger import schema
from langroute.reports.source import number

MOST_STEPS = 5_000
"""Most of the latest decisions that are looked at: each look takes the same time, however large the ledger is."""


@fast_dataclass
class LiveSession:
    """A task with a step in the window. Sums are those of the whole task."""

    id: str
    last_at: float
    """When its latest step began, in seconds since the epoch."""

    step_kind: str | None = None
    route: str | None = None
    """That of its latest step; `None` where no route answered."""

    model: str | None = None
    cache: str = "miss"
    """What the response cache did in its latest step."""

    user: str | None = None
    """As the ledger keeps it: below the level `full` a keyed hash."""

    team: str | None = None
    project: str | None = None
    steps: int = 0
    errors: int = 0
    cache_hits: int = 0
    cost_usd: float = 0.0
    unknown_costs: int = 0
    """Calls whose cost is unknown, which `cost_usd` leaves out."""

    saved_usd: float | None = None
    """Baseline minus cost; `None` where one of them is unknown."""


def live_sessions(ledger: Any, seconds: float, *, most: int = 200, now: float | None = None) -> list[LiveSession]:
    """Return the sessions with a step in the last seconds, the latest first.

    Args:
        ledger: A `SqlLedger`.
        seconds: Length of the window.
        most: Most sessions that are returned.
        now: Seconds since the epoch.

    Example:
        >>> import tempfile, pathlib
        >>> from langroute.hosts.chat_model import ChatRouter
        >>> from langroute.ledger import open_ledger
        >>> from langroute.testing import ScriptedModel
        >>> ledger = open_ledger(pathlib.Path(tempfile.mkdtemp()) / "ledger.db")
        >>> _ = ChatRouter({"small": ScriptedModel("Hi.")}, ledger=ledger).invoke("Hello.", {"metadata": {"langroute_team": "search"}})
        >>> ledger.flush()
        >>> [(one.team, one.route, one.steps) for one in live_sessions(ledger, 60)]
        [('search', 'small', 1)]
        >>> ledger.close()
    """
    begun = (time.time() if now is None else now) - seconds
    with ledger.reading() as connection:
        latest = _latest(connection, begun, most)
        found = _tasks(connection, list(latest))
    return [_session(latest[task], found[task]) for task in latest if task in found]


def _latest(connection: Connection, begun: float, most: int) -> dict[int, Any]:
    """Return the latest step of each task in the window, the latest first."""
    d, p = schema.decisions.c, schema.places.c
    # By the primary key, which grows: neither an index on the time nor a look at all rows is needed.
    rows = (
        select(d.n, d.task, d.at, d.ok, d.cache, p.route, p.model, p.step_kind)
        .join_from(schema.decisions, schema.places, d.place == p.id, isouter=True)
        .order_by(d.n.desc())
        .limit(MOST_STEPS)
    )
    latest: dict[int, Any] = {}
    for row in connection.execute(rows):
        if row.at >= begun and (row.task not in latest or row.at > latest[row.task].at):
            latest[row.task] = row
    kept = sorted(latest.items(), key=lambda one: one[1].at, reverse=True)[:most]
    return dict(kept)


def _tasks(connection: Connection, numbers: Sequence[int]) -> Mapping[int, Any]:
    t, of = schema.tasks.c, schema.labels.c
    rows = (
        select(
            t.n, t.id, t.user, t.decisions, t.errors, t.cache_hits, t.cost_usd, t.unknown_costs, t.baseline_usd, t.unknown_baselines,
            of.team, of.project,
        )
        .join_from(schema.tasks, schema.labels, t.label == of.id, isouter=True)
        .where(t.n.in_(numbers))
    )  # fmt: skip
    return {row.n: row for row in connection.execute(rows)}


def _session(step: Any, task: Any) -> LiveSession:
    cost, unknown = float(number(task.cost_usd)), int(number(task.unknown_costs))
    known = not unknown and not number(task.unknown_baselines)
    return LiveSession(
        task.id,
        step.at,
        step.step_kind,
        step.route if step.ok else None,
        step.model,
        step.cache,
        task.user,
        task.team,
        task.project,
        int(number(task.decisions)),
        int(number(task.errors)),
        int(number(task.cache_hits)),
        cost,
        unknown,
        float(number(task.baseline_usd)) - cost if known else None,
    )


__all__ = ["MOST_STEPS", "LiveSession", "live_sessions"]
