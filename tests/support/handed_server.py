"""A server on loopback that answers with what it is handed: a body for a call, events for a stream."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class HandedServer:
    """Answers every request alike. Start it with `with`; `url` says where it is.

    Args:
        body: What a call is answered with.
        events: What a stream is answered with; a pair is an event's name and its data.
        pause: Seconds before an answer, and between events.
    """

    def __init__(self, body: Any = None, events: Any = None, pause: float = 0.0) -> None:
        self.asked = 0
        """Number of requests so far."""

        counted = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
                counted.asked += 1
                streams = events is not None and (asked.get("stream") or "stream" in self.path)
                self.send_response(200)
                self.send_header("content-type", "text/event-stream" if streams else "application/json")
                self.send_header("connection", "close")
                self.end_headers()
                time.sleep(pause)
                try:
                    for piece in map(_event, events) if streams else [json.dumps(body)]:
                        self.wfile.write(piece.encode())
                        self.wfile.flush()
                        time.sleep(pause if streams else 0)
                except OSError:
                    pass
                self.close_connection = True

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HandedServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _event(event: Any) -> str:
    name, data = event if isinstance(event, tuple) else (None, event)
    return (f"event: {name}\n" if name else "") + f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"


def chat(model: str, usage: Any, **more: Any) -> dict[str, Any]:
    """A chat completion."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage, **more}


def chunks(model: str, usages: list[Any], text: str = "a", **more: Any) -> list[Any]:
    """The chunks of a chat completion, each with its usage."""
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model, **more}
    ends = [None] * (len(usages) - 1) + ["stop"]
    return [
        *(
            {
                **head,
                "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": end}],
                "usage": usage,
            }
            for usage, end in zip(usages, ends, strict=True)
        ),
        "[DONE]",
    ]


def message(model: str, usage: Any, content: Any = "ok") -> dict[str, Any]:
    """A message of Anthropic's."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": blocks, "stop_reason": "end_turn",
        "stop_sequence": None, "usage": usage,
    }  # fmt: skip


def message_events(model: str, start: Any, end: Any, blocks: Any = ()) -> list[Any]:
    """The events of a message of Anthropic's."""
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}}
    events: list[Any] = [
        ("message_start", {"type": "message_start", "message": {**message(model, start, []), "stop_reason": None}}),
        ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", text),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
    ]
    for index, block in enumerate(blocks, 1):
        events.append(("content_block_start", {"type": "content_block_start", "index": index, "content_block": block}))
        events.append(("content_block_stop", {"type": "content_block_stop", "index": index}))
    over = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": end}
    return [*events, ("message_delta", over), ("message_stop", {"type": "message_stop"})]
