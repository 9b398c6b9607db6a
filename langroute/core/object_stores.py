"""Files at URLs for DuckDB: by its own extension, or by a file system of `fsspec` where that cannot be had.

DuckDB fetches its extension `httpfs` from the internet when it first needs it. Where that cannot be reached, `pip install s3fs` (or another package that
`fsspec` knows for a scheme) reads the same URLs, with the credentials that the package takes.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

BY_HTTPFS = frozenset({"http", "https", "s3", "s3a", "s3n", "gs", "gcs", "r2", "hf"})
"""Schemes of DuckDB's extension."""


def reach(connection: Any, url: str) -> None:
    """Prepare a connection of DuckDB for files at a URL; what cannot be prepared is told where it is read.

    Args:
        connection: The connection, or what passes its methods on.
        url: A URL, or a path, which needs nothing.

    Example:
        >>> import duckdb
        >>> reach(duckdb.connect(), "lake")
    """
    scheme, found, _ = url.partition("://")
    if not found or scheme == "file" or (scheme in BY_HTTPFS and _has_httpfs(connection)):
        return
    with suppress(ImportError, ValueError):
        import fsspec

        files = fsspec.filesystem(scheme)
        protocols = (files.protocol,) if isinstance(files.protocol, str) else files.protocol
        if not set(protocols) & set(connection.list_filesystems()):
            connection.register_filesystem(files)


def _has_httpfs(connection: Any) -> bool:
    """Load the extension, and fetch it where it is not there yet."""
    import duckdb

    for statements in (("LOAD httpfs",), ("INSTALL httpfs", "LOAD httpfs")):
        with suppress(duckdb.Error):
            for statement in statements:
                connection.execute(statement)
            return True
    return False


__all__ = ["reach"]
