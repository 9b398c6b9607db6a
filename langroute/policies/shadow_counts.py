"""Counts of a shadow, as all workers of a service see them: how many calls were begun lately, and how the answers compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MINUTES = 60
"""Minutes of the cap's hour."""

MOST_KINDS = 200
"""Most task kinds that are counted apart; further ones are counted together, without a kind."""


class ShadowFold:
    """What a shadow's calls do to its counts.

    Example:
        >>> fold, counts = ShadowFold(), {}
        >>> fold.add(counts, {}, ("begun", "support", 120.0))
        >>> fold.add(counts, {}, ("answered", "support", ("compared", "agreed"), 0.5))
        >>> begun_lately(counts, 180.0), counts["kinds"], counts["spent"]
        (1, {'support': {'compared': 1, 'agreed': 1}}, {'support': 0.5})
    """

    keep_seconds = 3600.0

    def keys(self, event: tuple[Any, ...]) -> Iterable[str]:
        """Return nothing: all is in the document."""
        return ()

    def follows(self, entry: Mapping[str, Any]) -> str | None:
        """Point nowhere."""
        return None

    def add(self, document: dict[str, Any], sides: dict[str, Any], event: tuple[Any, ...]) -> None:
        """Count what an event says: a call that began, one that was left out, an answer, a failure."""
        what, kind, *more = event
        if what == "begun":
            minutes = document.setdefault("begun", {})
            minute = str(int(more[0] // 60))
            minutes[minute] = minutes.get(minute, 0) + 1
            for old in [one for one in minutes if int(one) <= int(minute) - 2 * MINUTES]:
                del minutes[old]
            return
        kinds = document.setdefault("kinds", {})
        kind = kind if kind in kinds or len(kinds) < MOST_KINDS else ""
        counts = kinds.setdefault(kind, {})
        for name in more[0] if what == "answered" else (what,):
            counts[name] = counts.get(name, 0) + 1
        if what == "answered":
            spent = document.setdefault("spent", {})
            before = spent.get(kind, 0.0)
            spent[kind] = None if before is None or more[1] is None else before + more[1]


def begun_lately(document: Mapping[str, Any], now: float) -> int:
    """Return how many calls were begun in the last hour, by the minute."""
    since = int(now // 60) - MINUTES
    return sum(count for minute, count in list(document.get("begun", {}).items()) if int(minute) > since)


__all__ = ["ShadowFold", "begun_lately"]
