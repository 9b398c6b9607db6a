"""Can a file be written there, and is what was there before still whole if not?"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from langroute.errors import DataError


def check_writable(folder: Path) -> None:
    """Try to write into a folder, or where it would be made.

    Raises:
        DataError: Nothing can be written there.

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
    """A file that is to be written is not there yet, or is a file.

    Raises:
        DataError: It is a folder or a device.

    Example:
        >>> check_replaceable(Path(tempfile.mkdtemp()) / "plot.html")
    """
    if file.exists() and not file.is_file():
        raise DataError(f"{file}: this is {'a folder' if file.is_dir() else 'no file on a disk'}; choose another name.")


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files that only their owner may read, all or none: on a full disk, what was there before is still there, and whole.

    Raises:
        DataError: They cannot be written.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_together({folder / "one": b"1", folder / "two": b"2"})
        >>> sorted(path.name for path in folder.iterdir())
        ['one', 'two']
    """
    # Two programs may write to one place: a name for each.
    beside = {path: path.with_name(f".{path.name}.{os.getpid()}.new") for path in contents}
    try:
        for path, content in contents.items():
            check_replaceable(path)
            handle = os.open(beside[path], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
        for path, fresh in beside.items():
            fresh.replace(path)
    except OSError as error:
        raise DataError(f"{next(iter(contents)).parent}: cannot be written: {error.strerror}.") from error
    finally:
        for fresh in beside.values():
            fresh.unlink(missing_ok=True)
