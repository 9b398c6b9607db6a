"""Batched delivery of records to a database: a record that cannot be written does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from langroute.core.errors import DataError
from langroute.core.storable import name_of
from langroute.ledger.batch import QueuedRecord
from langroute.ledger.facts import CallRecord
from langroute.ledger.fitting import fitted, fitted_task
from langroute.ledger.trouble import AWAY, BUSY, RECORD, reason_of, verdict_on

MOST_TRIES = 10
"""Most attempts for a record that keeps meeting locks and timeouts while other records are written."""

MOST_REFUSALS = 12
"""Number of consecutive busy batches after which the search for the record at fault stops."""


def in_form(entry: QueuedRecord) -> QueuedRecord:
    """Return an entry with its record in the form that databases accept; a callable that produces the record is called first.

    Raises:
        DataError: It cannot be normalized.
    """
    record = entry.record
    if callable(record):
        record = record()
        if not isinstance(record, CallRecord):
            raise DataError(f"A call was told as a {type(record).__name__}.")
    entry.record = fitted(record)
    entry.task = fitted_task(entry.task)
    if entry.claimed is not None:
        entry.claimed = name_of(entry.claimed)
    entry.ready = True
    return entry


@dataclass
class Delivery:
    """Write batches; a batch that fails while the database is reachable is bisected until the record at fault is found.

    Args:
        write: Writes some entries in one transaction.
        answers: Return whether the database is reachable.
        drop: Called with an entry that can never be written, and the reason.
    """

    write: Callable[[Sequence[QueuedRecord]], None]
    answers: Callable[[], bool]
    drop: Callable[[QueuedRecord, str], None]
    trouble: str = ""
    """The reason why the entries that `deliver` last returned were not written."""

    away: bool = False
    """Whether the database was unreachable, so that further entries need not be tried now."""

    _later: list[QueuedRecord] = field(default_factory=list)
    _stuck: list[QueuedRecord] = field(default_factory=list)
    _written: bool = False
    _refusals: int = 0

    def deliver(self, entries: Sequence[QueuedRecord]) -> list[QueuedRecord]:
        """Write entries and return those that have to be retried later."""
        self._later, self._stuck = [], []
        self.away = self._written = False
        self._refusals = 0
        self._deliver([entry for entry in entries if self._is_ready(entry)])
        for entry in self._stuck:
            # Only if other records were written meanwhile: a lock on everything is not about this record.
            entry.tries += self._written
            if entry.tries >= MOST_TRIES:
                self.drop(entry, self.trouble)
            else:
                self._later.append(entry)
        return self._later

    def _is_ready(self, entry: QueuedRecord) -> bool:
        try:
            if not entry.ready:
                in_form(entry)
        except Exception as error:  # noqa: BLE001 - whatever somebody recorded
            self.drop(entry, reason_of(error))
            return False
        return True

    def _deliver(self, entries: list[QueuedRecord]) -> None:
        if self.away or self._is_hopeless():
            self._later += entries
        elif entries:
            try:
                self.write(entries)
                self._written = True
            except Exception as error:  # noqa: BLE001 - the tables of `trouble` say what it means
                self._failed(entries, error)

    def _is_hopeless(self) -> bool:
        """Return whether single records fail too, so that the rest need not be tried one by one."""
        return not self._written and self._refusals > MOST_REFUSALS

    def _failed(self, entries: list[QueuedRecord], error: Exception) -> None:
        verdict = verdict_on(error, self.answers)
        if verdict != RECORD:
            self.trouble = reason_of(error)
        if verdict == AWAY:
            self.away = True
            self._later += entries
        elif verdict == BUSY and not any(entry.tries for entry in entries):
            # Most deadlocks are resolved at the second try.
            for entry in entries:
                entry.tries = 1
            self._later += entries
        elif len(entries) > 1:
            # Bisected, so that one bad record among 500 costs 18 transactions rather than 500.
            self._refusals += verdict == BUSY
            middle = len(entries) // 2
            self._deliver(entries[:middle])
            self._deliver(entries[middle:])
        elif verdict == BUSY:
            self._stuck += entries
        else:
            self.drop(entries[0], reason_of(error))


__all__ = ["MOST_TRIES", "Delivery", "in_form"]
