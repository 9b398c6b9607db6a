"""Lakes at URLs: in a file system of `fsspec`, and in a server of S3's protocol where the packages for it are installed.

`pip install s3fs nanio` for the second; DuckDB's own extension is used where it is installed or can be fetched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ports import free_port
from waiting import wait_until

from langroute.cli import cli
from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.ledger.lake_export import LakeExport

pytest.importorskip("duckdb", reason="duckdb is not installed (the extra `lake`)")
pytest.importorskip("duckdb_engine", reason="duckdb-engine is not installed (the extra `lake`)")

ASKED = (
    ("report", "--since", "all", "--by", "route", "--format", "csv", "--ledger"),
    ("report", "--since", "all", "--by", "team", "--format", "csv", "--ledger"),
    ("advise",),
    ("analyze",),
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, now = tmp_path_factory.mktemp("lake"), time.time()
    with open_ledger(folder / "ledger.db") as ledger:
        for number in range(240):
            route = "large" if number % 3 == 0 else "small"
            attempt = Attempt(
                Selection(route), usage=Usage(100 + number, 10), cost_usd=0.0001 * (number % 7 + 1), model=f"{route}-1"
            )
            with task(f"t{number // 3}", kind="support", team=f"team-{number % 4}"):
                at = now - 86_400 * (number % 5)
                ledger.record(Decision(f"d{number}", Step("chat"), route, (attempt,), cost_usd=attempt.cost_usd, started_at=at))
            if number % 3 == 2:
                ledger.record_outcome(Outcome(success=number % 2 == 0, task_id=f"t{number // 3}", at=now))
        LakeExport(ledger, folder / "lake").run()
    return folder / "lake"


def compared(lake: Path, url: str) -> None:
    """Ask for the same here and there."""
    for words in ASKED:
        here, there = (CliRunner().invoke(cli, [*words, where]) for where in (str(lake), url))
        assert here.exit_code == there.exit_code == 0, f"{words}: {here.output} {there.output}"
        assert there.stdout.replace(url, str(lake)) == here.stdout
        assert here.stdout


def put(lake: Path, keep: Callable[[str, bytes], Any]) -> None:
    for file in lake.rglob("*"):
        if file.is_file():
            keep(f"lake/{file.relative_to(lake)}", file.read_bytes())


def test_a_lake_in_a_file_system_that_only_fsspec_knows(lake: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    files = fsspec.filesystem("memory")
    put(lake, lambda name, content: files.pipe_file(f"/bucket/{name}", content))
    compared(lake, "memory://bucket/lake")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, bytes], Any]]:
    """A bucket in a server of S3's protocol on loopback; the environment says where it is."""
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    pytest.importorskip("nanio", reason="nanio is not installed")
    port = free_port()
    login = {"AWS_ACCESS_KEY_ID": "of-the-tests", "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests", "AWS_REGION": "us-east-1"}
    for name, value in {**login, "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}", "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    known = {"NANIO_ACCESS_KEY": login["AWS_ACCESS_KEY_ID"], "NANIO_SECRET_KEY": login["AWS_SECRET_ACCESS_KEY"]}
    program = Path(sys.executable).parent / "nanio"
    command = [program, "serve", "--data-dir", tmp_path, "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, **known}, **quiet) as server:
        try:
            files = s3fs.S3FileSystem(skip_instance_cache=True)
            wait_until(lambda: made(files))
            yield lambda name, content: files.pipe_file(f"bucket/{name}", content)
        finally:
            server.kill()


def made(files: Any) -> bool:
    try:
        files.mkdir("bucket")
    except Exception:
        return False
    return True


def test_a_lake_in_a_server_of_s3s_protocol(
    lake: Path, bucket: Callable[[str, bytes], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through `fsspec`, as where DuckDB's extension cannot be fetched."""
    monkeypatch.setattr("langroute.core.object_stores.BY_HTTPFS", frozenset())
    put(lake, bucket)
    compared(lake, "s3://bucket/lake")
