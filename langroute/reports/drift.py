"""Drift rule for fitted policies: feeds the decisions stored in a ledger to `langroute.learning.drift`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from langroute.core.number_checks import check_number
from langroute.core.records import Attempt, Decision, Outcome, Selection, Step
from langroute.estimators.store import PolicyFile
from langroute.learning.drift import DRIFT, UNKNOWN, Drift, DriftVerdict
from langroute.ledger import schema
from langroute.reports.alerts import Alert
from langroute.reports.window import Window

MOST = 100_000
"""Most decisions that are read, the latest ones."""


class PolicyDrift:
    """Alert when outcomes or served models no longer match a fitted policy.

    Only decisions with the policy's version count. The outcome of a decision counts for it, else that of its task.

    Args:
        policy: What `load_policy_file` returns.
        days: Number of latest days to check, today included.
        drop: The smallest drop of success that matters, as a share.
    """

    def __init__(self, policy: PolicyFile, *, days: int = 28, drop: float = 0.1) -> None:
        check_number("days", days, least=1, whole=True)
        check_number("drop", drop, above=0, most=1)
        self.policy, self.days, self.drop = policy, days, drop

    def check(self, ledger: Any, now: float) -> list[Alert]:
        """Return an alert for each route that drifts; routes without enough evidence give none."""
        return [
            Alert("drift", one.route or "all routes", f"The policy drifts on {one.route or 'all routes'}: {one.reason}.")
            for one in self.verdicts(ledger, now)
            if one.state == DRIFT
        ]

    def verdicts(self, ledger: Any, now: float) -> list[DriftVerdict]:
        """Return the verdict on each route that the policy chose: ok, drift, or not enough evidence."""
        watcher = Drift(self.policy, drop=self.drop)
        routes = set()
        for row in self._rows(ledger, now):
            attempt = Attempt(Selection(row.route, confidence=row.confidence), model=row.model)
            watcher.on_decision(Decision(row.id, Step(), row.route, (attempt,), model=row.model))
            routes.add(row.route)
            success = row.success if row.told is None else row.told
            if success is not None:
                watcher.on_outcome(Outcome(success=bool(success), decision_id=row.id))
        if not routes:
            return [
                DriftVerdict(
                    UNKNOWN, f"no decision of policy version {self.policy.version or '(none)'} in the last {self.days} days"
                )
            ]
        return [watcher.verdict(route) for route in sorted(routes)]

    def _rows(self, ledger: Any, now: float) -> list[Any]:
        """Return the decisions of the policy, oldest first, with the outcomes of them and of their tasks."""
        window = Window.since(f"{self.days}d", now=now)
        d, t, p, o = schema.decisions.c, schema.tasks.c, schema.places.c, schema.outcomes.c
        told = (
            select(o.success)
            .where(o.decision == d.n, o.success.is_not(None))
            .order_by(o.at.desc(), o.n.desc())
            .limit(1)
            .correlate(schema.decisions)
            .scalar_subquery()
        )
        query = (
            select(d.id, d.confidence, p.route, p.model, t.success, told.label("told"))
            .join_from(schema.decisions, schema.places, p.id == d.place)
            .join(schema.tasks, t.n == d.task)
            .where(d.day.between(window.first_day, window.last_day), p.route.is_not(None), p.policy_version == self.policy.version)
            .order_by(d.at.desc(), d.n.desc())
            .limit(MOST)
        )
        with ledger.reading() as connection:
            return list(reversed(connection.execute(query).all()))
