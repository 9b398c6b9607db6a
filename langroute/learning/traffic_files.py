"""Which files hold traffic: folders and patterns as the files in them, and URLs, which DuckDB reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from langroute.core.errors import DataError, MissingExtraError
from langroute.core.object_stores import reach
from langroute.core.urls import shown_url

DAYS = "day=*/*.parquet"
"""Files of a folder that is partitioned by day."""

_MEMORY = "500MB"
_AT_ONCE = 1000


def is_url(path: str | Path) -> bool:
    """Return whether a path is a URL.

    Example:
        >>> is_url("s3://bucket/lake"), is_url("lake/traffic")
        (True, False)
    """
    return "://" in str(path)


def traffic_files(paths: Iterable[str | Path]) -> list[str]:
    """Return the files that hold the traffic of some places, in order of their names for each.

    A folder is a lake's (`langroute export --parquet`), or one with a folder for each day. What is a file is left as it is, as is what
    does not exist, so that reading it says so.

    Raises:
        DataError: There is no traffic at a URL.
        MissingExtraError: A place is a URL and DuckDB is not installed.

    Example:
        >>> traffic_files(["traffic.jsonl"])
        ['traffic.jsonl']
    """
    return [file for path in paths for file in _files(str(path))]


def _files(path: str) -> list[str]:
    if is_url(path):
        return _at_url(path)
    if has_magic(path) and not Path(path).exists():
        # `Path.glob` takes no pattern of an absolute path.
        return [file for one in sorted(glob(path)) for file in _files(one)] or [path]  # noqa: PTH207
    if not Path(path).is_dir():
        return [path]
    found = sorted(Path(path).glob(f"traffic/{DAYS}")) or sorted(Path(path).glob(DAYS))
    return [str(file) for file in found] or [path]


def _at_url(url: str) -> list[str]:
    folder = url.rstrip("/")
    patterns = [url] if url.endswith((".parquet", "*")) else [f"{folder}/traffic/{DAYS}", f"{folder}/{DAYS}"]
    with _connected() as connection:
        for pattern in patterns:
            found = _asked(connection, "SELECT file FROM glob(?) WHERE file LIKE '%.parquet' ORDER BY file", pattern).fetchall()
            if found:
                scheme = f"{url.partition('://')[0]}://"
                # DuckDB leaves the scheme of local files out.
                return [file if is_url(file) else scheme + file for (file,) in found]
    raise DataError(f"{shown_url(url)}: there is no traffic in Parquet.")


def rows_at_url(url: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a Parquet file at a URL, numbered, without their unknown values; a bounded number is held at a time.

    Raises:
        DataError: It cannot be read.
    """
    number = 0
    with _connected() as connection:
        found = _asked(connection, "SELECT * FROM read_parquet(?, hive_partitioning = false)", url)
        # DuckDB 1.4 has it under another name.
        batches = found.to_arrow_reader if hasattr(found, "to_arrow_reader") else found.fetch_record_batch
        for batch in batches(_AT_ONCE):
            for row in batch.to_pylist():
                number += 1
                yield number, {name: value for name, value in row.items() if value is not None}


def rows_at(url: str) -> int:
    """Return the number of rows of a Parquet file at a URL."""
    with _connected() as connection:
        return int(_asked(connection, "SELECT count(*) FROM read_parquet(?)", url).fetchone()[0])


def _connected() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError("duckdb", "lake", "Reading traffic at a URL") from error
    return duckdb.connect(config={"memory_limit": _MEMORY})


def _asked(connection: Any, query: str, url: str) -> Any:
    import duckdb

    try:
        connection.execute("SET enable_progress_bar = false")
        reach(connection, url)
        return connection.execute(query, [url])
    except duckdb.Error as error:
        raise DataError(f"{shown_url(url)}: cannot be read: {str(error).splitlines()[0]}") from error


__all__ = ["is_url", "rows_at", "rows_at_url", "traffic_files"]
