"""Words that repeat in every row (`labels`, `places`), stored once under a number that every process derives from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table

from langroute.ledger import schema

MOST_WORDS = 100_000
"""Most combinations of words of a table that are known to exist."""

Words = tuple[str | None, ...]


def number_of(words: Sequence[str | None]) -> int:
    """Return a number derived from words; every process derives the same number from the same words."""
    digest = hashlib.blake2b(json.dumps(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


NAMELESS = number_of((None, None, None, None))
"""The label of a task of which nothing is known but an outcome."""


class KnownWords:
    """Combinations of words that exist in the database, and those that a transaction adds.

    Args:
        insert: The dialect's `insert`, which supports `ON CONFLICT`.
    """

    def __init__(self, insert: Any) -> None:
        self._insert = insert
        self._tables = (schema.labels, schema.places)
        self._known: dict[str, dict[Words, int]] = {table.name: {} for table in self._tables}
        self._new: dict[str, dict[Words, int]] = {table.name: {} for table in self._tables}
        self._written: dict[str, dict[Words, int]] = {table.name: {} for table in self._tables}

    def number(self, table: Table, words: Words) -> int:
        """Return the number of a combination; one that is not known to exist is added by the next `write`."""
        found = self._known[table.name].get(words)
        if found is None:
            found = self._written[table.name].get(words) or self._new[table.name].get(words)
        if found is None:
            found = self._new[table.name][words] = number_of(words)
        return found

    def write(self, connection: Connection) -> None:
        """Insert the new combinations, in the order of their numbers."""
        for table in self._tables:
            names = [column.name for column in table.columns if column.name != "id"]
            new = sorted((number, words) for words, number in self._new[table.name].items())
            if new:
                rows = [{"id": number, **dict(zip(names, words, strict=True))} for number, words in new]
                connection.execute(self._insert(table).on_conflict_do_nothing(), rows)
                self._written[table.name].update(self._new[table.name])
                self._new[table.name].clear()

    def committed(self) -> None:
        """Add the combinations of the committed transaction to what is known to exist."""
        for name, written in self._written.items():
            if len(self._known[name]) > MOST_WORDS:
                self._known[name].clear()
            self._known[name].update(written)
        self.rolled_back()

    def rolled_back(self) -> None:
        """Forget the combinations of the transaction that was rolled back."""
        for words in (*self._new.values(), *self._written.values()):
            words.clear()
