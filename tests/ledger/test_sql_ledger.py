"""The SQL ledger: no lost or torn records, bounded size, and privacy levels."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, func, inspect, select
from waiting import wait_until

from langroute.core.errors import ConfigurationError, DegradedWarning, LedgerError
from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage, Verdict
from langroute.core.task_context import task
from langroute.ledger import open_ledger, schema
from langroute.ledger.facts import CallRecord, TaskRecord
from langroute.ledger.migrations import MIGRATIONS, migrate, version_of

DAY = 86_400.0
TODAY = 20_000


def decision(name: str, *, task: str | None = None, day: int = TODAY, cost: float | None = 0.25, **fields: Any) -> Decision:
    attempt = Attempt(Selection("small", "cheapest"), usage=Usage(100, 10), cost_usd=cost, latency_s=0.4, model="small-1")
    known: dict[str, Any] = {
        "step": Step("chat", node="agent", task=task),
        "route": "small",
        "attempts": (attempt,),
        "tier": "cheap",
        "model": "small-1",
        "cost_usd": cost,
        "baseline_cost_usd": 1.0,
        "started_at": day * DAY + 10,
    }
    return Decision(name, **{**known, **fields})


def fill(ledger: Any, many: int) -> None:
    for number in range(many):
        ledger.record(decision(f"d{number}"))


def count(ledger: Any, table: Any) -> int:
    with ledger.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db") if request.param == "sqlite" else request.getfixturevalue("postgres")


# Crashes and crowds --------------------------------------------------------------------------------------------------

WORKER = """
    import sys
    from langroute.ledger import open_ledger
    from langroute.ledger.facts import CallRecord
    from langroute.core.records import Attempt, Decision, Selection, Step, Usage

    def work(url, worker, count, flush_interval_s=0.05):
        with open_ledger(url, flush_interval_s=flush_interval_s) as ledger:
            for number in range(count):
                attempt = Attempt(Selection("small"), usage=Usage(100, 10), cost_usd=0.25, latency_s=0.4, model="small-1")
                step = Step("chat", node="agent", task=f"task-{number % 20}")
                ledger.record(Decision(f"{worker}-{number}", step, "small", (attempt,), cost_usd=0.25, started_at=1.7e9 + number))
                ledger.record_call(CallRecord(f"task-{number % 20}", what="tool", tool="search", at=1.7e9 + number))
                yield number
"""


def script(tmp_path: Path, ending: str) -> str:
    path = tmp_path / "worker.py"
    path.write_text(textwrap.dedent(WORKER) + textwrap.dedent(ending), encoding="utf-8")
    return str(path)


@pytest.mark.timeout(300)
@pytest.mark.server
def test_eight_processes_writing_at_once_lose_nothing(url: str, tmp_path: Path) -> None:
    program = script(tmp_path, "for _ in work(sys.argv[1], sys.argv[2], 300):\n    pass\n")
    workers = [subprocess.Popen([sys.executable, program, url, str(worker)]) for worker in range(8)]
    assert [worker.wait(200) for worker in workers] == [0] * 8

    with open_ledger(url) as ledger:
        assert count(ledger, schema.decisions) == 8 * 300
        assert count(ledger, schema.details) == 8 * 300
        assert count(ledger, schema.calls) == 2 * 8 * 300
        totals = [ledger.task(f"task-{number}") for number in range(20)]
        assert [(one.decisions, one.tools, one.cost_usd) for one in totals] == [(120, 120, 30.0)] * 20
        ledger.rollup()
        with ledger.reading() as connection:
            daily = schema.daily_tasks.c
            assert connection.execute(select(func.sum(daily.tasks), func.sum(daily.cost_usd))).one() == (20, 600.0)


def test_kill_9_tears_no_record_and_loses_only_what_was_not_written_yet(url: str, tmp_path: Path) -> None:
    """What waits is written while more is recorded, without a flush; and every sum agrees with its rows."""
    ending = """
        import time
        for number in work(sys.argv[1], sys.argv[2], 1_000_000, flush_interval_s=0.2):
            print(number, flush=True)
            time.sleep(0.0005)
    """
    worker = subprocess.Popen([sys.executable, script(tmp_path, ending), url, "w"], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "0\n"
    recorded = 0

    def read() -> None:
        nonlocal recorded
        for line in worker.stdout or ():
            recorded = int(line)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        with open_ledger(url) as watching:
            wait_until(lambda: count(watching, schema.decisions) > 500, 60)
    finally:
        worker.kill()
        worker.wait(20)
        reading.join(20)
        worker.stdout.close()

    with open_ledger(url) as ledger, ledger.reading() as connection:
        d, c, t = schema.decisions.c, schema.calls.c, schema.tasks.c
        kept = connection.execute(select(func.count()).select_from(schema.decisions)).scalar_one()
        assert 500 < kept <= recorded + 2
        ids = set(connection.execute(select(d.id)).scalars())
        assert ids == {f"w-{number}" for number in range(kept)}
        assert connection.execute(select(func.count()).select_from(schema.details)).scalar_one() == kept
        assert connection.execute(select(func.count()).where(c.what == "model")).scalar_one() == kept
        sums = connection.execute(select(func.sum(t.decisions), func.sum(t.cost_usd), func.sum(t.tools))).one()
        tools = connection.execute(select(func.count()).where(c.what == "tool")).scalar_one()
        assert sums == (kept, kept * 0.25, tools)
        assert kept - 1 <= tools <= kept
        for name in ("w-0", f"w-{kept - 1}"):
            assert ledger.get(name).cost_usd == 0.25


def test_what_waits_is_written_when_the_program_ends(tmp_path: Path) -> None:
    """Nobody has to close a ledger."""
    program = textwrap.dedent(
        """
        import sys
        from langroute.ledger import open_ledger
        from langroute.core.records import Decision, Step

        ledger = open_ledger(sys.argv[1], flush_interval_s=30)
        for number in range(100):
            ledger.record(Decision(f"d{number}", Step(), "small", ()))
        """
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "l.db")], check=True, timeout=100)
    with open_ledger(tmp_path / "l.db") as ledger:
        assert count(ledger, schema.decisions) == 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_writes_its_own_records_only(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "l.db", flush_interval_s=0.5)
    ledger.record(decision("parent"))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            ledger.record(decision("child"))
            ledger.flush(20)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    ledger.close()
    with open_ledger(tmp_path / "l.db") as again:
        assert count(again, schema.decisions) == 2


def test_a_database_that_is_locked_costs_no_record(tmp_path: Path) -> None:
    """Another program holds the file for a while: the caller is not held up, and nothing is lost."""
    with open_ledger(tmp_path / "l.db", flush_interval_s=0.02) as ledger:
        ledger.record(decision("before"))
        ledger.flush()
        other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        for number in range(50):
            ledger.record(decision(f"d{number}"))
        # One that waited for the file would wait for a minute.
        assert time.monotonic() - begun < 20
        # The writer has them, and cannot write them.
        with pytest.raises(LedgerError, match=r"could not be written for 0\.2 s"):
            ledger.flush(0.2)
        other.execute("COMMIT")
        other.close()
        assert count(ledger, schema.decisions) == 51


def test_a_full_queue_drops_loudly_and_counts(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db", flush_interval_s=0.02, max_queue=10, max_wait_s=0.1) as ledger:
        other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.warns(DegradedWarning, match="cannot keep up"):
            fill(ledger, 25)
        other.execute("COMMIT")
        other.close()
        assert ledger.dropped > 0
        assert count(ledger, schema.decisions) + ledger.dropped == 25


def test_a_record_that_cannot_be_written_does_not_take_others_with_it(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db") as ledger:
        broken = decision("broken", started_at="yesterday")
        ledger.record(decision("before"))
        ledger.record(broken)
        ledger.record(decision("after"))
        with pytest.warns(DegradedWarning, match="could not keep a Decision"):
            ledger.flush()
        assert ledger.get("before") is not None
        assert ledger.get("after") is not None
        assert ledger.dropped == 1


# Opening -------------------------------------------------------------------------------------------------------------


def test_a_closed_ledger_says_that_it_keeps_nothing(tmp_path: Path) -> None:
    """A router that outlives the `with` of its ledger would otherwise go unrecorded in silence."""
    with open_ledger(tmp_path / "l.db", max_queue=3, max_wait_s=30) as ledger:
        ledger.record(decision("d1"))
    begun = time.monotonic()
    with pytest.warns(DegradedWarning, match="is closed: what is recorded now is lost"):
        ledger.record(decision("late-0"))
    with warnings.catch_warnings():
        # Said once.
        warnings.simplefilter("error")
        for number in range(1, 10):
            ledger.record(decision(f"late-{number}"))
    assert ledger.dropped == 10
    assert time.monotonic() - begun < 30
    with open_ledger(tmp_path / "l.db") as again:
        assert again.get("late-0") is None


def test_a_warning_says_nothing_of_what_could_not_be_kept(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db", level="full") as ledger:

        def tell() -> None:
            ledger.record_outcome(Outcome(key=None, success=True, task_id="t1", comment="canary"))  # type: ignore[arg-type]
            ledger.flush()

        with pytest.warns(DegradedWarning) as warned:
            tell()
        assert ledger.dropped == 1
    assert "could not keep a Outcome" in str(warned[0].message)
    assert "canary" not in str(warned[0].message)


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with open_ledger(path) as ledger:
        ledger.record(decision("d1"))
        ledger.flush()
        files = sorted(tmp_path.iterdir())
        assert {file.name for file in files} >= {"l.db", "l.db-wal"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_newer_ledger_is_not_touched(tmp_path: Path) -> None:
    open_ledger(tmp_path / "l.db").close()
    with sqlite3.connect(tmp_path / "l.db") as connection:
        connection.execute("UPDATE langroute_meta SET value = '999' WHERE key = 'schema_version'")
    with pytest.raises(LedgerError, match="Upgrade langroute"):
        open_ledger(tmp_path / "l.db")


def test_migrations_run_once_each_and_in_order(url: str) -> None:
    """An older ledger gets the steps it lacks, and keeps what is in it."""
    with open_ledger(url) as ledger:
        ledger.record(decision("d1", task="t1"))

    def second(connection: Any) -> None:
        connection.exec_driver_sql("ALTER TABLE tasks ADD COLUMN mood TEXT")

    with open_ledger(url) as ledger:
        for _ in range(2):
            with ledger.engine.connect().execution_options(langroute_write=True) as connection, connection.begin():
                assert migrate(connection, (*MIGRATIONS, second)) == len(MIGRATIONS) + 1
        with ledger.engine.connect() as connection:
            assert version_of(connection) == len(MIGRATIONS) + 1
            assert "mood" in {column["name"] for column in inspect(connection).get_columns("tasks")}
        assert ledger.task("t1").decisions == 1


def test_eight_that_open_a_new_ledger_at_once_make_it_once(url: str) -> None:
    opened: list[Any] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            opened.append(open_ledger(url))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len({ledger.privacy.key for ledger in opened}) == 1
    for ledger in opened:
        ledger.close()


@pytest.mark.parametrize("where", ["mysql://host/db", "sqlite://", "sqlite:///:memory:"])
def test_what_is_no_ledger_is_said_at_once(where: str) -> None:
    with pytest.raises(ConfigurationError):
        open_ledger(where)


def test_a_file_that_is_no_database_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "l.db").write_text("This is a letter, and no database. " * 100)
    with pytest.raises(LedgerError, match="cannot be opened"):
        open_ledger(tmp_path / "l.db")


def test_tables_of_another_program_are_not_taken_for_ours(tmp_path: Path) -> None:
    """`tasks` and `tags` are names that others use, too."""
    path = tmp_path / "todo.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT)")
        connection.commit()
    with pytest.raises(LedgerError, match="belongs to another program: it has tables named tasks"):
        open_ledger(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("tasks",)]


def test_tasks_may_not_go_before_their_calls(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="task_days"):
        open_ledger(tmp_path / "l.db", raw_days=30, task_days=7)


# Sums ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(url: str) -> Iterator[Any]:
    with open_ledger(url) as ledger:
        yield ledger


def rows(ledger: Any, query: Any) -> list[tuple[Any, ...]]:
    with ledger.reading() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_daily_sums_agree_with_raw_rows(ledger: Any) -> None:
    """Whatever is asked of the sums, the rows say the same."""
    for number in range(60):
        with task(f"t{number // 3}", kind="support" if number % 2 else "fix", team=f"team-{number % 4}", user=f"u{number}"):
            cost = None if number % 7 == 0 else 0.25
            ledger.record(decision(f"d{number}", day=TODAY - number % 5, cost=cost, cache="hit" if number % 6 == 0 else "miss"))
        if number % 9 == 0:
            ledger.record_outcome(Outcome(success=number % 2 == 0, task_id=f"t{number // 3}", at=1.0, human_minutes=2.0))
    ledger.rollup()
    c, d, t = schema.calls.c, schema.decisions.c, schema.tasks.c
    dc, dd, dt = schema.daily_calls.c, schema.daily_decisions.c, schema.daily_tasks.c
    raw = select(c.label, func.count(), func.sum(c.cost_usd), func.sum(c.input_tokens)).group_by(c.label).order_by(c.label)
    summed = select(dc.label, func.sum(dc.calls), func.sum(dc.cost_usd), func.sum(dc.input_tokens))
    assert rows(ledger, raw) == rows(ledger, summed.group_by(dc.label).order_by(dc.label))
    assert rows(ledger, select(func.count()).where(c.cost_usd.is_(None))) == rows(ledger, select(func.sum(dc.unknown_costs)))
    assert rows(ledger, select(func.count()).where(d.cache == "hit")) == rows(ledger, select(func.sum(dd.hits)))
    assert rows(ledger, select(func.count()).where(t.success == 1)) == rows(ledger, select(func.sum(dt.succeeded)))
    assert rows(ledger, select(func.sum(dc.under_0_5s), func.sum(dc.calls))) == [(60, 60)]


def test_a_late_outcome_changes_the_day_of_its_task(ledger: Any) -> None:
    """Cost per successful task counts what failed."""
    ledger.record(decision("d1", task="t1", day=TODAY - 9))
    ledger.record(decision("d2", task="t2", day=TODAY - 9))
    assert ledger.rollup() == 1
    assert ledger.rollup() == 0
    ledger.record_outcome(Outcome(success=True, task_id="t1", at=TODAY * DAY, baseline_minutes=30.0, human_minutes=4.0))
    ledger.record_outcome(Outcome(success=False, decision_id="d2", at=TODAY * DAY))
    assert ledger.rollup() == 1
    t = schema.daily_tasks.c
    found = rows(ledger, select(t.day, t.tasks, t.succeeded, t.failed, t.known_usd, t.baseline_minutes, t.baseline_human_minutes))
    assert found == [(TODAY - 9, 2, 1, 1, 0.5, 30.0, 4.0)]
    part = schema.daily_parts.c
    found = rows(ledger, select(part.value, part.tasks, part.succeeded, part.failed).where(part.dimension == "route"))
    assert found == [("small", 2, 1, 1)]


def test_an_outcome_told_before_its_decision_finds_it_later(ledger: Any) -> None:
    ledger.record_outcome(Outcome(success=True, decision_id="d1", at=1.0))
    ledger.flush()
    ledger.record(decision("d1", task="t1"))
    ledger.rollup()
    assert ledger.task("t1").success is True


def test_outcomes_that_nothing_ever_fits_keep_none_from_its_task(ledger: Any) -> None:
    """Feedback on runs that nobody tracked: more of it than one look takes."""
    for number in range(10_001):
        ledger.record_outcome(Outcome(success=True, run_id=f"untracked-{number}", at=1.0))
    ledger.record_outcome(Outcome(success=True, decision_id="d1", at=2.0))
    ledger.flush()
    ledger.record(decision("d1", task="t1"))
    ledger.rollup()
    assert ledger.task("t1").success is True


def test_old_rows_go_and_their_sums_stay(url: str) -> None:
    """And an outcome that comes after still counts."""
    with open_ledger(url, raw_days=30, task_days=400) as ledger:
        ledger.record(decision("old", task="t-old", day=TODAY - 100))
        ledger.record(decision("new", task="t-new", day=TODAY))
        ledger.purge(now=TODAY * DAY)
        assert ledger.get("old") is None
        assert ledger.get("new") is not None
        ledger.record_outcome(Outcome(success=True, task_id="t-old", at=TODAY * DAY))
        ledger.rollup()
        c, t = schema.daily_calls.c, schema.daily_tasks.c
        assert rows(ledger, select(c.day, c.calls, c.cost_usd).order_by(c.day)) == [(TODAY - 100, 1, 0.25), (TODAY, 1, 0.25)]
        assert rows(ledger, select(t.day, t.succeeded).order_by(t.day)) == [(TODAY - 100, 1), (TODAY, 0)]


def test_old_tasks_go_too_and_their_sums_stay(url: str) -> None:
    with open_ledger(url, raw_days=30, task_days=30) as ledger:
        ledger.record(decision("old", task="t-old", day=TODAY - 100))
        ledger.purge(now=TODAY * DAY)
        ledger.rollup()
        assert ledger.task("t-old") is None
        assert rows(ledger, select(func.sum(schema.daily_tasks.c.tasks))) == [(1,)]


def test_a_program_that_runs_for_long_keeps_its_ledger_small_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are made and old rows go without anybody asking."""
    monkeypatch.setattr("langroute.ledger.maintenance.LOOK_S", 0.0)
    with open_ledger(tmp_path / "l.db", raw_days=30, flush_interval_s=0.01) as ledger:
        ledger.record(decision("old", task="t1", day=TODAY - 9999))
        summed = select(func.sum(schema.daily_calls.c.calls))
        wait_until(lambda: rows(ledger, summed) == [(1,)])
        wait_until(lambda: ledger.get("old") is None)


def test_a_chosen_branch_is_no_call(ledger: Any) -> None:
    """An edge that picks a node calls no model: nothing is unknown about what that cost."""
    ledger.record(Decision("d1", Step("chat", task="t1"), "small", (Attempt(Selection("small")),), started_at=1.0))
    totals = ledger.task("t1")
    assert (totals.decisions, totals.calls, totals.unknown_costs) == (1, 0, 0)


# Privacy -------------------------------------------------------------------------------------------------------------

CANARIES = ("canary-prompt", "canary-answer", "canary-key", "canary-name", "canary-thread", "canary-comment", "canary-error")


def planted(name: str = "d1") -> Decision:
    """A decision with something private wherever a user, a model or a policy can put it."""
    attempt = Attempt(
        Selection("small", "default route; policy Mine failed: ValueError: canary-prompt"),
        answer="canary-answer",
        score=0.5,
        verdicts=(Verdict("judge", 0.5, "says canary-answer", error="ValueError: canary-error"),),
        error=ValueError("canary-error"),
        error_type="ValueError",
    )
    return Decision(
        name,
        Step("chat", node="agent", thread="canary-thread"),
        "small",
        (attempt,),
        reason="default route; policy Mine failed: ValueError: canary-prompt",
        problems=("policy Mine failed: ValueError: canary-prompt", "verifier judge failed: canary-error"),
        tags=("canary-name", "langroute:small"),
        metadata={"thread_id": "canary-thread", "email": "canary-name", "api_key": "canary-key", "langgraph_node": "agent"},
        started_at=TODAY * DAY,
    )


def bytes_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file())


@pytest.mark.parametrize("level", ["minimal", "metadata"])
def test_nothing_private_reaches_the_file(level: str, tmp_path: Path) -> None:
    """Searched in the bytes of the database and its log, open and closed."""
    ledger = open_ledger(tmp_path / "l.db", level=level)
    with task("t1", team="search", user="canary-name"):
        ledger.record(planted())
    ledger.record(planted("d2"))
    ledger.record_call(CallRecord("t1", messages=("canary-prompt",), answer="canary-answer", at=1.0))
    ledger.record_task(TaskRecord("t1", "ok", 1.0, 2.0, tags={"user": "canary-name"}))
    ledger.record_outcome(Outcome(success=False, task_id="t1", comment="canary-comment", at=1.0))
    ledger.record_outcome(Outcome(success=False, task_id="canary-thread", at=1.0))
    ledger.rollup()
    open_bytes = bytes_of(tmp_path)
    ledger.close()
    for found in (open_bytes, bytes_of(tmp_path)):
        assert b"small" in found
        assert b"search" in found
        assert [canary for canary in CANARIES if canary.encode() in found] == []


def test_full_keeps_text_and_redacts_it_at_one_point(tmp_path: Path) -> None:
    from langchain_core.messages import AIMessage, HumanMessage

    def redact(text: str) -> str:
        return text.replace("canary-name", "[name]").replace("canary-key", "[key]")

    answer = AIMessage("My name is canary-name.", tool_calls=[{"name": "pay", "args": {"to": "canary-name"}, "id": "c1"}])
    attempt = Attempt(Selection("small"), answer=answer, cost_usd=0.1, latency_s=0.1)
    with open_ledger(tmp_path / "l.db", level="full", redact=redact) as ledger:
        assert ledger.keeps_text
        with task("t1", user="canary-name"):
            ledger.record(Decision("d1", Step(), "small", (attempt,), metadata={"note": "canary-key"}, started_at=1.0))
        ledger.record_call(CallRecord("t1", messages=(HumanMessage("I am canary-name"),), answer=AIMessage("Hello"), at=1.0))
        ledger.record_outcome(Outcome(task_id="t1", success=True, comment="canary-name is happy", at=1.0))
        kept = ledger.get("d1").attempts[0].answer
        assert kept.content == "My name is [name]."
        assert kept.tool_calls[0]["args"] == {"to": "[name]"}
        assert ledger.outcomes_of("t1")[0].comment == "[name] is happy"
        found = bytes_of(tmp_path)
    assert b"I am [name]" in found
    assert b"canary" not in found


def test_users_can_be_counted_and_not_read(tmp_path: Path) -> None:
    """The same person has the same hash here, and another one where the key is another."""
    for number, key in enumerate((b"one", b"one", b"two")):
        with open_ledger(tmp_path / f"{number}.db", hash_key=key) as ledger, task(f"t{number}", user="Ada"):
            ledger.record(decision(f"d{number}"))
    found = []
    for number in range(3):
        engine = create_engine(f"sqlite:///{tmp_path / f'{number}.db'}")
        with engine.connect() as connection:
            found.append(connection.execute(select(schema.tasks.c.user)).scalar_one())
        engine.dispose()
    assert found[0] == found[1] != found[2]
    assert "Ada" not in found[0]


def test_an_unknown_level_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="minimal, metadata, full"):
        open_ledger(tmp_path / "l.db", level="everything")


def test_metadata_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db", keep=("release",)) as ledger:
        ledger.record(decision("d1", metadata={"release": "7", "email": "a@b.c"}))
        assert ledger.get("d1").metadata == {"release": "7"}


def test_text_that_is_no_text_loses_no_record(url: str) -> None:
    """Half an emoji and a NUL: models write them, and databases do not take them as they are."""
    from langchain_core.messages import AIMessage

    broken = "half \ud83d and \x00"
    attempt = Attempt(Selection("small"), answer=AIMessage(broken), cost_usd=0.1, latency_s=0.1)
    with open_ledger(url, level="full") as ledger:
        with task(f"t1 {broken}", team=broken, user=broken, unstick_when=broken):
            ledger.record(Decision("d1", Step(), "small", (attempt,), started_at=1.0))
            ledger.record_outcome(Outcome(success=True, task_id=f"t1 {broken}", comment=broken, at=1.0))
        assert ledger.get("d1").attempts[0].answer.content == broken
        assert ledger.task(f"t1 {broken}").success is True
        assert ledger.dropped == 0


@pytest.mark.server
def test_a_database_that_was_away_gets_what_was_recorded_meanwhile(postgres: str, postgres_server: str) -> None:
    """Its connections are cut from the other side; nothing is lost."""
    import psycopg

    with open_ledger(postgres, flush_interval_s=0.02) as ledger:
        fill(ledger, 10)
        ledger.flush()
        with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [postgres.rpartition("/")[2]]
            )
        for number in range(10, 30):
            ledger.record(decision(f"d{number}"))
        assert count(ledger, schema.decisions) == 30
        assert ledger.dropped == 0
