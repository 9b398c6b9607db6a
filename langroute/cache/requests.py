"""Records of the cache's interface: requests, look-ups and hits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langroute.cache.entries import CacheEntry
from langroute.cache.flights import FlightResult, InFlight
from langroute.cache.namespaces import Namespace


def _nobody(_: str) -> bytes | None:
    return None


@dataclass(slots=True)
class CacheRequest:
    """A request as it is given to the cache."""

    messages: Sequence[Any]
    kind: str
    route: str
    tier: str
    model_digest: bytes
    """Digest of the route's model and its settings."""

    parts: Sequence[bytes]
    """Digests of tools and call arguments."""

    settings: Mapping[str, Any]
    model: Any
    metadata: Mapping[str, Any] = field(default_factory=dict)
    configurable: Mapping[str, Any] = field(default_factory=dict)
    eligible: Callable[[str], bytes | None] = _nobody
    """Returns the digest of another route's model, if that route's answers may be given, else `None`."""

    decision_id: str | None = None
    task: str | None = None
    tools_bound: bool = False
    structured: bool = False
    tools: frozenset[str] | None = None
    """Names of the bound tools, where an answer in a schema was asked for."""

    may_be_silent: bool = True
    """Whether the provider may give no finish reason."""


@dataclass(slots=True)
class Lookup:
    """A request that may be answered from the cache, and its state."""

    ask: CacheRequest
    key: str
    space: Namespace
    namespace: str
    ttl: float
    may_read: bool
    max_age: float | None
    tags: tuple[str, ...]
    flight: InFlight | None = None
    owner: str | None = None
    failures: int = 0
    question: Any = None
    """The question as the semantic cache sees it."""

    def resolve(self, landed: FlightResult) -> None:
        """Give the result to the calls that wait for the same request, if this one leads."""
        if self.flight is not None:
            self.flight.resolve(landed)
            self.flight = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored answer that may be given."""

    entry: CacheEntry
    how: str = "hit"
    """`hit` or `semantic_hit`."""
