"""A ledger of many workers in PostgreSQL: partitions by day, sums and retention by one worker at a time, older versions beside it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import make_url
from waiting import DAY, day_that_lasts

from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger, partitions, schema
from langroute.ledger.facts import CallRecord
from langroute.reports import Window, build_report

pytestmark = pytest.mark.server


@pytest.fixture
def today() -> int:
    """The day of the whole test: a ledger makes the partitions of the days from today on."""
    return day_that_lasts()


def answered(name: str, day: int, **fields: Any) -> Decision:
    attempt = Attempt(Selection("small"), usage=Usage(100, 10), cost_usd=0.25, model="small-1")
    return Decision(name, Step("chat", task=f"t-{name}"), "small", (attempt,), cost_usd=0.25, started_at=day * DAY + 1.0, **fields)


def rows(ledger: Any, query: str) -> list[tuple[Any, ...]]:
    with ledger.reading() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def where(ledger: Any, table: str) -> dict[str, int]:
    """Return the number of rows of each partition that has some."""
    return dict(rows(ledger, f"SELECT tableoid::regclass::text, count(*) FROM {table} GROUP BY 1"))


@pytest.fixture
def not_partitioned(postgres: str, monkeypatch: pytest.MonkeyPatch, today: int) -> str:
    """A ledger as the version before made it."""
    with monkeypatch.context() as patch:
        patch.setattr(partitions, "create", lambda connection, _: schema.metadata.create_all(connection))
        with open_ledger(postgres, raw_days=30) as ledger:
            ledger.record(answered("before", today - 3))
    with create_engine(make_url(postgres).set(drivername="postgresql+psycopg")).begin() as connection:
        for table in ("decision_details", "texts"):
            connection.execute(text(f"ALTER TABLE {table} DROP COLUMN day"))
        connection.execute(text("DELETE FROM langroute_meta WHERE key = 'columns'"))
    return postgres


def test_rows_are_in_the_partition_of_their_day_and_old_ones_go_with_it(postgres: str, today: int) -> None:
    with open_ledger(postgres, raw_days=2, level="full") as ledger:
        for name, day in (("imported", today - 9), ("today", today), ("soon", today + 2)):
            ledger.record(answered(name, day))
            ledger.record_call(CallRecord(f"t-{name}", at=day * DAY, messages=("Hm?",), answer="Yes."))
        for table in ("decisions", "decision_details"):
            own = {f"{table}_from_{day}": 1 for day in (today, today + 2)}
            assert where(ledger, table) == {f"{table}_rest": 1, **own}
        assert where(ledger, "texts") == {"texts_rest": 1, f"texts_from_{today}": 1, f"texts_from_{today + 2}": 1}
        ledger.purge(now=(today + 4) * DAY)
        assert where(ledger, "decisions") == {f"decisions_from_{today + 2}": 1}
        assert rows(ledger, "SELECT to_regclass(:name)".replace(":name", f"'calls_from_{today}'")) == [(None,)]
        assert [ledger.get(name) is not None for name in ("imported", "today", "soon")] == [False, False, True]
        days = rows(ledger, "SELECT day, sum(calls) FROM daily_calls GROUP BY day ORDER BY day")
        assert days == [(today - 9, 2), (today, 2), (today + 2, 2)]
        # Days to come have theirs already.
        assert rows(ledger, f"SELECT to_regclass('calls_from_{today + 7}') IS NOT NULL") == [(True,)]


def test_a_day_that_has_rows_before_its_partition_keeps_them(postgres: str, today: int) -> None:
    """All workers were away for longer than partitions are made ahead, or the role may make none."""
    with open_ledger(postgres, raw_days=30) as ledger:
        late = today + 6
        ledger.record(answered("late", late))
        ledger.purge(now=late * DAY)
        ledger.record(answered("next", late + 1))
        assert where(ledger, "decisions") == {"decisions_rest": 1, f"decisions_from_{late + 1}": 1}
        assert ledger.get("late") is not None


def test_who_keeps_everything_makes_few_partitions_and_who_does_not_makes_its_own(postgres: str, today: int) -> None:
    def made(ledger: Any) -> list[str]:
        return sorted(name for (name,) in rows(ledger, "SELECT relname FROM pg_class WHERE relname ~ '^calls_from_[0-9]+$'"))

    first = [f"calls_from_{today + ahead}" for ahead in range(4)]
    with open_ledger(postgres) as ledger:
        ledger.purge(now=today * DAY)
        assert made(ledger) == first
        ledger.purge(now=(today + 3) * DAY)
        assert made(ledger) == [*first, f"calls_from_{today + 4}"]
        with open_ledger(postgres, raw_days=40) as other:
            other.purge(now=(today + 33) * DAY)
            ledger.purge(now=(today + 34) * DAY)
        assert made(ledger)[-2:] == [f"calls_from_{today + 36}", f"calls_from_{today + 37}"]


def test_a_partition_that_somebody_reads_goes_the_next_time(postgres: str, monkeypatch: pytest.MonkeyPatch, today: int) -> None:
    monkeypatch.setattr(partitions, "LOCK_WAIT", "100ms")
    with open_ledger(postgres, raw_days=2) as ledger:
        ledger.record(answered("d1", today))
        with ledger.reading() as reading:
            reading.execute(text("SELECT * FROM decisions")).all()
            ledger.purge(now=(today + 4) * DAY)
            assert (where(ledger, "decisions"), where(ledger, "calls")) == ({f"decisions_from_{today}": 1}, {})
        ledger.purge(now=(today + 4) * DAY)
        assert where(ledger, "decisions") == {}


def test_a_role_that_owns_no_tables_deletes_rows(postgres: str, today: int) -> None:
    with open_ledger(postgres) as ledger:
        ledger.record(answered("d1", today))
        ledger.flush()
        with ledger.engine.begin() as connection:
            name = f"writer_{make_url(postgres).database}"
            connection.execute(text(f"CREATE ROLE {name} LOGIN"))
            connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}"))
            connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}"))
    with open_ledger(make_url(postgres).set(username=name).render_as_string(hide_password=False), raw_days=2) as writer:
        writer.record(answered("d2", today + 4))
        writer.purge(now=(today + 4) * DAY)
        assert [writer.get(name) is not None for name in ("d1", "d2")] == [False, True]


def test_a_decision_told_by_two_workers_counts_once(postgres: str, today: int) -> None:
    with open_ledger(postgres) as one, open_ledger(postgres) as other:
        for ledger in (one, other, one):
            ledger.record(answered("d1", today))
            ledger.flush()
        assert rows(one, "SELECT count(*) FROM decisions") == rows(one, "SELECT count(*) FROM calls") == [(1,)]


def test_an_older_ledger_stays_as_it_is_and_lets_go_in_small_steps(
    not_partitioned: str, monkeypatch: pytest.MonkeyPatch, today: int
) -> None:
    monkeypatch.setattr("langroute.ledger.rollup.MOST_AT_ONCE", 2)
    with open_ledger(not_partitioned, raw_days=30, task_days=30) as ledger:
        for number in range(5):
            ledger.record(answered(f"old-{number}", today - 40))
        ledger.record(answered("new", today))
        ledger.record_outcome(Outcome(success=True, task_id="t-old-1", at=today * DAY))
        ledger.purge()
        assert where(ledger, "decisions") == {"decisions": 2}
        assert [ledger.get(name) is not None for name in ("before", "old-1", "new")] == [True, False, True]
        assert ledger.task("t-old-1") is None
        assert rows(ledger, "SELECT sum(calls) FROM daily_calls") == [(7,)]
        assert rows(ledger, "SELECT count(*) FROM langroute_meta WHERE key LIKE 'part%'") == [(0,)]


def test_a_version_before_writes_to_a_partitioned_ledger(postgres: str, today: int) -> None:
    """Its details have no day; they are of the day on which they come."""
    with open_ledger(postgres, raw_days=30) as ledger:
        ledger.record(answered("d1", today))
        ledger.flush()
        with ledger.engine.begin() as connection:
            connection.execute(text("INSERT INTO decision_details (decision, record) VALUES (77, '{}')"))
            mark = "INSERT INTO dirty_days (day, writes) VALUES (:day, 1) ON CONFLICT (day) DO UPDATE SET writes = dirty_days.writes + 1"
            connection.execute(text(mark), {"day": today})
        assert set(where(ledger, "decision_details")) <= {f"decision_details_from_{day}" for day in (today, today + 1)}
        assert ledger.rollup() == 1


def test_who_writes_does_not_wait_for_who_sums_and_the_day_is_summed_again(postgres: str, today: int) -> None:
    with open_ledger(postgres) as summing, open_ledger(postgres) as writing:
        summing.record(answered("d1", today))
        summing.flush()
        said: list[str] = []

        @event.listens_for(summing.engine, "before_cursor_execute")
        def in_the_middle(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("INSERT INTO daily_outcomes") and not said:
                said.append(statement)
                writing.record(answered("d2", today))
                writing.flush(20.0)

        assert summing.rollup() == 1
        assert said
        assert rows(summing, "SELECT day FROM dirty_days") == [(today,)]
        assert summing.rollup() == 1
        assert rows(summing, "SELECT sum(calls) FROM daily_calls") == [(2,)]
        assert summing.rollup() == 0


def test_one_worker_sums_for_all(postgres: str, monkeypatch: pytest.MonkeyPatch, today: int) -> None:
    monkeypatch.setattr("langroute.ledger.maintenance.LOOK_S", 0.0)
    workers = [open_ledger(postgres, flush_interval_s=0.01) for _ in range(2)]
    workers += [open_ledger(postgres, raw_days=days, flush_interval_s=0.01) for days in (30, 30)]
    for worker in workers:
        for number in range(2):
            worker.record(answered(f"d{id(worker)}-{number}", today))
            worker.flush()
    begun = [key for (key,) in rows(workers[0], "SELECT key FROM langroute_meta WHERE key LIKE 'maintained%' ORDER BY key")]
    for worker in workers:
        worker.close()
    assert begun == ["maintained 30 None", "maintained None None"]


def test_numbers_that_copy_reads_more_strictly_are_kept(postgres: str, today: int) -> None:
    """A provider that tells 12.0 tokens; and texts that would end a line."""
    with open_ledger(postgres) as ledger, task("t1", team="a\\b\tc\nd"):
        for number in range(60):
            attempt = Attempt(Selection("small"), usage=Usage(12.0, 1), cost_usd=0.1, model="\\N")  # type: ignore[arg-type]
            ledger.record(Decision(f"d{number}\\", Step("chat"), "small", (attempt,), reason="\t\\.", started_at=today * DAY))
        assert rows(ledger, "SELECT sum(input_tokens), count(*), sum(cost_usd) FROM calls")[0][:2] == (720, 60)
        assert ledger.dropped == 0
        assert ledger.get("d59\\").reason == "\t\\."
        assert rows(ledger, "SELECT team FROM labels") == [("a\\b\tc\nd",)]
        assert rows(ledger, "SELECT model FROM places WHERE tier IS NULL AND model IS NOT NULL") == [("\\N",)]


@pytest.mark.parametrize("since", ["7d", "30h"], ids=["days", "hours"])
def test_reports_where_nothing_may_be_written(postgres: str, since: str, today: int) -> None:
    """As on a standby: no tables, no temporary ones, no marks."""
    window = Window.since(since)
    with open_ledger(postgres) as ledger:
        ledger.record(answered("d1", today, tier="cheap"))
        ledger.rollup()
        expected: Any = build_report(ledger, window, by="route")
        ledger.record(answered("d2", today))
    with open_ledger(f"{postgres}?options=-c%20default_transaction_read_only%3Don") as replica:
        found: Any = build_report(replica, window, by="route")
        assert rows(replica, "SELECT count(*) FROM decisions") == [(2,)]
    assert expected.total.calls == 1
    assert found.total.calls == 2
