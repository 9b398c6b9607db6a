"""What is asked of the cache, and what comes of it?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langroute.cache.entries import Entry
from langroute.cache.flights import Flight, Landed
from langroute.cache.namespaces import Namespace


def _nobody(_: str) -> bytes | None:
    return None


@dataclass(slots=True)
class Ask:
    """One request as the cache is asked for it."""

    messages: Sequence[Any]
    kind: str
    route: str
    tier: str
    made_by: bytes
    """Digest of the route's model and its settings."""

    parts: Sequence[bytes]
    """Digests of tools and call arguments."""

    settings: Mapping[str, Any]
    model: Any
    metadata: Mapping[str, Any] = field(default_factory=dict)
    configurable: Mapping[str, Any] = field(default_factory=dict)
    eligible: Callable[[str], bytes | None] = _nobody
    """The digest of another route's model, if its answers may be given."""

    decision_id: str | None = None
    task: str | None = None
    tools_bound: bool = False
    structured: bool = False
    tools: frozenset[str] | None = None
    """Names of the bound tools, where an answer in a schema was asked for."""

    may_be_silent: bool = True
    """The provider is not known to always give a finish reason."""


@dataclass(slots=True)
class Ticket:
    """One request that may be answered from the cache."""

    ask: Ask
    key: str
    space: Namespace
    namespace: str
    ttl: float
    may_read: bool
    max_age: float | None
    tags: tuple[str, ...]
    flight: Flight | None = None
    owner: str | None = None
    failures: int = 0
    question: Any = None
    """What the semantic cache made of the question."""

    def land(self, landed: Landed) -> None:
        """Tell whoever waits for the same request what it came to, if this one leads."""
        if self.flight is not None:
            self.flight.land(landed)
            self.flight = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored answer that may be given."""

    entry: Entry
    how: str = "hit"
    """`hit` or `semantic_hit`."""
