"""State that belongs to no thread: what policies learn and count, shared by the workers of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langroute.core.lazy_names import lazy_names

if TYPE_CHECKING:
    from langroute.state.memory import MemoryState as MemoryState
    from langroute.state.redis import RedisState as RedisState
    from langroute.state.resolve import open_state as open_state
    from langroute.state.sql import SqlState as SqlState
    from langroute.state.store import Change as Change
    from langroute.state.store import StateEntry as StateEntry
    from langroute.state.store import StateStore as StateStore

_PLACES = {
    "Change": "store",
    "StateEntry": "store",
    "MemoryState": "memory",
    "RedisState": "redis",
    "SqlState": "sql",
    "StateStore": "store",
    "open_state": "resolve",
}

__all__ = [*_PLACES]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
