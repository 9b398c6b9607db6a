"""Export of a ledger to a lake (`lake_layout`): a day at a time, streamed, each day's files put in place together."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select, union

from langroute.core.errors import DataError, MissingExtraError
from langroute.core.files import beside, make_folder
from langroute.core.storable import strict_json
from langroute.core.writing import check_replaceable, write_together
from langroute.ledger import schema
from langroute.ledger.export import traffic_of
from langroute.ledger.lake_layout import (
    DAYS,
    MARK,
    PART,
    RECORD,
    TRAFFIC,
    TRAFFIC_COLUMNS,
    VERSION,
    WORDS,
    arrow_type,
    folder_of,
    stored_columns,
)
from langroute.ledger.rollup import kept_since

AT_ONCE = 2000
"""Rows that are fetched at a time."""

GROUP_ROWS, GROUP_BYTES = 100_000, 64 << 20
"""Rows and bytes at which a row group of a file ends."""

NESTED = ("messages", "step", "outcomes")
"""Columns of traffic that are JSON texts."""

RESUMED_S = 86_400
"""How long after an export began that was stopped, another one goes on where it stopped."""


class LakeExport:
    """Write a ledger's rows of some days to a folder of Parquet files.

    Every day is written anew: beside its old files, and in their place when all of it is there. An export that was stopped leaves whole
    days, and the next one of the same days goes on after them if it begins within a day. Days that the ledger let go stay in the folder.

    Args:
        ledger: A `SqlLedger`.
        folder: Where to write; made if it is missing.
        first_day: First day, as days since 1970-01-01.
        last_day: Last day.
        progress: Called after each day with its number, and how many days are done and wanted.

    Raises:
        DataError: The folder has something else in it, or the rows of another ledger.
        MissingExtraError: pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> from langroute.core.records import Decision, Step
        >>> from langroute.ledger import open_ledger
        >>> folder = Path(tempfile.mkdtemp())
        >>> with open_ledger(folder / "ledger.db") as ledger:
        ...     ledger.record(Decision("d1", Step("title"), "small", (), started_at=86_400.0))
        ...     LakeExport(ledger, folder / "lake").run()
        1
        >>> sorted(path.name for path in (folder / "lake").iterdir())
        ['calls', 'decisions', 'labels.parquet', 'lake.json', 'outcomes', 'places.parquet', 'tasks', 'traffic']
    """

    def __init__(
        self,
        ledger: Any,
        folder: Path,
        first_day: int = 0,
        last_day: int | None = None,
        progress: Callable[[int, int, int], None] | None = None,
    ) -> None:
        try:
            import pyarrow.parquet  # type: ignore[import-untyped]  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("pyarrow", "lake", "Writing Parquet") from error
        self.ledger, self.folder = ledger, folder
        self.first_day, self.last_day = first_day, (1 << 31) - 1 if last_day is None else last_day
        self._progress = progress or (lambda *_: None)
        self._words: dict[str, int] = {}
        """Number of rows of the tables of words as they were written last; such rows are never changed."""

    def run(self) -> int:
        """Write the days, and return how many there are."""
        self.ledger.rollup()
        make_folder(self.folder)
        done = self._begin()
        with self.ledger.reading() as connection:
            days = self._days(connection)
            kept = {table.name: kept_since(connection, key) for table, key in zip(DAYS, _KEPT, strict=True)}
        kept[TRAFFIC] = kept[schema.decisions.name]
        wanted = [day for day in days if day not in done]
        for number, day in enumerate(wanted, len(days) - len(wanted) + 1):
            self._write_day(day, {name for name, since in kept.items() if day >= since})
            done.add(day)
            self._mark(done)
            self._progress(day, number, len(days))
        self._remove_emptied(set(days), kept)
        self._put_words()
        self._mark(None)
        return len(days)

    # What there is ---------------------------------------------------------------------------------------------------

    def _key(self) -> str:
        with self.ledger.reading() as connection:
            secret = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == "hash_key")).scalar_one()
        return hashlib.blake2b(f"lake of {secret}".encode(), digest_size=8).hexdigest()

    def _begin(self) -> set[int]:
        """Return the days that an export of the same days has written that was stopped."""
        path, self._ledger_key, self._began = self.folder / MARK, self._key(), time.time()
        if not path.exists():
            if any(self.folder.iterdir()):
                raise DataError(f"{self.folder}: there is something else in this folder; name a new one, or a lake's ({MARK}).")
            self._mark(set())
            return set()
        try:
            found = json.loads(path.read_bytes())
            ledger, under_way = str(found["ledger"]), found.get("under_way") or {}
            same = under_way.get("days") == [self.first_day, self.last_day] and self._began - under_way["began"] < RESUMED_S
            done = {int(day) for day in under_way["done"]} if same else set()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{path}: this is no lake's mark; name another folder.") from error
        if ledger != self._ledger_key:
            raise DataError(f"{self.folder}: this has the rows of another ledger; give each ledger a folder of its own.")
        if same:
            self._began = float(under_way["began"])
        return done

    def _mark(self, done: set[int] | None) -> None:
        mark: dict[str, Any] = {"lake": VERSION, "ledger": self._ledger_key}
        if done is not None:
            mark["under_way"] = {"began": self._began, "days": [self.first_day, self.last_day], "done": sorted(done)}
        write_together({self.folder / MARK: strict_json(mark).encode()})

    def _days(self, connection: Connection) -> list[int]:
        tables = (schema.decisions, schema.calls, schema.tasks)
        query = union(*(select(table.c.day).where(table.c.day.between(self.first_day, self.last_day)) for table in tables))
        return sorted(connection.execute(query).scalars())

    def _remove_emptied(self, days: set[int], kept: dict[str, int]) -> None:
        """Remove the files of days in the window that have no rows any more, though the ledger has let no day go that late."""
        for name, since in kept.items():
            for file in (self.folder / name).glob(f"day=*/{PART}"):
                with suppress(ValueError):
                    day = day_of_folder(file.parent.name)
                    if max(self.first_day, since) <= day <= self.last_day and day not in days:
                        file.unlink()
                        file.parent.rmdir()

    # Writing ---------------------------------------------------------------------------------------------------------

    def _write_day(self, day: int, names: set[str]) -> None:
        fresh: dict[Path, Path] = {}
        try:
            for table in DAYS:
                if table.name in names:
                    path = self.folder / folder_of(table.name, day) / PART
                    with self.ledger.reading(flush=False) as connection:
                        fresh[path] = _write(path, *_rows_of(connection, table, day))
            if TRAFFIC in names:
                path = self.folder / folder_of(TRAFFIC, day) / PART
                fresh[path] = _write(path, [(name, "string") for name in TRAFFIC_COLUMNS], self._traffic(day))
            # The words before the rows that point to them.
            self._put_words()
            for path, made in fresh.items():
                made.replace(path)
        finally:
            for made in fresh.values():
                made.unlink(missing_ok=True)

    def _put_words(self) -> None:
        for table in WORDS:
            path = self.folder / f"{table.name}.parquet"
            columns = [(column.name, arrow_type(column)) for column in table.columns]
            with self.ledger.reading(flush=False) as connection:
                count = connection.execute(select(func.count()).select_from(table)).scalar_one()
                if count == self._words.get(table.name):
                    continue
                self._words[table.name] = count
                rows = connection.execute(select(table).order_by(table.c.id)).partitions(AT_ONCE)
                _write(path, columns, rows).replace(path)

    def _traffic(self, day: int) -> Iterator[Sequence[Sequence[Any]]]:
        """Yield the day's recorded requests, some rows at a time."""
        d = schema.decisions.c
        last = 0
        while True:
            with self.ledger.reading(flush=False) as connection:
                # The order by another column than the table's keeps SQLite from walking through all days.
                page = select(d.n).where(d.day == day, d.n > last).order_by(d.day, d.n).limit(AT_ONCE // 2)
                numbers = list(connection.execute(page).scalars())
                rows = [_traffic_row(line) for line in traffic_of(connection, numbers)]
            if rows:
                yield rows
            if len(numbers) < AT_ONCE // 2:
                return
            last = numbers[-1]


_KEPT = ("raw_since", "raw_since", "tasks_since", "tasks_since")
"""For each table of `DAYS` the key of the first day whose rows the ledger still has."""


def day_of_folder(name: str) -> int:
    """Return the day of a folder, as days since 1970-01-01.

    Raises:
        ValueError: It is not the name of one.

    Example:
        >>> day_of_folder("day=2024-10-04")
        20000
    """
    from datetime import date

    return (date.fromisoformat(name.removeprefix("day=")) - date(1970, 1, 1)).days


def _rows_of(connection: Connection, table: Any, day: int) -> tuple[list[tuple[str, str]], Iterator[Sequence[Sequence[Any]]]]:
    """Return the columns of a table with their types, and its rows of a day, some at a time."""
    stored = stored_columns(table)
    columns = [(column.name, arrow_type(column)) for column in stored]
    t, query = schema.tasks.c, select(*stored)
    if table is schema.decisions:
        columns.append((RECORD, "string"))
        query = query.add_columns(schema.details.c.record).outerjoin(schema.details, schema.details.c.decision == table.c.n)
    if table is schema.outcomes:
        query = query.join(schema.tasks, table.c.task == t.n).where(t.day == day).order_by(table.c.task, table.c.n)
    else:
        query = query.where(table.c.day == day).order_by(table.c.day, table.c.n)
    return columns, connection.execution_options(yield_per=AT_ONCE).execute(query).partitions()


def _traffic_row(line: dict[str, Any]) -> list[Any]:
    return [strict_json(line[name], ensure_ascii=False) if name in NESTED else line[name] for name in TRAFFIC_COLUMNS]


def _write(path: Path, columns: Sequence[tuple[str, str]], pages: Iterable[Sequence[Sequence[Any]]]) -> Path:
    """Write rows to a private file beside a path, and return that file."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    make_folder(path.parent.parent)
    make_folder(path.parent)
    check_replaceable(path)
    for left in path.parent.glob(f".{path.name}.*.new"):
        # An export that was killed left it.
        left.unlink(missing_ok=True)
    kinds = arrow.schema([(name, getattr(arrow, {"double": "float64"}.get(kind, kind))()) for name, kind in columns])
    fresh, handle = beside(path)
    whole = False
    try:
        with os.fdopen(handle, "wb") as file:
            with parquet.ParquetWriter(file, kinds, compression="zstd") as writer:
                for group in _groups(arrow, kinds, pages):
                    writer.write_table(group, row_group_size=GROUP_ROWS)
            file.flush()
            os.fsync(file.fileno())
        whole = True
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}.") from error
    finally:
        if not whole:
            fresh.unlink(missing_ok=True)
    return fresh


def _groups(arrow: Any, kinds: Any, pages: Iterable[Sequence[Sequence[Any]]]) -> Iterator[Any]:
    """Yield tables of at most about `GROUP_ROWS` rows and `GROUP_BYTES` bytes."""
    batches: list[Any] = []
    rows = size = 0
    for page in pages:
        values = zip(*page, strict=True)
        batch = arrow.RecordBatch.from_arrays(
            [arrow.array(one, kind.type) for one, kind in zip(values, kinds, strict=True)], schema=kinds
        )
        batches.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield arrow.Table.from_batches(batches, kinds)
            batches, rows, size = [], 0, 0
    if batches:
        yield arrow.Table.from_batches(batches, kinds)


__all__ = ["LakeExport", "day_of_folder"]
