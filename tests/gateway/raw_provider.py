"""A provider that answers with any bytes, cut at any edges, and keeps a log of what it billed."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from provider import plain, plain_events
from wire_shapes import compact

USAGE = {
    "/v1/chat/completions": ("prompt_tokens", "completion_tokens"),
    "/v1/responses": ("input_tokens", "output_tokens"),
    "/v1/messages": ("input_tokens", "output_tokens"),
}


@dataclass
class Said:
    """What the provider says to one request.

    `how`: `whole`, `drop` (a reset behind the chunks) or `eof` (a tidy end of the connection, where the chunks do not end the answer).
    """

    chunks: list[bytes]
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    how: str = "whole"
    pause: float = 0.0
    tokens: tuple[int, int] | None = None
    """Input and output tokens of a good answer, as it tells them."""


@dataclass
class Asked:
    """One request, and what was said to it."""

    path: str
    headers: list[tuple[str, str]]
    body: bytes
    said: Said


def good_answer(path: str, body: bytes, tokens: tuple[int, int], words: list[str]) -> Said:
    """A good answer in the protocol of the path, as a stream where the request asks for one."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = {}
    stream = isinstance(given, dict) and given.get("stream") is True
    if not stream:
        told = plain(path, "given-1", words, tokens[0])
        told["usage"].update(_usage(path, tokens))
        return Said([compact(told)], headers=[("content-type", "application/json")], tokens=tokens)
    events = plain_events(path, "given-1", words, tokens[0])
    for _, data in events:
        for place in _usages(data):
            place.update({name: count for name, count in _usage(path, tokens).items() if name in place})
    text = [data if isinstance(data, str) else json.dumps(data) for _, data in events]
    chunks = [
        f"event: {name}\ndata: {one}\n\n".encode() if name else f"data: {one}\n\n".encode()
        for (name, _), one in zip(events, text, strict=True)
    ]
    return Said(chunks, headers=[("content-type", "text/event-stream")], tokens=tokens)


def _usage(path: str, tokens: tuple[int, int]) -> dict[str, int]:
    names = USAGE[path]
    return {names[0]: tokens[0], names[1]: tokens[1], **({} if path.endswith("messages") else {"total_tokens": sum(tokens)})}


def _usages(data: Any) -> list[dict[str, Any]]:
    if not isinstance(data, dict):
        return []
    holders = [data, data.get("message"), data.get("response")]
    return [one["usage"] for one in holders if isinstance(one, dict) and isinstance(one.get("usage"), dict)]


class RawProvider:
    """The provider, in a thread of its own."""

    def __init__(self) -> None:
        self.log: list[Asked] = []
        self.answer: Callable[[str, bytes], Said] = lambda path, body: good_answer(path, body, (100, 20), ["Hello."])
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=2**22)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1].partition("?")[0]
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:-2])]
        length = next(int(value) for name, value in headers if name == "content-length")
        body = await reader.readexactly(length)
        said = self.answer(path, body)
        self.log.append(Asked(path, headers, body, said))
        lines = [f"HTTP/1.1 {said.status} Said", *(f"{name}: {value}" for name, value in said.headers)]
        writer.write("\r\n".join([*lines, "transfer-encoding: chunked", "", ""]).encode("latin-1", "replace"))
        for chunk in said.chunks:
            if chunk:
                writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                await writer.drain()
            if said.pause:
                await asyncio.sleep(said.pause)
        if said.how == "drop":
            await asyncio.sleep(0.005)
            writer.transport.abort()
            return False
        # A tidy end of what is no whole answer is a tidy end of HTTP all the same.
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True
