"""A server on loopback that reports the tokens it was told to, in each provider's own words; protocol mocks report no cached ones."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class UsageServer:
    """Answers "Yes." to everything, with the usage of `usage`.

    Start it with `with`; `url` says where it is.
    """

    def __init__(self) -> None:
        self.usage: dict[str, Any] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
                answer, events = _answer(self.path, body, outer.usage)
                data = json.dumps(answer).encode() if events is None else "".join(events).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json" if events is None else "text/event-stream")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> UsageServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _event(data: Any, name: str | None = None) -> str:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n"


def _answer(path: str, body: dict[str, Any], usage: dict[str, Any]) -> tuple[Any, list[str] | None]:
    if "generateContent" in path or "streamGenerateContent" in path:
        candidate = {"content": {"role": "model", "parts": [{"text": "Yes."}]}, "finishReason": "STOP", "index": 0}
        answer = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-pro", "responseId": "r1"}
        return answer, [_event(answer)] if "stream" in path else None
    if path.startswith("/v1/messages"):
        return _anthropic(body, usage)
    if path.startswith("/v1/responses"):
        text = {"type": "output_text", "text": "Yes.", "annotations": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
        answer = {
            "id": "resp_1", "object": "response", "created_at": 1, "model": body["model"], "status": "completed", "output": [item],
            "usage": usage, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        }  # fmt: skip
        return answer, None
    head = {"id": "c1", "created": 1, "model": body["model"]}
    if not body.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
        return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}, None
    chunk = {**head, "object": "chat.completion.chunk"}
    return None, [
        _event({**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Yes."}, "finish_reason": None}]}),
        _event({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        _event({**chunk, "choices": [], "usage": usage}),
        _event("[DONE]"),
    ]


def _anthropic(body: dict[str, Any], usage: dict[str, Any]) -> tuple[Any, list[str] | None]:
    message = {"id": "m1", "type": "message", "role": "assistant", "model": body["model"], "stop_sequence": None}
    if not body.get("stream"):
        return {**message, "content": [{"type": "text", "text": "Yes."}], "stop_reason": "end_turn", "usage": usage}, None
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage}
    return None, [
        _event({"type": "message_start", "message": start}, "message_start"),
        _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, "content_block_start"),
        _event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yes."}}, "content_block_delta"),
        _event({"type": "content_block_stop", "index": 0}, "content_block_stop"),
        _event(delta, "message_delta"),
        _event({"type": "message_stop"}, "message_stop"),
    ]
