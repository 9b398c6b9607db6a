"""Creation and checks of files that only their owner may read; links are not followed blindly.

Every file that langroute writes is made here; `writing.py` writes whole files through it and `sqlite.py` opens databases through it.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from langroute.core.degradation import Degradations
from langroute.core.errors import DataError, DegradedWarning

PRIVATE = 0o600
"""Mode of every file: readable and writable by its owner alone."""

_BASE = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NOTICES = Degradations()


def make_folder(folder: Path) -> None:
    """Create a folder for private files if it is missing, and warn if other users may change its contents.

    Raises:
        OSError: It cannot be created.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(folder)


def check_folder(folder: Path) -> None:
    """Warn once if a folder is world-writable without the sticky bit, so that anybody may replace files in it."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        # Writing there will raise the error.
        return
    if os.name == "posix" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        _say(
            folder,
            f"Everybody may replace files in {folder} (mode {stat.S_IMODE(mode):04o}): take that right away, or use another folder.",
        )


def open_new(path: Path) -> int:
    """Create a file that must not exist yet and return its descriptor, open for writing.

    Raises:
        FileExistsError: The path exists, even as a dangling link.
        OSError: It cannot be created.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BASE, PRIVATE)
    if hasattr(os, "fchmod"):
        # Independent of the umask.
        os.fchmod(descriptor, PRIVATE)
    return descriptor


def open_instead(path: Path) -> int:
    """Create a file in place of an existing one, which is unlinked and not written to; return its descriptor.

    Raises:
        OSError: It cannot be created.
    """
    path.unlink(missing_ok=True)
    return open_new(path)


def open_own(path: Path) -> int:
    """Open a private file for reading and writing, created if missing; return its descriptor.

    Raises:
        DataError: The existing file belongs to another user, or is not a regular file.
        OSError: It cannot be opened.
    """
    if path.is_symlink():
        raise DataError(f"{path} is a link. Remove it, or name what it leads to.")
    private(path)
    return os.open(path, os.O_RDWR | _BASE, PRIVATE)


def open_stream(path: Path) -> int:
    """Open a pipe or a device for appending; return its descriptor.

    Raises:
        DataError: The pipe belongs to another user.
        OSError: It cannot be opened.
    """
    found = path.stat()
    if stat.S_ISFIFO(found.st_mode) and not path.is_symlink():
        _check_owner(path, found)
    return os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0))


def beside(path: Path) -> tuple[Path, int]:
    """Create a file beside another one under an unpredictable name; return its path and descriptor.

    Raises:
        OSError: It cannot be created.
    """
    fresh = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}.new")
    return fresh, open_new(fresh)


def private(path: Path, is_meant: Callable[[Path], bool] = lambda _: True) -> None:
    """Create a private file if it is missing; otherwise check that the existing one is ours and readable by us alone.

    A link is followed if both the link and its target are ours. An existing file is not opened, because closing it again would release
    the locks that this process may hold on it.

    Args:
        path: The file.
        is_meant: Returns whether an existing file is langroute's; the mode of another program's file is left unchanged.

    Raises:
        DataError: The existing file belongs to another user, is not a regular file, or is a dangling link.
        OSError: It cannot be created.
    """
    check_folder(path.parent)
    try:
        os.close(open_new(path))
    except FileExistsError:
        tighten(path, is_meant)


def tighten(path: Path, is_meant: Callable[[Path], bool] = lambda _: True) -> None:
    """Check that a file is ours and make it readable by us alone; warn once where its mode had to be changed.

    Args:
        path: The file.
        is_meant: As for `private`.

    Raises:
        DataError: The file belongs to another user, is not a regular file, or is a dangling link.
        OSError: Its status cannot be read.
    """
    path, found = checked(path)
    mode = stat.S_IMODE(found.st_mode)
    if os.name == "posix" and mode & 0o077 and _is_mine(found.st_uid) and is_meant(path):
        path.chmod(PRIVATE)
        _say(path, f"{path} had mode {mode:04o}, so that others could read it; it has mode {PRIVATE:04o} now.")


def checked(path: Path) -> tuple[Path, os.stat_result]:
    """Return an existing file's path, own links resolved, and its status. Nothing is changed.

    Raises:
        DataError: The file belongs to another user, is not a regular file, or is a dangling link.
        OSError: Its status cannot be read.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        _check_owner(path, found)
        try:
            path = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise DataError(f"{path} is a link that leads nowhere. Remove it.") from error
        found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} is {'a folder' if stat.S_ISDIR(found.st_mode) else 'no file on a disk'}; choose another name.")
    _check_owner(path, found)
    return path, found


def say_replaced(path: Path) -> None:
    """Warn once that a file with a wider mode is being replaced by a private one."""
    try:
        found = path.lstat()
    except OSError:
        return
    mode = stat.S_IMODE(found.st_mode)
    if os.name == "posix" and stat.S_ISREG(found.st_mode) and mode & 0o077:
        _say(
            path, f"{path} had mode {mode:04o}; what is in its place now has mode {PRIVATE:04o}. Change it if others shall read it."
        )


def _is_mine(owner: int) -> bool:
    return not hasattr(os, "geteuid") or owner == os.geteuid()


def _check_owner(path: Path, found: os.stat_result) -> None:
    """Raise if a file belongs to another user, who could read what is written to it whatever its mode is."""
    if _is_mine(found.st_uid):
        return
    # The superuser may look after other people's files, where these are in a folder of theirs.
    if os.geteuid() == 0 and path.parent.stat().st_uid == found.st_uid:
        return
    raise DataError(
        f"{path} belongs to another user (number {found.st_uid}), who could read what is written to it. Name another file."
    )


def _say(path: Path, text: str) -> None:
    _NOTICES.warn(str(path.absolute()), DegradedWarning, text)


__all__ = [
    "PRIVATE",
    "beside",
    "check_folder",
    "checked",
    "make_folder",
    "open_instead",
    "open_new",
    "open_own",
    "open_stream",
    "private",
    "say_replaced",
    "tighten",
]
