"""Four workers of a web service on a real PostgreSQL and Redis, with feedback at other workers, clients that leave and a rolling restart.

The provider's own bills, the ledger, Prometheus, OpenTelemetry and the budgets agree to the token.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from billing_server import CHUNKS, BillingServer
from ports import free_port
from redis_server import RedisServer
from sqlalchemy import func, select
from waiting import wait_until

from langroute.budgets.budget import units
from langroute.ledger import open_ledger
from langroute.ledger.schema import calls, decisions

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system"),
]

HERE = Path(__file__).parent
WORKERS = 4
TEAMS = ("care", "search", "sales")


@pytest.fixture
def redis_url() -> Iterator[str]:
    server = RedisServer()
    try:
        yield server.url
    finally:
        server.stop()


class Fleet:
    """The running service, as its clients see it."""

    def __init__(self, port: int, log: Path) -> None:
        self.port, self.log = port, log

    def get(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Return the lines of an answer; a worker that is being replaced may refuse a connection."""
        url = f"http://127.0.0.1:{self.port}{path}?{urlencode(query)}"
        until = time.monotonic() + 40
        while True:
            try:
                with urlopen(url, timeout=30) as answer:
                    return [json.loads(line) for line in answer.read().splitlines()]
            except OSError as error:
                broken = isinstance(error, ConnectionError) or isinstance(getattr(error, "reason", None), OSError)
                if not broken or time.monotonic() > until:
                    raise AssertionError(f"{error}: {self.log.read_text()[-3000:]}") from error
                time.sleep(0.1)

    def ask(self, what: str, number: int) -> dict[str, Any]:
        """Ask, read the whole answer, and return what was told of the decision."""
        lines = self.get("/ask", q=f"{what} {number}", thread=f"{what}-{number}", team=TEAMS[number % 3])
        return {**lines[-1], "thread": f"{what}-{number}"}

    def leave(self, what: str, number: int, after: int, provider: BillingServer) -> None:
        """Ask, and leave after so many words of the answer, when the provider is at work."""
        query = urlencode({"q": f"{what} {number}", "thread": f"{what}-{number}", "team": TEAMS[number % 3]})
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            client.sendall(f"GET /ask?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            read = b""
            while read.count(b'"text": "w') < after:
                more = client.recv(4096)
                assert more, read
                read += more
            wait_until(lambda: f"{what} {number}" in provider.held)

    def feedback(self, answered: dict[str, Any], ok: bool) -> int:
        """Tell how it went, and return the process that was told."""
        return int(self.get("/feedback", decision=answered["decision"], ok=int(ok))[0]["pid"])


@contextmanager
def running(folder: Path, **more: str) -> Iterator[tuple[subprocess.Popen[bytes], Fleet]]:
    port = free_port()
    (folder / "prometheus").mkdir()
    environment = {**os.environ, "HOME": str(folder), "FLEET_FOLDER": str(folder), **more}
    environment["PROMETHEUS_MULTIPROC_DIR"] = str(folder / "prometheus")
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), environment.get("PYTHONPATH", "")])
    options = ["--workers", str(WORKERS), "--worker-class", "uvicorn.workers.UvicornWorker", "--preload"]
    options += ["--bind", f"127.0.0.1:{port}", "--timeout", "60", "--graceful-timeout", "20"]
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *options, "fleet_app:app"],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield server, Fleet(port, folder / "log.txt")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def work(fleet: Fleet, server: subprocess.Popen[bytes], provider: BillingServer) -> dict[str, bool]:
    """Use the service in every way, and return how each conversation went."""
    went: dict[str, bool] = {}
    with ThreadPoolExecutor(8) as clients:
        first = list(clients.map(fleet.ask, ["whole", "stream"] * 12, range(24)))
        # Clients that leave: of a stream when its last word is there, and while nothing has come yet.
        list(clients.map(lambda number: fleet.leave("leave", number, CHUNKS, provider), range(6)))
        list(clients.map(lambda number: fleet.leave("wait", number, 0, provider), range(3)))
        # A rolling restart while others go on asking.
        before = {answer["pid"] for answer in first}
        asking = [clients.submit(fleet.ask, ("whole", "stream", "refuse")[number % 3], number) for number in range(100, 130)]
        server.send_signal(signal.SIGHUP)
        second = [one.result() for one in asking]

        def replaced() -> bool:
            second.append(fleet.ask("whole", 200 + len(second)))
            return second[-1]["pid"] not in before

        wait_until(replaced)
        told = list(clients.map(lambda pair: fleet.feedback(pair[1], pair[0] % 2 == 0), enumerate([*first, *second])))
    for number, (answer, process) in enumerate(zip([*first, *second], told, strict=True)):
        went[answer["thread"]] = number % 2 == 0
        answer["elsewhere"] = process != answer["pid"]
    assert any(answer["elsewhere"] for answer in [*first, *second])
    wait_until(lambda: sum(bill.how == "left" for bill in provider.bills) == 9)
    return went


def of_prometheus(folder: Path) -> Counter[str]:
    """Return the workers' metrics in one."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    found: Counter[str] = Counter()
    for metric in MultiProcessCollector(CollectorRegistry(), path=str(folder / "prometheus")).collect():
        for sample in metric.samples:
            found[":".join([sample.name, sample.labels.get("type", "")])] += sample.value
    return found


def of_otel(folder: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for path in folder.glob("otel-*.json"):
        found.update(json.loads(path.read_text()))
    return found


def test_provider_ledger_prometheus_otel_and_budgets_agree(tmp_path: Path, postgres: str, redis_url: str) -> None:
    for name in ("gunicorn", "uvicorn.workers", "prometheus_client", "opentelemetry.sdk", "langchain_openai"):
        pytest.importorskip(name)
    with BillingServer() as provider:
        places = {"FLEET_REDIS": redis_url, "FLEET_LEDGER": f"{postgres}?prepare_threshold=none", "FLEET_PROVIDER": provider.url}
        with running(tmp_path, **places) as (server, fleet):
            went = work(fleet, server, provider)
            server.send_signal(signal.SIGTERM)
            server.wait(40)
        log, bills = (tmp_path / "log.txt").read_text(), provider.bills
    assert "Traceback" not in log, log[-5000:]
    assert provider.late == []
    billed = (sum(bill.read for bill in bills), sum(bill.wrote for bill in bills))

    with open_ledger(postgres) as ledger:
        with ledger.reading() as connection:
            c = calls.c
            models = select(func.sum(c.input_tokens), func.sum(c.output_tokens), func.count(), func.sum(c.cost_usd)).where(
                c.what == "model"
            )
            read, written, count, usd = connection.execute(models).one()
            failed = Counter(connection.execute(select(c.error_type).where(c.error_type.is_not(None))).scalars())
            spent = [cost for cost in connection.execute(select(c.cost_usd)).scalars() if cost is not None]
            decided = connection.execute(select(func.count()).select_from(decisions)).scalar_one()
        assert (int(read), int(written)) == billed
        assert count == len(bills)
        assert failed["CancelledError"] == sum(bill.how == "left" for bill in bills)
        assert failed["OpenAIRateLimitError"] == sum(bill.how == "refused" for bill in bills)
        assert decided == len(bills) - failed["OpenAIRateLimitError"]
        assert {thread: ledger.task(thread).success for thread in went} == went  # type: ignore[union-attr]

    prometheus, otel = of_prometheus(tmp_path), of_otel(tmp_path)
    assert (prometheus["langroute_tokens_total:input"], prometheus["langroute_tokens_total:output"]) == billed
    assert prometheus["langroute_calls_total:"] == len(bills)
    assert prometheus["langroute_ledger_dropped_total:"] == prometheus["langroute_ledger_waiting:"] == 0
    assert prometheus["langroute_outcomes_total:"] == len(went)
    tokens = "gen_ai.client.token.usage"
    assert (otel[f"{tokens}:input"], otel[f"{tokens}:output"]) == billed
    assert otel["gen_ai.client.operation.duration::count"] == len(bills)

    import redis

    client = redis.Redis.from_url(redis_url)
    accounts = [client.hgetall(key) for key in client.scan_iter("{langroute}:budget:*")]
    client.close()
    assert len(accounts) == len(TEAMS)
    # Of the calls that were left before anything had come nobody knows the bill: the budget counts them, with the prompt at least.
    assert sum(int(account[b"spent"]) for account in accounts) >= sum(units(cost) for cost in spent)
    assert all(set(account) == {b"spent"} for account in accounts), "reservations were left behind"
    assert usd is not None
