"""What is written within one turn of the event loop is sent together, and nothing is lost at the end."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("aiohttp")

from langroute.gateway.http_server import GatheredTransport


class Noted(asyncio.Transport):
    """A connection that notes what it is told to send, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def writelines(self, parts: Any) -> None:
        self.sent.append(b"".join(parts))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def test_a_turn_is_one_packet() -> None:
    noted = Noted()
    gathered = GatheredTransport(noted, asyncio.get_running_loop())
    gathered.write(b"head ")
    gathered.write(b"first")
    assert noted.sent == []
    await asyncio.sleep(0)
    gathered.write(b"second")
    await asyncio.sleep(0)
    assert noted.sent == [b"head first", b"second"]


async def test_closing_sends_what_waits() -> None:
    noted = Noted()
    gathered = GatheredTransport(noted, asyncio.get_running_loop())
    gathered.write(b"refused")
    gathered.close()
    assert (noted.sent, noted.closed, gathered.is_closing()) == ([b"refused"], True, True)
    await asyncio.sleep(0)
    assert noted.sent == [b"refused"]


async def test_nothing_is_sent_on_a_connection_that_was_lost() -> None:
    noted = Noted()
    gathered = GatheredTransport(noted, asyncio.get_running_loop())
    gathered.write(b"late")
    noted.closed = True
    await asyncio.sleep(0)
    assert noted.sent == []


async def test_a_client_that_takes_nothing_still_pauses_the_writer() -> None:
    ours, theirs = socket.socketpair()
    paused = asyncio.Event()

    class Writer(asyncio.Protocol):
        def pause_writing(self) -> None:
            paused.set()

    transport, _ = await asyncio.get_running_loop().create_connection(Writer, sock=ours)
    gathered = GatheredTransport(transport, asyncio.get_running_loop())
    try:
        for _ in range(100):
            gathered.write(b"x" * 100_000)
            await asyncio.sleep(0)
        assert paused.is_set()
    finally:
        gathered.abort()
        theirs.close()
