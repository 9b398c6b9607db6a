"""The columns of a ledger, each declared once: its name, its type, how it is read from a record, and how it sums.

Tables, rows, rollups, totals and reports derive from these lists. A new kind of tokens in `Usage` is a column everywhere without a word here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from langroute.core.records import TOKENS, Attempt, Decision, Usage
from langroute.ledger.facts import PAID, CallRecord, Changes, TaskTotals, avoided_usd, changes_of

INTEGER, BIG, DOUBLE, TEXT = "integer", "bigint", "double", "text"

NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is filled from a record."""

    name: str
    type: str | int
    """`INTEGER`, `BIG`, `DOUBLE` or `TEXT`; a number is a text of at most so many characters."""

    read: Callable[[Any], Any]
    """Return its value from the record."""

    default: str | None = None
    """Value of rows written before there was the column; such a column is never `NULL`."""

    nullable: bool = True


def _read(name: str, type: str | int, of: str | None = None, **options: Any) -> Column:
    return Column(name, type, attrgetter(of or name), **options)


def _flag(name: str, **options: Any) -> Column:
    """Return a column of a truth; unknown stays unknown."""
    get = attrgetter(name)
    return Column(name, INTEGER, lambda record: None if (value := get(record)) is None else int(value), **options)


def _tokens(name: str) -> Column:
    get = attrgetter(name)
    return Column(name, BIG, lambda call: get(call.usage or NO_USAGE), default="0")


CALLS = (
    _read("attempt", INTEGER, default="0"),
    _read("at", DOUBLE, nullable=False),
    _read("what", 10, nullable=False),
    _read("run_id", 36),
    _flag("kept", default="1"),
    _flag("retry", default="0"),
    _read("error_type", TEXT),
    _read("cache", 16),
    _read("score", DOUBLE),
    _read("cost_usd", DOUBLE),
    _read("verify_usd", DOUBLE),
    _read("cost_basis", 10),
    *(_tokens(name) for name in TOKENS),
    _read("latency_s", DOUBLE, default="0"),
    _read("first_token_s", DOUBLE),
)
"""Columns of `calls` that are read from a `CallRecord`."""


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """A decision as a row sees it."""

    decision: Decision
    """As far as it is stored."""

    calls: Sequence[CallRecord]
    only_chosen: bool
    """Whether it called no model."""

    kept: Attempt | None = field(init=False)
    changes: Changes = field(init=False)

    def __post_init__(self) -> None:
        decision = self.decision
        object.__setattr__(self, "kept", decision.kept or (decision.attempts[-1] if decision.attempts else None))
        object.__setattr__(self, "changes", changes_of(decision))

    def of_kept(self, get: Callable[[Attempt], Any]) -> Any:
        """Return something of the kept attempt; of the last one where none was kept."""
        return None if self.kept is None else get(self.kept)

    @property
    def attempts(self) -> int:
        """Number of attempts."""
        return sum(call.what != "judge" for call in self.calls)

    @property
    def cost_usd(self) -> float | None:
        """Cost in USD of what no other decision has: of a subtask, its checks."""
        if self.only_chosen:
            return 0.0
        return self.verify_usd if self.decision.subtask else self.decision.cost_usd

    @property
    def has_no_calls(self) -> bool:
        """Whether no call of a model is its own, so that there is nothing to compare with the baseline."""
        return self.only_chosen or self.decision.subtask

    @property
    def cache(self) -> str:
        """Result of the response cache; `closing` for the closing text of a used-up budget."""
        if self.kept is not None and self.kept.is_closing:
            return "closing"
        return self.decision.cache.partition(":")[0][:16]

    @property
    def verify_usd(self) -> float | None:
        """Cost of the checks; `None` if one is unknown."""
        checks = [call.cost_usd if call.what == "judge" else call.verify_usd for call in self.calls]
        return None if None in checks else sum(checks)  # type: ignore[arg-type]


DECISIONS = (
    _read("id", 64, "decision.id", nullable=False),
    _read("at", DOUBLE, "decision.started_at", nullable=False),
    Column("cache", 16, lambda facts: facts.cache, nullable=False),
    Column("ok", INTEGER, lambda facts: int(facts.decision.route is not None), nullable=False),
    _read("attempts", INTEGER, nullable=False),
    _read("retries", INTEGER, "changes.retries", nullable=False),
    _read("fallbacks", INTEGER, "changes.fallbacks", nullable=False),
    _read("escalations", INTEGER, "changes.escalations", nullable=False),
    Column("score", DOUBLE, lambda facts: facts.of_kept(attrgetter("score"))),
    Column("confidence", DOUBLE, lambda facts: facts.of_kept(attrgetter("selection.confidence"))),
    Column("propensity", DOUBLE, lambda facts: facts.of_kept(attrgetter("selection.propensity"))),
    _read("cost_usd", DOUBLE),
    _read("verify_usd", DOUBLE),
    _read("baseline_usd", DOUBLE, "decision.own_baseline_usd"),
    Column("avoided_usd", DOUBLE, lambda facts: avoided_usd(facts.decision)),
    _read("switch_usd", DOUBLE, "decision.switch_cost_usd"),
    Column(
        "latency_s",
        DOUBLE,
        lambda facts: 0.0 if facts.decision.subtask else sum(call.latency_s for call in facts.calls),
        nullable=False,
    ),
    _read("overhead_s", DOUBLE, "decision.overhead_s", nullable=False),
    Column("problems", INTEGER, lambda facts: len(facts.decision.problems), nullable=False),
)
"""Columns of `decisions` that are read from `DecisionFacts`."""

OUTCOMES = (
    _read("decision_id", 64),
    _read("run_id", 36),
    _read("key", TEXT, nullable=False),
    _read("source", TEXT, nullable=False),
    _flag("success"),
    _read("score", DOUBLE),
    _read("human_minutes", DOUBLE),
    _read("baseline_minutes", DOUBLE),
    _read("value_usd", DOUBLE),
    _read("comment", TEXT),
    _read("at", DOUBLE, nullable=False),
)
"""Columns of `outcomes`; each is a field of `Outcome` of that name."""

RESULTS = (
    _flag("success"),
    _read("success_at", DOUBLE),
    _read("success_rank", INTEGER),
    _read("success_source", TEXT),
    _read("human_minutes", DOUBLE),
    _read("baseline_minutes", DOUBLE),
    _read("value_usd", DOUBLE),
)
"""Columns of `tasks` that summarize its outcomes; each is a field of `Result` of that name."""


def row_of(columns: Sequence[Column], record: Any) -> dict[str, Any]:
    """Return the row of a record.

    Example:
        >>> row = row_of(CALLS, CallRecord("t1", usage=Usage(10, 2), kept=False))
        >>> row["input_tokens"], row["kept"], row["cost_usd"]
        (10, 0, None)
    """
    return {column.name: column.read(record) for column in columns}


# Sums of a task -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskSum:
    """A column of `tasks` that only increases."""

    name: str
    type: str
    of_call: Callable[[CallRecord], float] | None = None
    """What a model call adds."""

    of_tool: Callable[[CallRecord], float] | None = None
    """What a tool call adds."""

    of_decision: Callable[[DecisionFacts], float] | None = None
    """What a decision adds beside its calls."""


def _failed(call: CallRecord) -> int:
    return call.error_type is not None


def _sum_of_tokens(name: str) -> TaskSum:
    get = attrgetter(name)
    return TaskSum(name, BIG, lambda call: get(call.usage or NO_USAGE))


TASK_SUMS = (
    TaskSum("decisions", INTEGER, of_decision=lambda _: 1),
    TaskSum("calls", INTEGER, lambda _: 1),
    TaskSum("errors", INTEGER, _failed),
    TaskSum("retries", INTEGER, attrgetter("retry")),
    TaskSum("escalations", INTEGER, of_decision=attrgetter("changes.escalations")),
    TaskSum("cache_hits", INTEGER, lambda call: call.cache is not None),
    TaskSum("tools", INTEGER, of_tool=lambda _: 1),
    TaskSum("tool_errors", INTEGER, of_tool=_failed),
    TaskSum("judges", INTEGER, lambda call: call.what == "judge"),
    TaskSum("cost_usd", DOUBLE, lambda call: (call.cost_usd or 0.0) + (call.verify_usd or 0.0)),
    TaskSum("unknown_costs", INTEGER, lambda call: call.cost_usd is None or call.verify_usd is None),
    TaskSum("verify_usd", DOUBLE, lambda call: call.verify_usd or 0.0),
    TaskSum("baseline_usd", DOUBLE, of_decision=lambda facts: facts.decision.own_baseline_usd or 0.0),
    TaskSum(
        "unknown_baselines",
        INTEGER,
        of_decision=lambda facts: facts.decision.baseline_cost_usd is None and not facts.has_no_calls,
    ),
    *(_sum_of_tokens(name) for name in TOKENS),
    TaskSum("latency_s", DOUBLE, attrgetter("latency_s")),
    TaskSum("overhead_s", DOUBLE, of_decision=attrgetter("decision.overhead_s")),
)
"""Columns of `tasks` that sum its decisions and calls."""

SUMMED: Mapping[str, type] = {
    one.name: float if one.type == DOUBLE else int for one in TASK_SUMS if one.name in TaskTotals.__dataclass_fields__
}
"""The sums that `TaskTotals` has under the same name, each with its Python type."""

_OF_CALL = tuple((one.name, one.of_call) for one in TASK_SUMS if one.of_call is not None)
_OF_TOOL = tuple((one.name, one.of_tool) for one in TASK_SUMS if one.of_tool is not None)
_OF_DECISION = tuple((one.name, one.of_decision) for one in TASK_SUMS if one.of_decision is not None)
_BY_KIND: Mapping[str, Any] = {**dict.fromkeys(PAID, _OF_CALL), "tool": _OF_TOOL}


def add_call(sums: dict[str, float], call: CallRecord) -> None:
    """Add one call to the sums of its task.

    Example:
        >>> sums = {}
        >>> add_call(sums, CallRecord("t1", usage=Usage(10, 2), cost_usd=0.5))
        >>> sums
        {'calls': 1, 'cost_usd': 0.5, 'input_tokens': 10, 'output_tokens': 2}
    """
    _add(sums, _BY_KIND.get(call.what, ()), call)


def add_decision(sums: dict[str, float], facts: DecisionFacts) -> None:
    """Add what a decision has beside its calls to the sums of its task."""
    _add(sums, _OF_DECISION, facts)


def _add(sums: dict[str, float], columns: Sequence[tuple[str, Callable[[Any], float]]], record: Any) -> None:
    for name, of in columns:
        amount = of(record)
        if amount:
            sums[name] = sums.get(name, 0) + amount
