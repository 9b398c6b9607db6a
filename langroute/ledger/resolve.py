"""The ledger that an argument means: an object, a path or URL, or the one that `LANGROUTE_LEDGER` names.

In one process a path or URL means one ledger, however often it is given: two would each know half of the decisions.
"""

from __future__ import annotations

import os
import warnings
from os import PathLike
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from langroute.core.degradation import callers_level
from langroute.core.errors import DegradedWarning, LangrouteError
from langroute.core.locks import new_rlock
from langroute.ledger.memory import MemoryLedger

ENV_VAR = "LANGROUTE_LEDGER"
"""Environment variable with the path or URL of the ledger of whatever was given none."""

_opened: WeakValueDictionary[str, Any] = WeakValueDictionary()
"""Address → the ledger that was opened last."""

_kept: dict[str, Any] = {}
"""Ledgers that were opened here and belong to nobody else: they stay open until the process ends."""

_lock = new_rlock()


def resolve_ledger(given: Any = None) -> Any:
    """Return the ledger that is meant.

    Args:
        given: A ledger, a path or URL, or `None` for the one that the environment variable names, else one in memory.

    Raises:
        LedgerError: The path or URL that was given cannot be opened. Where the environment's cannot, a warning says so instead.

    Example:
        >>> resolve_ledger(MemoryLedger()).decisions
        []
    """
    if isinstance(given, (str, PathLike)):
        return shared_ledger(given)
    if given is not None:
        return given
    named = os.environ.get(ENV_VAR)
    return ledger_of_environment() if named else MemoryLedger()


def ledger_of_environment() -> Any:
    """Return the ledger that the environment variable names; where it cannot be opened, warn and return one in memory."""
    try:
        return shared_ledger(os.environ[ENV_VAR])
    except LangrouteError as error:
        warnings.warn(f"{ENV_VAR}: {error} Nothing is recorded in this process.", DegradedWarning, stacklevel=callers_level())
        return MemoryLedger(100)


def shared_ledger(where: str | PathLike[str]) -> Any:
    """Return the open ledger of a path or URL in this process; it is opened if there is none.

    Raises:
        LedgerError: It cannot be opened.
    """
    from langroute.ledger.sql import SqlLedger

    address = address_of(where)
    with _lock:
        found = _opened.get(address)
        if found is None or found.is_closed or found.is_finished:
            found = _opened[address] = _kept[address] = SqlLedger(where if isinstance(where, str) else Path(where))
        return found


def note_opened(where: Any, ledger: Any) -> None:
    """Remember a ledger that somebody opened, so that the same path or URL means the same ledger."""
    with _lock:
        _opened[address_of(where)] = ledger


def address_of(where: Any) -> str:
    """Return the same text for all ways to write a path or URL."""
    from langroute.ledger.connection import url_of

    url = url_of(where if isinstance(where, str) or hasattr(where, "drivername") else Path(where))
    if url.get_backend_name() == "sqlite":
        return f"sqlite:{Path(str(url.database)).absolute()}"
    return url.render_as_string(hide_password=False)
