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


@pytest.fixture(scope="session")
def bouncer_server(postgres_server: str) -> Iterator[str]:
    """The URL of the pooler, without a database; three connections to the server serve all clients."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed (apt-get install pgbouncer)")
    import psycopg

    folder = Path(tempfile.mkdtemp(prefix="langroute-bouncer-"))
    port = free_port()
    server = urlsplit(postgres_server)
    (folder / "users").write_text('"langroute" ""\n')
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "trust",
        "auth_file": folder / "users",
        "pool_mode": "transaction",
        "default_pool_size": 3,
        "max_client_conn": 200,
        "ignore_startup_parameters": "extra_float_digits,options",
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    (folder / "ini").write_text("\n".join(["[databases]", f"* = host=127.0.0.1 port={server.port}", "[pgbouncer]", *lines]))
    user = None
    if os.getuid() == 0:
        user = next((name for name in ("postgres", "nobody") if any(one.pw_name == name for one in pwd.getpwall())), None)
        folder.chmod(0o755)
    running = subprocess.Popen(
        [program, "-q", folder / "ini"],
        user=user,
        extra_groups=[] if user else None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 30
        url = f"postgresql://langroute@127.0.0.1:{port}"
        while True:
            try:
                psycopg.connect(f"{url}/postgres").close()
            except psycopg.OperationalError:
                if running.poll() is not None or time.monotonic() > until:
                    pytest.fail("PgBouncer did not start")
                time.sleep(0.05)
            else:
                break
        yield url
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def bouncer(bouncer_server: str, postgres: str) -> str:
    """The URL of the test's empty database behind the pooler; `postgres` goes to it directly."""
    return f"{bouncer_server}/{postgres.rpartition('/')[2]}"
