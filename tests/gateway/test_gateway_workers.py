"""Several workers on one socket: one that is killed is replaced, a SIGHUP reaches all, and the books are the provider's own."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import free_port
from provider import CHAT, USAGE_OUT, Provider, waited
from requests_of_agents import JSON, request_of, written

pytestmark = [pytest.mark.slow, pytest.mark.server]

ROOT = Path(__file__).resolve().parents[2]


def config(provider: Provider, port: int, folder: Path, route: str) -> str:
    routes = "".join(
        f'[routes.{name}]\nprovider = "openai"\nmodel = "{name}-1"\nkey_env = "KEY"\nbase_url = "{provider.url}"\n'
        "price = { input = 10, output = 20 }\n"
        for name in ("small", "large")
    )
    head = f'policy = {{ name = "fixed", route = "{route}" }}\nledger = "{folder / "ledger.db"}"\nbudget_store = "{folder / "budgets.db"}"\n'
    return f'{head}{routes}[[budgets]]\nusd = 1000\nper = "all"\n[serve]\nport = {port}\nworkers = 2\nresend_seconds = 0.2\ndrain_seconds = 5\n'


@pytest.fixture
def fleet(provider: Provider, tmp_path: Path) -> Iterator[Any]:
    port = free_port()
    file = tmp_path / "langroute.toml"
    file.write_text(config(provider, port, tmp_path, "large"))
    environment = {
        **os.environ,
        "KEY": "sk-x",
        "LANGROUTE_TOKEN": "lr-fleet",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    program = [sys.executable, "-c", "from langroute.cli import main; main()", "serve", "--config", str(file)]
    process = subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        waited(lambda: _answers(url) or process.poll() is not None, 60)
        assert process.poll() is None, process.stderr.read()
        yield process, url, file, port
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def workers(process: Any) -> list[int]:
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in told.stdout.split()]


def ask(url: str, place: int) -> int:
    try:
        headers = {**JSON, "authorization": "Bearer lr-fleet"}
        return httpx.post(
            f"{url}{CHAT}", content=written(request_of(CHAT, f"Task {place}.")), headers=headers, trust_env=False, timeout=30
        ).status_code
    except httpx.HTTPError:
        return 0


def booked(folder: Path) -> tuple[int, float]:
    """Number of the decisions in the ledger, and what they cost."""
    with closing(sqlite3.connect(folder / "ledger.db")) as books:
        return books.execute("select count(*), sum(cost_usd) from decisions").fetchone()


@pytest.mark.timeout(180)
def test_killed_workers_are_replaced_and_what_was_answered_is_booked(fleet: Any, provider: Provider, tmp_path: Path) -> None:
    process, url, file, port = fleet
    assert len(workers(process)) == 2
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda place: ask(url, place), range(40))) == {200}
    # What a worker has not written yet is lost with it when it is killed.
    waited(lambda: booked(tmp_path)[0] == 40)
    before = workers(process)
    os.kill(before[0], signal.SIGKILL)
    waited(lambda: len(workers(process)) == 2 and before[0] not in workers(process), 30)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda place: ask(url, place), range(40, 80))).count(200) >= 38
    file.write_text(config(provider, port, tmp_path, "small"))
    process.send_signal(signal.SIGHUP)
    waited(
        lambda: (
            ask(url, 1000) == 200 and ask(url, 1001) == 200 and {seen.body["model"] for seen in provider.seen[-2:]} == {"small-1"}
        ),
        30,
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    answered = sum(seen.ended == "whole" for seen in provider.seen)
    decisions, cost = booked(tmp_path)
    assert decisions == answered
    assert cost == pytest.approx(answered * (1000 * 10 + USAGE_OUT * 20) / 1e6)


@pytest.mark.timeout(60)
def test_workers_end_with_the_process_that_started_them(fleet: Any) -> None:
    process, url, _, _ = fleet
    before = workers(process)
    assert len(before) == 2
    process.kill()
    process.wait(30)
    try:
        waited(lambda: not any(_runs(pid) for pid in before), 30)
    finally:
        for pid in filter(_runs, before):
            os.kill(pid, signal.SIGKILL)
    assert not _answers(url)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
