"""Outcomes that other processes recorded to a ledger's database, passed on to what learns from them in this one.

A thread reads the rows that are new, once a second while the process records to the ledger, and passes them to its listeners
(`langroute.ledger.listening`). What this process recorded itself they have heard at once. Up to where the workers of a service have heard is
kept in the database, so that what is recorded while none runs is heard at the next start. A row may be heard again after a restart, and
every worker hears it, so that listeners who count together tell outcomes apart (`langroute.state.local.mark_of`).
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, or_, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from langroute.core.locks import at_fork, new_lock
from langroute.core.records import Outcome
from langroute.ledger import schema
from langroute.ledger.connection import begin_writing
from langroute.ledger.listening import tell
from langroute.ledger.outcome_rows import outcome_of

EVERY_S = 1.0
"""Seconds between two looks at the database."""

RETRY_S = 5.0
"""Seconds before a database that was away is asked again, and between two notes of how far was heard."""

AT_ONCE = 500
"""Most rows of one look."""

MOST_BEHIND = 10_000
"""Most outcomes from before the start that are heard."""

MOST_OPEN = 2000
"""Most rows that are looked for again, because their transaction or their decision is not there yet."""

OPEN_S = 60.0
"""Seconds for which they are."""

MOST_MINE = 10_000
"""Most rows that this process is known to have written."""

_HEARD = "outcomes_heard"


class OutcomeFeed:
    """Reader of the outcomes that other processes record to a ledger.

    Args:
        ledger: The `SqlLedger`; it is not kept.
    """

    def __init__(self, ledger: Any) -> None:
        self._ledger = weakref.ref(ledger)
        self._lock, self._polling = new_lock(), new_lock()
        self._mine: OrderedDict[int, None] = OrderedDict()
        self._in_child()
        at_fork(self, in_child=OutcomeFeed._in_child)

    def _in_child(self) -> None:
        self.running = False
        self._stop = threading.Event()
        self.heard_to: int | None = None
        """Number of the latest row that was read; `None` before the first look."""

        self._noted, self._note_at = 0, 0.0
        self._open: OrderedDict[int, float] = OrderedDict()

    def start(self) -> None:
        """Start to read, unless it has been started in this process."""
        with self._lock:
            if not self.running and not self._stop.is_set():
                self.running = True
                threading.Thread(target=self._run, name="langroute-outcomes", daemon=True).start()

    def stop(self) -> None:
        """Stop reading; returns when nothing is being passed on."""
        self._stop.set()
        if self._polling.acquire(timeout=EVERY_S):
            self._polling.release()

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            ledger = self._ledger()
            if ledger is None:
                return
            try:
                pause = 0.0 if self.poll(ledger) >= AT_ONCE else EVERY_S
            except SQLAlchemyError:
                # The ledger itself warns of a database that is away.
                pause = RETRY_S
            del ledger

    # What this process wrote ----------------------------------------------------------------------------------------------

    def wrote(self, rows: Sequence[int]) -> None:
        """Note rows that this process is about to commit: their listeners have heard them."""
        mine = self._mine
        mine.update(dict.fromkeys(rows))
        while len(mine) > MOST_MINE:
            mine.popitem(last=False)

    def took_back(self, rows: Sequence[int]) -> None:
        """Forget rows that were rolled back: another process may get their numbers."""
        for number in rows:
            self._mine.pop(number, None)

    # Reading ------------------------------------------------------------------------------------------------------------

    def poll(self, ledger: Any) -> int:
        """Pass on what is new, and return the number of rows that were read."""
        with self._polling:
            if self._stop.is_set():
                return 0
            with ledger.engine.connect() as connection:
                if self.heard_to is None:
                    self.heard_to = self._noted = self._begin(ledger, connection)
                rows = self._new(connection)
            for row in rows:
                self._take(ledger, row)
            self._note(ledger)
            return len(rows)

    @staticmethod
    def _begin(ledger: Any, connection: Connection) -> int:
        """Return up to which row the workers have heard."""
        top = connection.execute(select(func.max(schema.outcomes.c.n))).scalar() or 0
        heard = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == _HEARD)).scalar()
        if heard is None or not heard.isdecimal():
            with (
                suppress(IntegrityError),
                ledger.engine.connect().execution_options(langroute_write=True) as writing,
                writing.begin(),
            ):
                writing.execute(schema.meta.insert(), [{"key": _HEARD, "value": str(top)}])
            return int(top)
        return max(min(int(heard), top), top - MOST_BEHIND)

    def _new(self, connection: Connection) -> Sequence[Any]:
        high, now = self.heard_to or 0, time.monotonic()
        for number in [number for number, until in self._open.items() if until < now]:
            del self._open[number]
        o, t, d = schema.outcomes, schema.tasks, schema.decisions
        query = select(o, t.c.id.label("known_as"), d.c.id.label("decided")).select_from(
            o.outerjoin(t, o.c.task == t.c.n).outerjoin(d, o.c.decision == d.c.n)
        )
        wanted = or_(o.c.n > high, o.c.n.in_(list(self._open))) if self._open else o.c.n > high
        rows = connection.execute(query.where(wanted).order_by(o.c.n).limit(AT_ONCE)).all()
        if not rows:
            # After all rows were purged, SQLite begins with the first number again.
            self.heard_to = min(high, connection.execute(select(func.max(o.c.n))).scalar() or 0)
        return rows

    def _take(self, ledger: Any, row: Any) -> None:
        number, high, until = row.n, self.heard_to or 0, time.monotonic() + OPEN_S
        for missing in range(max(high + 1, number - MOST_OPEN), number):
            # Its transaction began earlier and ends later, or was rolled back.
            self._open[missing] = until
        self.heard_to = max(high, number)
        if row.task is None and row.decision_id is None and number not in self._mine:
            # It names a run that is not stored yet.
            self._open.setdefault(number, until)
        else:
            self._open.pop(number, None)
            if self._mine.pop(number, 0) is None:
                return
            with suppress(Exception):
                # A listener that fails keeps no other from what follows.
                tell(ledger, _told(row))
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)

    def _note(self, ledger: Any) -> None:
        """Note in the database how far was heard, now and then."""
        heard = min([self.heard_to or 0, *(number - 1 for number in self._open)])
        if heard <= self._noted or time.monotonic() < self._note_at:
            return
        meta, self._note_at = schema.meta, time.monotonic() + RETRY_S
        with ledger.engine.connect().execution_options(langroute_write=True) as connection, connection.begin():
            begin_writing(connection)
            known = connection.execute(select(meta.c.value).where(meta.c.key == _HEARD)).scalar() or "0"
            if not known.isdecimal() or int(known) < heard:
                connection.execute(update(meta).where(meta.c.key == _HEARD).values(value=str(heard)))
        self._noted = heard


def _told(row: Any) -> Outcome:
    """Return a row as its listeners know what it is about: a decision, or else a task."""
    if row.decision_id is not None:
        return outcome_of(row)
    if row.run_id is not None and row.decided is not None:
        return replace(outcome_of(row), decision_id=row.decided)
    return outcome_of(row, row.known_as)


__all__ = ["OutcomeFeed"]
