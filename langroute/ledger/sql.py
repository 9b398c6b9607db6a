"""How does a ledger keep everything in a database and cost its caller next to nothing?

`record` puts what it is given into a queue. One thread for each ledger takes it out in batches and writes each batch in one
transaction: after a crash a batch is there as a whole or not at all, and at most the last flush interval is lost.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import warnings
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, select, update
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from langroute.context import current_task
from langroute.errors import ConfigurationError, DegradedWarning, LedgerError
from langroute.ledger import rollup, schema
from langroute.ledger.codec import loads
from langroute.ledger.facts import CallRecord, TaskRecord, TaskTotals
from langroute.ledger.migrations import migrate
from langroute.ledger.privacy import Privacy
from langroute.ledger.reaching import engine_of, said_by, url_of
from langroute.ledger.telling import day_of
from langroute.ledger.totals import totals_of
from langroute.ledger.writing import Claim, Entry, Writer
from langroute.records import Decision, Outcome

MAINTENANCE_S = 3600.0
"""How often sums are made and old rows let go, while something is written."""


class SqlLedger:
    """Keeps decisions, calls, tasks and outcomes in SQLite or PostgreSQL.

    Args:
        where: A path (SQLite), or a URL: `sqlite:///file.db`, `postgresql://user@host/database`.
        level: How much is kept: `minimal`, `metadata` or `full`; see `langroute.ledger.privacy`.
        flush_interval_s: Longest time before what was recorded is written; what a crash can cost.
        max_queue: Most records waiting to be written. Whoever records more waits, up to `max_wait_s`; then it is dropped and counted.
        max_wait_s: Longest wait for room in the queue.
        batch: Most records in one transaction.
        raw_days: Days for which decisions and calls are kept; for ever where nothing is given. Daily sums stay.
        task_days: Days for which tasks and outcomes are kept; for ever where nothing is given. Daily sums stay.
        hash_key: Secret of the keyed hashes; made and kept in the database where none is given.
        redact: Called with every text that is kept at level `full`; returns what to keep of it.
        keep: Names of the user's own metadata to keep at level `metadata`.

    Raises:
        LedgerError: The database cannot be opened.
        MissingExtraError: It is PostgreSQL and psycopg is not installed.

    Example:
        >>> import tempfile, pathlib
        >>> from langroute.records import Step
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "ledger.db"
        >>> with SqlLedger(path) as ledger:
        ...     ledger.record(Decision("d1", Step("title"), "small", ()))
        >>> with SqlLedger(path) as ledger:
        ...     ledger.get("d1").route
        'small'
    """

    def __init__(
        self,
        where: str | Path | URL,
        *,
        level: str = "metadata",
        flush_interval_s: float = 0.5,
        max_queue: int = 100_000,
        max_wait_s: float = 5.0,
        batch: int = 500,
        raw_days: int | None = None,
        task_days: int | None = None,
        hash_key: bytes | None = None,
        redact: Callable[[str], str] | None = None,
        keep: Sequence[str] = (),
    ) -> None:
        if raw_days is not None and task_days is not None and task_days < raw_days:
            raise ConfigurationError(f"Tasks outlive their calls: task_days ({task_days}) is at least raw_days ({raw_days}).")
        self.url = url_of(where)
        self.level, self.flush_interval_s, self.max_queue, self.max_wait_s = level, flush_interval_s, max_queue, max_wait_s
        self.batch, self.raw_days, self.task_days = batch, raw_days, task_days
        self.dropped = 0
        """Records that were lost because the database could not keep up."""

        self.engine = engine_of(self.url)
        try:
            with self._writing() as connection:
                migrate(connection)
                stored = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == "hash_key")).scalar_one()
        except SQLAlchemyError as error:
            raise LedgerError(f"The ledger at {self.url.render_as_string()} cannot be opened: {said_by(error)}") from error
        self.privacy = Privacy(level, hash_key if hash_key is not None else bytes.fromhex(stored), redact, frozenset(keep))
        self.keeps_text = self.privacy.keeps_text
        self._writer = Writer(self.privacy, self.engine.dialect.name)
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._claims: OrderedDict[str, str] = OrderedDict()
        self._latest: Decision | None = None
        self._failing: str | None = None
        self._maintained = time.monotonic()
        self._closed = False
        self._start_over()
        _alive.add(self)
        atexit.register(_close, weakref.ref(self))

    # Recording: the caller's side ------------------------------------------------------------------------------------

    def record(self, decision: Decision) -> None:
        """Keep a decision. Returns at once."""
        self._latest = decision
        recent = self._recent
        recent[decision.id] = None
        if len(recent) > 10_000:
            recent.popitem(last=False)
        self._put(Entry(decision, current_task(), self._claims.pop(decision.id, None)))

    def record_outcome(self, outcome: Outcome) -> None:
        """Keep an outcome; of a task or decision that is not known yet, too. Returns at once."""
        self._put(Entry(outcome))

    def record_call(self, call: CallRecord | Callable[[], CallRecord]) -> None:
        """Keep a call that no router of this ledger made. Returns at once; a function that tells the call is called when it is written."""
        if callable(call) and len(self._queue) > 4 * self.batch:
            # The writer is behind: better a little time now than to hold on to everything that the function refers to.
            call = call()
        self._put(Entry(call, current_task()))

    def record_task(self, task: TaskRecord) -> None:
        """Keep that a task began or ended. Returns at once."""
        self._put(Entry(task, current_task()))

    def claim(self, decision_id: str, task_id: str) -> None:
        """Say to which task a decision belongs, before or after it is recorded."""
        if decision_id in self._recent:
            self._put(Entry(Claim(decision_id, task_id)))
            return
        claims = self._claims
        claims[decision_id] = task_id
        if len(claims) > 100_000:
            claims.popitem(last=False)

    def knows(self, decision_id: str) -> bool:
        """The decision was recorded here a short time ago. Looks at memory only."""
        return decision_id in self._recent

    def thread_task(self, thread: str) -> str:
        """The id of the task that a conversation is, where it was given no other name."""
        return self.privacy.thread_task(thread)

    def _put(self, entry: Entry) -> None:
        if self._closed:
            self.dropped += 1
            self._warn("The ledger is closed: what is recorded now is lost. Close it when the program is done.")
            return
        if len(self._queue) >= self.max_queue and not self._room():
            return
        self._append(entry)

    def _append(self, entry: Entry | threading.Event) -> None:
        queue = self._queue
        queue.append(entry)
        if self._thread is None:
            self._start()
        if len(queue) >= self.batch:
            self._full.set()
        if not self._some.is_set():
            self._some.set()

    def _room(self) -> bool:
        """Wait for room in the queue; a record that finds none is counted and dropped."""
        until = time.monotonic() + self.max_wait_s
        while len(self._queue) >= self.max_queue:
            self._full.set()
            if time.monotonic() >= until:
                self.dropped += 1
                self._warn(f"The ledger cannot keep up: its queue of {self.max_queue} is full. What is recorded now is lost.")
                return False
            time.sleep(0.001)
        return True

    def _warn(self, text: str) -> None:
        if text != self._failing:
            self._failing = text
            warnings.warn(text, DegradedWarning, stacklevel=4)

    # Writing: the thread's side --------------------------------------------------------------------------------------

    def _start_over(self) -> None:
        """A new queue and no thread: at the start, and in the child of a fork."""
        self._queue: deque[Any] = deque()
        self._some, self._full = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="langroute-ledger", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pause = 0.0
        while True:
            self._some.wait()
            self._full.wait(self.flush_interval_s)
            self._full.clear()
            self._some.clear()
            if self._drain():
                pause = 0.0
                self._maintain_now_and_then()
            else:
                # The database is away: what waits stays in the queue, and is tried again.
                pause = min(30.0, max(0.1, pause * 2))
                self._full.wait(pause)
                self._some.set()
            if self._closed and not self._queue:
                return

    def _drain(self) -> bool:
        """Write all that waits; `False` where the database would not take it."""
        with self._write_lock:
            while self._queue:
                taken: list[Any] = []
                while self._queue and len(taken) < self.batch:
                    taken.append(self._queue.popleft())
                entries = [one for one in taken if isinstance(one, Entry)]
                try:
                    self._write(entries)
                except (OperationalError, InterfaceError) as error:
                    self._queue.extendleft(reversed(taken))
                    self._warn(f"The ledger cannot be written: {error.orig}. What is recorded waits.")
                    return False
                except Exception as error:  # noqa: BLE001 - a record that cannot be written must not stop those after it
                    self._one_by_one(entries, error)
                for one in taken:
                    if isinstance(one, threading.Event):
                        one.set()
        self._failing = None
        return True

    def _write(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        try:
            with self._writing() as connection:
                self._writer.write(connection, entries)
        except BaseException:
            self._writer.rolled_back()
            raise
        self._writer.committed()

    def _one_by_one(self, entries: Sequence[Entry], error: Exception) -> None:
        for entry in entries:
            try:
                self._write([entry])
            except Exception as fault:  # noqa: BLE001, PERF203
                error = fault
                self.dropped += 1
                kind = type(entry.record).__name__
                self._warn(f"The ledger could not keep a {kind}: {type(error).__name__}: {error}")

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self.engine.connect().execution_options(langroute_write=True) as connection, connection.begin():
            yield connection

    # Flushing and closing --------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 60.0) -> None:
        """Return when all that was recorded is kept.

        Raises:
            LedgerError: It could not be kept in time.
        """
        if self._closed or not (self._queue or self._thread):
            return
        done = threading.Event()
        # It needs no room: a full queue is what there is to wait for.
        self._append(done)
        self._full.set()
        if not done.wait(timeout_s):
            raise LedgerError(f"The ledger could not be written for {timeout_s:g} s: {self._failing or 'it is too slow'}")

    def close(self) -> None:
        """Flush, stop the thread and let go of the connections. What is recorded afterwards is dropped."""
        if self._closed:
            return
        try:
            self.flush()
        finally:
            self._closed = True
            self._some.set()
            self._full.set()
            thread = self._thread
            if thread is not None and thread is not threading.current_thread():
                thread.join(5.0)
            self.engine.dispose()
            _alive.discard(self)

    def __enter__(self) -> SqlLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("A SqlLedger holds connections and cannot be pickled; open it again by its path or URL.")

    # Reading ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self, *, flush: bool = True) -> Iterator[Connection]:
        """A SQLAlchemy connection for reading, with all that was recorded so far.

        Args:
            flush: Write first what waits.
        """
        if flush:
            self.flush()
        with self.engine.connect() as connection:
            yield connection

    def get(self, decision_id: str) -> Decision | None:
        """The decision of that id as far as the level keeps it, or `None`."""
        query = (
            select(schema.details.c.record)
            .join_from(schema.details, schema.decisions, schema.details.c.decision == schema.decisions.c.n)
            .where(schema.decisions.c.id == decision_id)
        )
        with self.reading(flush=decision_id in self._recent) as connection:
            found = connection.execute(query).scalar()
        return loads(found) if found is not None else None

    def latest(self) -> Decision | None:
        """The decision recorded last as far as the level keeps it, or `None`."""
        if self._latest is not None:
            return self.privacy.decision(self._latest)
        query = select(schema.details.c.record).order_by(schema.details.c.decision.desc()).limit(1)
        with self.reading() as connection:
            found = connection.execute(query).scalar()
        return loads(found) if found is not None else None

    def task(self, task_id: str) -> TaskTotals | None:
        """What a task came to, or `None`.

        Args:
            task_id: Its id, or the id of the thread that it is.
        """
        with self.reading() as connection:
            return totals_of(connection, self.privacy.task_ids(task_id))

    def outcomes_of(self, task_id: str) -> list[Outcome]:
        """What was told of a task, oldest first."""
        o, t = schema.outcomes.c, schema.tasks.c
        query = select(schema.outcomes, t.id.label("known_as")).join_from(schema.outcomes, schema.tasks, o.task == t.n)
        with self.reading() as connection:
            rows = connection.execute(query.where(t.id.in_(self.privacy.task_ids(task_id))).order_by(o.at, o.n)).all()
        return [
            Outcome(
                row.key,
                row.score,
                None if row.success is None else bool(row.success),
                row.known_as,
                row.decision_id,
                row.run_id,
                row.source,
                row.human_minutes,
                row.baseline_minutes,
                row.value_usd,
                row.comment,
                row.at,
            )
            for row in rows
        ]

    # Keeping it small ------------------------------------------------------------------------------------------------

    def rollup(self) -> int:
        """Sum every day anew whose rows changed since it was summed; return how many there were."""
        self.flush()
        return self._rollup()

    def _rollup(self) -> int:
        with self._write_lock:
            with self._writing() as connection:
                self._writer.mark(connection, self._writer.telling.adopt(connection))
            self._writer.committed()
        with self.engine.connect() as connection:
            days = rollup.dirty(connection)
            first_raw, first_task = self._kept_since(connection, "raw_since"), self._kept_since(connection, "tasks_since")
        for day in days:
            with self._writing() as connection:
                if day >= first_task:
                    rollup.sum_day(connection, day, raw=day >= first_raw)
        return len(days)

    def purge(self, now: float | None = None) -> None:
        """Let raw rows go that are older than `raw_days` and `task_days`. Their daily sums are made first, and stay."""
        self.flush()
        self._purge(day_of(time.time() if now is None else now))

    def _purge(self, today: int) -> None:
        self._rollup()
        with self._writing() as connection:
            if self.raw_days is not None:
                rollup.purge_raw(connection, today - self.raw_days)
                self._keep_since(connection, "raw_since", today - self.raw_days)
            if self.task_days is not None:
                rollup.purge_tasks(connection, today - self.task_days)
                self._keep_since(connection, "tasks_since", today - self.task_days)

    def _kept_since(self, connection: Connection, key: str) -> int:
        found = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar()
        return int(found) if found is not None else 0

    def _keep_since(self, connection: Connection, key: str, day: int) -> None:
        day = max(day, self._kept_since(connection, key))
        changed = connection.execute(update(schema.meta).where(schema.meta.c.key == key).values(value=str(day)))
        if not changed.rowcount:
            connection.execute(schema.meta.insert(), [{"key": key, "value": str(day)}])

    def _maintain_now_and_then(self) -> None:
        if time.monotonic() - self._maintained < MAINTENANCE_S:
            return
        self._maintained = time.monotonic()
        try:
            self._purge(day_of(time.time()))
        except (SQLAlchemyError, LedgerError) as error:
            self._warn(f"The ledger's days could not be summed: {error}")


_alive: weakref.WeakSet[SqlLedger] = weakref.WeakSet()


def _close(reference: weakref.ref[SqlLedger]) -> None:
    ledger = reference()
    if ledger is not None:
        ledger.close()


def _after_fork() -> None:
    """The child has neither the thread nor a right to the connections; what waited is the parent's to write."""
    for ledger in list(_alive):
        ledger.engine.dispose(close=False)
        ledger._start_over()
        ledger._writer = Writer(ledger.privacy, ledger.engine.dialect.name)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
