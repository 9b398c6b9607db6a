"""File locks between processes, released when their process ends.

The locks are `filelock`'s; what is added here is that a lock's file belongs to its owner alone and is no link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from langroute.core.errors import DataError, LocalModelError, MissingExtraError
from langroute.core.files import PRIVATE, private

if TYPE_CHECKING:
    from filelock import BaseFileLock

ATTEMPT_SECONDS = 0.05
"""How long an attempt takes. It is not 0: the previous holder may remove the file just then, and the next attempt makes a new one."""


def acquire(path: Path) -> BaseFileLock | None:
    """Take the lock and return it, to be kept as long as it is needed, or `None` where another process has it.

    Raises:
        LocalModelError: The file is somebody else's or a link, or the file system has no locks.
        MissingExtraError: filelock is not installed.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError:
        raise MissingExtraError("filelock", "local", "A local model") from None
    _prepare(path)
    # Shared by threads: whoever holds it releases it.
    lock = FileLock(path, timeout=ATTEMPT_SECONDS, mode=PRIVATE, thread_local=False)
    try:
        lock.acquire(poll_interval=ATTEMPT_SECONDS / 5)
    except Timeout:
        return None
    except OSError as error:
        raise LocalModelError(f"A lock cannot be taken at {path}: {error}") from error
    return lock


def _prepare(path: Path) -> None:
    """Create the lock's file, or check that the existing one is ours."""
    try:
        if path.is_symlink():
            raise DataError(f"{path} is a link. Remove it, or name what it leads to.")
        # It may be removed while it is checked.
        with suppress(FileNotFoundError):
            private(path)
    except DataError as error:
        raise LocalModelError(f"A lock cannot be taken: {error}") from error


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock."""
    if not path.exists():
        return False
    lock = acquire(path)
    if lock is None:
        return True
    lock.release()
    return False


@contextmanager
def held(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock inside the block; `waiting` is called repeatedly while another process has it."""
    while (lock := acquire(path)) is None:
        waiting()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()
