"""Real clusters and sentinels of Redis or Valkey on loopback, whose nodes can be killed, stopped and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from redis_server import CLUSTER_BUS, binary


def program() -> str:
    """The server: what the environment names, else Debian's, else a package's."""
    pytest.importorskip("redis")
    return os.environ.get("LANGROUTE_REDIS_PROGRAM") or shutil.which("redis-server") or binary()


class Node:
    """One process on a free port of loopback.

    Args:
        options: Lines of its configuration, by their name.
        sentinel: Whether it is a sentinel.
        port: The option that is given the port.
        connect: Options of the client that looks whether it is there.
        server: The program, in the place of `program()`.
    """

    def __init__(
        self,
        options: dict[str, Any],
        *,
        sentinel: Sequence[str] | None = None,
        port: str = "port",
        connect: dict[str, Any] | None = None,
        server: str | None = None,
    ) -> None:
        self._server = server
        self.port = free_port(CLUSTER_BUS)
        self.folder = Path(tempfile.mkdtemp(prefix="langroute-redis-"))
        lines = {"bind": "127.0.0.1", "dir": self.folder, port: self.port, **options}
        if sentinel is None:
            lines = {"save": '""', "appendonly": "no", "repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1, **lines}
        text = [f"{name} {value}" for name, value in lines.items()]
        self._file = self.folder / "server.conf"
        self._file.write_text("\n".join([*text, *(sentinel or ())]) + "\n")
        self._sentinel, self._connect = sentinel is not None, connect or {}
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [self._server or program(), str(self._file), *(["--sentinel"] if self._sentinel else [])]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(self, *command: Any) -> Any:
        """Send a command over a connection of its own."""
        import redis

        with redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5, decode_responses=True, **self._connect) as client:
            return client.execute_command(*command)

    def send(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """End it as by `kill -9`."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def eventually(true: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait until something is true; a server that cannot be asked yet is asked again."""
    until = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except Exception:
            if time.monotonic() > until:
                raise
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.02)


class Cluster:
    """Three masters, with as many replicas as are wanted, each process on loopback.

    Args:
        replicas: Replicas of each master.
        node_timeout_ms: After which time a node counts as gone.
        options: More lines of each node's configuration.
        connect: What a client of a node needs.
    """

    def __init__(
        self,
        replicas: int = 0,
        *,
        node_timeout_ms: int = 15_000,
        options: dict[str, Any] | None = None,
        port: str = "port",
        connect: dict[str, Any] | None = None,
    ) -> None:
        own = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": 15_000,
            "cluster-replica-validity-factor": 0,
            "cluster-require-full-coverage": "no",
            **(options or {}),
        }
        self.nodes = [Node(own, port=port, connect=connect) for _ in range(3 * (1 + replicas))]
        try:
            self._join(replicas)
            for node in self.nodes:
                node.ask("CONFIG", "SET", "cluster-node-timeout", node_timeout_ms)
        except BaseException:
            self.close()
            raise

    def _join(self, replicas: int) -> None:
        for place, node in enumerate(self.nodes):
            eventually(lambda node=node: node.ask("PING"))
            if place < 3:
                node.ask("CLUSTER", "ADDSLOTSRANGE", place * 5461, 16383 if place == 2 else place * 5461 + 5460)
                node.ask("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        names = [node.ask("CLUSTER", "MYID") for node in self.nodes]
        for place, node in enumerate(self.nodes[3:]):
            eventually(lambda node=node, place=place: node.ask("CLUSTER", "REPLICATE", names[place % 3]))
        for node in self.nodes:
            eventually(lambda node=node: len(node.ask("CLUSTER NODES")) == len(names))
            eventually(lambda node=node: node.ask("CLUSTER INFO")["cluster_state"] == "ok")
            if replicas:
                eventually(lambda node=node: len(self._replicas_seen(node)) == 3 * replicas)
        for node in self.nodes[3:]:
            eventually(lambda node=node: node.ask("INFO", "replication")["master_link_status"] == "up")

    @staticmethod
    def _replicas_seen(node: Node) -> list[Any]:
        return [replica for slots in node.ask("CLUSTER SLOTS") for replica in slots[3:]]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])

    def master_of(self, key: str) -> Node:
        """The process that has a key now, as those say that run."""
        slot = next(node for node in self.nodes if node.process is not None).ask("CLUSTER", "KEYSLOT", key)
        masters = [node for node in self.nodes if node.process is not None and _serves(node, slot)]
        assert len(masters) == 1, masters
        return masters[0]

    def replicas_of(self, master: Node) -> list[Node]:
        name = master.ask("CLUSTER", "MYID")
        ports = {int(one.rpartition(":")[2]) for one, said in master.ask("CLUSTER NODES").items() if said["master_id"] == name}
        return [node for node in self.nodes if node.port in ports]

    def close(self) -> None:
        for node in self.nodes:
            node.close()


def _serves(node: Node, slot: int) -> bool:
    for said in node.ask("CLUSTER NODES").values():
        if "myself" in said["flags"]:
            return "master" in said["flags"] and any(
                int(a) <= slot <= int(b) for a, b in ((one[0], one[-1]) for one in said["slots"])
            )
    return False


class Sentinels:
    """A master, a replica and three sentinels that watch them under the name `orders`.

    Args:
        down_ms: After which time the master counts as gone.
        options: More lines of the master's configuration.
    """

    def __init__(self, down_ms: int = 1000, *, options: dict[str, Any] | None = None) -> None:
        self.servers = [Node(options or {})]
        self.servers.append(Node({"replicaof": f"127.0.0.1 {self.servers[0].port}"}))
        watch = [
            f"sentinel monitor orders 127.0.0.1 {self.servers[0].port} 2",
            f"sentinel down-after-milliseconds orders {down_ms}",
            "sentinel failover-timeout orders 1000",
        ]
        self.sentinels = [Node({}, sentinel=watch) for _ in range(3)]
        try:
            eventually(lambda: self.servers[1].ask("INFO", "replication")["master_link_status"] == "up")
            for node in self.sentinels:
                eventually(lambda node=node: self._knows(node))
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _knows(node: Node) -> bool:
        said = node.ask("SENTINEL", "MASTER", "orders")
        said = said if isinstance(said, dict) else dict(zip(said[::2], said[1::2], strict=True))
        return int(said["num-other-sentinels"]) == 2 and int(said["num-slaves"]) == 1

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels) + "/orders/0"

    def master(self) -> Node:
        """The server that the sentinels name."""
        _, port = self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "orders")
        return next(node for node in self.servers if node.port == int(port))

    def close(self) -> None:
        for node in (*self.sentinels, *self.servers):
            node.close()


@contextmanager
def stopped(node: Node) -> Iterator[None]:
    """A node that hangs, as in a partition: its connections stand, and nothing answers."""
    node.send(signal.SIGSTOP)
    try:
        yield
    finally:
        node.send(signal.SIGCONT)


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[Cluster]:
    """Three masters for the session; a test that hurts one has a cluster of its own."""
    cluster = Cluster()
    yield cluster
    cluster.close()


__all__ = ["Cluster", "Node", "Sentinels", "eventually", "program", "redis_cluster", "stopped"]
