"""Size limit for files from outside."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from langroute.core.errors import DataError

MEGABYTE = 1 << 20


def read_limited(path: str | Path, most: int, *, error: type[DataError] = DataError) -> bytes:
    """Return the contents of a regular file, refusing one that is too large before it is read.

    Args:
        path: The file. A link to one is followed: mounted configuration is made of links.
        most: Largest size in bytes.
        error: Class of the error that is raised.

    Raises:
        DataError: The file is larger, or a device or a pipe, which has no end.
        OSError: It cannot be read.

    Example:
        >>> read_limited(__file__, 1 << 20)[:3]
        b'\"\"\"'
    """
    # Opening a pipe would wait for somebody to write to it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path}: this is no file on a disk.")
        content = b"" if status.st_size > most else file.read(most + 1)
        if max(status.st_size, len(content)) > most:
            raise error(f"{path}: larger than {most >> 20} MB, more than such a file ever has; it is not read.")
    return content
