"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, on a socket and on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest


def _programs() -> Path | None:
    """Debian keeps them out of the path."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed (the extra `postgres`)")
    # PostgreSQL refuses to run as root; an ordinary user of the machine will do.
    user = None
    if os.getuid() == 0:
        names = ("postgres", "nobody")
        user = next((name for name in names if any(entry.pw_name == name for entry in pwd.getpwall())), None)
        if user is None:
            pytest.skip("there is no ordinary user to run PostgreSQL as")
    folder = Path(tempfile.mkdtemp(prefix="langroute-pg-"))
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    run = {
        "user": user,
        "cwd": folder,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.PIPE,
        "extra_groups": [] if user else None,
    }
    made = subprocess.run([programs / "initdb", "-D", folder / "data", "-U", "langroute", "-A", "trust", "--no-sync"], **run)
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.fail(f"initdb failed: {made.stderr.decode()}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [programs / "postgres", "-D", folder / "data", "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-c", "fsync=off"],
        **{**run, "stderr": subprocess.DEVNULL},
    )
    try:
        until = time.monotonic() + 30
        url = f"postgresql://langroute@127.0.0.1:{port}"
        while True:
            try:
                psycopg.connect(f"{url}/postgres").close()
            except psycopg.OperationalError:
                if server.poll() is not None or time.monotonic() > until:
                    pytest.fail("PostgreSQL did not start")
                time.sleep(0.05)
            else:
                break
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown: connections that are still open are ended
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of an empty database."""
    import psycopg

    name = f"t{uuid4().hex[:12]}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgres_server}/{name}"
