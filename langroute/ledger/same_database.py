"""What the ledgers of one process that write to one database know together."""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from typing import Any

MOST_RECENT = 10_000
"""Most decisions that are known to be recorded."""

MOST_CLAIMS = 100_000
"""Most claims that wait for their decisions."""


class RecordedLately:
    """Decisions recorded lately in a database, and claims that came before their decisions."""

    __slots__ = ("__weakref__", "claims", "recent")

    def __init__(self) -> None:
        self.recent: OrderedDict[str, weakref.ref[Any]] = OrderedDict()
        """Decision → the ledger that it was given to."""

        self.claims: OrderedDict[str, str] = OrderedDict()
        """Decision → its task."""

    def ledger_of(self, decision_id: str) -> Any:
        """Return the ledger that a decision was given to; `None` where it is unknown or gone."""
        found = self.recent.get(decision_id)
        return found() if found is not None else None


_by_database: weakref.WeakValueDictionary[Hashable, RecordedLately] = weakref.WeakValueDictionary()


def recorded_in(identity: Hashable) -> RecordedLately:
    """Return what this process recorded in a database; the same object for every ledger that is open there.

    Example:
        >>> here = recorded_in("a")
        >>> recorded_in("a") is here, recorded_in("b") is here
        (True, False)
    """
    found = _by_database.get(identity)
    if found is None:
        found = _by_database.setdefault(identity, RecordedLately())
    return found


def identity_of(url: Any, hash_key: str) -> Hashable:
    """Return what tells a database apart in this process, whatever path or host name it was opened by.

    Args:
        url: SQLAlchemy's URL of it.
        hash_key: The key that was made with it.
    """
    if url.get_backend_name() != "sqlite":
        return (hash_key, url.database)
    try:
        status = Path(str(url.database)).stat()
    except OSError:
        return (hash_key, str(url.database))
    return (status.st_dev, status.st_ino) if status.st_ino else (hash_key, os.path.realpath(str(url.database)))


__all__ = ["MOST_CLAIMS", "MOST_RECENT", "RecordedLately", "identity_of", "recorded_in"]
