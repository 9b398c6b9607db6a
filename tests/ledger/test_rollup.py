"""Daily sums at their borders: the last day that is kept, failed decisions, checks of unknown cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from sqlalchemy import create_engine, select

from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage, Verdict
from langroute.core.task_context import task
from langroute.ledger import open_ledger, rollup, schema
from langroute.ledger.facts import CallRecord

DAY = 86_400.0
TODAY = 20_000


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Rows are kept for 30 days, tasks for 60, and what was said with them."""
    url = str(tmp_path / "ledger.db") if request.param == "sqlite" else request.getfixturevalue("postgres")
    with open_ledger(url, level="full", raw_days=30, task_days=60) as ledger:
        yield ledger


def answered(name: str, day: int, second: float = 0.0, **fields: Any) -> Decision:
    attempt = Attempt(Selection("small"), answer=AIMessage(f"said {name}"), usage=Usage(100, 10), cost_usd=0.25, model="small-1")
    known: dict[str, Any] = {"step": Step("chat", task=f"t-{name}"), "route": "small", "attempts": (attempt,), "cost_usd": 0.25}
    return Decision(name, **{**known, **fields}, started_at=day * DAY + second)


def rows(ledger: Any, query: Any) -> list[tuple[Any, ...]]:
    with ledger.reading() as connection:
        return [tuple(row) for row in connection.execute(query)]


def kept(ledger: Any, name: str) -> str | None:
    """What the decision of that name answered, if it is still there as a whole."""
    found = ledger.get(name)
    return None if found is None else found.attempts[0].answer.content


def test_the_first_day_that_is_kept_is_kept_whole(ledger: Any) -> None:
    """Rows, details and texts go for the same days: those before the border, and not the border's own."""
    days = {"before": TODAY - 31, "border": TODAY - 30, "after": TODAY - 29}
    for name, day in days.items():
        ledger.record(answered(name, day))
        ledger.record_call(CallRecord(f"t-{name}", at=day * DAY, messages=(HumanMessage(name),), answer=AIMessage("Yes.")))
    # The last second before the border is a second of a day that goes.
    ledger.record(answered("midnight", TODAY - 31, second=DAY - 1))
    ledger.purge(now=TODAY * DAY + DAY - 1)

    assert [kept(ledger, name) for name in ("before", "midnight", "border", "after")] == [None, None, "said border", "said after"]
    left = [TODAY - 30, TODAY - 29]
    for table in (schema.decisions, schema.calls):
        assert sorted({day for (day,) in rows(ledger, select(table.c.day))}) == left, table.name
    decisions = {n for (n,) in rows(ledger, select(schema.decisions.c.n))}
    calls = {n for (n,) in rows(ledger, select(schema.calls.c.n))}
    assert {n for (n,) in rows(ledger, select(schema.details.c.decision))} == decisions
    # What was said in a decision is in its details; beside them stands what was said in calls that no router made.
    said = {n for (n,) in rows(ledger, select(schema.texts.c.call))}
    assert said < calls
    assert (len(decisions), len(calls), len(said)) == (2, 4, 2)


def test_the_first_day_whose_tasks_are_kept_is_kept_whole(ledger: Any) -> None:
    """With their outcomes, tags and root runs."""
    for name, day in {"before": TODAY - 61, "border": TODAY - 60, "after": TODAY - 59}.items():
        with task(f"t-{name}", unstick_when="7"):
            ledger.record(answered(name, day, run_id=f"run-{name}"))
        ledger.record_outcome(Outcome(success=True, task_id=f"t-{name}", at=day * DAY + 5))
    ledger.purge(now=TODAY * DAY)

    assert [ledger.task(f"t-{name}") is not None for name in ("before", "border", "after")] == [False, True, True]
    assert [len(ledger.outcomes_of(f"t-{name}")) for name in ("before", "border", "after")] == [0, 1, 1]
    tasks = {n for (n,) in rows(ledger, select(schema.tasks.c.n))}
    assert len(tasks) == 2
    for table in (schema.outcomes, schema.tags):
        assert {n for (n,) in rows(ledger, select(table.c.task))} == tasks, table.name
    summed = select(schema.daily_tasks.c.day, schema.daily_tasks.c.succeeded).order_by(schema.daily_tasks.c.day)
    assert rows(ledger, summed) == [(TODAY - 61, 1), (TODAY - 60, 1), (TODAY - 59, 1)]


@pytest.mark.parametrize("old", [1, 2, 5])
def test_many_rows_go_in_small_steps_and_all_of_them_go(ledger: Any, old: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as one step takes, fewer and more; decisions, calls, tasks and outcomes."""
    monkeypatch.setattr("langroute.ledger.rollup.MOST_AT_ONCE", 2)
    for number in range(old):
        ledger.record(answered(f"old-{number}", TODAY - 90))
        ledger.record_outcome(Outcome(success=True, task_id=f"t-old-{number}", at=(TODAY - 90) * DAY))
    ledger.record(answered("new", TODAY))
    ledger.purge(now=TODAY * DAY)

    for table in (schema.decisions, schema.details, schema.calls, schema.tasks):
        assert len(rows(ledger, select(table))) == 1, table.name
    assert rows(ledger, select(schema.outcomes)) == []
    assert ledger.get("new") is not None
    assert [n for (n,) in rows(ledger, select(schema.daily_tasks.c.succeeded).order_by(schema.daily_tasks.c.day))] == [old, 0]


def test_an_outcome_of_a_day_whose_calls_are_gone_leaves_what_they_summed_to(ledger: Any) -> None:
    """What was purged is known by its sums alone; which days are whole is noted."""
    with ledger.reading() as connection:
        assert [rollup.kept_since(connection, key) for key in ("raw_since", "tasks_since")] == [0, 0]
    ledger.record(answered("old", TODAY - 40))
    ledger.purge(now=TODAY * DAY)
    with ledger.reading() as connection:
        assert [rollup.kept_since(connection, key) for key in ("raw_since", "tasks_since")] == [TODAY - 30, TODAY - 60]

    ledger.record_outcome(Outcome(success=True, task_id="t-old", at=TODAY * DAY))
    ledger.rollup()

    sums = (schema.daily_calls.c.calls, schema.daily_decisions.c.decisions, schema.daily_tasks.c.succeeded)
    assert [rows(ledger, select(one)) for one in sums] == [[(1,)], [(1,)], [(1,)]]


def test_a_day_that_is_gone_is_not_summed_again_and_the_first_that_is_kept_is(ledger: Any) -> None:
    """Another process may have written rows of both between the last sums and the purge."""
    for name, day in {"before": TODAY - 61, "border": TODAY - 60}.items():
        ledger.record(answered(name, day))
    ledger.flush()
    with create_engine(ledger.url).begin() as connection:
        rollup.purge_tasks(connection, TODAY - 60)
        assert rollup.dirty(connection) == [TODAY - 60]


BORDERS = [
    "0_1",
    "0_25",
    "0_5",
    "0_75",
    "1",
    "1_5",
    "2_5",
    "3_5",
    "5",
    "7_5",
    "10",
    "15",
    "20",
    "30",
    "45",
    "60",
    "90",
    "120",
    "180",
    "240",
    "300",
    "360",
    "420",
    "480",
    "600",
    "900",
    "1800",
    "3600",
]
"""Of the columns that ledgers already have: with another border, what they summed would be lost."""


def test_a_call_is_counted_between_the_borders_of_its_latency(ledger: Any) -> None:
    """A border is the first number that its own column does not count."""
    for name in BORDERS:
        border = float(name.replace("_", "."))
        for seconds in (border * 0.999, border):
            ledger.record_call(CallRecord("t1", at=TODAY * DAY, what="model", latency_s=seconds))
    ledger.rollup()

    columns = [schema.daily_calls.c[f"under_{name}s"] for name in BORDERS]
    found = rows(ledger, select(*columns, schema.daily_calls.c.over_3600s))
    assert [sum(counts) for counts in zip(*found, strict=True)] == [1, *(2 for _ in BORDERS[1:]), 1]


def test_failed_decisions_are_counted_and_answered_ones_are_not(ledger: Any) -> None:
    failed = Attempt(Selection("small"), error_type="RateLimitError", cost_usd=0.0)
    for number in range(3):
        ledger.record(answered(f"fine-{number}", TODAY))
    ledger.record(answered("failed", TODAY, route=None, attempts=(failed,)))
    ledger.rollup()
    d = schema.daily_decisions.c
    found = rows(ledger, select(d.decisions, d.failed))
    assert (sum(decisions for decisions, _ in found), sum(failed for _, failed in found)) == (4, 1)


def test_outcomes_are_summed_by_what_they_measure_and_who_told_them(ledger: Any) -> None:
    """One that says neither yes nor no is no failure."""
    told: dict[tuple[str, str], list[tuple[bool | None, float | None]]] = {
        ("success", "user"): [(True, None), (False, None), (False, None)],
        ("tone", "judge"): [(None, 0.5), (True, 0.75), (None, 0.0)],
    }
    for (key, source), outcomes in told.items():
        for number, (success, score) in enumerate(outcomes):
            ledger.record(answered(f"{key}{number}", TODAY))
            ledger.record_outcome(
                Outcome(success=success, score=score, task_id=f"t-{key}{number}", key=key, source=source, at=TODAY * DAY)
            )
    ledger.rollup()
    o = schema.daily_outcomes.c
    found = rows(ledger, select(o.key, o.source, o.outcomes, o.succeeded, o.failed, o.score, o.scores).order_by(o.key))

    assert found == [("success", "user", 3, 1, 2, 0.0, 0), ("tone", "judge", 3, 1, 0, 1.25, 3)]


def test_what_tasks_cost_is_summed_by_how_they_went(ledger: Any) -> None:
    """All of them, those that are known to have gone well or badly, and those that went well."""
    for name, success in (("a", True), ("b", True), ("c", False), ("d", None)):
        ledger.record(answered(name, TODAY))
        if success is not None:
            ledger.record_outcome(Outcome(success=success, task_id=f"t-{name}", at=TODAY * DAY))
    ledger.rollup()
    t = schema.daily_tasks.c

    assert rows(ledger, select(t.tasks, t.succeeded, t.failed, t.cost_usd, t.known_usd, t.succeeded_usd)) == [
        (4, 2, 1, 1.0, 0.75, 0.5)
    ]


def test_of_the_calls_of_unknown_cost_those_are_told_apart_that_failed_before_they_used_a_token(ledger: Any) -> None:
    """They were hardly billed; what used tokens, or answered, was."""
    for usage, error, cost in (
        (None, "RateLimitError", None),
        (Usage(0, 0), "RateLimitError", None),
        (Usage(100, 0), "ConnectionError", None),
        (Usage(0, 10), "ConnectionError", None),
        (None, "RateLimitError", 0.0),
        (None, None, None),
        (Usage(100, 10), None, 0.25),
    ):
        ledger.record_call(CallRecord("t1", at=TODAY * DAY, what="model", usage=usage, error_type=error, cost_usd=cost))
    ledger.rollup()
    c = schema.daily_calls.c
    sums = rows(ledger, select(c.calls, c.errors, c.unknown_costs, c.unknown_failed))

    assert [sum(counts) for counts in zip(*sums, strict=True)] == [7, 5, 5, 2]


def test_a_check_of_unknown_cost_adds_nothing_to_a_routes_sum(ledger: Any) -> None:
    def checked(name: str, cost: float | None, check: float | None) -> Decision:
        attempt = Attempt(
            Selection("small"), verdicts=(Verdict("judge", 1.0, cost_usd=check),), usage=Usage(100, 10), cost_usd=cost, model="m"
        )
        return answered(name, TODAY, attempts=(attempt,), cost_usd=None)

    ledger.record(checked("d1", 0.25, None))
    ledger.record(checked("d2", None, 0.125))
    ledger.record_outcome(Outcome(success=False, task_id="t-d1", at=TODAY * DAY))
    ledger.rollup()
    part = schema.daily_parts.c
    found = rows(
        ledger, select(part.value, part.tasks, part.failed, part.cost_usd, part.known_usd).where(part.dimension == "route")
    )
    assert found == [("small", 2, 1, 0.375, 0.25)]
