"""Which tables does a ledger have?

Raw rows say what happened: `decisions`, `calls` (each attempt of a decision, and what a tracker saw without a router), `tasks`,
`outcomes`. Words that repeat in every row (who, where) are kept once, in `labels` and `places`, under a number made of the words
themselves, so that many processes agree on it without asking. Daily sums of all that (`daily_*`) answer reports.

Days are whole days since 1970-01-01 in UTC; times are seconds since the epoch; money is USD, `NULL` where unknown and never 0
instead: every sum of money stands beside the number of rows it leaves out.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    String,
    Table,
    Text,
)

metadata = MetaData()

SERIAL = BigInteger().with_variant(Integer, "sqlite")
"""A row number; SQLite counts rows by itself only where the type says `INTEGER`."""

DECISION_NUMBERS = Sequence("decisions_numbers", metadata=metadata)
CALL_NUMBERS = Sequence("calls_numbers", metadata=metadata)
"""PostgreSQL's row numbers, taken by the batch."""

BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper borders, in seconds, of the columns in which daily sums count latencies; the last column has the rest."""

BUCKET_NAMES = (*(f"under_{str(border).replace('.0', '').replace('.', '_')}s" for border in BUCKETS), "over_60s")
"""`under_0_1s`, `under_0_25s`, … `over_60s`: calls that took less than this and no less than the one before."""

STATES = ("ok", "error", "interrupted", "cancelled", "abandoned")
"""How a task can have ended; `NULL` while it runs, or where nobody saw its end."""


def _bucket_columns() -> list[Column[int]]:
    return [Column(name, Integer, nullable=False, server_default="0") for name in BUCKET_NAMES]


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _tokens() -> list[Column[int]]:
    names = ("input_tokens", "output_tokens", "cache_read", "cache_write", "cache_write_1h", "reasoning")
    return [Column(name, BigInteger, nullable=False, server_default="0") for name in names]


def _usd(name: str) -> Column[float]:
    return Column(name, Double, nullable=False, server_default="0")


meta = Table(
    "langroute_meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""`schema_version`, `hash_key`, `purged_before` (the first day whose raw rows are still there)."""

labels = Table(
    "labels",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("team", Text),
    Column("project", Text),
    Column("environment", Text),
    Column("task_kind", Text),
)
"""For whom: one row for each combination."""

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
"""Where: one row for each combination. `tool` is the tool's name in rows that tool calls point to."""

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
    # What came of it: the outcomes boiled down (`outcomes.py` says how).
    Column("success", Integer),
    Column("success_at", Double),
    Column("success_rank", Integer),
    Column("success_source", Text),
    Column("human_minutes", Double),
    Column("baseline_minutes", Double),
    Column("value_usd", Double),
    # Sums over its decisions and calls, kept up as they come in.
    _count("decisions"),
    _count("calls"),
    _count("errors"),
    _count("retries"),
    _count("escalations"),
    _count("cache_hits"),
    _count("tools"),
    _count("tool_errors"),
    _count("judges"),
    _usd("cost_usd"),
    _count("unknown_costs"),
    _usd("verify_usd"),
    _usd("baseline_usd"),
    _count("unknown_baselines"),
    *_tokens(),
    _usd("latency_s"),
    _usd("overhead_s"),
    Index("tasks_day", "day"),
)
"""What a person wanted done. `cost_usd` sums what is known of its calls and their checks (`verify_usd` is the checks' part);
`unknown_costs` counts what it leaves out."""

decisions = Table(
    "decisions",
    metadata,
    Column("n", SERIAL, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False, unique=True),
    Column("task", BigInteger, nullable=False),
    Column("day", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("cache", String(16), nullable=False),
    Column("ok", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("fallbacks", Integer, nullable=False),
    Column("escalations", Integer, nullable=False),
    Column("score", Double),
    Column("confidence", Double),
    Column("propensity", Double),
    Column("cost_usd", Double),
    Column("verify_usd", Double),
    Column("baseline_usd", Double),
    Column("avoided_usd", Double),
    Column("switch_usd", Double),
    Column("latency_s", Double, nullable=False),
    Column("overhead_s", Double, nullable=False),
    Column("problems", Integer, nullable=False),
    Index("decisions_task", "task"),
    Index("decisions_day", "day"),
)
"""One step each. `cache` is `hit`, `semantic_hit`, `miss` or `bypass`; `place` names the route whose answer was kept;
`latency_s` sums its attempts; `cost_usd` has all attempts and checks and is `NULL` when one of them is unknown; `avoided_usd` is what
the call cost whose stored answer was given, or where that is unknown, the baseline."""

details = Table(
    "decision_details",
    metadata,
    Column("decision", SERIAL, primary_key=True, autoincrement=False),
    Column("record", Text, nullable=False),
)
"""The whole record of a decision, as far as the level keeps it, as JSON; beside the row so that reports need not read it."""

calls = Table(
    "calls",
    metadata,
    Column("n", SERIAL, primary_key=True, autoincrement=False),
    Column("decision", BigInteger),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("task", BigInteger, nullable=False),
    Column("day", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("what", String(10), nullable=False),
    Column("run_id", String(36)),
    Column("kept", Integer, nullable=False, server_default="1"),
    Column("retry", Integer, nullable=False, server_default="0"),
    Column("error_type", Text),
    Column("cache", String(16)),
    Column("score", Double),
    Column("cost_usd", Double),
    Column("verify_usd", Double),
    Column("cost_basis", String(10)),
    *_tokens(),
    Column("latency_s", Double, nullable=False, server_default="0"),
    Column("first_token_s", Double),
    Index("calls_task", "task"),
    Index("calls_day", "day"),
    Index("calls_decision", "decision"),
    Index("calls_run_id", "run_id"),
)
"""One call each. `what` is `model`, `judge` (a model call that checks another), `tool` or `retriever`; `decision` is `NULL` for a
call that no router made. A report on spend adds `cost_usd` and `verify_usd` of all of them."""

texts = Table(
    "texts",
    metadata,
    Column("call", SERIAL, primary_key=True, autoincrement=False),
    Column("record", Text, nullable=False),
)
"""What was said in a call that no router made, as JSON; filled at level `full` only."""

outcomes = Table(
    "outcomes",
    metadata,
    Column("n", SERIAL, primary_key=True, autoincrement=True),
    Column("task", BigInteger),
    Column("decision", BigInteger),
    Column("decision_id", String(64)),
    Column("run_id", String(36)),
    Column("key", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("success", Integer),
    Column("score", Double),
    Column("human_minutes", Double),
    Column("baseline_minutes", Double),
    Column("value_usd", Double),
    Column("comment", Text),
    Column("at", Double, nullable=False),
    Index("outcomes_task", "task"),
    Index("outcomes_decision", "decision"),
)
"""What was told of a task or a decision. `task` is `NULL` until the decision or run it names is known. `comment` at level `full` only."""

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
"""What else a task was tagged with, beside team, project, user, environment and task kind."""

daily_calls = Table(
    "daily_calls",
    metadata,
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("what", String(10), nullable=False),
    _count("calls"),
    _count("errors"),
    _count("retries"),
    _count("rejected"),
    _count("cache_hits"),
    _usd("cost_usd"),
    _count("unknown_costs"),
    _usd("verify_usd"),
    *_tokens(),
    _usd("latency_s"),
    _usd("first_token_s"),
    _count("first_tokens"),
    *_bucket_columns(),
    PrimaryKeyConstraint("day", "label", "place", "what"),
)
"""Sums of `calls`. `rejected`: answered, and not kept. `first_tokens` counts the calls whose time to first token is in `first_token_s`."""

daily_decisions = Table(
    "daily_decisions",
    metadata,
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    _count("decisions"),
    _count("failed"),
    _count("hits"),
    _count("semantic_hits"),
    _count("escalated"),
    _count("fell_back"),
    _count("attempts"),
    _usd("cost_usd"),
    _count("unknown_costs"),
    _usd("verify_usd"),
    _usd("compared_usd"),
    _usd("baseline_usd"),
    _count("compared"),
    _usd("hit_baseline_usd"),
    _usd("avoided_usd"),
    _usd("switch_usd"),
    _usd("latency_s"),
    _usd("overhead_s"),
    _count("problems"),
    PrimaryKeyConstraint("day", "label", "place"),
)
"""Sums of `decisions`. Savings are `baseline_usd - compared_usd`, over the `compared` decisions where both are known;
`hit_baseline_usd` is the baseline of those that the response cache answered, `avoided_usd` what their calls would have cost."""

daily_tasks = Table(
    "daily_tasks",
    metadata,
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("user", Text, nullable=False, server_default=""),
    _count("tasks"),
    *(_count(state) for state in STATES),
    _count("succeeded"),
    _count("failed"),
    _usd("cost_usd"),
    _usd("known_usd"),
    _usd("succeeded_usd"),
    _count("unknown_costs"),
    _usd("verify_usd"),
    _usd("baseline_usd"),
    _count("decisions"),
    _count("calls"),
    _count("errors"),
    _count("retries"),
    _count("escalations"),
    _count("cache_hits"),
    _count("tools"),
    _count("tool_errors"),
    *_tokens(),
    _usd("latency_s"),
    _usd("overhead_s"),
    _usd("wall_s"),
    _count("walls"),
    _usd("human_minutes"),
    _usd("baseline_minutes"),
    _usd("baseline_human_minutes"),
    _count("baselines"),
    _usd("value_usd"),
    _count("valued"),
    *_bucket_columns(),
    PrimaryKeyConstraint("day", "label", "user"),
)
"""Sums of `tasks`, on the day each began. Success rate: `succeeded` of `succeeded + failed`; the rest has no outcome yet.
Cost per successful task: `known_usd / succeeded`, where `known_usd` is the cost of all tasks with an outcome, failed ones included.
Hours saved: `(baseline_minutes - baseline_human_minutes) / 60`, over the `baselines` successful tasks for which a baseline was declared.
The latency columns count the `walls` tasks whose end was seen, by the time from first start to last end."""

daily_parts = Table(
    "daily_parts",
    metadata,
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("dimension", String(10), nullable=False),
    Column("value", Text, nullable=False, server_default=""),
    _count("tasks"),
    _count("succeeded"),
    _count("failed"),
    _usd("cost_usd"),
    _usd("known_usd"),
    PrimaryKeyConstraint("day", "label", "dimension", "value"),
)
"""Tasks by what they used: for each `route`, `model`, `node`, `step_kind` and `tier` (`dimension`), how many tasks had a call there,
how they went, and what those calls cost (`known_usd`: in tasks with an outcome). A task counts once under each value it used."""

daily_outcomes = Table(
    "daily_outcomes",
    metadata,
    Column("day", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("source", Text, nullable=False),
    _count("outcomes"),
    _count("succeeded"),
    _count("failed"),
    _usd("score"),
    _count("scores"),
    PrimaryKeyConstraint("day", "label", "key", "source"),
)
"""Sums of `outcomes`, on the day their task began. Mean score: `score / scores`."""

dirty_days = Table("dirty_days", metadata, Column("day", Integer, primary_key=True, autoincrement=False), _count("writes"))
"""Days whose sums are older than their rows; `SqlLedger.rollup` sums them again."""

ROLLUPS = (daily_calls, daily_decisions, daily_tasks, daily_parts, daily_outcomes)
