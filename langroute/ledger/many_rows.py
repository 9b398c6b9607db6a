"""Many rows in one statement, where the database is PostgreSQL: `COPY` for new rows, rows as JSON for what changes others.

SQLite, which is no server, is as fast with one prepared statement that runs once for each row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import ARRAY, JSON, ColumnElement, Connection, Insert, Table, Text, bindparam, cast, column, func
from sqlalchemy.exc import DBAPIError

from langroute.ledger.codec import as_json

LEAST = 20
"""Fewest rows for `COPY`. Below it a statement runs for each row, and takes what `COPY` reads more strictly (`1.0` as an integer)."""

ROWS = "rows"
"""Name of the parameter of `given`."""


def is_server(connection: Connection) -> bool:
    """Return whether the database is PostgreSQL."""
    return connection.dialect.name == "postgresql"


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, each with the same columns.

    Raises:
        DBAPIError: The database did not take them; as of any other statement.
    """
    if len(rows) < LEAST or not is_server(connection):
        connection.execute(_insert_into(table), rows)
        return
    names = tuple(rows[0])
    statement, values = _copy_statement(table, names), itemgetter(*names)
    # SQLAlchemy knows no COPY; the driver's connection is in the transaction that it has begun.
    driver: Any = connection.connection.driver_connection
    kinds = connection.dialect.loaded_dbapi
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(values(row))
    except kinds.Error as error:
        gone = driver.closed or connection.dialect.is_disconnect(error, driver, None)
        if gone:
            connection.invalidate(error)
        raise DBAPIError.instance(statement, None, error, kinds.Error, hide_parameters=True, connection_invalidated=gone) from error


@lru_cache(64)
def _insert_into(table: Table) -> Insert:
    """A statement that is made once is told apart from others once: SQLAlchemy takes as long for that as SQLite for a row."""
    return table.insert()


@lru_cache(256)
def _copy_statement(table: Table, names: tuple[str, ...]) -> str:
    """Column names are quoted: `user` is a word of SQL."""
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"COPY {table.name} ({quoted}) FROM STDIN"


def given(table: Table, names: Iterable[str], alias: str = "given") -> Any:
    """Return rows that come with the statement, as JSON in its parameter `rows`, with columns of the table's types."""
    columns = [column(name, table.c[name].type) for name in names]
    told = cast(bindparam(ROWS, type_=Text), JSON)
    return func.json_to_recordset(told).table_valued(*columns, name=alias).render_derived(with_types=True)


VALUES = "among_values"
"""Name of the parameter of `one_of`."""


def one_of(of: ColumnElement[Any], *, server: bool) -> ColumnElement[bool]:
    """Return the condition of `among` with the values as the parameter `VALUES`: for statements that are made once."""
    if not server:
        return of.in_(bindparam(VALUES, expanding=True))
    return of == func.any(bindparam(VALUES, type_=ARRAY(of.type)))


def as_parameter(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters of a statement with `given` rows; what a row leaves out is `NULL`."""
    return {ROWS: as_json(rows)}


def among(connection: Connection, of: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has one of some values.

    PostgreSQL gets them as one array, so that the statement is the same, and prepared, for any number of them.
    """
    if not is_server(connection):
        return of.in_(values)
    return of == func.any(bindparam(None, list(values), type_=ARRAY(of.type), unique=True))


__all__ = ["LEAST", "VALUES", "among", "as_parameter", "given", "insert_rows", "is_server", "one_of"]
