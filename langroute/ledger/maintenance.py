"""`Maintenance`: daily sums and retention, by one worker at a time and in small transactions, so that nobody who writes waits for them.

The lock is the transaction's own (`pg_advisory_xact_lock`), so that a pooler in transaction mode does no harm; SQLite has one writer at a time anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Engine, select, text, update
from sqlalchemy.exc import DBAPIError

from langroute.ledger import partitions, rollup, schema
from langroute.ledger.batch_writer import BatchWriter
from langroute.ledger.many_rows import is_server
from langroute.ledger.outcome_rows import day_of

EVERY_S = 3600.0
"""Interval of sums and retention, of all workers together."""

LOOK_S = 600.0
"""Seconds between two looks of a worker whether they are due."""

AT_ONCE = 1.0
"""Most seconds that the thread that writes spends on it in a row, unless a single day takes longer to sum."""

_LOCK = 0x6C61_6E67_7375_6D73
"""Key of the PostgreSQL advisory lock of who sums or deletes."""

MOST_TRIES = 5
"""Most attempts to sum a day while an older langroute, which takes no lock, sums it too."""

_MET_ANOTHER = ("23505", "40001", "40P01")
"""SQLSTATEs of two that write the same sums: it is there already, serialization, deadlock."""

Writing = Callable[[], AbstractContextManager[Connection]]


class Maintenance:
    """Sum days and let old rows go.

    Args:
        engine: For reading.
        writing: Opens a transaction that writes.
        lock: Held by whoever uses the ledger's `BatchWriter`.
        raw_days: How long calls and decisions are kept; forever if `None`.
        task_days: How long tasks and outcomes are kept; forever if `None`.
    """

    def __init__(self, engine: Engine, writing: Writing, lock: Any, raw_days: int | None, task_days: int | None) -> None:
        self.raw_days, self.task_days = raw_days, task_days
        self._engine, self._writing, self._lock = engine, writing, lock
        self._looked = time.monotonic()
        self._steps: Iterator[None] | None = None

    # Sums ------------------------------------------------------------------------------------------------------------

    def rollup(self, writer: BatchWriter) -> int:
        """Sum every day whose rows changed since it was summed, and return the number of such days."""
        days = self._changed(writer)
        return sum(self._sum(day) for day in days)

    def _changed(self, writer: BatchWriter) -> list[int]:
        with self._lock:
            with self._writing() as connection:
                writer.mark(connection, writer.outcomes.adopt(connection))
            writer.committed()
        with self._engine.connect() as connection:
            return rollup.dirty(connection)

    def _sum(self, day: int) -> bool:
        """Sum a day; return `False` where another worker did it meanwhile."""
        tries = 1
        while (done := self._try_to_sum(day, tries == MOST_TRIES)) is None:
            tries += 1
        return done

    def _try_to_sum(self, day: int, last: bool) -> bool | None:
        try:
            with self._writing() as connection:
                _take_turn(connection)
                return rollup.sum_day(connection, day)
        except DBAPIError as error:
            if last or getattr(error.orig, "sqlstate", None) not in _MET_ANOTHER:
                raise
            return None

    # Retention -------------------------------------------------------------------------------------------------------

    def purge(self, writer: BatchWriter, today: int) -> None:
        """Sum the changed days, then delete what is older than the retention times."""
        for _ in self._all(writer, today):
            pass

    def _all(self, writer: BatchWriter, today: int) -> Iterator[None]:
        """Do everything, one transaction a step."""
        with self._writing() as connection:
            _take_turn(connection)
            partitions.note_width(connection, self.raw_days)
            partitions.try_make_ahead(connection, today)
        for day in self._changed(writer):
            self._sum(day)
            yield
        if self.raw_days is not None:
            before = self._keep_since("raw_since", today - self.raw_days)
            yield from self._let_raw_go(before)
        if self.task_days is not None:
            before = self._keep_since("tasks_since", today - self.task_days)
            yield from self._repeat(lambda connection: rollup.purge_tasks(connection, before))

    def _keep_since(self, key: str, day: int) -> int:
        """Note the first day that is kept, before anything is deleted: days before it are not summed again."""
        with self._writing() as connection:
            _take_turn(connection)
            return rollup.keep_since(connection, key, day)

    def _let_raw_go(self, before: int) -> Iterator[None]:
        with self._engine.connect() as connection:
            partitioned = partitions.until_of(connection) is not None
            names = list(partitions.past(connection, before)) if partitioned else []
        for name in names:
            # A role that owns no tables deletes their rows instead.
            partitioned = partitioned and self._drop(name)
            yield
        yield from self._repeat(lambda connection: rollup.purge_raw(connection, before, partitioned=partitioned))

    def _drop(self, name: str) -> bool:
        """Drop a partition, unless somebody reads it for long: the next round does. Return whether the role may."""
        try:
            with self._writing() as connection:
                partitions.drop(connection, name)
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state not in (*partitions.BUSY, partitions.NOT_OURS):
                raise
            return bool(state != partitions.NOT_OURS)
        return True

    def _repeat(self, some: Callable[[Connection], bool]) -> Iterator[None]:
        """Delete some rows at a time until there are none."""
        more = True
        while more:
            with self._writing() as connection:
                more = some(connection)
            yield

    # Now and then ----------------------------------------------------------------------------------------------------

    def now_and_then(self, writer: BatchWriter) -> None:
        """Go on with what is under way for a moment, or begin it where it is due and no other worker has. The thread that writes calls this when idle."""
        if self._steps is None:
            if time.monotonic() - self._looked < LOOK_S:
                return
            self._looked = time.monotonic()
            if not self._is_due():
                return
            self._steps = self._all(writer, day_of(time.time()))
        until = time.monotonic() + AT_ONCE
        try:
            for _ in self._steps:
                if time.monotonic() > until:
                    return
        except BaseException:
            self._steps = None
            raise
        self._steps = None

    def _is_due(self) -> bool:
        """Return whether it is this worker's turn, and note that it begins; workers with other retention times have turns of their own."""
        meta, now = schema.meta, time.time()
        key = f"maintained {self.raw_days} {self.task_days}"[:64]
        with self._writing() as connection:
            _take_turn(connection)
            before = connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar()
            if before is not None and now - EVERY_S < float(before) <= now + EVERY_S:
                return False
            if before is None:
                connection.execute(meta.insert(), [{"key": key, "value": str(now)}])
            else:
                connection.execute(update(meta).where(meta.c.key == key).values(value=str(now)))
        return True


def _take_turn(connection: Connection) -> None:
    """Wait until no other worker sums or deletes."""
    if is_server(connection):
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
