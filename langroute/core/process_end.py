"""Callbacks at the end of a process, including workers of `multiprocessing`, `billiard` and Celery.

`atexit` covers a normal exit. Children of `multiprocessing` and `billiard` (its fork) skip `atexit` and run their finalizers; workers of
Celery skip both and send a signal. A process that is ended by SIGTERM runs nothing at all: web servers such as uvicorn end gracefully and
then raise the signal again. None of these packages is imported here.
"""

from __future__ import annotations

import atexit
import itertools
import signal
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from langroute.core.errors import DegradedWarning
from langroute.core.locks import at_fork

Owner = TypeVar("Owner")

LAST = -1_000_000
"""Priority of a finalizer that runs after all others, since those may still record something."""

_ends: dict[int, tuple[weakref.ref[Any], Callable[[Any], None]]] = {}
_number = itertools.count()


def at_end(owner: Owner, function: Callable[[Owner], None]) -> None:
    """Register a function to be called with an object at the end of the process, if the object is alive then.

    The function may be called more than once, and the object may be used again after a call.
    """
    key = next(_number)
    _ends[key] = (weakref.ref(owner, lambda _: _ends.pop(key, None)), function)
    atexit.register(_end_one, key)


def _end_one(key: int) -> None:
    reference, function = _ends.get(key, (None, None))
    owner = reference() if reference is not None else None
    if owner is not None and function is not None:
        function(owner)


def end_all(**_: Any) -> None:
    """Call all registered functions, the latest first."""
    for key in sorted(_ends, reverse=True):
        try:
            _end_one(key)
        except Exception as error:  # noqa: BLE001, PERF203 - nor must the others be left out
            warnings.warn(f"At the end of the process: {error}", DegradedWarning, stacklevel=2)


class _Watch:
    """Watches for ends of this process that `atexit` does not report."""

    def __init__(self) -> None:
        self._finalizer: Any = None
        self._follows = self._hears_celery = False
        at_fork(self, in_child=_Watch._forget)

    def _forget(self) -> None:
        # A finalizer belongs to the process that made it.
        self._finalizer = None

    def begin(self) -> None:
        """Install the listeners; further calls in the same process do nothing."""
        util, celery = sys.modules.get("multiprocessing.util"), sys.modules.get("celery.signals")
        if util is not None and (self._finalizer is None or not self._finalizer.still_active()):
            self._finalizer = util.Finalize(None, end_all, exitpriority=LAST)
            if not self._follows:
                self._follows = True
                # A child of multiprocessing forgets all finalizers when it begins; what its main module imported may have made one.
                util.register_after_fork(self, _Watch.begin)
        self._watch_signals()
        shutdown = getattr(celery, "worker_process_shutdown", None)
        if shutdown is not None and not self._hears_celery:
            self._hears_celery = True
            shutdown.connect(end_all, weak=False, dispatch_uid="langroute")

    def _watch_signals(self) -> None:
        """Listen to the signals that end this process; handlers of others are called as before. Only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, wraps in _ENDING_SIGNALS.items():
            before = signal.getsignal(number)
            # A handler of one's own for SIGHUP reads a configuration again.
            if before is signal.SIG_DFL or (wraps and callable(before) and not isinstance(before, _Ending)):
                signal.signal(number, _Ending(before))


class _Ending:
    """Signal handler that lets everything be written before the process ends.

    Args:
        before: The handler that it replaces.
    """

    def __init__(self, before: Any) -> None:
        self.before = before

    def __call__(self, number: int, frame: Any) -> None:
        global _pausing
        _pausing = self.before is not signal.SIG_DFL
        # In threads: the main thread may hold a lock that is needed, just where the signal met it.
        threads = [threading.Thread(target=_end_quietly, args=(key,), daemon=True) for key in sorted(_ends, reverse=True)]
        for thread in threads:
            thread.start()
        until = monotonic() + (LONGEST_END_S if self.before is signal.SIG_DFL else LONGEST_PAUSE_S)
        for thread in threads:
            thread.join(max(0.0, until - monotonic()))
        if self.before is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        else:
            _pausing = False
            self.before(number, frame)


_pausing = False


def is_pausing() -> bool:
    """Return whether the registered functions are called because of a signal after which the process may go on for a while."""
    return _pausing


def _end_quietly(key: int) -> None:
    with suppress(Exception):
        _end_one(key)


_ENDING_SIGNALS = {
    number: wraps for name, wraps in (("SIGTERM", True), ("SIGHUP", False)) if (number := getattr(signal, name, None)) is not None
}
"""Signals that end a process which has no handler for them, and whether a handler that it has ends it too."""

LONGEST_END_S = 10.0
"""Longest time that a signal is held up; a ledger whose database is away gives up sooner (`exit_timeout_s`)."""

LONGEST_PAUSE_S = 1.0
"""Longest time that somebody else's handler waits; what is recorded after it is written at once."""

_watch = _Watch()


def watch_end() -> None:
    """Watch for the end of this process. To be called before anything is buffered in it."""
    _watch.begin()


__all__ = ["at_end", "end_all", "is_pausing", "watch_end"]
