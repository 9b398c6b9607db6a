"""State store in SQLite or PostgreSQL: by default the ledger's own database, where it lasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from langroute.core.errors import StateError
from langroute.core.locks import at_fork, give_way
from langroute.ledger.connection import begin_in_child, begin_writing, engine_of, said_by, shown, url_of
from langroute.ledger.schema import beside
from langroute.ledger.schema import state as STATE  # noqa: N812 - a constant there too
from langroute.state.store import Change, StateEntry

AT_ONCE = 500
"""Most keys of one statement."""

WAIT_S = 2.0
"""How long a transaction waits for another process that writes to the same SQLite file: calls wait for some of them."""

TIDY_S = 600.0
"""Seconds between two removals of what expired."""


class SqlState:
    """State store in a database, shared by every process that opens it.

    Args:
        where: A path (SQLite) or a URL, as a ledger's; or the SQLAlchemy engine of a ledger, whose connections it uses.
        clock: Seconds since the epoch, for tests.
        ended: Says whether the ledger is closed; its connections are then closed after each use.

    Raises:
        LedgerError: The file cannot be opened.
        MissingExtraError: It is PostgreSQL and psycopg is not installed.

    Example:
        >>> import tempfile
        >>> store = SqlState(Path(tempfile.mkdtemp()) / "state.db")
        >>> store.commit("canary", [Change("arms", "{}")]), store.read("canary", ["arms"])[0].value
        (True, '{}')
        >>> store.close()
    """

    local = False

    def __init__(
        self, where: str | Path | Engine, *, clock: Callable[[], float] = time.time, ended: Callable[[], bool] = bool
    ) -> None:
        self._own = not isinstance(where, Engine)
        self._where, self._clock, self._ended = where, clock, ended
        self.engine: Engine = where if isinstance(where, Engine) else engine_of(url_of(where))
        self._made, self._tidied = False, clock()
        if self._own:
            # The ledger takes care of its own connections.
            at_fork(self.engine, in_child=begin_in_child)

    def read(self, space: str, keys: Sequence[str]) -> list[StateEntry]:
        """Return what each key of a space holds."""
        found: dict[str, StateEntry] = {}
        with self._connected(writes=False) as connection:
            for begin in range(0, len(keys), AT_ONCE):
                found |= self._read(connection, space, keys[begin : begin + AT_ONCE])
        return [found.get(key, StateEntry()) for key in keys]

    def _read(self, connection: Connection, space: str, keys: Sequence[str]) -> dict[str, StateEntry]:
        now = self._clock()
        rows = connection.execute(_READ, {"b_space": space, "b_keys": keys})
        return {row.key: StateEntry(row.value, row.version) for row in rows if row.until is None or row.until > now}

    def commit(self, space: str, changes: Sequence[Change]) -> bool:
        """Make all changes or none."""
        try:
            with self._connected(writes=True) as connection:
                self._tidy(connection)
                # In one order everywhere, so that two processes never wait for each other.
                for change in sorted(changes, key=lambda one: one.key):
                    if not self._changed(connection, space, change):
                        raise _OtherVersion
        except _OtherVersion:
            return False
        return True

    def _changed(self, connection: Connection, space: str, change: Change) -> bool:
        now, at = self._clock(), {"b_space": space, "b_key": change.key}
        until = None if change.keep_seconds is None else now + change.keep_seconds
        if not change.version:
            connection.execute(_FORGET, {**at, "b_now": now})
            if change.value is None:
                return connection.execute(_LOOK, at).first() is None
            return _added(connection, space, change, until)
        at["b_version"] = change.version
        if change.value is None:
            return connection.execute(_REMOVE, at).rowcount == 1
        said = {"value": change.value, "version": token_hex(8), "until": until}
        return connection.execute(_CHANGE, {**at, **said}).rowcount == 1

    def _tidy(self, connection: Connection) -> None:
        now = self._clock()
        if now - self._tidied > TIDY_S:
            self._tidied = now
            connection.execute(delete(STATE).where(STATE.c.until <= now))

    @contextmanager
    def _connected(self, *, writes: bool) -> Iterator[Connection]:
        give_way()
        try:
            self._make()
            with self._begun(writes=writes) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StateError(f"The shared state in {shown(self.engine.url)} cannot be used: {said_by(error)}") from error
        finally:
            if self._ended():
                self.engine.dispose()

    @contextmanager
    def _begun(self, *, writes: bool) -> Iterator[Connection]:
        options = {"langroute_write": writes, "langroute_wait_s": WAIT_S}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            if writes:
                begin_writing(connection)
            yield connection

    def _make(self) -> None:
        """Create the table where it is missing."""
        if self._made:
            return
        try:
            with self._begun(writes=True) as connection:
                beside.create_all(connection)
        except (IntegrityError, OperationalError, ProgrammingError):
            # PostgreSQL says so where another process made it at the same moment; other trouble shows again at once.
            with self.engine.connect() as connection:
                connection.execute(select(STATE.c.key).limit(1))
        self._made = True

    def close(self) -> None:
        """Close the connections; they are opened again at the next use."""
        if self._own:
            self.engine.dispose()

    def __getstate__(self) -> dict[str, Any]:
        where = self._where if self._own else self.engine.url.render_as_string(hide_password=False)
        return {"where": where, "clock": self._clock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


# Made once: to make a statement takes longer than to carry it out.
_AT = (STATE.c.space == bindparam("b_space")) & (STATE.c.key == bindparam("b_key"))
_CURRENT = _AT & (STATE.c.version == bindparam("b_version"))
_READ = select(STATE.c.key, STATE.c.value, STATE.c.version, STATE.c.until).where(
    STATE.c.space == bindparam("b_space"), STATE.c.key.in_(bindparam("b_keys", expanding=True))
)
_LOOK = select(STATE.c.key).where(_AT)
_FORGET = delete(STATE).where(_AT, STATE.c.until <= bindparam("b_now"))
_REMOVE = delete(STATE).where(_CURRENT)
_CHANGE = update(STATE).where(_CURRENT)
_ADD = {
    # How many rows an INSERT added is not said by every driver.
    name: kind.insert(STATE).on_conflict_do_nothing().returning(STATE.c.key)
    for name, kind in (("postgresql", postgresql), ("sqlite", sqlite))
}


def _added(connection: Connection, space: str, change: Change, until: float | None) -> bool:
    row = {"space": space, "key": change.key, "value": change.value, "version": token_hex(8), "until": until}
    return connection.execute(_ADD[connection.dialect.name], row).first() is not None


class _OtherVersion(Exception):  # noqa: N818 - it never leaves this module
    """A key has another version than was said, so the transaction is rolled back."""
