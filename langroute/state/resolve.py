"""The state store that is meant: one by its address, a ledger's own, or the one of this process."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langroute.core.locks import new_lock
from langroute.state.local import LocalState

if TYPE_CHECKING:
    from langroute.state.memory import MemoryState

_lock = new_lock()
_of_ledger: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_of_process: weakref.WeakValueDictionary[str, MemoryState] = weakref.WeakValueDictionary()


def open_state(where: Any) -> Any:
    """Return a state store by its address.

    Args:
        where: `redis://…` (and what else `parse_redis_url` reads), `postgresql://…`, the path of a SQLite file, or a store, which is returned as it is.

    Raises:
        ConfigurationError: The address is malformed.
        LedgerError: The file cannot be opened.
        MissingExtraError: A package that it needs is not installed.

    Example:
        >>> from langroute.state.memory import MemoryState
        >>> store = MemoryState()
        >>> open_state(store) is store
        True
    """
    if not isinstance(where, (str, Path)):
        return where
    from langroute.core.redis_url import is_redis_url

    if is_redis_url(where):
        from langroute.state.redis import RedisState

        return RedisState(where)
    from langroute.state.sql import SqlState

    return SqlState(where)


def begin_state(space: str, fold: Any, store: Any = None) -> LocalState:
    """Return a policy's state: in a store that was given, else in this process until `moved_to` finds a better place.

    Args:
        space: Name of the state in a store.
        fold: What events do to it.
        store: A `StateStore`, or the address of one.
    """
    if store is None:
        return LocalState(space, fold)
    from langroute.state.shared import SharedState

    return SharedState(open_state(store), space, fold)


def moved_to(ledger: Any, state: LocalState) -> LocalState:
    """Return a policy's state in the database of its router's ledger, where that lasts and the state is nowhere else yet.

    Nothing is read or written now, unless something was told before.
    """
    if type(state) is not LocalState or not lasts(ledger):
        return state
    from langroute.state.shared import SharedState

    shared = SharedState(state_of(ledger), state.space, state.fold)
    before = state.document()
    if before and not shared.now():
        shared.replace(before)
    return shared


def lasts(ledger: Any) -> bool:
    """Return whether a ledger has a database that outlives the process.

    Example:
        >>> from langroute.ledger.memory import MemoryLedger
        >>> lasts(MemoryLedger())
        False
    """
    return hasattr(getattr(ledger, "engine", None), "dialect")


def state_of(ledger: Any) -> Any:
    """Return the state store of a ledger: its own database where it has one, else what this process keeps in memory.

    What is in memory is kept for as long as somebody holds it.

    Example:
        >>> from langroute.ledger.memory import MemoryLedger
        >>> store = state_of(MemoryLedger())
        >>> store is state_of(MemoryLedger())
        True
    """
    with _lock:
        if not lasts(ledger):
            from langroute.state.memory import MemoryState

            return _of_process.setdefault("", _of_process.get("") or MemoryState())
        found = _of_ledger.get(ledger)
        if found is None:
            from langroute.state.sql import SqlState

            found = _of_ledger[ledger] = SqlState(ledger.engine, ended=_ended(ledger))
        return found


def _ended(ledger: Any) -> Callable[[], bool]:
    """Return a function that says whether a ledger is closed; it does not keep the ledger."""
    kept = weakref.ref(ledger)

    def ended() -> bool:
        found = kept()
        return found is None or bool(getattr(found, "is_closed", False) or getattr(found, "is_finished", False))

    return ended
