"""Tables of a SQL ledger.

Raw rows record what happened: `decisions`, `calls` (each attempt of a decision, and calls observed by a tracker), `tasks`,
`outcomes`. Words that repeat in every row (who, where) are stored once, in `labels` and `places`, under a number derived from the
words, so that processes agree on it without coordination. Daily sums (`daily_*`) serve reports.

Days are whole days since 1970-01-01 in UTC; times are seconds since the epoch; money is USD, `NULL` where unknown and never 0
instead: every sum of money stands beside the number of rows it leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from langroute.ledger import columns, daily_sums
from langroute.ledger.columns import BIG, DOUBLE, INTEGER, TEXT, TaskSum
from langroute.ledger.daily_sums import DailySum

metadata = MetaData()

SERIAL = BigInteger().with_variant(Integer, "sqlite")
"""Type of row numbers; SQLite numbers rows automatically only for `INTEGER`."""

DECISION_NUMBERS = sqlalchemy.Sequence("decisions_numbers", metadata=metadata)
CALL_NUMBERS = sqlalchemy.Sequence("calls_numbers", metadata=metadata)
"""Sequence of row numbers in PostgreSQL, reserved in batches."""

_TYPES: Mapping[str, Any] = {INTEGER: Integer, BIG: BigInteger, DOUBLE: Double, TEXT: Text}


def _type(kind: str | int) -> Any:
    return String(kind) if isinstance(kind, int) else _TYPES[kind]


def _columns(declared: Sequence[columns.Column]) -> list[Column[Any]]:
    """Return the columns of a table that are filled from a record."""
    return [
        Column(one.name, _type(one.type), nullable=one.nullable and one.default is None, server_default=one.default)
        for one in declared
    ]


def _sums(declared: Sequence[TaskSum] | Sequence[DailySum]) -> list[Column[Any]]:
    """Return columns of sums, which begin at 0."""
    return [Column(one.name, _type(one.type), nullable=False, server_default="0") for one in declared]


def _of_rows(condition: str) -> dict[str, Any]:
    """Return the options of an index of some rows."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


meta = Table(
    "langroute_meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""`schema_version`, `hash_key`, `raw_since` and `tasks_since` (the first days whose rows still exist), `partitioned_until`, `partition_days`, and when sums and
retention were begun last (`maintained …`)."""

labels = Table(
    "labels",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("team", Text),
    Column("project", Text),
    Column("environment", Text),
    Column("task_kind", Text),
)
"""Whom a call was made for: one row for each combination of labels."""

places = Table(
    "places",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("route", Text),
    Column("model", Text),
    Column("provider", Text),
    Column("tier", Text),
    Column("node", Text),
    Column("step_kind", Text),
    Column("agent", Text),
    Column("policy", Text),
    Column("policy_version", Text),
    Column("tool", Text),
)
"""Where a call went: one row for each combination. `tool` is the tool's name in rows that tool calls point to."""

tasks = Table(
    "tasks",
    metadata,
    Column("n", SERIAL, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("user", Text),
    Column("state", String(12)),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("last_at", Double),
    # Summary of its outcomes, computed in `outcome_rows.py`.
    *_columns(columns.RESULTS),
    # Updated as its decisions and calls are recorded.
    *_sums(columns.TASK_SUMS),
    Index("tasks_day", "day"),
)
"""Tasks: what a person wanted done. `cost_usd` sums the known costs of its calls and their checks (`verify_usd` is the
checks' part); `last_at` is the end of its last call; `unknown_costs` counts the calls it leaves out."""

decisions = Table(
    "decisions",
    metadata,
    Column("n", SERIAL, primary_key=True, autoincrement=False),
    Column("task", BigInteger, nullable=False),
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    *_columns(columns.DECISIONS),
    UniqueConstraint("id"),
    Index("decisions_task", "task"),
    Index("decisions_day", "day"),
)
"""One step each. `cache` is `hit`, `semantic_hit`, `miss`, `bypass` or `closing`; `place` names the route whose answer was kept;
`latency_s` sums its attempts; `cost_usd` has all attempts and checks and is `NULL` when one of them is unknown; `avoided_usd` is what
the call cost whose stored answer was given, or where that is unknown, the baseline."""

details = Table(
    "decision_details",
    metadata,
    Column("decision", SERIAL, primary_key=True, autoincrement=False),
    Column("day", Integer),
    Column("record", Text, nullable=False),
)
"""The full record of a decision, as far as the privacy level allows, as JSON; a separate table so that reports need not read it."""

calls = Table(
    "calls",
    metadata,
    Column("n", SERIAL, primary_key=True, autoincrement=False),
    Column("decision", BigInteger),
    Column("task", BigInteger, nullable=False),
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    *_columns(columns.CALLS),
    Index("calls_task", "task"),
    Index("calls_day", "day"),
    Index("calls_decision", "decision"),
    Index("calls_run_id", "run_id"),
    # Of ledgers that are made from now on: in an older one that is large, making it would hold up who writes.
    Index("calls_failed", "day", **_of_rows("error_type IS NOT NULL")),
)
"""One call each. `what` is `model`, `judge` (a model call that checks another), `shadow` (its `run_id` is its decision), `tool`, `retriever`, or `subtask`
(an attempt at a whole subtask, billed with the calls inside); `decision` is `NULL` for a
call that no router made. A report on spend adds `cost_usd` and `verify_usd` of all of them."""

texts = Table(
    "texts",
    metadata,
    Column("call", SERIAL, primary_key=True, autoincrement=False),
    Column("day", Integer),
    Column("record", Text, nullable=False),
)
"""Messages and answer of a call that no router made, as JSON; filled at level `full` only."""

outcomes = Table(
    "outcomes",
    metadata,
    Column("n", SERIAL, primary_key=True, autoincrement=True),
    Column("task", BigInteger),
    Column("decision", BigInteger),
    *_columns(columns.OUTCOMES),
    Index("outcomes_task", "task"),
    Index("outcomes_decision", "decision"),
    Index("outcomes_waiting", "decision_id", **_of_rows("task IS NULL")),
    Index("outcomes_waiting_run", "run_id", **_of_rows("task IS NULL")),
)
"""Outcomes of tasks and decisions. `task` is `NULL` until the decision or run it names is known. `comment` at level `full` only."""

roots = Table("roots", metadata, Column("run_id", String(36), primary_key=True), Column("task", BigInteger, nullable=False))
"""Root runs of tasks: several where a task was resumed or a conversation went on."""

tags = Table(
    "tags",
    metadata,
    Column("task", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("task", "key"),
)
"""Other tags of a task, besides team, project, user, environment and task kind."""

daily_calls = Table(
    "daily_calls",
    metadata,
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("what", String(10), nullable=False),
    *_sums(daily_sums.CALL_SUMS),
    PrimaryKeyConstraint("day", "label", "place", "what"),
)
"""See `daily_sums.CALL_SUMS`."""

daily_decisions = Table(
    "daily_decisions",
    metadata,
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    *_sums(daily_sums.DECISION_SUMS),
    PrimaryKeyConstraint("day", "label", "place"),
)
"""See `daily_sums.DECISION_SUMS`."""

daily_tasks = Table(
    "daily_tasks",
    metadata,
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("user", Text, nullable=False, server_default=""),
    *_sums(daily_sums.TASK_SUMS_BY_DAY),
    PrimaryKeyConstraint("day", "label", "user"),
)
"""See `daily_sums.TASK_SUMS_BY_DAY`."""

daily_parts = Table(
    "daily_parts",
    metadata,
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("dimension", String(10), nullable=False),
    Column("value", Text, nullable=False, server_default=""),
    *_sums(daily_sums.PART_SUMS),
    PrimaryKeyConstraint("day", "label", "dimension", "value"),
)
"""Tasks by the values of a dimension that they used: for each `route`, `model`, `node`, `step_kind` and `tier` (`dimension`), how many
tasks had a call there, how they went, and what those calls cost (`known_usd`: in tasks with an outcome). A task counts once under each
value it used."""

daily_outcomes = Table(
    "daily_outcomes",
    metadata,
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("source", Text, nullable=False),
    *_sums(daily_sums.OUTCOME_SUMS),
    PrimaryKeyConstraint("day", "label", "key", "source"),
)
"""See `daily_sums.OUTCOME_SUMS`."""

dirty_days = Table(
    "dirty_days",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("writes", Integer, nullable=False, server_default="0"),
)
"""Days whose sums are older than their rows; `SqlLedger.rollup` recomputes them."""

beside = MetaData()
"""Tables that are no part of the records; a database may have them without being a ledger's."""

state = Table(
    "langroute_state",
    beside,
    Column("space", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("until", Double),
)
"""What policies keep in common for all workers; see `langroute.state`. Here so that a role that may create no tables finds it."""

ROLLUPS = (daily_calls, daily_decisions, daily_tasks, daily_parts, daily_outcomes)
