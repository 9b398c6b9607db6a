"""What were tasks told, and what does it come to? Outcomes as rows, tied to the tasks they are about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, bindparam, exists, or_, select, update

from langroute.ledger import schema
from langroute.ledger.facts import Labels, boil
from langroute.ledger.privacy import Privacy
from langroute.records import Outcome

DAY = 86_400.0
"""Seconds."""

NO_LABELS = Labels()


def day_of(seconds: float) -> int:
    """Whole days since 1970-01-01 in UTC.

    Example:
        >>> day_of(86_400.5)
        1
    """
    return int(seconds // DAY)


def number_of(words: Sequence[str | None]) -> int:
    """A number made of words: every process gives the same words the same one."""
    digest = hashlib.blake2b(json.dumps(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def chunks(items: list[Any], size: int = 500) -> Iterable[list[Any]]:
    """Parts of a list that one statement can name."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def find_tasks(connection: Connection, ids: Iterable[str]) -> list[Any]:
    """The rows of some tasks, as far as they are there."""
    tasks = schema.tasks
    found: list[Any] = []
    for some in chunks(list(ids)):
        columns = select(tasks.c.n, tasks.c.id, tasks.c.label, tasks.c.user, tasks.c.day)
        found.extend(connection.execute(columns.where(tasks.c.id.in_(some))))
    return found


class Teller:
    """Writes outcomes. Used by one thread at a time.

    Args:
        privacy: What may be kept.
        insert: The database's own `insert`, which knows what to do about rows that are there.
    """

    def __init__(self, privacy: Privacy, insert: Any) -> None:
        self.privacy, self._insert = privacy, insert

    def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> set[int]:
        """Write outcomes; return the days whose sums change."""
        if not outcomes:
            return set()
        rows: list[dict[str, Any]] = []
        for outcome in outcomes:
            task, decision = self.subject(connection, outcome)
            rows.append(
                {
                    "task": task,
                    "decision": decision,
                    "decision_id": outcome.decision_id,
                    "run_id": outcome.run_id,
                    "key": outcome.key,
                    "source": outcome.source,
                    "success": None if outcome.success is None else int(outcome.success),
                    "score": outcome.score,
                    "human_minutes": outcome.human_minutes,
                    "baseline_minutes": outcome.baseline_minutes,
                    "value_usd": outcome.value_usd,
                    "comment": outcome.comment,
                    "at": outcome.at,
                }
            )
        connection.execute(schema.outcomes.insert(), rows)
        tasks = sorted({row["task"] for row in rows if row["task"] is not None})
        self.boil_again(connection, tasks)
        return self.days_of(connection, tasks)

    def subject(self, connection: Connection, outcome: Outcome) -> tuple[int | None, int | None]:
        """Row numbers of the task and the decision that an outcome is about."""
        tasks, decisions, calls = schema.tasks, schema.decisions, schema.calls
        task: int | None = None
        decision: int | None = None
        if outcome.decision_id is not None:
            found = connection.execute(select(decisions.c.n, decisions.c.task).where(decisions.c.id == outcome.decision_id)).first()
            if found is not None:
                decision, task = found
        if task is None and outcome.run_id is not None:
            called = connection.execute(select(calls.c.task, calls.c.decision).where(calls.c.run_id == outcome.run_id)).first()
            if called is not None:
                task, decision = called.task, decision or called.decision
            else:
                roots = schema.roots
                task = connection.execute(select(roots.c.task).where(roots.c.run_id == outcome.run_id)).scalar()
        if outcome.task_id is not None:
            ids = self.privacy.task_ids(outcome.task_id)
            known = {row.id: row.n for row in find_tasks(connection, ids)}
            told = next((known[one] for one in ids if one in known), None)
            if told is None and task is None:
                row = {"id": ids[0], "day": day_of(outcome.at), "label": self._nameless(connection), "started_at": outcome.at}
                connection.execute(self._insert(tasks).on_conflict_do_nothing(), [row])
                told = connection.execute(select(tasks.c.n).where(tasks.c.id == ids[0])).scalar_one()
            task = told if told is not None else task
        return task, decision

    def _nameless(self, connection: Connection) -> int:
        """The label of a task that nothing but an outcome is known of."""
        number = number_of((None, None, None, None))
        connection.execute(self._insert(schema.labels).on_conflict_do_nothing(), [{"id": number}])
        return number

    def adopt(self, connection: Connection) -> set[int]:
        """Tie outcomes to tasks that came after them; return the days that change."""
        outcomes, o = schema.outcomes, schema.outcomes.c
        # Only those that have found theirs: feedback on runs that nobody tracked may wait here by the ten thousand, for ever.
        found = or_(
            exists().where(schema.decisions.c.id == o.decision_id),
            exists().where(schema.calls.c.run_id == o.run_id),
            exists().where(schema.roots.c.run_id == o.run_id),
        )
        orphans = connection.execute(select(outcomes).where(o.task.is_(None), found)).all()
        adopted = []
        for row in orphans:
            told = Outcome(decision_id=row.decision_id, run_id=row.run_id)
            task, decision = self.subject(connection, told)
            if task is not None:
                connection.execute(update(outcomes).where(outcomes.c.n == row.n).values(task=task, decision=decision))
                adopted.append(task)
        self.boil_again(connection, sorted(set(adopted)))
        return self.days_of(connection, adopted)

    def boil_again(self, connection: Connection, tasks: Sequence[int]) -> None:
        """Work out anew what the outcomes of some tasks come to."""
        table, told = schema.tasks, schema.outcomes
        for some in chunks(list(tasks)):
            # Locked first, so that what another process told meanwhile is read too.
            connection.execute(select(table.c.n).where(table.c.n.in_(some)).order_by(table.c.n).with_for_update()).all()
            by_task: dict[int, list[Outcome]] = {number: [] for number in some}
            for row in connection.execute(select(told).where(told.c.task.in_(some)).order_by(told.c.n)):
                by_task[row.task].append(
                    Outcome(
                        success=None if row.success is None else bool(row.success),
                        source=row.source,
                        human_minutes=row.human_minutes,
                        baseline_minutes=row.baseline_minutes,
                        value_usd=row.value_usd,
                        at=row.at,
                    )
                )
            results = []
            for number, outcomes in by_task.items():
                result = boil(outcomes)
                values = {f"b_{one.name}": getattr(result, one.name) for one in fields(result)}
                values["b_success"] = None if result.success is None else int(result.success)
                results.append({"b_n": number, **values})
            names = [name.removeprefix("b_") for name in results[0] if name != "b_n"]
            changed = update(table).where(table.c.n == bindparam("b_n")).values({name: bindparam(f"b_{name}") for name in names})
            connection.execute(changed, results)

    def days_of(self, connection: Connection, tasks: Sequence[int]) -> set[int]:
        """The days on which some tasks began."""
        table = schema.tasks
        days: set[int] = set()
        for some in chunks(sorted(set(tasks))):
            days.update(connection.execute(select(table.c.day).where(table.c.n.in_(some)).distinct()).scalars())
        return days
