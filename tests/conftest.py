"""What do tests of several folders share?"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from servers import protocol_mock

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background deaf to Ctrl-C, and so would be every program that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with recorded outcomes, traces and pairs, which is no part of the repository."""
    named = os.environ.get("LANGROUTE_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs recorded data in {folder} (or in $LANGROUTE_SHARED)")
    return folder


@pytest.fixture
def mock() -> object:
    """A protocol mock on loopback that nobody here wrote, as new."""
    server = protocol_mock()
    server.reset()
    return server
