"""SQL ledger: stores records in SQLite or PostgreSQL from a background thread.

`record` puts records into a queue. One thread for each ledger takes them out in batches and writes each batch in one
transaction: after a crash a batch is stored completely or not at all, and at most the last flush interval is lost.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, select
from sqlalchemy.exc import SQLAlchemyError

from langroute.core.errors import ConfigurationError, LedgerError
from langroute.core.locks import at_fork, give_way
from langroute.core.number_checks import check_number
from langroute.core.process_end import at_end, watch_end
from langroute.core.records import Decision, Outcome
from langroute.core.storable import ID, name_of
from langroute.core.task_context import current_task
from langroute.ledger import schema
from langroute.ledger.batch import Claim, QueuedRecord
from langroute.ledger.batch_writer import BatchWriter
from langroute.ledger.codec import loads
from langroute.ledger.commits import Commits
from langroute.ledger.connection import begin_in_child, begin_writing, engine_of, said_by, shown, url_of
from langroute.ledger.facts import CallRecord, Labels, TaskRecord, TaskTotals, made_for
from langroute.ledger.listening import tell
from langroute.ledger.maintenance import Maintenance
from langroute.ledger.migrations import migrate
from langroute.ledger.outcome_feed import OutcomeFeed
from langroute.ledger.outcome_rows import day_of, outcome_of
from langroute.ledger.pooler import notice_pooler
from langroute.ledger.privacy import Privacy
from langroute.ledger.record_queue import RecordQueue
from langroute.ledger.same_database import MOST_CLAIMS, MOST_RECENT, identity_of, recorded_in
from langroute.ledger.totals import totals_of
from langroute.ledger.trouble import is_readonly, reason_of

ASK_S = 5.0
"""Longest wait for what is still to be written, before somebody who waits for an answer is told whose a task is."""


class SqlLedger:
    """Store decisions, calls, tasks and outcomes in SQLite or PostgreSQL.

    Args:
        where: A path (SQLite), or a URL: `sqlite:///file.db`, `postgresql://user@host/database`.
        level: How much is kept: `minimal`, `metadata` or `full`; see `langroute.ledger.privacy`.
        flush_interval_s: Longest time before records are written, and so the most that a crash can lose.
        max_queue: Most records waiting to be written. When the queue is full, `record` waits up to `max_wait_s`; then the record is dropped and counted.
        max_wait_s: Longest wait for room in the queue.
        batch: Most records in one transaction.
        raw_days: Days for which decisions and calls are kept; forever if `None`. Daily sums stay.
        task_days: Days for which tasks and outcomes are kept; forever if `None`. Daily sums stay.
        exit_timeout_s: Longest time that the program's exit waits without a record written, as when the database is away; what is
            left then is lost.
        hash_key: Secret of the keyed hashes; by default one is generated and stored in the database.
        redact: Called with every text that is kept at level `full`; returns what to store.
        keep: Names of the user's own metadata to keep at level `metadata`.

    Raises:
        LedgerError: The database cannot be opened.
        MissingExtraError: It is PostgreSQL and psycopg is not installed.

    Example:
        >>> import tempfile, pathlib
        >>> from langroute.core.records import Step
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
        exit_timeout_s: float = 5.0,
        hash_key: bytes | None = None,
        redact: Callable[[str], str] | None = None,
        keep: Sequence[str] = (),
    ) -> None:
        if raw_days is not None and task_days is not None and task_days < raw_days:
            raise ConfigurationError(f"Tasks outlive their calls: task_days ({task_days}) is at least raw_days ({raw_days}).")
        self.url = url_of(where)
        self.level, self.batch, self.raw_days, self.task_days = level, batch, raw_days, task_days
        check_number("exit_timeout_s", exit_timeout_s, least=0)
        self.engine = engine_of(self.url)
        if self.engine.dialect.name == "postgresql":
            notice_pooler(self.engine)
        try:
            with self._writing() as connection:
                migrate(connection)
                stored = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == "hash_key")).scalar_one()
        except SQLAlchemyError as error:
            raise LedgerError(f"The ledger at {shown(self.url)} cannot be opened: {said_by(error)}") from error
        self.privacy = Privacy(level, hash_key if hash_key is not None else bytes.fromhex(stored), redact, frozenset(keep))
        self.keeps_text = self.privacy.keeps_text
        self._writer = BatchWriter(self.privacy, self.engine.dialect.name)
        self._commits = Commits(self.engine)
        self._queue = RecordQueue(
            self._write,
            self._answers,
            self._maintain_now_and_then,
            flush_interval_s=flush_interval_s,
            max_queue=max_queue,
            max_wait_s=max_wait_s,
            batch=batch,
            exit_timeout_s=exit_timeout_s,
        )
        self._put = self._queue.put
        self.identity = identity_of(self.url, stored)
        """Tells its database apart: two ledgers of one process that write to the same one have the same."""

        self._recorded, self._me = recorded_in(self.identity), weakref.ref(self)
        self._recent, self._claims = self._recorded.recent, self._recorded.claims
        self._latest: Decision | None = None
        self.feed: OutcomeFeed | None = None
        """Reads what other processes record, where somebody listens."""

        self._maintenance = Maintenance(self.engine, self._writing, self._queue.write_lock, raw_days, task_days)
        at_fork(self, in_child=SqlLedger._in_child)
        at_end(self, SqlLedger.finish)
        watch_end()

    @property
    def dropped(self) -> int:
        """Number of lost records: they can never be written, or the database could not keep up."""
        return self._queue.dropped

    @property
    def waiting(self) -> int:
        """Number of records that wait to be written."""
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another record."""
        return self._queue.is_full

    @property
    def trouble(self) -> str | None:
        """What keeps records from being written just now; `None` if nothing does."""
        return self._queue.trouble

    def watch(self, tell: Callable[[], Any]) -> None:
        """Call a method after each writing and each loss of records, for as long as its object exists; metrics are kept this way."""
        self._queue.watch(tell)

    @property
    def is_closed(self) -> bool:
        """Whether what is recorded now is dropped."""
        return self._queue.is_closed

    @property
    def is_finished(self) -> bool:
        """Whether it was finished, so that each record is written at once."""
        return self._queue.is_finished

    # Recording -------------------------------------------------------------------------------------------------------

    def record(self, decision: Decision) -> None:
        """Store a decision. Returns at once."""
        self._latest = decision
        if self.feed is not None and not self.feed.running:
            self.feed.start()
        recent = self._recent
        recent[decision.id] = self._me
        if len(recent) > MOST_RECENT:
            recent.popitem(last=False)
        self._put(QueuedRecord(decision, current_task(), self._claims.pop(decision.id, None)))

    def record_outcome(self, outcome: Outcome) -> None:
        """Store an outcome, also of a task or decision that is not known yet. Returns at once."""
        self._put(QueuedRecord(outcome))
        tell(self, outcome)

    def listened(self) -> None:
        """Read what other processes record, too, from the next decision on: somebody listens (`langroute.ledger.listening`)."""
        if self.feed is None:
            self.feed = OutcomeFeed(self)
            self._writer.outcomes.noting = True

    def record_call(self, call: CallRecord | Callable[[], CallRecord]) -> None:
        """Store a call that no router of this ledger made.

        Returns at once; a callable that returns the record is called when it is written.
        """
        if callable(call) and len(self._queue) > 4 * self.batch:
            # The writer is behind: calling the function now takes a little time, but releases everything that it references.
            with suppress(Exception):
                call = call()
        self._put(QueuedRecord(call, current_task()))

    def record_task(self, task: TaskRecord) -> None:
        """Store the start or the end of a task. Returns at once."""
        self._put(QueuedRecord(task, current_task()))

    def claim(self, decision_id: str, task_id: str) -> None:
        """Assign a decision to a task, before or after the decision is recorded."""
        if decision_id in self._recent:
            # After the decision, in the same queue.
            given = self._recorded.ledger_of(decision_id)
            (given if given is not None and not given.is_closed else self)._put(QueuedRecord(Claim(decision_id, task_id)))
            return
        claims = self._claims
        claims[decision_id] = name_of(task_id)
        if len(claims) > MOST_CLAIMS:
            claims.popitem(last=False)

    def knows(self, decision_id: str) -> bool:
        """Return whether the decision was recorded here recently. Reads memory only."""
        return decision_id in self._recent

    def thread_task(self, thread: str) -> str:
        """Return the task id of a thread that was given no other task id."""
        return self.privacy.thread_task(thread)

    # Writing ---------------------------------------------------------------------------------------------------------

    def _in_child(self) -> None:
        """Reset the child of a fork: the thread and the connections belong to the parent, which also writes what was queued."""
        begin_in_child(self.engine)
        self._queue.in_child()
        self._writer = BatchWriter(self.privacy, self.engine.dialect.name)
        self._maintenance = Maintenance(self.engine, self._writing, self._queue.write_lock, self.raw_days, self.task_days)
        self._writer.outcomes.noting = self.feed is not None

    def _answers(self) -> bool:
        try:
            with self.engine.connect() as connection:
                connection.execute(select(1))
        except SQLAlchemyError:
            return False
        return True

    def _write(self, entries: Sequence[QueuedRecord]) -> None:
        if not (entries := self._commits.missing(entries, self._forget)):
            return
        feed, heard, sent = self.feed, self._writer.outcomes, None
        try:
            with self._writing() as connection:
                heard.heard = []
                self._writer.write(connection, entries)
                if feed is not None:
                    feed.wrote(heard.heard)
                sent = self._commits.of(connection, heard.heard)
        except BaseException:
            for entry in entries:
                entry.sent_in = sent
            self._writer.rolled_back()
            if sent is None:
                # Otherwise they may be there: they are forgotten once it is known that they are not.
                self._forget(heard.heard)
            raise
        self._writer.committed()

    def _forget(self, rows: Sequence[int]) -> None:
        if self.feed is not None:
            self.feed.took_back(rows)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self.engine.connect().execution_options(langroute_write=True) as connection, connection.begin():
            begin_writing(connection)
            yield connection

    # Flushing and closing --------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float | None = None) -> None:
        """Block until everything recorded so far is stored.

        Args:
            timeout_s: Longest wait; by default a minute, and at the end of the program `exit_timeout_s` without a record written.

        Raises:
            LedgerError: Not everything could be stored in time.
        """
        self._queue.flush(timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Flush, stop the thread and close the connections. What is recorded afterwards is dropped.

        Args:
            timeout_s: Longest wait, as for `flush`. Records not written by then are lost, and counted in `dropped`.

        Raises:
            LedgerError: Not everything could be stored in time; the message says how many records are lost.
        """
        if self.feed is not None:
            self.feed.stop()
        try:
            self._queue.close(timeout_s)
        finally:
            self.engine.dispose()

    def finish(self) -> None:
        """Flush because the process is about to end. Later records are written at once, because no flush follows."""
        if self.feed is not None:
            self.feed.stop()
        self._queue.end()
        self.engine.dispose()

    def __enter__(self) -> SqlLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("A SqlLedger holds connections and cannot be pickled; open it again by its path or URL.")

    # Reading ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self, *, flush: bool = True) -> Iterator[Connection]:
        """Yield a SQLAlchemy connection for reading that sees everything recorded so far.

        Args:
            flush: Write queued records first.
        """
        if flush:
            self.flush()
        give_way()
        with self.engine.connect() as connection:
            yield connection

    def get(self, decision_id: str) -> Decision | None:
        """Return the decision with this id, as far as the level stores it, or `None`."""
        query = (
            select(schema.details.c.record)
            .join_from(schema.details, schema.decisions, schema.details.c.decision == schema.decisions.c.n)
            .where(schema.decisions.c.id == name_of(decision_id, ID))
        )
        given = self._recorded.ledger_of(decision_id)
        if given is not None and given is not self:
            given.flush()
        with self.reading(flush=given is self) as connection:
            found = connection.execute(query).scalar()
        return loads(found) if found is not None else None

    def latest(self) -> Decision | None:
        """Return the decision recorded last, as far as the level stores it, or `None`."""
        if self._latest is not None:
            return self.privacy.decision(self._latest)
        query = select(schema.details.c.record).order_by(schema.details.c.decision.desc()).limit(1)
        with self.reading() as connection:
            found = connection.execute(query).scalar()
        return loads(found) if found is not None else None

    def recent(self, count: int) -> list[Decision]:
        """Return the decisions recorded last, oldest first, as far as the level stores them."""
        query = select(schema.details.c.record).order_by(schema.details.c.decision.desc()).limit(count)
        with self.reading() as connection:
            return [loads(record) for record in reversed(connection.execute(query).scalars().all())]

    def task(self, task_id: str) -> TaskTotals | None:
        """Return the totals of a task, or `None`.

        Args:
            task_id: Its id, or the id of the thread that it is.
        """
        with self.reading() as connection:
            return totals_of(connection, self.privacy.task_ids(task_id))

    def made_for(self, caller: Labels, *, task_id: str | None = None, decision_id: str | None = None) -> bool | None:
        """Return whether a task or a decision is a caller's; `None` where it is not known. See `langroute.ledger.facts.made_for`.

        Raises:
            LedgerError: The database does not say so, within a few seconds where it is slow.
        """
        t, d, words = schema.tasks.c, schema.decisions.c, schema.labels.c
        query = select(words.team, t.user).join_from(schema.tasks, schema.labels, words.id == t.label, isouter=True)
        if decision_id is not None:
            query = query.join(schema.decisions, d.task == t.n).where(d.id == name_of(decision_id, ID))
        else:
            query = query.where(t.id.in_(self.privacy.task_ids(task_id or "")))
        self.flush(ASK_S)
        try:
            with self.reading(flush=False) as connection:
                found = connection.execute(query).first()
        except SQLAlchemyError as error:
            raise LedgerError(f"The ledger at {shown(self.url)} cannot be read: {said_by(error)}") from error
        return None if found is None else made_for(Labels(team=found.team, user=found.user), self.privacy.labels(caller))

    def outcomes_of(self, task_id: str) -> list[Outcome]:
        """Return the outcomes of a task, oldest first."""
        o, t = schema.outcomes.c, schema.tasks.c
        query = select(schema.outcomes, t.id.label("known_as")).join_from(schema.outcomes, schema.tasks, o.task == t.n)
        with self.reading() as connection:
            rows = connection.execute(query.where(t.id.in_(self.privacy.task_ids(task_id))).order_by(o.at, o.n)).all()
        return [outcome_of(row, row.known_as) for row in rows]

    # Keeping it small ------------------------------------------------------------------------------------------------

    def rollup(self) -> int:
        """Recompute the sums of every day whose rows changed since it was summed, and return the number of such days."""
        self.flush()
        return self._rollup()

    def try_rollup(self) -> bool:
        """Recompute the sums of changed days; return `False` where the database may only be read, so that they stay as they are."""
        try:
            self.rollup()
        except SQLAlchemyError as error:
            if is_readonly(error):
                return False
            raise
        return True

    def _rollup(self) -> int:
        return self._maintenance.rollup(self._writer)

    def purge(self, now: float | None = None) -> None:
        """Delete raw rows older than `raw_days` and `task_days`. Their daily sums are computed first, and stay."""
        self.flush()
        self._maintenance.purge(self._writer, day_of(time.time() if now is None else now))

    def _maintain_now_and_then(self) -> None:
        try:
            self._maintenance.now_and_then(self._writer)
        except Exception as error:  # noqa: BLE001 - the thread that writes goes on
            self._queue.warn_beside(f"The ledger's days could not be summed: {reason_of(error)}")
