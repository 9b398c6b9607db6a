"""Interface of state stores: small documents with versions, which several processes change without losing a change.

A policy's state is a space of keys. A change names the version that it was made from; where somebody else was faster, nothing of the
commit is stored, and it is made again from what is there now (`langroute.state.shared.SharedState` does so).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

ABSENT = ""
"""The version of what is not there."""

MOST_TEXT = 1_000_000
"""Most characters of a value."""


@dataclass(frozen=True, slots=True)
class StateEntry:
    """A value that is kept, and its version."""

    value: str = ""
    version: str = ABSENT


@dataclass(frozen=True, slots=True)
class Change:
    """What a key is to hold."""

    key: str
    value: str | None
    """The new value; `None` removes the key."""

    version: str = ABSENT
    """The version that was read; `ABSENT` where there was none."""

    keep_seconds: float | None = None
    """Seconds after which it is forgotten; `None` for never."""


@runtime_checkable
class StateStore(Protocol):
    """Store of versioned texts. `langroute.state.contract.StateStoreContract` tests an implementation."""

    local: bool
    """Whether no method waits for a disk or a network, so that a call may use them directly."""

    def read(self, space: str, keys: Sequence[str]) -> list[StateEntry]:
        """Return what each key of a space holds; an empty entry where there is nothing."""
        ...

    def commit(self, space: str, changes: Sequence[Change]) -> bool:
        """Make all changes or none. Return whether they were made: not where a key has another version than its change says."""
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...
