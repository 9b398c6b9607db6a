"""Is another process at it? File locks that end with their process, however it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from langroute.errors import LocalModelError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def acquire(path: Path) -> int | None:
    """Take the lock and return its file descriptor, or `None` where another process has it.

    Raises:
        LocalModelError: This system has no such locks.
    """
    if fcntl is None:
        raise LocalModelError("Local models need Linux or macOS: this system has no file locks of their kind.")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        # Whoever had it before may have removed the file in between: then this is a lock on nothing.
        try:
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """A living process has the lock."""
    if not path.exists():
        return False
    descriptor = acquire(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


@contextmanager
def held(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock inside the block; `waiting` is called as long as another process has it."""
    while (descriptor := acquire(path)) is None:
        waiting()
        time.sleep(0.2)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
