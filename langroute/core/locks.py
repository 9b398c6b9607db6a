"""Locks that stay usable in a forked child, and callbacks at a fork.

A fork copies all memory but only one thread: a lock that another thread holds stays taken in the child for ever, and the data it guards
may be inconsistent. So every lock of this package is made here. All of them are taken for a moment before a fork, so that the data is
consistent; in the child all of them are free.
"""

from __future__ import annotations

# Both take locks of their own before a fork. They are imported here so that they do it after us: a holder of our lock may need one of theirs.
import concurrent.futures.thread  # noqa: F401
import itertools
import logging  # noqa: F401
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic, sleep
from typing import Any, Protocol, TypeVar

MOST_SECONDS = 2.0
"""Seconds that a fork waits for locks and imports of other threads. Most locks are held for microseconds, a transaction's for longer."""

Owner = TypeVar("Owner")


class _Lock(Protocol):
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...

    def _at_fork_reinit(self) -> None: ...


_locks: set[weakref.ref[Any]] = set()
_owners: dict[int, tuple[weakref.ref[Any], Callable[[Any], None] | None, Callable[[Any], None] | None]] = {}
_number = itertools.count()
_fork = threading.local()
_waiting: set[int] = set()
"""Identifiers of the threads that are about to fork."""

_at_work: dict[int, int] = {}
"""What a fork waits for beside the locks, by the key it was given, with the identifier of the thread that began it."""


def new_lock() -> threading.Lock:
    """Return a `threading.Lock` that is free in a forked child.

    Example:
        >>> with new_lock():
        ...     pass
    """
    lock = threading.Lock()
    adopt(lock)
    return lock


def new_rlock() -> threading.RLock:
    """Return a `threading.RLock` that is free in a forked child."""
    lock = threading.RLock()
    adopt(lock)
    return lock


def adopt(lock: Any) -> None:
    """Treat another package's lock as if it had been made here; anything that is not a lock is ignored."""
    if hasattr(lock, "_at_fork_reinit"):
        _locks.add(weakref.ref(lock, _locks.discard))


def new_condition() -> threading.Condition:
    """Return a `threading.Condition` whose lock is free in a forked child."""
    return threading.Condition(new_rlock())


def at_fork(
    owner: Owner, *, before: Callable[[Owner], None] | None = None, in_child: Callable[[Owner], None] | None = None
) -> None:
    """Register callbacks for an object that run at every fork, for as long as the object lives.

    Args:
        owner: The object; only a weak reference to it is kept.
        before: Called in the forking thread, which then holds all locks but those that other threads did not release in time.
        in_child: Called in the child, where all locks are free and no other thread runs.
    """
    key = next(_number)
    _owners[key] = (weakref.ref(owner, lambda _: _owners.pop(key, None)), before, in_child)


def give_way() -> None:
    """Wait for threads that are about to fork. Call it before taking a lock that is held for long or repeatedly."""
    if _waiting:
        until = monotonic() + MOST_SECONDS
        while _waiting and monotonic() < until:
            sleep(0.001)


def begin_work(key: int) -> None:
    """Let forks of other threads wait, for a limited time, until `end_work`: for what no child may inherit half done.

    Args:
        key: Tells this work apart, such as the `id` of a connection. Work that was already begun stays begun once.
    """
    _at_work[key] = threading.get_ident()


def end_work(key: int) -> None:
    """Let forks no longer wait for a work; nothing happens if it was not begun."""
    _at_work.pop(key, None)


def is_at_work(key: int) -> bool:
    """Return whether a work has begun and not ended."""
    return key in _at_work


def others_work() -> bool:
    """Return whether another thread does something that a fork waits for."""
    me = threading.get_ident()
    return any(thread != me for thread in list(_at_work.values()))


def live_locks() -> list[Any]:
    """Return the locks that were made here and are still in use."""
    return [lock for reference in _locks.copy() if (lock := reference()) is not None]


def _each() -> list[tuple[Any, Callable[[Any], None] | None, Callable[[Any], None] | None]]:
    found = ((reference(), before, in_child) for reference, before, in_child in list(_owners.values()))
    return [one for one in found if one[0] is not None]


# Before a fork -----------------------------------------------------------------------------------------------------------


def _before() -> None:
    taken: list[_Lock] = []
    _fork.taken = taken
    me = threading.get_ident()
    _waiting.add(me)
    try:
        _wait_while(_others_import, monotonic() + MOST_SECONDS)
        until = monotonic() + MOST_SECONDS
        while True:
            _wait_while(others_work, until)
            _take(live_locks(), taken, monotonic() + MOST_SECONDS)
            # Whoever began in the meantime has to take one of the locks before the work itself.
            if not others_work() or monotonic() >= until:
                break
            _give_back(taken)
        # Locks that were made in the meantime.
        mine = {id(lock) for lock in taken}
        for lock in live_locks():
            if id(lock) not in mine:
                _take_free([lock], taken)
    finally:
        _waiting.discard(me)
    for owner, before, _ in _each():
        if before is not None:
            # A failing callback only leaves something uncleaned in the child.
            with suppress(Exception):
                before(owner)


def _take(locks: Iterable[_Lock], taken: list[_Lock], until: float) -> None:
    """Take all locks; those that other threads hold for too long are left out.

    No lock is waited for while another one is held, so that a thread that needs two of them is not blocked for long.
    """
    locks, first = list(locks), None
    while first is None or (monotonic() < until and first.acquire(timeout=max(0.0, until - monotonic()))):
        if first is not None:
            taken.append(first)
        first = _take_free([lock for lock in locks if lock is not first], taken)
        if first is None:
            return
        _give_back(taken)
    for lock in locks:
        _take_free([lock], taken)


def _take_free(locks: Iterable[_Lock], taken: list[_Lock]) -> _Lock | None:
    """Take free locks in order, up to the first one that is held; return that one, or `None`."""
    for lock in locks:
        if not lock.acquire(blocking=False):
            return lock
        taken.append(lock)
    return None


def _give_back(taken: list[_Lock]) -> None:
    while taken:
        taken.pop().release()


_MODULE_LOCKS: dict[Any, Any] = getattr(sys.modules.get("_frozen_importlib"), "_module_locks", {})
"""Python's own locks of the modules that are being imported."""


def _wait_while(others: Callable[[], bool], until: float) -> None:
    while others() and monotonic() < until:
        sleep(0.001)


def _others_import() -> bool:
    """Return whether another thread imports a module: its import lock would stay taken in the child for ever."""
    mine = (None, threading.get_ident())
    return any(getattr(reference(), "owner", None) not in mine for reference in list(_MODULE_LOCKS.values()))


# After it ----------------------------------------------------------------------------------------------------------------


def _in_parent() -> None:
    _give_back(getattr(_fork, "taken", []))


def _in_child() -> None:
    taken: list[_Lock] = getattr(_fork, "taken", [])
    mine = {id(lock) for lock in taken}
    for lock in live_locks():
        if id(lock) not in mine:
            # As the standard library does with its own locks: in place, so that all references stay valid.
            lock._at_fork_reinit()
    # Released and not reinitialised: this thread may have held one before the fork and will release it.
    _give_back(taken)
    _waiting.clear()
    _at_work.clear()
    failed: list[Exception] = []
    for owner, _, in_child in _each():
        if in_child is not None:
            try:
                in_child(owner)
            except Exception as error:  # noqa: BLE001 - the others begin anew all the same
                failed.append(error)
    if failed:
        raise failed[0]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)


__all__ = [
    "adopt",
    "at_fork",
    "begin_work",
    "end_work",
    "give_way",
    "is_at_work",
    "live_locks",
    "new_condition",
    "new_lock",
    "new_rlock",
    "others_work",
]
