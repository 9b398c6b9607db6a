"""Counts of what the cache did in this process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from langroute.core.locks import new_lock


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counts since the cache was made."""

    hits: int = 0
    semantic_hits: int = 0
    misses: int = 0
    bypasses: int = 0
    stored: int = 0
    not_stored: int = 0
    withdrawn: int = 0
    shared: int = 0
    """Hits on answers of concurrent calls."""

    errors: int = 0
    saved_tokens: int = 0
    saved_usd: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)
    """Reason → count: why requests were not looked up, answers not stored, or stored answers not given."""

    refused: int = 0
    """Stored answers that may not be given: too old, of another model, or not allowed by the policy."""

    @property
    def hit_rate(self) -> float | None:
        """Share of looked-up requests that were answered from the cache, 0 to 1; `None` before the first."""
        hits = self.hits + self.semantic_hits
        looked = hits + self.misses
        return hits / looked if looked else None


class Counts:
    """Thread-safe counters behind `CacheStats`."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._usd = 0.0
        self._lock = new_lock()

    def add(self, name: str, reason: str | None = None, count: int = 1) -> None:
        """Count an event and its reason."""
        with self._lock:
            self._counts[name] += count
            if reason is not None and (reason in self._reasons or len(self._reasons) < 200):
                self._reasons[reason] += 1

    def hit(self, how: str, tokens: int, usd: float | None, count: int = 1) -> None:
        """Count a saved call with its tokens and USD; `count=-1` takes it back."""
        with self._lock:
            self._counts["hits" if how == "hit" else "semantic_hits"] += count
            self._counts["saved_tokens"] += count * tokens
            self._usd += count * (usd or 0.0)

    def taken(self) -> CacheStats:
        """Return the current counts."""
        with self._lock:
            counts = {name: self._counts[name] for name in CacheStats.__dataclass_fields__ if name not in ("saved_usd", "reasons")}
            return CacheStats(**counts, saved_usd=self._usd, reasons=dict(self._reasons))
