"""Two machines with a gateway and an app each, stores on a third one: one is cut off from the stores for a while, and afterwards the books are right.

`LANGROUTE_CUT_SECONDS=30 pytest tests/fleet/test_two_machines.py -s` cuts it off for half a minute, and says how long what took. It takes both
processors for that time, so that it runs only where it is asked for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from namespaces import Lab, Machine
from postgres_server import OwnServer
from sqlalchemy import text
from waiting import wait_until

from langroute.ledger import open_ledger

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.skipif(
        not os.environ.get("LANGROUTE_CUT_SECONDS"), reason="takes both processors for a minute; LANGROUTE_CUT_SECONDS=6 runs it"
    ),
]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CUT_S = float(os.environ.get("LANGROUTE_CUT_SECONDS", "6"))
PATIENCE_S = 120.0
TOKEN = "lr-two-machines"
PRICE = {"input": 10, "output": 20}
CALLS = 100 + int(10 * CUT_S)
"""Calls of each app until the cut has ended."""

LIMIT_USD = 0.005 * CALLS
"""What both apps may spend together: more than these calls cost, at 0.2 cents each."""

STORES, MODELS = "192.0.2.10", "198.51.100.10"
ADDRESSES = {"a": ("192.0.2.1", "198.51.100.1"), "b": ("192.0.2.2", "198.51.100.2")}

CONFIG = """
policy = {{ name = "fixed", route = "own" }}
ledger = "{ledger}"
budget_store = "{redis}"

[routes.own]
provider = "openai"
model = "own-1"
key_env = "KEY"
base_url = "{models}"
protocols = ["chat"]
price = {{ input = 10, output = 20 }}

[[budgets]]
usd = 1000
per = "all"
name = "gateways"
if_unavailable = "go_on"

[cache]
store = "{redis}"
share = "everyone"
secret_env = "KEY"

[serve]
port = 8900
workers = 2
resend_seconds = 0.2
drain_seconds = 10
"""


def usd(tokens_in: int, tokens_out: int) -> float:
    return (tokens_in * PRICE["input"] + tokens_out * PRICE["output"]) / 1e6


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """What a log holds; its last line may be half written."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


class Redis:
    """A server on a machine, which writes each change to its disk."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        from redis_fleet import program

        self.socket, self._machine = folder / "redis.sock", machine
        folder.mkdir()
        kept = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        listens = ["--port", 6379, "--bind", STORES, "--protected-mode", "no", "--unixsocket", self.socket]
        machine.start([program(), "--dir", folder, *listens, *kept], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.socket.exists)

    def spent(self, pattern: str) -> float:
        """What was spent of the budgets whose keys are such, in USD."""
        import redis

        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            return sum(int(client.hget(key, "spent") or 0) for key in client.scan_iter(pattern)) / 1e9


class Worksite:
    """Both machines, what they need, and what they noted.

    Args:
        lab: Where the machines are.
        folder: For files.
        postgres: The server.
        redis: The server.
    """

    def __init__(self, lab: Lab, folder: Path, postgres: OwnServer, redis: Redis) -> None:
        self.lab, self.folder, self.postgres, self.redis = lab, folder, postgres, redis
        self.provider_log = folder / "provider.jsonl"
        self.gateways: dict[str, subprocess.Popen[Any]] = {}
        self.clients: dict[str, subprocess.Popen[Any]] = {}

    def begin(self) -> None:
        models = self.lab.machines["models"]
        self.provider_log.touch()
        environment = {**os.environ, "KEY": "sk-x", "LANGROUTE_TOKEN": TOKEN, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        models.start([sys.executable, HERE / "model_provider.py", MODELS, 8000, self.provider_log], env=environment)
        known = {"ledger": self.postgres.url, "redis": f"redis://{STORES}:6379/0", "models": f"http://{MODELS}:8000"}
        for name in ADDRESSES:
            config, settings, log = self.folder / f"{name}.toml", self.folder / f"{name}.json", self.folder / f"{name}.jsonl"
            config.write_text(CONFIG.format(**known))
            settings.write_text(
                json.dumps(
                    {
                        **known,
                        "name": name,
                        "log": str(log),
                        "token": TOKEN,
                        "gateway": "http://127.0.0.1:8900",
                        "limit": LIMIT_USD,
                        "calls": CALLS,
                        "price": PRICE,
                    }
                )
            )
            log.touch()
            serve = [sys.executable, "-c", "from langroute.cli import main; main()", "serve", "--config", config]
            errors = (self.folder / f"{name}.err").open("wb")
            self.gateways[name] = self.lab.machines[name].start(serve, env=environment, stdout=errors, stderr=errors)
            self.clients[name] = self.lab.machines[name].start(
                [sys.executable, HERE / "clients.py", settings], env=environment, stderr=errors
            )

    def noted(self, name: str, kind: str, since: float = 0.0, until: float = float("inf")) -> list[dict[str, Any]]:
        """What a machine noted of calls that began in a time."""
        return [line for line in whole_lines(self.folder / f"{name}.jsonl") if line["kind"] == kind and since <= line["at"] < until]

    def answered(self, name: str, kind: str, since: float = 0.0) -> int:
        return sum(line["how"] == "answered" for line in self.noted(name, kind, since))

    def served(self) -> list[dict[str, Any]]:
        """The calls of the provider's own log."""
        return whole_lines(self.provider_log)

    def booked(self, query: str) -> list[Any]:
        with open_ledger(self.postgres.local_url) as ledger, ledger.reading() as connection:
            return list(connection.execute(text(query)).all())


@pytest.fixture
def worksite(tmp_path: Path) -> Iterator[Worksite]:
    pytest.importorskip("uvicorn")
    pytest.importorskip("redis")
    with ExitStack() as stack:
        lab = Lab()
        stack.callback(lab.close)
        stores, models = lab.machine("stores"), lab.machine("models")
        machines = {name: lab.machine(name) for name in ADDRESSES}
        lab.wire("stores", {stores: STORES, **{machines[name]: one for name, (one, _) in ADDRESSES.items()}})
        lab.wire("models", {models: MODELS, **{machines[name]: one for name, (_, one) in ADDRESSES.items()}})
        postgres = stack.enter_context(OwnServer(machine=stores, address=STORES))
        yield Worksite(lab, tmp_path, postgres, Redis(stores, tmp_path / "redis"))


def said(text: str, since: float) -> None:
    sys.stdout.write(f"{time.time() - since:6.1f} s  {text}\n")


def times(lines: list[dict[str, Any]]) -> str:
    """The time of half of them, and the longest."""
    found = sorted(line["seconds"] for line in lines)
    return f"half of them after {found[len(found) // 2]} s, the slowest after {found[-1]} s" if found else ""


@pytest.mark.timeout(600)
def test_one_of_two_machines_is_cut_off_from_the_stores(worksite: Worksite) -> None:
    worksite.begin()
    kinds = ("gateway", "app")
    wait_until(lambda: all(worksite.answered(name, kind) >= 10 for name in ADDRESSES for kind in kinds), PATIENCE_S)
    begun = time.time()
    said("cut off", begun)
    with worksite.lab.cut(worksite.lab.machines["b"], "stores"):
        time.sleep(CUT_S)
        wait_until(lambda: all(worksite.answered(name, "gateway", begun) >= 5 for name in ADDRESSES), PATIENCE_S)
        wait_until(lambda: any(line["how"] == "store away" for line in worksite.noted("b", "app", begun)), PATIENCE_S)
    healed = time.time()
    said("joined again", begun)
    for name in ADDRESSES:
        lines = worksite.noted(name, "gateway", begun, healed)
        said(f"{name}: {len(lines)} answers of the gateway meanwhile, {times(lines)}", begun)
        said(f"{name}: app {Counter(line['how'] for line in worksite.noted(name, 'app', begun, healed))}", begun)
        health = worksite.noted(name, "health", begun, healed)
        said(f"{name}: health {Counter(line['how'] for line in health)}, {times(health)}", begun)
    wait_until(lambda: worksite.answered("b", "app", healed) >= 3, PATIENCE_S)
    said("the app that was cut off calls models again", begun)
    (worksite.folder / "STOP").touch()
    kept = len(worksite.served())
    wait_until(lambda: worksite.booked("SELECT count(*) FROM calls")[0][0] >= kept, PATIENCE_S)
    said(f"the ledger has all {kept} calls that were made until now", begun)
    for name in ADDRESSES:
        assert worksite.clients[name].wait(PATIENCE_S) == 0
    said("both apps have used up their budget", begun)
    for name in ADDRESSES:
        worksite.gateways[name].send_signal(signal.SIGTERM)
        assert worksite.gateways[name].wait(PATIENCE_S) == 0
    check(worksite, begun, healed)


def check(worksite: Worksite, begun: float, healed: float) -> None:
    """Compare everything that anybody noted."""
    for name in ADDRESSES:
        for kind in ("gateway", "outcome"):
            assert {line["how"] for line in worksite.noted(name, kind)} == {"answered"}
        ready = worksite.noted(name, "health", begun)
        assert {line["how"] for line in ready} == {"200"}
    assert {line["how"] for line in worksite.noted("a", "app")} == {"answered", "used up"}
    assert {line["how"] for line in worksite.noted("b", "app")} == {"answered", "store away", "used up"}

    served = worksite.served()
    costs = {line["key"]: usd(line["input"], line["output"]) for line in served}
    assert len(costs) == len(served)
    booked = worksite.booked("SELECT t.id, c.cost_usd FROM calls c JOIN tasks t ON t.n = c.task")
    assert Counter(row[0] for row in booked) == Counter([*costs])
    assert {row[0]: round(row[1], 9) for row in booked} == {key: round(cost, 9) for key, cost in costs.items()}
    (decisions,) = worksite.booked("SELECT count(*), count(DISTINCT id) FROM decisions")
    assert decisions[0] == decisions[1]
    tasks = worksite.booked("SELECT id, cost_usd, calls FROM tasks WHERE calls > 0")
    assert {row[0]: (round(row[1], 9), row[2]) for row in tasks} == {key: (round(cost, 9), 1) for key, cost in costs.items()}
    outcomes = Counter(row[0] for row in worksite.booked("SELECT t.id FROM outcomes o JOIN tasks t ON t.n = o.task"))
    assert outcomes == Counter(line["key"] for name in ADDRESSES for line in worksite.noted(name, "outcome"))

    app = sum(cost for key, cost in costs.items() if "-app-" in key)
    assert worksite.redis.spent("{app}:budget:*") == pytest.approx(app)
    assert 0.9 * LIMIT_USD < app <= LIMIT_USD
    gateways = sum(cost for key, cost in costs.items() if "-gateway-" in key)
    assert worksite.redis.spent("{langroute}:budget:*") == pytest.approx(gateways)
