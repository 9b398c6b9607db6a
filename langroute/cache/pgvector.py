"""`PgVectorStore`: the semantic cache's questions in PostgreSQL with pgvector, for processes on many machines.

One query asks for the same wording and for the nearest vectors. Tenant and scope are ordinary columns; the nearest are found through an
HNSW index, or exactly where a scope has few questions, as the planner sees fit. A question that the index misses is a cache miss.
Sources: https://github.com/pgvector/pgvector (HNSW, half-precision vectors, iterative scans since 0.8; read 2026-11-30).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from langroute.cache.question_index import Question
from langroute.core.errors import CacheError, ConfigurationError, MissingExtraError
from langroute.core.locks import at_fork, new_lock
from langroute.core.worker_pool import within
from langroute.ledger.connection import begin_in_child, engine_of, said_by, shown, url_of

TABLE = "langroute_questions"

MOST_DIMENSIONS = 4000
"""Longest half-precision vectors that HNSW takes."""

PATIENCE_S = 2
"""Seconds that the database may take to let a client in, and may leave it without a sign of life: a look-up waits for it."""

LOOK_S = 5.0
"""Longest wait for a statement, before which the table and an index may have to be made."""

TIDY_S = 600.0
"""Seconds between two removals of what expired."""

AT_ONCE = 1000
"""Most keys of one statement."""

_MAKE = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    f"""CREATE TABLE IF NOT EXISTS {TABLE} (
        key text PRIMARY KEY, tenant text NOT NULL, scope text NOT NULL, words text NOT NULL, size integer NOT NULL,
        vector halfvec NOT NULL, expires double precision
    )""",
    f"CREATE INDEX IF NOT EXISTS {TABLE}_scope ON {TABLE} (scope, words)",
    f"CREATE INDEX IF NOT EXISTS {TABLE}_tenant ON {TABLE} (tenant)",
    f"CREATE INDEX IF NOT EXISTS {TABLE}_expires ON {TABLE} (expires) WHERE expires IS NOT NULL",
)
_INDEX = (
    f"CREATE INDEX IF NOT EXISTS {TABLE}_near_{{size}} ON {TABLE} "
    "USING hnsw ((vector::halfvec({size})) halfvec_cosine_ops) WHERE size = {size}"
)
_NEAR = (
    f"WITH worded AS (SELECT key, 1.0::float8 AS likeness FROM {TABLE} "  # noqa: S608 - sizes are whole numbers
    "WHERE scope = :scope AND words = :words AND size = {size} AND (expires IS NULL OR expires > :now) LIMIT 1), "
    "near AS (SELECT key, 1 - (vector::halfvec({size}) <=> CAST(:vector AS halfvec({size}))) AS likeness "
    f"FROM {TABLE} WHERE size = {{size}} AND scope = :scope AND (expires IS NULL OR expires > :now) "
    "ORDER BY vector::halfvec({size}) <=> CAST(:vector AS halfvec({size})) LIMIT :count) "
    "SELECT key, likeness FROM worded UNION ALL SELECT key, likeness FROM near WHERE likeness >= :least"
)
_ADD = (
    f"INSERT INTO {TABLE} (key, tenant, scope, words, size, vector, expires) "  # noqa: S608
    "VALUES (:key, :tenant, :scope, :words, :size, CAST(:vector AS halfvec), :expires) "
    "ON CONFLICT (key) DO UPDATE SET tenant = excluded.tenant, scope = excluded.scope, words = excluded.words, "
    "size = excluded.size, vector = excluded.vector, expires = excluded.expires"
)
_TIDY = f"DELETE FROM {TABLE} WHERE ctid IN (SELECT ctid FROM {TABLE} WHERE expires <= :now LIMIT 10000)"  # noqa: S608
_FORGET = f"DELETE FROM {TABLE} WHERE key = ANY(:keys)"  # noqa: S608


class PgVectorStore:
    """Questions of a semantic cache in a PostgreSQL database with pgvector 0.8 or newer.

    The table is made at first use, which needs the right to create the extension, once; behind PgBouncer in transaction mode, add
    `?prepare_threshold=none` to the URL. Answers stay in the response cache's own store, which should be shared as well.

    Args:
        url: The database, as a ledger's: `postgresql://user@host/database`.
        made_by: Name of the embeddings; questions of others are not found, since their vectors cannot be compared.
        count: Most questions that a look-up returns.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: The URL is not PostgreSQL's, or a vector is longer than 4,000 numbers.
        MissingExtraError: psycopg is not installed.
        CacheError: The database does not answer, or has no pgvector. Within a cache, calls go on without it after one warning.

    Example:
        >>> from langroute.cache.response import ResponseCache
        >>> from langroute.cache.semantic import SemanticCache
        >>> def shared_cache(database: str, redis: str) -> ResponseCache:
        ...     return ResponseCache(redis, semantic=SemanticCache(questions=database))
    """

    def __init__(self, url: str, *, made_by: str = "", count: int = 3, clock: Callable[[], float] = time.time) -> None:
        self._url, self._made_by, self._count, self._clock = url, made_by, count, clock
        parsed = url_of(url)
        if parsed.get_backend_name() != "postgresql":
            raise ConfigurationError(f"{shown(parsed)} is not PostgreSQL. Give a URL such as postgresql://host/database.")
        try:
            self._engine: Engine = engine_of(parsed, PATIENCE_S).execution_options(isolation_level="AUTOCOMMIT")
        except MissingExtraError as error:
            raise MissingExtraError("psycopg", "postgres", "Questions in PostgreSQL") from error
        # With a scope that few of many questions are in, the index is searched until enough of them are found.
        event.listen(self._engine, "connect", _search_on)
        self._lock = new_lock()
        self._sizes: set[int] = set()
        """Lengths of vectors that the database has an index of."""

        self._tidied = clock()
        at_fork(self._engine, in_child=begin_in_child)

    def __contains__(self, key: str) -> bool:
        return False

    def worded(self, question: Question) -> str | None:
        """Return `None`: `near` asks for the same wording, too."""
        return None

    def is_empty(self, scope: str) -> bool:
        """Return `False`: other processes may have added questions."""
        return False

    def is_stale(self, scope: str, now: float) -> bool:
        """Return `False`: every look-up sees the questions of all processes."""
        return False

    def refreshed(self, scope: str, now: float) -> None:
        """Do nothing."""

    def near(self, question: Question, min_similarity: float) -> list[tuple[str, float]]:
        """Return the key of a question of the same wording, then those of the most similar ones, with their cosine similarities."""
        size = self._size(question)
        asked = {
            "scope": self._scope(question.scope),
            "words": _digest(*question.words),
            "vector": _written(question.vector),
            "now": self._clock(),
            "count": self._count,
            "least": min_similarity,
        }
        rows: list[Any] = []

        def look() -> None:
            with self._connected(size) as connection:
                rows.extend(connection.execute(text(_NEAR.format(size=size)), asked))

        self._within(look)
        return [(str(key), float(likeness)) for key, likeness in rows]

    async def anear(self, question: Question, min_similarity: float) -> list[tuple[str, float]]:
        """Async version of `near`."""
        return await asyncio.to_thread(self.near, question, min_similarity)

    def add(self, question: Question, key: str, expires: float | None = None) -> None:
        """Add the question of a stored answer, which expires with it, in seconds since the epoch."""
        size = self._size(question)
        row = {
            "key": key,
            "tenant": question.tenant,
            "scope": self._scope(question.scope),
            "words": _digest(*question.words),
            "size": size,
            "vector": _written(question.vector),
            "expires": expires,
        }
        self._within(lambda: self._added(size, row))

    def _added(self, size: int, row: Mapping[str, Any]) -> None:
        now = self._clock()
        with self._connected(size) as connection:
            connection.execute(text(_ADD), row)
            if now - self._tidied > TIDY_S:
                self._tidied = now
                connection.execute(text(_TIDY), {"now": now})

    async def aadd(self, question: Question, key: str, expires: float | None = None) -> None:
        """Async version of `add`."""
        await asyncio.to_thread(self.add, question, key, expires)

    def forget(self, keys: Collection[str]) -> None:
        """Remove the questions of deleted answers."""
        every = list(keys)
        for begin in range(0, len(every), AT_ONCE):
            self._within(partial(self._done, _FORGET, {"keys": every[begin : begin + AT_ONCE]}))

    def clear(self) -> None:
        """Remove all questions, those of other applications in the same database too."""
        self._within(partial(self._done, f"TRUNCATE {TABLE}", {}))

    def _done(self, statement: str, values: Mapping[str, Any]) -> None:
        with self._connected() as connection:
            connection.execute(text(statement), values)

    def _within(self, work: Callable[[], object]) -> None:
        """Do some work in the database; a server that hangs, or a lock on the table, would be waited for without end."""
        try:
            within(LOOK_S, work)
        except TimeoutError as error:
            raise CacheError(
                f"The questions in {shown(self._engine.url)} cannot be used: no answer within {LOOK_S:g} s."
            ) from error

    def close(self) -> None:
        """Close the connections; they are opened again at the next use."""
        self._engine.dispose()

    def _size(self, question: Question) -> int:
        size = len(question.vector)
        if not 0 < size <= MOST_DIMENSIONS:
            raise ConfigurationError(f"pgvector's index takes vectors of up to {MOST_DIMENSIONS} numbers; these have {size}.")
        return size

    def _scope(self, scope: str) -> str:
        return _digest(self._made_by, scope)

    @contextmanager
    def _connected(self, size: int = 0) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                if size not in self._sizes:
                    self._make(connection, size)
                yield connection
        except SQLAlchemyError as error:
            said = said_by(error)
            if "extension" in said or "halfvec" in said:
                said += ". The questions need pgvector 0.8 or newer; its administrator installs it with CREATE EXTENSION vector."
            raise CacheError(f"The questions in {shown(self._engine.url)} cannot be used: {said}") from error

    def _make(self, connection: Connection, size: int) -> None:
        """Create the table and the index for vectors of this length where they are missing."""
        with self._lock:
            # Two processes that make the same thing at once would fail; the lock of the database ends with the connection at the latest.
            connection.execute(text("SELECT pg_advisory_lock(hashtext(:name))"), {"name": TABLE})
            try:
                for statement in _MAKE:
                    connection.execute(text(statement))
                if size:
                    connection.execute(text(_INDEX.format(size=size)))
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(hashtext(:name))"), {"name": TABLE})
            self._sizes |= {0, size}

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self._url, "made_by": self._made_by, "count": self._count, "clock": self._clock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _search_on(connection: Any, _: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET hnsw.iterative_scan = strict_order")
    connection.commit()


def _written(vector: Any) -> str:
    """Return a vector as pgvector reads it."""
    return f"[{','.join(f'{part:.5g}' for part in vector)}]"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


__all__ = ["PgVectorStore"]
