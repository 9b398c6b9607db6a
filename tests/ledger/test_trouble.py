"""Classification of database errors on real servers, one kind of error each."""

from __future__ import annotations

import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from waiting import wait_until

from langroute.core.errors import DataError, DegradedWarning, LedgerError
from langroute.core.records import Decision, Outcome, Step
from langroute.ledger import open_ledger
from langroute.ledger.connection import engine_of, url_of
from langroute.ledger.facts import CallRecord
from langroute.ledger.trouble import AWAY, BUSY, RECORD, reason_of, verdict_on


def never() -> bool:
    """The tables are to say it: nobody is asked."""
    raise AssertionError("the database was asked")


def failure_of(work: Callable[[], Any]) -> Exception:
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("nothing failed")


# PostgreSQL ----------------------------------------------------------------------------------------------------------


@contextmanager
def postgres_engine(url: str) -> Iterator[Any]:
    engine = engine_of(url_of(url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE things (id TEXT PRIMARY KEY, n INTEGER, amount DOUBLE PRECISION)"))
        connection.execute(text("INSERT INTO things VALUES ('a', 1, 1), ('b', 2, 2)"))
    try:
        yield engine
    finally:
        engine.dispose()


STATEMENTS = [
    ("INSERT INTO things (id) SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n", RECORD),  # 54000
    ("INSERT INTO things (id) VALUES ('a')", RECORD),  # 23505
    ("INSERT INTO things (id, n) VALUES ('c', 99999999999)", RECORD),  # 22003
    ("INSERT INTO things (id, amount) VALUES ('c', true)", RECORD),  # 42804
    ("SET LOCAL statement_timeout = 20; SELECT pg_sleep(5)", BUSY),  # 57014
    ("SET TRANSACTION READ ONLY; INSERT INTO things (id) VALUES ('c')", AWAY),  # 25006
    ("SET LOCAL ROLE pg_read_all_data; INSERT INTO things (id) VALUES ('c')", AWAY),  # 42501
    ("INSERT INTO nothing VALUES (1)", AWAY),  # 42P01
    ("SELECT pg_terminate_backend(pg_backend_pid())", AWAY),  # 57P01
]


@pytest.mark.server
def test_what_postgresql_says_is_told_apart(postgres: str) -> None:
    with postgres_engine(postgres) as engine:
        for statements, verdict in STATEMENTS:

            def run(statements: str = statements) -> None:
                with engine.begin() as connection:
                    for statement in statements.split("; "):
                        connection.execute(text(statement))

            error = failure_of(run)
            assert verdict_on(error, never) == verdict, statements
            assert "things_pkey" in reason_of(error) or "'a'" not in reason_of(error)


@pytest.mark.server
def test_a_deadlock_and_a_lock_are_busy(postgres: str) -> None:
    """Two transactions that wait for each other: one of them is rolled back, and may try again."""
    failures: list[Exception] = []
    with postgres_engine(postgres) as engine:
        met = threading.Barrier(2)

        def work(first: str, second: str) -> None:
            try:
                with engine.begin() as connection:
                    connection.execute(text("SET LOCAL deadlock_timeout = '20ms'"))
                    connection.execute(text("UPDATE things SET n = 3 WHERE id = :id"), {"id": first})
                    met.wait(20)
                    connection.execute(text("UPDATE things SET n = 3 WHERE id = :id"), {"id": second})
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=names) for names in (("a", "b"), ("b", "a"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with engine.begin() as holder:
            holder.execute(text("LOCK TABLE things"))

            def wait() -> None:
                with engine.begin() as connection:
                    connection.execute(text("SET LOCAL lock_timeout = 20"))
                    connection.execute(text("UPDATE things SET n = 4"))

            failures.append(failure_of(wait))
    assert [getattr(error.orig, "sqlstate", None) for error in failures] == ["40P01", "55P03"]  # type: ignore[attr-defined]
    assert [verdict_on(error, never) for error in failures] == [BUSY, BUSY]


@pytest.mark.server
def test_too_many_connections_and_no_server_are_away(postgres: str, postgres_server: str) -> None:
    import psycopg

    name = postgres.rpartition("/")[2]
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as admin:
        admin.execute("CREATE ROLE guest LOGIN")
        admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
        try:
            full = create_engine(postgres.replace("postgresql://langroute@", "postgresql+psycopg://guest@"))
            error = failure_of(full.connect)
            assert verdict_on(error, lambda: False) == AWAY
        finally:
            admin.execute("DROP ROLE guest")
    gone = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")

    def answers() -> bool:
        try:
            gone.connect().close()
        except Exception:
            return False
        return True

    assert verdict_on(failure_of(gone.connect), answers) == AWAY
    # It was away, and is back before anybody asks: no record is at fault.
    assert verdict_on(failure_of(gone.connect), lambda: True) == BUSY


# SQLite --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    made = create_engine(f"sqlite:///{tmp_path / 'a.db'}", connect_args={"timeout": 0})
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE things (id TEXT PRIMARY KEY, n INTEGER)"))
    yield made
    made.dispose()


def insert(engine: Any, before: str = "SELECT 1", value: Any = "a") -> None:
    with engine.begin() as connection:
        connection.execute(text(before))
        connection.execute(text("INSERT INTO things (id) VALUES (:id)"), {"id": value})


def test_what_sqlite_says_is_told_apart(engine: Any, tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert verdict_on(failure_of(lambda: insert(engine)), never) == AWAY
    holder.execute("ROLLBACK")
    holder.close()
    insert(engine)
    found = {
        "twice": failure_of(lambda: insert(engine)),
        "full": failure_of(lambda: insert(engine, "PRAGMA max_page_count = 1", "x" * 100_000)),
        "read only": failure_of(lambda: insert(engine, "PRAGMA query_only = 1", "b")),
        "gone": failure_of(lambda: insert(engine, "DROP TABLE things", "b")),
    }
    assert {name: verdict_on(error, never) for name, error in found.items()} == {
        "twice": RECORD,
        "full": AWAY,
        "read only": AWAY,
        "gone": AWAY,
    }
    assert "too large to bind" not in reason_of(found["twice"])


def test_without_result_codes_the_words_tell(engine: Any) -> None:
    """Python 3.10 does not pass them on."""
    insert(engine)
    error = failure_of(lambda: insert(engine))
    bare: Any = type("Bare", (Exception,), {})(str(error.orig))  # type: ignore[attr-defined]
    error.orig = bare  # type: ignore[attr-defined]
    assert verdict_on(error, never) == RECORD


@pytest.mark.parametrize("value", [10**30, "half \ud83d", object(), [1]])
def test_a_value_that_cannot_be_bound_is_the_record_s(engine: Any, value: Any) -> None:
    assert verdict_on(failure_of(lambda: insert(engine, value=value)), lambda: True) == RECORD


def test_what_no_table_knows_is_asked_of_the_connection() -> None:
    assert verdict_on(PoolTimeoutError(), never) == AWAY
    assert verdict_on(ValueError("x"), never) == RECORD
    assert reason_of(ValueError("what the user said")) == "ValueError"
    assert reason_of(DataError("at is a str, not a number.")) == "at is a str, not a number."


# The ledger through trouble ------------------------------------------------------------------------------------------


def fill(ledger: Any, first: int, count: int) -> None:
    for number in range(first, first + count):
        ledger.record(Decision(f"d{number}", Step(task=f"t{number % 7}"), "small", (), started_at=1.0))


def decisions(ledger: Any) -> int:
    with ledger.reading() as connection:
        return int(connection.execute(text("SELECT count(*) FROM decisions")).scalar_one())


@pytest.mark.server
def test_a_lock_on_one_task_stops_no_other(postgres: str, postgres_server: str) -> None:
    """A session that somebody left open holds a task's row: the others' records are written, and its own when it is done."""
    import psycopg

    with open_ledger(postgres, flush_interval_s=0.01) as ledger:
        fill(ledger, 0, 20)
        ledger.flush()
        with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {postgres.rpartition('/')[2]} SET lock_timeout = 50")
        ledger.engine.dispose()
        with psycopg.connect(postgres) as holder, warnings.catch_warnings():
            warnings.simplefilter("ignore", DegradedWarning)
            holder.execute("UPDATE tasks SET calls = calls WHERE id = 't3'")
            fill(ledger, 20, 40)
            with psycopg.connect(postgres, autocommit=True) as reader:
                for _ in range(600):
                    row = reader.execute("SELECT count(*) FROM decisions").fetchone()
                    if row is not None and row[0] >= 20 + 34:
                        break
                    threading.Event().wait(0.05)
            assert row is not None
            assert row[0] >= 20 + 34
            holder.rollback()
            assert decisions(ledger) == 60
        assert ledger.dropped == 0


@pytest.mark.server
def test_a_database_that_is_read_only_for_a_while_costs_no_record(postgres: str, postgres_server: str) -> None:
    """A fail-over: the old address is a standby until the new one is known."""
    import psycopg

    name = postgres.rpartition("/")[2]
    with open_ledger(postgres, flush_interval_s=0.01) as ledger:
        with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            ledger.engine.dispose()
            fill(ledger, 0, 5)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DegradedWarning)

                def is_read_only() -> bool:
                    with pytest.raises(LedgerError) as caught:
                        ledger.flush(0.2)
                    return "read-only" in str(caught.value)

                wait_until(is_read_only)
            admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        ledger.engine.dispose()
        assert decisions(ledger) == 5
        assert ledger.dropped == 0


def test_a_record_that_a_database_refuses_is_found_among_many(tmp_path: Path) -> None:
    """It is dropped alone, counted, and said once, whatever the number of those like it."""
    with open_ledger(tmp_path / "l.db", flush_interval_s=30) as ledger:
        with ledger.engine.begin() as connection:
            connection.execute(
                text("CREATE TRIGGER no BEFORE INSERT ON decisions WHEN NEW.id LIKE 'bad%' BEGIN SELECT RAISE(ABORT, 'no'); END")
            )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for number in range(400):
                ledger.record(
                    Decision(f"{'bad' if number % 100 == 50 else 'd'}{number}", Step(task="t"), "small", (), started_at=1.0)
                )
            ledger.record_outcome(Outcome(success=True, task_id="t", at=1.0))
            assert decisions(ledger) == 396
        said = [str(one.message) for one in caught if issubclass(one.category, DegradedWarning)]
        assert len(said) == 1
        assert said[0].startswith("The ledger could not keep a Decision")
        assert ledger.dropped == 4
        assert ledger.task("t").success is True


def test_warnings_that_are_errors_do_not_end_the_thread_that_writes(tmp_path: Path) -> None:
    wrong: Any = "yesterday"
    with open_ledger(tmp_path / "l.db", flush_interval_s=0.01) as ledger, warnings.catch_warnings():
        warnings.simplefilter("error")
        ledger.record_call(CallRecord("t1", at=wrong))
        ledger.flush()
        fill(ledger, 0, 3)
        assert decisions(ledger) == 3
        assert ledger.dropped == 1


def test_a_call_that_cannot_be_told_takes_no_other_with_it(tmp_path: Path) -> None:
    """Calls are told by functions, which run in the thread that writes."""

    def fails() -> CallRecord:
        raise ValueError("what the user said")

    with open_ledger(tmp_path / "l.db", flush_interval_s=30) as ledger:
        ledger.record_call(CallRecord("t1", at=1.0))
        ledger.record_call(fails)
        ledger.record_call(lambda: CallRecord("t1", at=2.0))
        with pytest.warns(DegradedWarning, match="could not keep a CallRecord: ValueError$"):
            ledger.flush()
        assert ledger.task("t1").calls == 2
        assert ledger.dropped == 1
