"""Which tracker tells a ledger about a run, where several trackers of one ledger see it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from langroute.core.locks import new_lock


class RunOwners:
    """Runs that are open, each with the tracker that records it in a ledger.

    A tracker that somebody made goes before the one that the environment asks for; of two, the one that saw the run first.

    Example:
        >>> owners = RunOwners()
        >>> owners.enter("ledger", 1, "ambient", 0)
        >>> owners.enter("ledger", 1, "own", 1)
        >>> owners.enter("ledger", 1, "another", 1)
        >>> [owners.is_owner("ledger", 1, name) for name in ("ambient", "own", "another")]
        [False, True, False]
    """

    def __init__(self) -> None:
        self._owners: dict[tuple[Hashable, Any], tuple[int, Any]] = {}
        self._lock = new_lock()

    def enter(self, ledger: Hashable, run_id: Any, tracker: Any, rank: int) -> None:
        """Note that a tracker saw a run begin."""
        key = (ledger, run_id)
        with self._lock:
            before = self._owners.get(key)
            if before is None or rank > before[0]:
                self._owners[key] = (rank, tracker)

    def is_owner(self, ledger: Hashable, run_id: Any, tracker: Any) -> bool:
        """Return whether a tracker is the one that records a run which has begun and not ended."""
        found = self._owners.get((ledger, run_id))
        return found is not None and found[1] is tracker

    def leave(self, ledger: Hashable, run_id: Any, tracker: Any) -> bool:
        """Note that a tracker saw a run end, and return whether it is the one that records it."""
        with self._lock:
            if not self.is_owner(ledger, run_id, tracker):
                # Whoever records it may have seen its end before.
                return False
            del self._owners[ledger, run_id]
            return True


OWNERS = RunOwners()
"""The runs of this process."""
