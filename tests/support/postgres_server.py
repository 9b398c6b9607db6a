"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, on a socket and on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from ports import free_port


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
    port = free_port()
    server = subprocess.Popen(
        [programs / "postgres", "-D", folder / "data", "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-c", "fsync=off"],
        **{**run, "stderr": subprocess.DEVNULL},
    )
    try:
        until = time.monotonic() + 60
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
        server.send_signal(signal.SIGQUIT)  # at once: what it has goes with its folder
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """The URL of an empty database."""
    with empty_database(f"{postgres_server}/postgres") as name:
        yield f"{postgres_server}/{name}"


@contextmanager
def empty_database(server: str) -> Iterator[str]:
    """The name of a database for one test, with which it goes: the files of a hundred are too many for the end of a session.

    Args:
        server: URL of a database of the server that is always there.
    """
    import psycopg

    name = f"t{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield name
    with psycopg.connect(server, autocommit=True) as connection:
        # PostgreSQL waits for seconds where somebody is still connected, such as a pooler.
        used = connection.execute("SELECT 1 FROM pg_stat_activity WHERE datname = %s", [name]).fetchone()
        if not used:
            with suppress(psycopg.Error):
                connection.execute(f"DROP DATABASE IF EXISTS {name}")


class OwnServer:
    """A PostgreSQL of one test, to be killed and started again. It syncs what it writes.

    Args:
        folder: Where it keeps its data; by default in a temporary folder.
        standby_of: The server that it follows, as a standby that may be read.
        machine: The machine that it runs on (`namespaces.Machine`), in the place of this one.
        address: Where it listens.
        programs: The folder of its programs, in the place of what is installed.
    """

    def __init__(
        self,
        folder: Path | None = None,
        standby_of: OwnServer | None = None,
        *,
        machine: Any = None,
        address: str = "127.0.0.1",
        programs: Path | None = None,
    ) -> None:
        self._primary, self._machine, self._address = standby_of, machine, address
        programs = programs or _programs()
        if programs is None:
            pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
        pytest.importorskip("psycopg", reason="psycopg is not installed (the extra `postgres`)")
        self._programs, self._made = programs, folder is None
        self._folder = Path(tempfile.mkdtemp(prefix="langroute-pg-")) if folder is None else folder
        self._user: str | None = None
        if os.getuid() == 0:
            names = ("postgres", "nobody")
            self._user = next((name for name in names if any(entry.pw_name == name for entry in pwd.getpwall())), None)
            if self._user is None:
                pytest.skip("there is no ordinary user to run PostgreSQL as")
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, pwd.getpwnam(self._user).pw_gid)
        self._port = free_port()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"postgresql://langroute@{self._address}:{self._port}/postgres"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def local_url(self) -> str:
        """The same over a socket in the file system, for who is on another machine."""
        return f"postgresql://langroute@/postgres?host={self._folder}&port={self._port}"

    @property
    def _run(self) -> dict[str, Any]:
        return {"user": self._user, "cwd": self._folder, "stdout": subprocess.DEVNULL, "extra_groups": [] if self._user else None}

    def __enter__(self) -> OwnServer:
        data = self._folder / "data"
        made = [self._programs / "initdb", "-D", data, "-U", "langroute", "-A", "trust", "--no-sync"]
        if self._primary is not None:
            made = [self._programs / "pg_basebackup", "-D", data, "-d", self._primary.url, "-R", "-c", "fast", "--no-sync"]
        subprocess.run(made, check=True, **self._run)
        if self._primary is None:
            with (data / "postgresql.conf").open("a") as file:
                file.write("min_wal_size = 32MB\nmax_wal_size = 48MB\n")
            with (data / "pg_hba.conf").open("a") as file:
                file.write("host all all samenet trust\n")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(signal.SIGQUIT)
            try:
                self._server.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._made:
            shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, and wait until it lets clients in."""
        import psycopg

        command = [
            self._programs / "postgres",
            "-D",
            self._folder / "data",
            "-p",
            str(self._port),
            "-h",
            self._address,
            "-k",
            self._folder,
        ]
        until = time.monotonic() + 60
        while True:
            if self._server is None or self._server.poll() is not None:
                self._server = self._begun(command)
            try:
                psycopg.connect(self.local_url, connect_timeout=5).close()
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    pytest.fail("PostgreSQL did not start")
                time.sleep(0.05)
            else:
                return

    def _begun(self, command: list[Any]) -> subprocess.Popen[bytes]:
        if self._machine is None:
            return subprocess.Popen(command, stderr=subprocess.DEVNULL, **self._run)
        found = pwd.getpwnam(self._user) if self._user else None
        quiet = {"cwd": self._folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return self._machine.start(command, (found.pw_uid, found.pw_gid) if found else None, **quiet)

    def start_if_down(self) -> None:
        """Start it where it gave up by itself."""
        if self._server is None or self._server.poll() is not None:
            self.start()

    def ask(self, query: str) -> None:
        """Run a statement on a connection of its own."""
        import psycopg

        with psycopg.connect(self.local_url, autocommit=True) as connection:
            connection.execute(query)

    def _pids(self) -> list[int]:
        assert self._server is not None
        children = subprocess.run(
            ["pgrep", "-P", str(self._server.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        return [self._server.pid, *map(int, children)]

    def signal_all(self, number: int) -> None:
        """Send a signal to the server and every process of it."""
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Kill all of it at once, as a power cut does."""
        self.signal_all(signal.SIGKILL)
        assert self._server is not None
        self._server.wait(60)
        (self._folder / "data" / "postmaster.pid").unlink(missing_ok=True)
