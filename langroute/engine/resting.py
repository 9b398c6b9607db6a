"""Budget stores that calls wait for in vain: for a moment they are not asked anew by calls that go on without them."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from langroute.budgets.queries import Queries, Query

REST_S = 2.0
"""How long a store that was waited for in vain is not asked by calls that go on without it."""

SLOW_S = 0.5
"""Seconds after which a failure is one that was waited for; half of the store's timeout where that is less. A quick one costs nobody a wait."""

_RESTS: dict[int, tuple[Any, float]] = {}
"""Id of a store → the store, and until when it is not asked. By identity, as a store need not be hashable."""


def is_resting(store: Any) -> bool:
    """Return whether a store was waited for in vain a moment ago."""
    rest = _RESTS.get(id(store))
    return rest is not None and rest[0] is store and rest[1] > monotonic()


def watched(ask: Callable[[], Queries[Any]]) -> Queries[Any]:
    """Pass queries on; the store of one that fails slowly rests."""
    queries = ask()
    try:
        query = next(queries)
        while True:
            since = monotonic()
            try:
                answer = yield query
            except BaseException as error:  # noqa: BLE001 - what it asks next is its own business
                if isinstance(query, Query) and isinstance(error, Exception):
                    _failed(query.store, monotonic() - since)
                query = queries.throw(error)
            else:
                query = queries.send(answer)
    except StopIteration as stop:
        return stop.value


def _failed(store: Any, after_s: float) -> None:
    timeout = getattr(store, "timeout", None)
    slow = min(SLOW_S, timeout / 2) if isinstance(timeout, (int, float)) and timeout > 0 else SLOW_S
    if after_s < slow or is_resting(store):
        # Calls that were waiting already do not prolong a rest.
        return
    now = monotonic()
    for key, (_, until) in list(_RESTS.items()):
        if until <= now:
            _RESTS.pop(key, None)
    _RESTS[id(store)] = store, now + REST_S


__all__ = ["is_resting", "watched"]
