"""A pooler in transaction mode between a ledger and its PostgreSQL: prepared statements are of a connection that is another's a moment later."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

SIGNS = ("26000", "42P05")
"""SQLSTATEs of a prepared statement that is not there, or is there from somebody else."""


def notice_pooler(engine: Engine) -> None:
    """Prepare no statements any more from the first sign of a pooler on. What met the sign is tried again (`trouble`)."""
    found: list[str] = []

    @event.listens_for(engine, "handle_error")
    def _failed(context: Any) -> None:
        state = getattr(context.original_exception, "sqlstate", None)
        if state in SIGNS:
            found.append(state)

    @event.listens_for(engine, "checkout")
    def _taken(connection: Any, *_: Any) -> None:
        if found:
            connection.prepare_threshold = None


__all__ = ["notice_pooler"]
