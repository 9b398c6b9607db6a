"""Servers that load the program first and fork then, under load: every decision is written, every cost is counted once, nobody hangs."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from ports import free_port
from redis_server import RedisServer

from langroute.budgets import SqliteBudgets
from langroute.budgets.budget import units

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system"),
]

HERE = Path(__file__).parent


@contextmanager
def running(folder: Path, *arguments: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server as a program of its own; what it says is in `log.txt`."""
    environment = {**os.environ, "HOME": str(folder), "LANGROUTE_TEST_FOLDER": str(folder), "PYTHONWARNINGS": "ignore", **more}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), environment.get("PYTHONPATH", "")])
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *arguments], env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield server
        finally:
            # Workers outlive a master that is killed.
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def wait_for_end(server: subprocess.Popen[bytes], folder: Path) -> None:
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(40)
    except subprocess.TimeoutExpired:
        pytest.fail(f"the server did not end: {(folder / 'log.txt').read_text()[-3000:]}")


def check_books(folder: Path, told: set[str]) -> None:
    """Every decision that anybody was told of is in the ledger, the master's too, and what they cost is what the budget says."""
    with sqlite3.connect(folder / "ledger.db") as connection:
        rows = connection.execute("SELECT id, cost_usd FROM decisions").fetchall()
    connection.close()
    said = (folder / "log.txt").read_text()
    known = {decision for decision, _ in rows}
    assert not told - known, said[-3000:]
    assert len(rows) == len(known) == len(told) + int((folder / "master.txt").read_text())
    budgets = SqliteBudgets(folder / "budgets.db")
    with sqlite3.connect(folder / "budgets.db") as connection:
        spent = connection.execute("SELECT sum(spent) FROM accounts").fetchone()[0]
        held = connection.execute("SELECT count(*) FROM holds").fetchone()[0]
    connection.close()
    budgets.close()
    assert (spent, held) == (units(sum(cost for _, cost in rows)), 0)
    assert "Traceback" not in said
    assert "locked" not in said


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("worker", "application"),
    [("sync", "web:application"), ("gthread", "web:application"), ("uvicorn.workers.UvicornWorker", "web:asgi")],
)
def test_gunicorn(worker: str, application: str, tmp_path: Path) -> None:
    """Its workers are replaced after some requests each, so that the master forks while its own threads make calls."""
    pytest.importorskip("gunicorn")
    (tmp_path / "conf.py").write_text("def on_exit(server):\n    import web\n    web.on_exit(server)\n")
    port = free_port()
    options = ["--workers", "2", "--threads", "4" if worker == "gthread" else "1", "--worker-class", worker, "--preload"]
    options += [
        "--max-requests",
        "15",
        "--bind",
        f"127.0.0.1:{port}",
        "--config",
        "conf.py",
        "--timeout",
        "20",
        "--graceful-timeout",
        "5",
    ]

    def ask(number: int) -> dict[str, object]:
        for _ in range(50):
            try:
                with urlopen(f"http://127.0.0.1:{port}/?n={number}", timeout=25) as answer:
                    return json.load(answer)
            except ConnectionError:
                time.sleep(0.1)
            except OSError as error:
                if not isinstance(getattr(error, "reason", None), ConnectionError):
                    raise
                time.sleep(0.2)
        raise AssertionError("nobody answers")

    with running(tmp_path, "gunicorn", *options, application) as server:
        first = ask(0)
        with ThreadPoolExecutor(4) as clients:
            answers = [first, *clients.map(ask, range(1, 60))]
            # On a busy machine one worker takes most requests, and its replacement is late: ask until one has answered.
            until = time.monotonic() + 40
            while len({answer["pid"] for answer in answers}) <= 2 and time.monotonic() < until:
                answers += clients.map(ask, range(len(answers), len(answers) + 8))
        wait_for_end(server, tmp_path)
    assert len({answer["pid"] for answer in answers}) > 2
    check_books(tmp_path, {str(answer["decision"]) for answer in answers})


@pytest.mark.timeout(240)
def test_celery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job has a child of its own, which ends as soon as it is done."""
    pytest.importorskip("celery")
    broker = RedisServer()
    try:
        monkeypatch.setenv("LANGROUTE_TEST_BROKER", broker.url)
        monkeypatch.setenv("LANGROUTE_TEST_FOLDER", str(tmp_path))
        monkeypatch.syspath_prepend(HERE)
        import jobs

        options = ["worker", "--pool", "prefork", "--concurrency", "2", "--max-tasks-per-child", "1"]
        options += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
        with running(tmp_path, "celery", "-A", "jobs", *options, LANGROUTE_TEST_WORKER="1") as server:
            waiting = [jobs.ask.delay(number) for number in range(6)]
            answers = [one.get(timeout=60) for one in waiting]
            wait_for_end(server, tmp_path)
        jobs.app.close()
    finally:
        broker.stop()
        sys.modules.pop("jobs", None)
    assert len({pid for pid, _ in answers}) == 6
    check_books(tmp_path, {decision for _, decisions in answers for decision in decisions})
