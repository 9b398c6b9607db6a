"""A column is declared once: tables, rows, sums and totals follow, and an older ledger is given what it lacks."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, inspect, text

from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.ledger import open_ledger, schema
from langroute.ledger.columns import CALLS, DECISIONS, OUTCOMES, RESULTS, TASK_SUMS, TOKENS, add_call, row_of
from langroute.ledger.daily_sums import CALL_SUMS, DECISION_SUMS, OUTCOME_SUMS, PART_SUMS, TASK_SUMS_BY_DAY, names_of
from langroute.ledger.facts import CallRecord, Result
from langroute.ledger.memory import MemoryLedger
from langroute.ledger.migrations import add_columns


def test_tables_have_the_declared_columns() -> None:
    declared = {
        "calls": [one.name for one in CALLS],
        "decisions": [one.name for one in DECISIONS],
        "outcomes": [one.name for one in OUTCOMES],
        "tasks": [one.name for one in (*RESULTS, *TASK_SUMS)],
        "daily_calls": list(names_of(CALL_SUMS)),
        "daily_decisions": list(names_of(DECISION_SUMS)),
        "daily_tasks": list(names_of(TASK_SUMS_BY_DAY)),
        "daily_parts": list(names_of(PART_SUMS)),
        "daily_outcomes": list(names_of(OUTCOME_SUMS)),
    }
    for table, names in declared.items():
        assert set(names) < set(schema.metadata.tables[table].columns.keys())
        assert len(names) == len(set(names))


def test_every_kind_of_token_is_stored_summed_and_read_back(tmp_path: Path) -> None:
    """Also one that is added to `Usage` later: nothing in the ledger names them."""
    usage = Usage(*range(1, len(TOKENS) + 1))
    assert tuple(one.name for one in fields(Usage) if one.type == "int") == TOKENS
    with open_ledger(tmp_path / "ledger.db") as ledger:
        memory = MemoryLedger()
        for each in (ledger, memory):
            each.record(Decision("d1", Step(task="t1"), "a", (Attempt(Selection("a"), usage=usage, cost_usd=0.1),), started_at=1.0))
            each.record_call(CallRecord("t1", usage=usage, at=1.0))
            assert each.task("t1").usage == Usage(*(2 * count for count in range(1, len(TOKENS) + 1)))
        ledger.rollup()
        with ledger.reading() as connection:
            for table in ("calls", "daily_calls", "daily_tasks"):
                summed = connection.execute(text(f"SELECT {', '.join(f'SUM({name})' for name in TOKENS)} FROM {table}")).one()
                assert [int(one) for one in summed] == [2 * getattr(usage, name) for name in TOKENS]


def test_the_names_of_records_and_columns_agree() -> None:
    assert {one.name for one in OUTCOMES} == {one.name for one in fields(Outcome)} - {"task_id"}
    assert {one.name for one in RESULTS} == {one.name for one in fields(Result)}


@pytest.mark.parametrize(
    "call, sums",
    [
        (CallRecord("t", what="tool", error_type="E", cost_usd=0.0), {"tools": 1, "tool_errors": 1}),
        (CallRecord("t", what="retriever", error_type="E"), {}),
        (
            CallRecord("t", what="judge", cost_usd=0.5, verify_usd=0.25),
            {"calls": 1, "judges": 1, "cost_usd": 0.75, "verify_usd": 0.25},
        ),
        (CallRecord("t", cost_usd=None, retry=True, cache="hit"), {"calls": 1, "retries": 1, "cache_hits": 1, "unknown_costs": 1}),
    ],
)
def test_what_a_call_adds_to_its_task(call: CallRecord, sums: dict[str, float]) -> None:
    found: dict[str, float] = {}
    add_call(found, call)
    assert found == sums


def test_an_unknown_truth_stays_unknown() -> None:
    assert row_of(OUTCOMES, Outcome(score=0.5))["success"] is None
    assert row_of(OUTCOMES, Outcome(success=False))["success"] == 0


def test_an_older_ledger_is_given_the_columns_that_it_lacks(tmp_path: Path) -> None:
    where = tmp_path / "ledger.db"
    with open_ledger(where) as ledger:
        ledger.record_call(CallRecord("t1", usage=Usage(5, reasoning=3), at=1.0))
        ledger.flush()
        with ledger.engine.begin() as connection:
            connection.execute(text("ALTER TABLE calls DROP COLUMN reasoning"))
            connection.execute(text("ALTER TABLE daily_decisions DROP COLUMN avoided_usd"))
            connection.execute(text("DELETE FROM langroute_meta WHERE key = 'columns'"))
    with open_ledger(where) as ledger:
        ledger.record_call(CallRecord("t1", usage=Usage(5, reasoning=4), at=2.0))
        with ledger.reading() as connection:
            assert connection.execute(text("SELECT reasoning FROM calls ORDER BY n")).scalars().all() == [0, 4]
            assert "avoided_usd" in {column["name"] for column in inspect(connection).get_columns("daily_decisions")}


def test_a_new_column_is_added_once(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        newer = MetaData()
        Table("outcomes", newer, Column("n", Integer), Column("searches", Integer, nullable=False, server_default="0"))
        with ledger.engine.begin() as connection:
            for _ in range(2):
                add_columns(connection, newer)
            assert "searches" in {column["name"] for column in inspect(connection).get_columns("outcomes")}


def test_a_later_record_names_the_team_that_the_first_did_not(tmp_path: Path) -> None:
    """In another batch too; what the first record said stays."""
    from langroute.core.task_context import task
    from langroute.ledger.facts import TaskRecord

    with open_ledger(tmp_path / "ledger.db") as ledger:
        with task("t1", kind="support"):
            ledger.record_call(CallRecord("t1", at=1.0))
            ledger.flush()
        for team, user in (("search", None), ("another", "ada")):
            ledger.record_task(TaskRecord("t1", None, 1.0, kind="chat", tags={"team": team, **({"user": user} if user else {})}))
            ledger.flush()
        with ledger.reading() as connection:
            query = "SELECT team, task_kind, user IS NULL FROM tasks JOIN labels ON labels.id = tasks.label"
            assert connection.execute(text(query)).all() == [("search", "support", 0)]
