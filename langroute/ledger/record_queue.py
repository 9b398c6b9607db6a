"""`RecordQueue`: records wait here until a background thread writes them in batches."""

from __future__ import annotations

import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from langroute.core.errors import DegradedWarning, LedgerError
from langroute.core.locks import give_way, new_lock, new_rlock
from langroute.core.process_end import watch_end
from langroute.ledger.batch import QueuedRecord
from langroute.ledger.delivery import Delivery

FLUSH_TIMEOUT_S = 60.0
"""Default timeout of `flush` and `close` while the program runs."""

LONGEST_PAUSE_S = 5.0
"""Longest pause before a database that was away is asked again; each of them asks once."""

MOST_SAID = 100
"""Most distinct reasons for dropped records that cause a warning; further ones are not reported."""


class RecordQueue:
    """Records that wait to be written, and the thread that writes them.

    Args:
        write: Writes some records in one transaction.
        answers: Returns whether the database is reachable.
        idle: Called by the thread after everything is written.
        flush_interval_s: Longest time before records are written.
        max_queue: Most records waiting to be written.
        max_wait_s: Longest wait for room in the queue.
        batch: Most records in one transaction.
        exit_timeout_s: Longest time that the program's exit waits while nothing is written.
    """

    def __init__(
        self,
        write: Callable[[Sequence[QueuedRecord]], None],
        answers: Callable[[], bool],
        idle: Callable[[], None],
        *,
        flush_interval_s: float,
        max_queue: int,
        max_wait_s: float,
        batch: int,
        exit_timeout_s: float,
    ) -> None:
        self.flush_interval_s, self.max_queue, self.max_wait_s = flush_interval_s, max_queue, max_wait_s
        self.batch, self.exit_timeout_s = batch, exit_timeout_s
        self.dropped = self._dealt_with = 0
        self._watchers: list[weakref.WeakMethod[Callable[[], Any]]] = []
        self.write_lock = new_rlock()
        self._delivery = Delivery(write, answers, self._drop)
        self._idle = idle
        self._taken: Sequence[Any] = ()
        self._said: set[str] = set()
        self._gave_up = False
        self._failing: str | None = None
        self._closed = self._at_once = self._ending = False
        self._lock = new_lock()
        self._start_over()

    @property
    def is_closed(self) -> bool:
        """Whether what is added now is dropped."""
        return self._closed

    @property
    def is_finished(self) -> bool:
        """Whether no flush follows, so that each record is written at once."""
        return self._at_once

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether who records next has to wait."""
        return len(self._queue) >= self.max_queue

    @property
    def trouble(self) -> str | None:
        """What keeps records from being written just now; `None` if nothing does."""
        return self._failing

    def watch(self, tell: Callable[[], Any]) -> None:
        """Call a method after each writing and after each loss, for as long as its object exists."""
        self._watchers = [one for one in self._watchers if one() not in (None, tell)] + [weakref.WeakMethod(tell)]

    def _changed(self, lost: int = 0) -> None:
        """Count lost records and tell the watchers; one that fails harms nothing."""
        self.dropped += lost
        for one in self._watchers:
            if (tell := one()) is not None:
                with suppress(Exception):
                    tell()

    # The caller's side -----------------------------------------------------------------------------------------------

    def put(self, entry: QueuedRecord) -> None:
        """Add a record; returns at once where there is room."""
        if self._closed:
            self._changed(1)
            self._warn("The ledger is closed: what is recorded now is lost. Close it when the program is done.")
            return
        if len(self._queue) >= self.max_queue and not self._room():
            return
        self._append(entry)

    def _append(self, entry: QueuedRecord | threading.Event) -> None:
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
                self._changed(1)
                self._warn(f"The ledger cannot keep up: its queue of {self.max_queue} is full. What is recorded now is lost.")
                return False
            time.sleep(0.001)
        return True

    def _warn(self, text: str) -> None:
        if text != self._failing:
            self._failing = text
            warnings.warn(text, DegradedWarning, stacklevel=4)

    # The thread's side -----------------------------------------------------------------------------------------------

    def _start_over(self) -> None:
        """Create a new queue and no thread, at the start and in the child of a fork."""
        self._queue: deque[Any] = deque()
        self._some, self._full = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def in_child(self) -> None:
        """Reset the queue in the child of a fork: the parent writes what was queued."""
        self._start_over()
        self._at_once = self._ending = False

    def _start(self) -> None:
        if self._at_once:
            self._drain()
            return
        watch_end()
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
                self._idle()
            else:
                # The database is unreachable: the records stay in the queue and are retried.
                pause = min(LONGEST_PAUSE_S, max(0.1, pause * 2))
                self._full.wait(pause)
                self._some.set()
            if (self._closed or self._at_once) and not self._queue:
                return

    def _drain(self) -> bool:
        """Write everything queued; return `False` if some of it has to be retried."""
        later: list[Any] = []
        while self._queue:
            give_way()
            with self.write_lock:
                taken = [self._queue.popleft() for _ in range(min(self.batch, len(self._queue)))]
                self._taken = [*later, *taken]
                records = [one for one in taken if isinstance(one, QueuedRecord)]
                again = self._delivery.deliver(records)
                later += again
                self._dealt_with += len(records) - len(again)
                waiting = [one for one in taken if isinstance(one, threading.Event)]
                if later:
                    # A `flush` that waits for the queue also waits for these.
                    later += waiting
                else:
                    for one in waiting:
                        one.set()
            if self._delivery.away:
                break
        with self.write_lock:
            if later and not self._gave_up:
                self._queue.extendleft(reversed(later))
            self._taken = ()
        if not later:
            self._failing = None
        elif self._delivery.away or any(one.tries > 1 for one in later if isinstance(one, QueuedRecord)):
            self.warn_beside(f"The ledger cannot be written: {self._delivery.trouble}. What is recorded waits.")
        self._changed()
        return not later

    def _drop(self, entry: QueuedRecord, reason: str) -> None:
        """Count a record that can never be written, and warn once for each kind and reason."""
        self._changed(1)
        kind = "CallRecord" if callable(entry.record) else type(entry.record).__name__
        text = f"The ledger could not keep a {kind}: {reason}"
        if text not in self._said and len(self._said) < MOST_SAID:
            self._said.add(text)
            self.warn_beside(text)

    def warn_beside(self, text: str) -> None:
        """Warn from the writer thread."""
        # Where warnings are turned into errors, one must not end the writer thread.
        with suppress(DegradedWarning):
            self._warn(text)

    # Flushing and closing --------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float | None = None) -> None:
        """Block until everything recorded so far is stored.

        Args:
            timeout_s: Longest wait; by default a minute, and at the end of the program `exit_timeout_s` without a record written.

        Raises:
            LedgerError: Not everything could be stored in time.
        """
        if timeout_s is None:
            self._flush(self._patience(), ends=self._at_end())
        else:
            self._flush(timeout_s)

    def _flush(self, timeout_s: float, *, ends: bool = False) -> None:
        if self._closed or not (self._queue or self._thread):
            return
        done = threading.Event()
        # The flush marker needs no room in the queue: a full queue is exactly what a flush waits for.
        self._append(done)
        self._full.set()
        if not self._waits(done, timeout_s, ends=ends):
            raise LedgerError(f"The ledger could not be written for {timeout_s:.3g} s: {self._failing or 'it is too slow'}")

    def _waits(self, done: threading.Event, timeout_s: float, *, ends: bool) -> bool:
        """Wait for a flush; at the end of the program again for as long as records are written, since the database is there."""
        global _ends_since
        before = self._dealt_with
        while not done.wait(timeout_s):
            if not ends or self._dealt_with == before:
                return False
            before, _ends_since = self._dealt_with, time.monotonic()
            timeout_s = self.exit_timeout_s
        return True

    def _at_end(self) -> bool:
        return self._ending or not threading.main_thread().is_alive()

    def _patience(self) -> float:
        """Return how long to wait for the database; at exit all flushes and ledgers share one time limit."""
        global _ends_since
        if not self._at_end():
            return FLUSH_TIMEOUT_S
        now = time.monotonic()
        if _ends_since is None or now - _ends_since > 2 * self.exit_timeout_s:
            # Not the end that it was set for, which the process survived.
            _ends_since = now
        return max(0.0, _ends_since + self.exit_timeout_s - now)

    def close(self, timeout_s: float | None = None) -> None:
        """Flush, stop the thread and close the connections. What is recorded afterwards is dropped.

        Args:
            timeout_s: Longest wait, as for `flush`. Records not written by then are lost, and counted in `dropped`.

        Raises:
            LedgerError: Not everything could be stored in time; the message says how many records are lost.
        """
        if self._closed:
            return
        patience = self._patience() if timeout_s is None else timeout_s
        try:
            self._flush(patience, ends=timeout_s is None and self._at_end())
        except LedgerError as error:
            raise LedgerError(f"{error} Up to {self._give_up():,} records are lost.") from error
        finally:
            self._closed = True
            self._end_thread(patience)

    def end(self) -> None:
        """Flush at the end of the process. Later records are written at once, because no flush follows."""
        if self._closed or self._at_once:
            return
        global _ends_since
        self._ending, before = True, _ends_since
        try:
            self._flush(self._patience(), ends=True)
        except LedgerError as error:
            lost = f"Up to {self._give_up():,} records are lost."
            self._warn(f"{error} {lost} The end of the program waits for {self.exit_timeout_s:g} s (exit_timeout_s).")
        else:
            self._at_once = True
            self._end_thread(self._patience())
            self._thread = None
            self._drain()
            if before is None:
                # Nothing was waited for in vain: the next end has its own time.
                _ends_since = None

    def _end_thread(self, patience: float) -> None:
        self._some.set()
        self._full.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and not self._gave_up:
            thread.join(min(5.0, patience))

    def _give_up(self) -> int:
        """Discard what is queued and return how many records that is, including those being written at the moment."""
        self._closed = self._gave_up = True
        lost = sum(isinstance(one, QueuedRecord) for one in (*self._taken, *list(self._queue)))
        self._queue.clear()
        self._changed(lost)
        return lost


_ends_since: float | None = None
"""Time at which the program's exit was first noticed."""
