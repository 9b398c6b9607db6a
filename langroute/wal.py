"""How is a SQLite file opened by several at once, or only looked at?"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any


def looked_at(path: Path) -> AbstractContextManager[sqlite3.Connection]:
    """A connection to a file that may be another program's: it makes no file and changes none.

    Raises:
        sqlite3.OperationalError: There is no such file, or it cannot be read.
    """
    return closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))


def write_ahead(execute: Callable[[str], Any], timeout_seconds: float) -> None:
    """Switch a database to write-ahead logging, so that readers and a writer do not wait for each other.

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
