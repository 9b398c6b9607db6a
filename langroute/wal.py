"""How is a SQLite file opened by several at once, so that readers and a writer do not wait for each other?"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any


def write_ahead(execute: Callable[[str], Any], timeout_seconds: float) -> None:
    """Switch a database to write-ahead logging.

    SQLite's own waiting does not cover this switch: of two that open a new file at once, one is told at once that it is locked.

    Args:
        execute: A connection's or cursor's `execute`.
        timeout_seconds: How long to try.

    Raises:
        sqlite3.OperationalError: It stayed locked, or something else is wrong with the file.

    Example:
        >>> connection = sqlite3.connect(":memory:")
        >>> write_ahead(connection.execute, 1.0)
    """
    until = time.monotonic() + timeout_seconds
    while True:
        try:
            execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:  # noqa: PERF203
            if "locked" not in str(error) or time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return
