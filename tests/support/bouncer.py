"""PgBouncer in transaction mode before a PostgreSQL, for tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from ports import free_port


class Bouncer:
    """A pooler, to be killed and started again; three connections to the server serve all clients.

    Args:
        server: URL of the PostgreSQL behind it.
    """

    def __init__(self, server: str) -> None:
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        if program is None:
            pytest.skip("PgBouncer is not installed (apt-get install pgbouncer)")
        self._folder = Path(tempfile.mkdtemp(prefix="langroute-bouncer-"))
        self._port = free_port()
        (self._folder / "users").write_text('"langroute" ""\n')
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self._port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": self._folder / "users",
            "pool_mode": "transaction",
            "default_pool_size": 3,
            "max_client_conn": 200,
            "ignore_startup_parameters": "extra_float_digits,options",
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        databases = ["[databases]", f"* = host=127.0.0.1 port={urlsplit(server).port}", "[pgbouncer]", *lines]
        (self._folder / "ini").write_text("\n".join(databases))
        self._user = None
        if os.getuid() == 0:
            known = {one.pw_name for one in pwd.getpwall()}
            self._user = next((name for name in ("postgres", "nobody") if name in known), None)
            self._folder.chmod(0o755)
        self._command = [program, "-q", self._folder / "ini"]
        self.start()

    @property
    def url(self) -> str:
        """Its URL, without a database."""
        return f"postgresql://langroute@127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it lets clients in."""
        import psycopg

        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._running = subprocess.Popen(self._command, user=self._user, extra_groups=[] if self._user else None, **quiet)
        until = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(f"{self.url}/postgres").close()
            except psycopg.OperationalError:
                if self._running.poll() is not None or time.monotonic() > until:
                    pytest.fail("PgBouncer did not start")
                time.sleep(0.05)
            else:
                return

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._running.send_signal(number)

    def kill(self) -> None:
        """End it as by `kill -9`."""
        self._running.kill()
        self._running.wait(20)

    def close(self) -> None:
        """End it."""
        if self._running.poll() is None:
            self.send(signal.SIGINT)
        self._running.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def bouncer_server(postgres_server: str) -> Iterator[str]:
    """The URL of the pooler, without a database."""
    running = Bouncer(postgres_server)
    try:
        yield running.url
    finally:
        running.close()


@pytest.fixture
def bouncer(bouncer_server: str, postgres: str) -> str:
    """The URL of the test's empty database behind the pooler; `postgres` goes to it directly."""
    return f"{bouncer_server}/{postgres.rpartition('/')[2]}"
