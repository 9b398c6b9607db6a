"""The sums of a ledger by day, each declared once: its name, its type, and how it is computed from raw rows.

The tables `daily_*`, their rollup and the reports derive from these lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, func

from langroute.core.records import TOKENS
from langroute.ledger.columns import BIG, DOUBLE, INTEGER, TASK_SUMS

BUCKETS = (
    *(0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 3.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
    *(90.0, 120.0, 180.0, 240.0, 300.0, 360.0, 420.0, 480.0, 600.0, 900.0, 1800.0, 3600.0),
)
"""Upper borders, in seconds, of the latency histogram in daily sums; the last column counts all above."""

BUCKET_NAMES = (*(f"under_{f'{border:g}'.replace('.', '_')}s" for border in BUCKETS), "over_3600s")
"""`under_0_1s`, `under_0_25s`, … `over_3600s`: calls that took less than this and at least the previous border."""

STATES = ("ok", "error", "interrupted", "cancelled", "abandoned")
"""Final states of a task; `NULL` while it runs, or if its end was not observed."""


@dataclass(frozen=True, slots=True)
class DailySum:
    """A column of sums over the rows of a day."""

    name: str
    type: str
    of: Callable[[Any], ColumnElement[Any]]
    """Return the sum from the columns of the raw table."""


def wall_of(columns: Any) -> ColumnElement[Any]:
    """Return how long a task took: until its end, or where that was not observed, until the end of its last call."""
    took: ColumnElement[Any] = func.coalesce(columns.ended_at, columns.last_at) - columns.started_at
    return took


def names_of(sums: Sequence[DailySum]) -> tuple[str, ...]:
    """Return the names of sums."""
    return tuple(one.name for one in sums)


# How a column sums --------------------------------------------------------------------------------------------------------


def total(value: Any) -> ColumnElement[Any]:
    """Return the sum of a column; 0 where there are no rows."""
    return func.coalesce(func.sum(value), 0)


def times(condition: Any) -> ColumnElement[Any]:
    """Return the number of rows for which a condition holds."""
    return total(case((condition, 1), else_=0))


def where(condition: Any, value: Any) -> ColumnElement[Any]:
    """Return the sum of a column over the rows for which a condition holds."""
    return total(case((condition, value), else_=0))


def _of(name: str) -> Callable[[Any], ColumnElement[Any]]:
    return lambda c: total(c[name])


def _between(seconds: Callable[[Any], Any], low: float, high: float) -> Callable[[Any], ColumnElement[Any]]:
    return lambda c: times((seconds(c) >= low) & (seconds(c) < high))


def _ended(state: str) -> Callable[[Any], ColumnElement[Any]]:
    return lambda c: times(c.state == state)


def _count(name: str, of: Callable[[Any], ColumnElement[Any]] | None = None) -> DailySum:
    return DailySum(name, INTEGER, of or _of(name))


def _amount(name: str, of: Callable[[Any], ColumnElement[Any]] | None = None) -> DailySum:
    return DailySum(name, DOUBLE, of or _of(name))


def _tokens() -> list[DailySum]:
    return [DailySum(name, BIG, _of(name)) for name in TOKENS]


def _buckets(seconds: Callable[[Any], Any]) -> list[DailySum]:
    borders = zip(BUCKET_NAMES, (0.0, *BUCKETS), BUCKETS, strict=False)
    found = [_count(name, _between(seconds, low, high)) for name, low, high in borders]
    return [*found, _count(BUCKET_NAMES[-1], lambda c: times(seconds(c) >= BUCKETS[-1]))]


def _seconds_of_call(c: Any) -> Any:
    """Return the latency of a model call; an answer from a cache is none."""
    return case((c.cache.is_(None), c.latency_s), else_=None)


# The sums -----------------------------------------------------------------------------------------------------------------

CALL_SUMS = (
    _count("calls", lambda _: func.count()),
    _count("errors", lambda c: times(c.error_type.is_not(None))),
    _count("retries", lambda c: total(c.retry)),
    _count("rejected", lambda c: times((c.kept == 0) & c.error_type.is_(None))),
    _count("cache_hits", lambda c: times(c.cache.is_not(None))),
    _amount("cost_usd"),
    _count("unknown_costs", lambda c: times(c.cost_usd.is_(None) | c.verify_usd.is_(None))),
    _count(
        "unknown_failed",
        lambda c: times(c.cost_usd.is_(None) & c.error_type.is_not(None) & (c.input_tokens + c.output_tokens == 0)),
    ),
    _amount("verify_usd"),
    *_tokens(),
    _amount("latency_s"),
    _amount("first_token_s"),
    _count("first_tokens", lambda c: func.count(c.first_token_s)),
    *_buckets(_seconds_of_call),
)
"""Sums of `calls`. `rejected`: answered, but the answer was not used. `unknown_failed`: those of `unknown_costs` that failed or were
left, so that nobody knows what they cost though their price may be known. `first_tokens` counts the calls whose time
to first token is in `first_token_s`."""


def _both(c: Any) -> Any:
    return c.cost_usd.is_not(None) & c.baseline_usd.is_not(None)


DECISION_SUMS = (
    _count("decisions", lambda _: func.count()),
    _count("failed", lambda c: times(c.ok == 0)),
    _count("hits", lambda c: times(c.cache == "hit")),
    _count("semantic_hits", lambda c: times(c.cache == "semantic_hit")),
    _count("closings", lambda c: times(c.cache == "closing")),
    _count("escalated", lambda c: times(c.escalations > 0)),
    _count("fell_back", lambda c: times(c.fallbacks > 0)),
    _count("attempts"),
    _amount("cost_usd"),
    _count("unknown_costs", lambda c: times(c.cost_usd.is_(None))),
    _amount("verify_usd"),
    _amount("compared_usd", lambda c: where(_both(c), c.cost_usd)),
    _amount("baseline_usd", lambda c: where(_both(c), c.baseline_usd)),
    _count("compared", lambda c: times(_both(c))),
    _amount("hit_baseline_usd", lambda c: where(c.cache.in_(("hit", "semantic_hit")), c.baseline_usd)),
    _amount("avoided_usd"),
    _amount("switch_usd"),
    _amount("latency_s"),
    _amount("overhead_s"),
    _count("problems"),
)
"""Sums of `decisions`. `closings`: closing texts of used-up budgets, which are no calls. Savings are `baseline_usd - compared_usd`, over the `compared` decisions where both are known;
`hit_baseline_usd` is the baseline of those that the response cache answered, `avoided_usd` the cost of the calls that they avoided."""


def _saved(c: Any) -> Any:
    return (c.success == 1) & c.baseline_minutes.is_not(None)


_OTHERWISE = (
    "unknown_costs",
    "unknown_baselines",
    "judges",
    "cost_usd",
    "verify_usd",
    "baseline_usd",
    "latency_s",
    "overhead_s",
    *TOKENS,
)

TASK_SUMS_BY_DAY = (
    _count("tasks", lambda _: func.count()),
    *(_count(state, _ended(state)) for state in STATES),
    _count("succeeded", lambda c: times(c.success == 1)),
    _count("failed", lambda c: times(c.success == 0)),
    _amount("cost_usd"),
    _amount("known_usd", lambda c: where(c.success.is_not(None), c.cost_usd)),
    _amount("succeeded_usd", lambda c: where(c.success == 1, c.cost_usd)),
    _count("unknown_costs", lambda c: times(c.unknown_costs > 0)),
    _amount("verify_usd"),
    _amount("baseline_usd"),
    *(_count(one.name) for one in TASK_SUMS if one.name not in _OTHERWISE),
    *_tokens(),
    _amount("latency_s"),
    _amount("overhead_s"),
    _amount("wall_s", lambda c: total(wall_of(c))),
    _count("walls", lambda c: func.count(wall_of(c))),
    _amount("human_minutes"),
    _amount("baseline_minutes", lambda c: where(_saved(c), c.baseline_minutes)),
    _amount("baseline_human_minutes", lambda c: where(_saved(c), func.coalesce(c.human_minutes, 0))),
    _count("baselines", lambda c: times(_saved(c))),
    _amount("value_usd"),
    _count("valued", lambda c: func.count(c.value_usd)),
    *_buckets(wall_of),
)
"""Sums of `tasks`, on the day each began. Success rate: `succeeded` of `succeeded + failed`; the rest has no outcome yet.
Cost per successful task: `known_usd / succeeded`, where `known_usd` is the cost of all tasks with an outcome, failed ones included.
Hours saved: `(baseline_minutes - baseline_human_minutes) / 60`, over the `baselines` successful tasks with a declared baseline.
The latency columns count the `walls` tasks whose end or last call was seen, by the time from first start to last end."""

PART_SUMS = (
    _count("tasks", lambda _: func.count()),
    _count("succeeded", lambda c: times(c.success == 1)),
    _count("failed", lambda c: times(c.success == 0)),
    _amount("cost_usd", lambda c: total(c.spent)),
    _amount("known_usd", lambda c: where(c.success.is_not(None), c.spent)),
)
"""Sums of the tasks that used a route, model, node, kind of step or tier: how many they were, how they went, and what their calls there
cost (`known_usd`: in tasks with an outcome)."""

OUTCOME_SUMS = (
    _count("outcomes", lambda _: func.count()),
    _count("succeeded", lambda c: times(c.success == 1)),
    _count("failed", lambda c: times(c.success == 0)),
    _amount("score"),
    _count("scores", lambda c: func.count(c.score)),
)
"""Sums of `outcomes`, on the day their task began. Mean score: `score / scores`."""
