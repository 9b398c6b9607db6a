"""What has the cache done in this process?"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


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
    """Hits on an answer that was being computed at that moment."""

    errors: int = 0
    saved_tokens: int = 0
    saved_usd: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)
    """Why requests were not looked up, and why answers were not kept."""

    @property
    def hit_rate(self) -> float | None:
        """Share of looked-up requests that were answered; `None` before the first."""
        hits = self.hits + self.semantic_hits
        looked = hits + self.misses
        return hits / looked if looked else None


class Counts:
    """Counts as they go on."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._usd = 0.0
        self._lock = threading.Lock()

    def add(self, name: str, reason: str | None = None, count: int = 1) -> None:
        """Count something, and why it happened."""
        with self._lock:
            self._counts[name] += count
            if reason is not None and (reason in self._reasons or len(self._reasons) < 200):
                self._reasons[reason] += 1

    def hit(self, how: str, tokens: int, usd: float | None, count: int = 1) -> None:
        """A call was saved; `count=-1` takes it back."""
        with self._lock:
            self._counts["hits" if how == "hit" else "semantic_hits"] += count
            self._counts["saved_tokens"] += count * tokens
            self._usd += count * (usd or 0.0)

    def taken(self) -> CacheStats:
        """The counts as they are now."""
        with self._lock:
            counts = {name: self._counts[name] for name in CacheStats.__dataclass_fields__ if name not in ("saved_usd", "reasons")}
            return CacheStats(**counts, saved_usd=self._usd, reasons=dict(self._reasons))
