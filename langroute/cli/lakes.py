"""How commands open a ledger or a lake for reading."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from langroute.cli.ledgers import open_existing
from langroute.core.errors import LedgerError
from langroute.ledger.connection import said_by

MEMORY_VARIABLE = "LANGROUTE_LAKE_MEMORY"


@contextmanager
def open_readable(where: str) -> Iterator[Any]:
    """Open an existing ledger, or a lake (a folder that `export --parquet` wrote) with the memory that `LANGROUTE_LAKE_MEMORY` allows.

    Args:
        where: A path or a URL.

    Raises:
        LedgerError: There is none, or it cannot be read.
    """
    from langroute.ledger.lake import MEMORY, Lake, is_lake

    if not is_lake(where):
        with open_existing(where) as ledger:
            yield ledger
        return
    try:
        with Lake(where, memory=os.environ.get(MEMORY_VARIABLE) or MEMORY) as lake:
            yield lake
    except SQLAlchemyError as error:
        said = said_by(error)
        more = f" Give DuckDB more with {MEMORY_VARIABLE}, such as 4GB." if "Out of Memory" in said else ""
        raise LedgerError(f"The lake cannot be read: {said}{more}") from error
