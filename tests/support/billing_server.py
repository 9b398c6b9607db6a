"""A provider on loopback that writes down what it bills, in OpenAI's protocol.

The first word of the last message says what happens: `whole`, `stream`, `leave` (some chunks, then nothing until the client leaves), `wait` (nothing at
all until the client leaves) and `refuse` (too many requests, the first time that it is asked so).
"""

from __future__ import annotations

import json
import select
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHUNKS, PER_CHUNK = 3, 2
LONGEST_WAIT_S = 40.0


@dataclass
class Bill:
    """What one request is billed for."""

    asked: str
    read: int = 0
    wrote: int = 0
    how: str = "answered"
    """`answered`, `left` or `refused`."""


@dataclass
class BillingServer:
    """Start it with `with`; `url` says where it is."""

    bills: list[Bill] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    """Requests that wait until their client leaves."""

    late: list[str] = field(default_factory=list)
    """Requests whose client never left, though it should have."""

    def __post_init__(self) -> None:
        outer, self._refused = self, set()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
                outer.answer(self, body)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that leave are the point of it."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> BillingServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, to: Any, body: dict[str, Any]) -> None:
        """Answer one request, and write down what it is billed for."""
        asked = str(body["messages"][-1]["content"])
        what, read, wrote = asked.split()[0], 100 + len(asked), 10 + len(asked) % 7
        to.close_connection = True
        if what == "refuse" and asked not in self._refused:
            self._refused.add(asked)
            self.bills.append(Bill(asked, how="refused"))
            _reply(to, 429, {"error": {"message": "Too many requests.", "type": "rate_limit_error", "code": "rate_limit_exceeded"}})
        elif what == "wait":
            self._until_left(to, asked)
            self.bills.append(Bill(asked, how="left"))
        elif body.get("stream"):
            self._stream(to, asked, read, what == "leave", body["model"])
        else:
            self.bills.append(Bill(asked, read, wrote))
            usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}
            head = {"id": "c1", "object": "chat.completion", "created": 1, "model": body["model"]}
            _reply(to, 200, {**head, "choices": [choice], "usage": usage})

    def _stream(self, to: Any, asked: str, read: int, leaves: bool, model: str) -> None:
        to.send_response(200)
        to.send_header("content-type", "text/event-stream")
        to.end_headers()
        head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model}
        for number in range(1, CHUNKS + 1):
            # Every chunk says what was used so far, as some servers do.
            usage = {"prompt_tokens": read, "completion_tokens": PER_CHUNK * number, "total_tokens": read + PER_CHUNK * number}
            end = "stop" if number == CHUNKS and not leaves else None
            choice = {"index": 0, "delta": {"role": "assistant", "content": f"w{number} "}, "finish_reason": end}
            _event(to, {**head, "choices": [choice], "usage": usage})
        if leaves:
            self._until_left(to, asked)
        self.bills.append(Bill(asked, read, PER_CHUNK * CHUNKS, "left" if leaves else "answered"))
        if not leaves:
            _event(to, "[DONE]")

    def _until_left(self, to: Any, asked: str) -> None:
        """Return when the client has closed its connection."""
        self.held.append(asked)
        until = time.monotonic() + LONGEST_WAIT_S
        while time.monotonic() < until:
            readable, _, _ = select.select([to.connection], [], [], 0.2)
            try:
                if readable and not to.connection.recv(1024):
                    return
            except OSError:
                return
        self.late.append(asked)


def _reply(to: Any, status: int, body: Any) -> None:
    data = json.dumps(body).encode()
    to.send_response(status)
    to.send_header("content-type", "application/json")
    to.send_header("content-length", str(len(data)))
    to.end_headers()
    to.wfile.write(data)


def _event(to: Any, data: Any) -> None:
    to.wfile.write(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode())
    to.wfile.flush()
