"""Atomic writing of whole private files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import EEXIST, EISDIR, EPERM
from pathlib import Path
from typing import TextIO

from langroute.core.errors import DataError, InputError
from langroute.core.files import beside, check_folder, open_stream, say_replaced


def check_writable(folder: Path) -> None:
    """Raise unless a folder, or the place where it would be made, can be written to.

    Raises:
        DataError: The folder cannot be written to.

    Example:
        >>> check_writable(Path(tempfile.mkdtemp()) / "policies" / "one")
    """
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir():
        raise DataError(f"{folder}: {there} is no folder, so nothing can be written there.")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise DataError(f"{folder}: nothing can be written there: {error.strerror}.") from error


def check_replaceable(file: Path) -> None:
    """Raise if a path that is to be written exists and is not a regular file, or is a database.

    Raises:
        DataError: It is a folder, a device, or a SQLite database, such as the ledger that is read.

    Example:
        >>> check_replaceable(Path(tempfile.mkdtemp()) / "plot.html")
    """
    if file.exists() and not file.is_file():
        raise DataError(f"{file}: this is {'a folder' if file.is_dir() else 'no file on a disk'}; choose another name.")
    if _is_database(file):
        raise DataError(f"{file}: this is a database, which nothing is written over; choose another name.")


def _is_database(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


_SQLITE = b"SQLite format 3\0"
"""How a database of SQLite begins."""


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several private files, all or none; on a full disk the previous files stay complete.

    A link that stands under a name is replaced; what it leads to is left as it is.

    Raises:
        DataError: The files cannot be written.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_together({folder / "one": b"1", folder / "two": b"2"})
        >>> sorted(path.name for path in folder.iterdir())
        ['one', 'two']
    """
    written: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            check_replaceable(path)
            written[path], handle = beside(path)
            with os.fdopen(handle, "wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
        for path, fresh in written.items():
            _put(fresh, path)
    except OSError as error:
        raise DataError(f"{next(iter(contents)).parent}: cannot be written: {error.strerror}.") from error
    finally:
        for fresh in written.values():
            fresh.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a private text file for writing; it takes its place only when it is complete.

    A pipe or a device is written to as it is.

    Raises:
        InputError: It cannot be written.

    Example:
        >>> file = Path(tempfile.mkdtemp()) / "report.csv"
        >>> with replacing(file) as out:
        ...     _ = out.write("spend")
        >>> file.read_text()
        'spend'
    """
    fresh = None
    try:
        if _is_stream(path):
            handle = _stream(path)
        else:
            if path.is_dir():
                raise IsADirectoryError(EISDIR, "It is a folder")
            if _is_database(path):
                raise FileExistsError(EEXIST, "It is a database, such as a ledger; choose another name")
            fresh, handle = beside(path)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            yield out
        if fresh is not None:
            _put(fresh, path)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror}.") from error
    finally:
        if fresh is not None:
            fresh.unlink(missing_ok=True)


def _stream(path: Path) -> int:
    try:
        return open_stream(path)
    except DataError as error:
        raise PermissionError(EPERM, str(error).rstrip(".")) from error


def _put(fresh: Path, path: Path) -> None:
    check_folder(path.parent)
    say_replaced(path)
    fresh.replace(path)


def _is_stream(path: Path) -> bool:
    """Return whether a path is a pipe, a device, or one of this process's own files such as `/dev/stdout`."""
    if path.is_symlink() and path.absolute().parts[1:2] in (("dev",), ("proc",)):
        return path.exists()
    return path.exists() and not (path.is_file() or path.is_dir())
