"""Decisions of this process that are not made yet, though one of their attempts has ended.

A tracker sees a failed attempt long before the decision that contains it, which may wait to try again. Only such decisions are listed.
"""

from __future__ import annotations

_open: set[str] = set()


def note_open(decision_id: str) -> None:
    """Note that a decision will still be recorded.

    Example:
        >>> note_open("d1")
        >>> is_open("d1"), note_made("d1"), is_open("d1")
        (True, None, False)
    """
    _open.add(decision_id)


def note_made(decision_id: str) -> None:
    """Note that a decision was recorded."""
    _open.discard(decision_id)


def is_open(decision_id: str | None) -> bool:
    """Return whether a decision will still be recorded."""
    return decision_id in _open


__all__ = ["is_open", "note_made", "note_open"]
