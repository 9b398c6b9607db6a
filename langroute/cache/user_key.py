"""The user's signing key, with which a cache without a secret seals the values that it stores outside this process.

It is generated at random when it is first needed and kept in a file that only the user can read, apart from every store: write
access to a store does not reveal it. All processes of one user on one machine use the same key.
"""

from __future__ import annotations

import os
import stat
import time
import warnings
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from langroute.core.errors import ConfigurationWarning
from langroute.core.files import make_folder, open_new

KEY_BYTES = 32
_SPARE = os.urandom(KEY_BYTES)
"""Key of this process and its forked children, where no file can be kept."""


def place() -> Path:
    """Return the path of the key file.

    Raises:
        RuntimeError: The user has no home directory.
    """
    return Path("~/.local/state/langroute/cache.key").expanduser()


def user_key() -> bytes:
    """Return the key of the user of this process; where it cannot be kept in a file, warn and return a key of this process."""
    try:
        return _kept(place())
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"The key of this user's caches cannot be kept ({error}), so no other program can read what this process caches. "
            'Give the store a secret: Codec(secret="...").',
            ConfigurationWarning,
            stacklevel=2,
        )
        return _SPARE


@lru_cache(maxsize=8)
def _kept(file: Path) -> bytes:
    """Return the key in a file, which is created where there is none.

    Raises:
        OSError: It can be neither read nor created, or somebody else could have written it.
    """
    with suppress(FileNotFoundError):
        return _read(file)
    make_folder(file.parent)
    fresh = file.with_name(f".{file.name}.{os.urandom(8).hex()}")
    handle = open_new(fresh)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(os.urandom(KEY_BYTES))
            out.flush()
            os.fsync(out.fileno())
        _named(fresh, file)
    finally:
        fresh.unlink(missing_ok=True)
    # Whichever process was first, all use the key that is in the file now.
    return _read(file)


def _named(fresh: Path, file: Path) -> None:
    """Move a complete file to its name, unless another process was faster."""
    try:
        os.link(fresh, file)
    except FileExistsError:
        return
    except OSError:
        # This file system has no hard links; two processes that start at the same moment may need a second read.
        fresh.replace(file)
        time.sleep(0.05)


def _read(file: Path) -> bytes:
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as found:
        facts = os.fstat(found.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(f"{file} is no file")
        if hasattr(os, "geteuid") and (facts.st_uid != os.geteuid() or facts.st_mode & 0o077):
            raise OSError(f"{file} is not this user's alone: remove it, and a new one is made")
        key = found.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise OSError(f"{file} is damaged: remove it, and a new one is made")
    return key
