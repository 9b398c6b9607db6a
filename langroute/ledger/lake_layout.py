"""Layout of a lake: a folder of Parquet files that has a ledger's rows, partitioned by day.

`lake.json` says which ledger it is from. `labels.parquet` and `places.parquet` have the words; `decisions`, `calls`, `tasks` and
`outcomes` are folders with `day=2026-11-30/part-0.parquet` for each day, and `traffic` has the same days as recorded requests
(`docs/traffic.md`). Columns and their names are those of the tables; `day` is the name of the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from sqlalchemy import BigInteger, Double, Integer, Table

from langroute.ledger import schema

MARK = "lake.json"
"""Name of the file that tells a lake from other folders."""

VERSION = 1

PART = "part-0.parquet"
"""Name of the file of a day."""

WORDS = (schema.labels, schema.places)
"""Tables that are one file each."""

DAYS = (schema.decisions, schema.calls, schema.tasks, schema.outcomes)
"""Tables with a file for each day: that of the row, or for outcomes that on which their task began."""

RECORD = "record"
"""Column of `decisions` with the row's entry in `decision_details`."""

TRAFFIC = "traffic"
TRAFFIC_COLUMNS = ("id", "source", "task", "messages", "step", "outcomes")

_ARROW: Mapping[type, str] = {BigInteger: "int64", Integer: "int64", Double: "double"}
_DUCKDB: Mapping[str, str] = {"int64": "BIGINT", "double": "DOUBLE", "string": "VARCHAR"}


def arrow_type(column: Any) -> str:
    """Return the name of the Arrow type in which a column is stored: money and times as 64-bit floats, as the ledger has them.

    Example:
        >>> arrow_type(schema.calls.c.cost_usd), arrow_type(schema.calls.c.task), arrow_type(schema.calls.c.what)
        ('double', 'int64', 'string')
    """
    return next((name for kind, name in _ARROW.items() if isinstance(column.type, kind)), "string")


def duckdb_type(column: Any) -> str:
    """Return DuckDB's name of the type of a column."""
    return _DUCKDB[arrow_type(column)]


def stored_columns(table: Table) -> list[Any]:
    """Return the columns of a table that its files have; the day is in the name of their folder."""
    return [column for column in table.columns if column.name != "day"]


def folder_of(table: str, day: int) -> str:
    """Return the folder of a table's rows of a day, inside the lake.

    Example:
        >>> folder_of("calls", 20_000)
        'calls/day=2024-10-04'
    """
    return f"{table}/day={(date(1970, 1, 1) + timedelta(days=day)).isoformat()}"
