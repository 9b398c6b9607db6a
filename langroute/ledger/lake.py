"""`Lake`: reads exported ledgers (`lake_layout`) with DuckDB, so that reports are made of them as of a ledger.

A report asks a ledger for a SQLAlchemy connection; a lake gives it one in which the tables are views of the Parquet files. Sums of money
and seconds are exact, whatever the order of the rows: numbers are added as 128-bit integers and rounded once.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Double, Engine, create_engine, event
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import sum as SqlSum  # noqa: N812

from langroute.core.errors import LedgerError, MissingExtraError
from langroute.core.object_stores import reach
from langroute.core.urls import shown_url
from langroute.ledger import schema
from langroute.ledger.lake_layout import DAYS, MARK, RECORD, VERSION, WORDS, duckdb_type

MEMORY = "1GB"
"""Memory that DuckDB takes at most, before it writes what it sorts and groups to its temporary folder."""

_NUMBERS = 1 << 40
"""Distance between the row numbers of two lakes that are read together."""

_KEYS = frozenset({"n", "task", "decision"})
"""Columns with row numbers."""

_EXACT = """
CREATE MACRO exact_sum(x) AS
    sum(CASE WHEN abs(x) < 131072 THEN (x * 1208925819614629174706176e0)::HUGEINT ELSE 0 END)::VARCHAR::DOUBLE / 1208925819614629174706176e0
    + sum(CASE WHEN abs(x) < 131072 THEN 0.0 ELSE x END)
"""
"""Sum of doubles: those below 2^17 are added in units of 2^-80, without any rounding but of what is smaller. The text in between is
because DuckDB rounds correctly when it reads a number, and twice when it converts a long integer."""


@compiles(SqlSum, "duckdb")
def _exact_sum(element: Any, compiler: Any, **options: Any) -> str:
    if isinstance(element.type, Double):
        return f"exact_sum({compiler.process(element.clauses, **options)})"
    return str(compiler.visit_function(element, **options))


_NULLS = "nulls_first_on_asc_last_on_desc"
"""As SQLite sorts, so that reports have their lines in the same order."""


class Lake:
    """Read lakes as a ledger. Nothing is written to them.

    Args:
        where: A folder that `LakeExport` wrote, a pattern of such folders (`lakes/*`), or the URL of either that DuckDB understands
            (`s3://bucket/lake`).
        memory: Memory that DuckDB takes at most, such as `500MB`.
        spill: Where it writes what does not fit; by default in the system's temporary folder.

    Raises:
        LedgerError: There is no lake, or one of a newer langroute.
        MissingExtraError: DuckDB is not installed.

    Example:
        >>> from langroute.core.records import Decision, Step
        >>> from langroute.ledger import open_ledger
        >>> from langroute.ledger.lake_export import LakeExport
        >>> folder = Path(tempfile.mkdtemp())
        >>> with open_ledger(folder / "ledger.db") as ledger:
        ...     ledger.record(Decision("d1", Step("title"), "small", (), started_at=86_400.0))
        ...     _ = LakeExport(ledger, folder / "lake").run()
        >>> with Lake(folder / "lake") as lake, lake.reading() as connection:
        ...     connection.execute(schema.decisions.select()).one().id
        'd1'
    """

    def __init__(self, where: str | Path, *, memory: str = MEMORY, spill: Path | None = None) -> None:
        self._spill = Path(tempfile.mkdtemp(prefix="langroute-lake-", dir=spill))
        try:
            self.engine = _engine(memory, self._spill, str(where))
            with self.engine.connect() as connection:
                connection.exec_driver_sql(_EXACT)
                self.roots = _roots(connection, str(where).rstrip("/"))
                for table in (*WORDS, *DAYS):
                    connection.exec_driver_sql(_view(connection, table, self.roots))
                of_details = "SELECT n AS decision, record FROM decisions WHERE record IS NOT NULL"
                connection.exec_driver_sql(f"CREATE VIEW {schema.details.name} AS {of_details}")
                connection.exec_driver_sql(f"CREATE VIEW {schema.meta.name} AS SELECT '' AS key, '' AS value WHERE false")
                connection.commit()
        except BaseException:
            self.close()
            raise

    def try_rollup(self) -> bool:
        """Return `False`: a lake has no daily sums, so that reports sum its rows."""
        return False

    @contextmanager
    def reading(self, *, flush: bool = True) -> Iterator[Connection]:
        """Yield a SQLAlchemy connection for reading.

        Args:
            flush: Of no meaning here; a ledger writes first what it was told.
        """
        with self.engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections, and remove what was written beside them."""
        if hasattr(self, "engine"):
            self.engine.dispose()
        shutil.rmtree(self._spill, ignore_errors=True)

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_lake(where: str) -> bool:
    """Return whether a place is read as a lake: a folder, a pattern of folders, or a URL that is no database's.

    Example:
        >>> is_lake("ledger.db"), is_lake("lakes/*"), is_lake("s3://bucket/lake"), is_lake("postgresql://host/db")
        (False, True, True, False)
    """
    scheme, found, _ = where.partition("://")
    if found:
        return scheme.partition("+")[0] not in ("sqlite", "postgresql", "postgres")
    return Path(where).is_dir() or (not Path(where).exists() and any(sign in where for sign in "*?["))


def _engine(memory: str, spill: Path, where: str) -> Engine:
    try:
        import duckdb_engine  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("duckdb-engine", "lake", "Reading a lake") from error
    config = {"memory_limit": memory, "temp_directory": str(spill), "preserve_insertion_order": False, "default_null_order": _NULLS}
    engine = create_engine(f"duckdb:///:memory:{secrets.token_hex(8)}", connect_args={"config": config}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.execute("SET enable_progress_bar = false")
        reach(connection, where)

    return engine


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _roots(connection: Connection, where: str) -> list[str]:
    """Return the lakes at a place, by name."""
    marks = connection.exec_driver_sql("SELECT file FROM glob(?) ORDER BY file", (f"{where}/{MARK}",)).scalars().all()
    if not marks:
        raise LedgerError(
            f"There is no lake at {shown_url(where)!r}: a folder with {MARK}. Make one with `langroute export --parquet DIR`."
        )
    for mark in marks:
        content = connection.exec_driver_sql("SELECT content FROM read_text(?)", (mark,)).scalar_one()
        try:
            version = int(json.loads(content)["lake"])
        except (ValueError, TypeError, KeyError) as error:
            raise LedgerError(f"{mark}: this is no lake's mark.") from error
        if version > VERSION:
            raise LedgerError(
                f"{mark}: this lake has version {version}; this langroute knows them up to {VERSION}. Upgrade langroute."
            )
    return [mark.removesuffix(f"/{MARK}") for mark in marks]


def _view(connection: Connection, table: Any, roots: Sequence[str]) -> str:
    """Return the statement that makes a view of the name of a table, of all lakes' files."""
    parts = [_part(connection, table, root, number * _NUMBERS) for number, root in enumerate(roots)]
    rows = " UNION ALL ".join(parts)
    if table in WORDS and len(parts) > 1:
        rows = f"SELECT DISTINCT ON (id) * FROM ({rows})"  # noqa: S608 - made here
    return f"CREATE VIEW {table.name} AS {rows}"


def _part(connection: Connection, table: Any, root: str, offset: int) -> str:
    """Return the query for a table's rows in one lake. Columns that an older langroute did not write have their defaults."""
    files = f"{root}/{table.name}.parquet" if table in WORDS else f"{root}/{table.name}/day=*/*.parquet"
    there: set[str] = set()
    source = None
    if connection.exec_driver_sql("SELECT count(*) FROM glob(?)", (files,)).scalar_one():
        hive = "" if table in WORDS else ", hive_partitioning = true, hive_types = {'day': DATE}, union_by_name = true"
        source = f"read_parquet({_quoted(files)}{hive})"
        described = f"SELECT column_name FROM (DESCRIBE SELECT * FROM {source})"  # noqa: S608 - its only text is quoted
        there = set(connection.exec_driver_sql(described).scalars())
    columns = list(table.columns)
    chosen = [_column(column, there, offset) for column in columns]
    if table is schema.decisions:
        chosen.append(f'"{RECORD}"' if RECORD in there else f"NULL::VARCHAR AS {RECORD}")
    return f"SELECT {', '.join(chosen)} " + (f"FROM {source}" if source is not None else "WHERE false")


def _column(column: Any, there: set[str], offset: int) -> str:
    name = f'"{column.name}"'
    if column.name not in there:
        default = column.server_default
        given = "NULL" if default is None else _quoted(str(default.arg))
        return f"{given}::{duckdb_type(column)} AS {name}"
    if column.name == "day":
        return "(day - DATE '1970-01-01')::INTEGER AS day"
    return f"{name} + {offset} AS {name}" if offset and column.name in _KEYS else name


__all__ = ["Lake", "is_lake"]
