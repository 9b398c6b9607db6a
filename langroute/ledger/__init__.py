"""Ledgers: storage for decisions, calls, tasks and outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langroute.ledger.sql import SqlLedger


def open_ledger(where: Any, **options: Any) -> SqlLedger:
    """Open a ledger by path or URL.

    Args:
        where: A path (SQLite), or a URL: `sqlite:///file.db`, `postgresql://user@host/database`.
        options: Further arguments of `SqlLedger`.

    Raises:
        LedgerError: It cannot be opened.
        MissingExtraError: It is PostgreSQL and psycopg is not installed.

    Example:
        >>> import tempfile, pathlib
        >>> with open_ledger(pathlib.Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
        ...     ledger.level
        'metadata'
    """
    # SQLAlchemy takes 0.2 s to import, so it is imported only where a ledger in a database is opened.
    from langroute.ledger.resolve import note_opened
    from langroute.ledger.sql import SqlLedger

    ledger = SqlLedger(where, **options)
    note_opened(where, ledger)
    return ledger


__all__ = ["open_ledger"]


def __dir__() -> list[str]:
    return sorted(__all__)
