"""Where are decisions, calls, tasks and outcomes kept?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langroute.ledger.sql import SqlLedger


def open_ledger(where: Any, **options: Any) -> SqlLedger:
    """Open a ledger by a path or a URL.

    Args:
        where: A path (SQLite), or a URL: `sqlite:///file.db`, `postgresql://user@host/database`.
        options: What else a `SqlLedger` takes.

    Raises:
        LedgerError: It cannot be opened.
        MissingExtraError: It is PostgreSQL and psycopg is not installed.

    Example:
        >>> import tempfile, pathlib
        >>> with open_ledger(pathlib.Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
        ...     ledger.level
        'metadata'
    """
    # SQLAlchemy takes a fifth of a second to import: only who keeps a ledger in a database pays for it.
    from langroute.ledger.sql import SqlLedger

    return SqlLedger(where, **options)


__all__ = ["open_ledger"]
