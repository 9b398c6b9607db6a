"""What children of `multiprocessing` record is written, however they begin and end, and nothing twice."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

PROGRAM = Path(__file__).with_name("children.py")


def recorded(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        count, different = connection.execute("SELECT count(*), count(DISTINCT id) FROM decisions").fetchone()
    connection.close()
    assert count == different
    return int(count)


def run(how: str, kind: str, folder: Path) -> int:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", str(PROGRAM), how, str(folder / "ledger.db"), kind],
        timeout=110,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    return recorded(folder / "ledger.db")


@pytest.mark.parametrize(
    ("kind", "calls"), [("process", 20), ("pool", 20), ("one task a child", 20), ("executor", 20), ("nested", 15), ("late", 30)]
)
def test_forked_children(kind: str, calls: int, tmp_path: Path) -> None:
    """The parent's own call is there once, although each child began with a copy of its queue."""
    assert run("fork", kind, tmp_path) == calls + 1


@pytest.mark.parametrize(
    ("how", "kind", "calls"), [("spawn", "nested", 15), ("forkserver", "nested", 15), ("forkserver", "late", 30)]
)
def test_children_that_begin_without_their_parents_memory(how: str, kind: str, calls: int, tmp_path: Path) -> None:
    assert run(how, kind, tmp_path) == calls + 1


def test_children_of_billiard(tmp_path: Path) -> None:
    pytest.importorskip("billiard")
    assert run("billiard", "process", tmp_path) == 21
