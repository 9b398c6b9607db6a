"""Cascades of whole subtasks: how far their checks agree with later outcomes, and what a pair of routes needs of a check to lose nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from langroute.ledger import schema
from langroute.ledger.facts import summarize_outcomes
from langroute.ledger.outcome_rows import outcome_of
from langroute.reports.model import SubtaskCascadeLine
from langroute.reports.source import Source
from langroute.reports.stats import Rate

MOST = 20_000
"""Number of latest subtasks that are read."""

ACCEPTED = 0.5
"""Score from which on a result was accepted."""

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _PastAttempt:
    route: str
    score: float | None
    kept: bool
    cost_usd: float | None


@dataclass(slots=True)
class _PastSubtask:
    node: str | None
    success: bool | None
    attempts: list[_PastAttempt] = field(default_factory=list)

    @property
    def first(self) -> _PastAttempt:
        return self.attempts[0]

    @property
    def cost_usd(self) -> float | None:
        costs = [one.cost_usd for one in self.attempts]
        return None if None in costs else sum(cost for cost in costs if cost is not None)


def subtask_lines(source: Source) -> tuple[SubtaskCascadeLine, ...]:
    """Return a line for each pair of routes of each subtask, the most frequent first; of raw rows that are still there."""
    groups: defaultdict[str | None, list[_PastSubtask]] = defaultdict(list)
    for one in _subtasks(source):
        groups[one.node].append(one)
    lines = [line for node, several in groups.items() for line in _lines(node, several)]
    return tuple(sorted(lines, key=lambda line: (-line.subtasks, line.node or "", line.first, line.next)))


def _lines(node: str | None, subtasks: Sequence[_PastSubtask]) -> Iterator[SubtaskCascadeLine]:
    nexts: defaultdict[str, set[str]] = defaultdict(set)
    for one in subtasks:
        for earlier, later in zip(one.attempts, one.attempts[1:], strict=False):
            if earlier is one.first:
                nexts[earlier.route].add(later.route)
    for first, following in sorted(nexts.items()):
        for name in sorted(following):
            yield _line(node, first, name, subtasks)


def _line(node: str | None, first: str, next_: str, subtasks: Iterable[_PastSubtask]) -> SubtaskCascadeLine:
    every = list(subtasks)
    begun = [one for one in every if one.first.route == first and one.first.score is not None and _follows(one, next_)]
    accepted = [one for one in begun if one.first.kept and (one.first.score or 0.0) >= ACCEPTED]
    refused = [one for one in begun if one.first.kept and (one.first.score or 0.0) < ACCEPTED]
    handed_on = [one for one in begun if not one.first.kept]
    alone = [one for one in every if one.first.route == next_ and len(one.attempts) == 1]
    return SubtaskCascadeLine(
        node,
        first,
        next_,
        len(begun),
        accepted=Rate(len(accepted), len(begun)),
        accepted_right=_rate(accepted),
        refused_wrong=Rate(*_hits(refused, False)),
        handed_on_right=_rate(handed_on),
        success=_rate(begun),
        alone=_rate(alone),
        usd=_mean(begun),
        alone_usd=_mean(alone),
    )


def _follows(subtask: _PastSubtask, next_: str) -> bool:
    return len(subtask.attempts) == 1 or subtask.attempts[1].route == next_


def _rate(subtasks: Iterable[_PastSubtask]) -> Rate:
    return Rate(*_hits(subtasks, True))


def _hits(subtasks: Iterable[_PastSubtask], success: bool) -> tuple[int, int]:
    told = [one.success for one in subtasks if one.success is not None]
    return sum(found is success for found in told), len(told)


def _mean(subtasks: Sequence[_PastSubtask]) -> float | None:
    costs = [one.cost_usd for one in subtasks]
    return None if not costs or None in costs else sum(cost for cost in costs if cost is not None) / len(costs)


# Reading ------------------------------------------------------------------------------------------------------------------


def _subtasks(source: Source) -> list[_PastSubtask]:
    d, p, t, window = schema.decisions.c, schema.places.c, schema.tasks.c, source.window
    of = source.decisions
    days = select(of.c.day).join_from(of, schema.places, p.id == of.c.place).where(source.within(of), p.step_kind == "subtask")
    # The sums say on which days there were any; nearly always on none, and then no raw row is read.
    known = list(source.connection.execute(days.distinct()).scalars())
    if not known:
        return []
    query = (
        select(d.n, p.node, t.success)
        .join_from(schema.decisions, schema.places, p.id == d.place)
        .join(schema.tasks, t.n == d.task)
        .where(d.day.in_(known), d.at >= (window.start or 0.0), d.at < window.end)
        .where(p.step_kind == "subtask")
        .order_by(d.n.desc())
        .limit(MOST)
    )
    found = {
        n: _PastSubtask(node, None if success is None else bool(success)) for n, node, success in source.connection.execute(query)
    }
    numbers = list(found)
    for begin in range(0, len(numbers), _AT_ONCE):
        page = numbers[begin : begin + _AT_ONCE]
        for number, success in _told(source, page).items():
            found[number].success = success
        _add_attempts(source, page, found)
    return [one for one in found.values() if one.attempts]


def _add_attempts(source: Source, numbers: Sequence[int], found: Mapping[int, _PastSubtask]) -> None:
    c, p = schema.calls.c, schema.places.c
    query = (
        select(c.decision, p.route, c.score, c.kept, c.cost_usd)
        .join_from(schema.calls, schema.places, p.id == c.place)
        .where(c.decision.in_(numbers), c.what == "subtask", p.route.is_not(None))
        .order_by(c.decision, c.attempt)
    )
    for number, route, score, kept, cost in source.connection.execute(query):
        found[number].attempts.append(_PastAttempt(route, score, bool(kept), cost))


def _told(source: Source, numbers: Sequence[int]) -> dict[int, bool]:
    """Return the outcomes of the subtasks themselves, which go before those of their tasks."""
    o = schema.outcomes.c
    outcomes: defaultdict[int, list[Any]] = defaultdict(list)
    query = select(schema.outcomes).where(o.decision.in_(numbers), o.success.is_not(None)).order_by(o.n)
    for row in source.connection.execute(query):
        outcomes[row.decision].append(outcome_of(row))
    return {number: bool(summarize_outcomes(several).success) for number, several in outcomes.items()}
