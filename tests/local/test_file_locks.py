"""Locks between processes: one holder at a time, released when it ends, on files that are ours alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from langroute.core.errors import LocalModelError
from langroute.local.locks import acquire, held, is_held

HOLDER = """
import sys
from pathlib import Path
from langroute.local.locks import acquire
lock = acquire(Path(sys.argv[1]))
print("held" if lock else "taken", flush=True)
sys.stdin.readline()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_one_processs_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    process = holder(path)
    try:
        assert is_held(path)
        assert acquire(path) is None
    finally:
        process.kill()
        process.communicate()
    assert not is_held(path)


def test_a_lock_is_taken_once_in_a_process_too(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    lock = acquire(path)
    assert lock is not None
    assert acquire(path) is None
    lock.release()
    assert not is_held(path)


def test_a_file_that_nobody_locked_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert not is_held(path)
    assert not path.exists()
    path.write_text("left behind")
    assert not is_held(path)
    assert path.read_text() == "left behind"


def test_whoever_waits_goes_on_when_the_holder_is_done(tmp_path: Path) -> None:
    """The holder removes the file; the waiting ones take turns on new files, and two never have it together."""
    path, inside, most, waited = tmp_path / "a.lock", [0], [0], []

    def work() -> None:
        for _ in range(5):
            with held(path, lambda: waited.append(1)):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.02)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert most == [1]
    assert waited
    assert not path.exists()


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_locks_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with held(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_no_lock(tmp_path: Path) -> None:
    """Nothing is made or changed where it leads to."""
    (tmp_path / "a.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LocalModelError, match="is a link"):
        acquire(tmp_path / "a.lock")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "a.lock").mkdir()
    with pytest.raises(LocalModelError, match="folder"):
        acquire(tmp_path / "a.lock")
