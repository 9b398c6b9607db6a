"""Fixtures and configuration shared by tests of several folders."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from redis_fleet import redis_cluster
from servers import protocol_mock

__all__ = ["redis_cluster"]

# No test depends on how fast a machine is. Where nobody can look at a new failure at once, the same examples are tried every time.
settings.register_profile("anywhere", deadline=None)
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "anywhere")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background deaf to Ctrl-C, and so would be every program that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def another_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test keeps for its user (the key of the caches) goes away with it. What was fetched before is still found."""
    home = Path.home()
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in (("XDG_DATA_HOME", ".local/share"), ("XDG_CACHE_HOME", ".cache"), ("XDG_CONFIG_HOME", ".config")):
            if name not in os.environ:
                patch.setenv(name, str(home / folder))
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with recorded outcomes, traces and pairs, which is no part of the repository."""
    named = os.environ.get("LANGROUTE_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs recorded data in {folder} (or in $LANGROUTE_SHARED)")
    return folder


@pytest.fixture
def mock() -> Iterator[object]:
    """A protocol mock on loopback that nobody here wrote, as new; and so it is left, because one serves the whole session."""
    server = protocol_mock()
    server.reset()
    yield server
    server.reset()
