"""`CachedCall`: one call of a caching host, its look-up in the response cache, and what became of it."""

from __future__ import annotations

from typing import Any

from langroute.cache.requests import Lookup
from langroute.core.records import Stored
from langroute.engine.effects import Reply, RouteCall


class CachedCall:
    """State of one call. Most of it is never set for a hit, so the defaults stand in the class.

    Args:
        call: The call.

    Example:
        >>> from langroute.core.records import Request, Selection, Step
        >>> call = CachedCall(RouteCall(None, Selection("cheap"), Request((), Step("chat")), "d1", 0))
        >>> call.pending, call.running
        (False, False)
    """

    lookup: Lookup | None = None
    """Its look-up; `None` where the cache is bypassed."""

    pending: bool = False
    """Whether the look-up is the session's to end: its answer is awaited, or may still be stored."""

    running: bool = False
    """Whether the call is running, perhaps in a thread that the plan no longer waits for."""

    lost: bool = False
    """Whether it lost a race, so that the plan goes on without it."""

    handed_over: bool = False
    """Whether its stream goes on for other listeners, as its caller left; `SharedCall` ends it."""

    reply: Reply | None = None
    place: int = -1
    """Its index among the attempts; the winner of a race comes after the losers."""

    chunks: list[Any] | None = None
    """The model's chunks, if it was streamed."""

    status: str | None = None
    """Result of the cache for the decision: `hit`, `semantic_hit`, `miss` or `bypass: why`."""

    stored: Stored | None = None
    key: str | None = None

    def __init__(self, call: RouteCall) -> None:
        self.call = call

    def bypassed(self, why: str) -> None:
        """Note that the cache is not used for the call."""
        self.status = f"bypass: {why}"

    def missed(self, lookup: Lookup) -> None:
        """Note the look-up: a miss until an answer is found."""
        self.status, self.key, self.lookup, self.pending = "miss", lookup.key, lookup, True

    def answered(self, stored: Stored, how: str, key: str) -> None:
        """Note that the call was answered without a model."""
        self.status, self.stored, self.key, self.pending = how, stored, key, False

    def replied(self, reply: Reply, place: int) -> None:
        """Note the reply that the plan gets, and write the cache's result into it."""
        reply.cache, reply.stored, reply.cache_key = self.status, self.stored, self.key
        self.reply, self.place = reply, place
