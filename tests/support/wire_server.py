"""A loopback server that speaks the providers' protocols, keeps what it was sent and refuses what a rule refuses."""

from __future__ import annotations

import atexit
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Rule = Callable[[str, dict[str, Any]], "tuple[int, dict[str, Any]] | None"]


class WireServer:
    """One server; `seen` holds path and body of every request.

    Args:
        rule: Returns a status and a body for a request that is to be refused, else `None`.
        text: What every answer says.
    """

    def __init__(self, rule: Rule | None = None, text: str = "Fine.") -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
                outer.seen.append((self.path, body))
                status, answer = (rule(self.path, body) if rule else None) or (200, plain_answer(self.path, body, text))
                raw = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        atexit.register(self._http.shutdown)

    @property
    def path(self) -> str:
        """Path of the latest request."""
        return self.seen[-1][0]

    @property
    def body(self) -> dict[str, Any]:
        """Body of the latest request."""
        return self.seen[-1][1]


def plain_answer(path: str, body: dict[str, Any], text: str) -> dict[str, Any]:
    """An answer of text alone, in the form of the protocol that the path belongs to."""
    if path.endswith("/chat/completions"):
        message = {"role": "assistant", "content": text}
        return {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        }
    if path.endswith("/responses"):
        part = {"type": "output_text", "text": text, "annotations": []}
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": body["model"],
            "status": "completed",
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}],
            "usage": {
                "input_tokens": 5,
                "output_tokens": 2,
                "total_tokens": 7,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        }
    if path.endswith("/messages"):
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 5, "output_tokens": 2},
        }
    return {
        "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7},
        "modelVersion": "gemini-3-flash-preview",
    }


def openai(server: WireServer, model: str = "gpt-4.1-mini", **kwargs: Any) -> Any:
    """OpenAI's own API: the address is not among the model's settings, by which langroute tells it from others."""
    import openai as sdk
    from langchain_openai import ChatOpenAI

    made = ChatOpenAI(model=model, api_key="none", max_retries=0, **kwargs)
    made.root_client = sdk.OpenAI(api_key="none", base_url=server.url + "/v1", max_retries=0)
    made.client = made.root_client.chat.completions
    return made


def compatible(server: WireServer, model: str = "qwen3", **kwargs: Any) -> Any:
    """Any other server of OpenAI's protocol."""
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=model, api_key="none", max_retries=0, base_url=server.url + "/v1", **kwargs)


def anthropic(server: WireServer, model: str = "claude-sonnet-4-5", **kwargs: Any) -> Any:
    """Claude."""
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(model=model, api_key="none", max_retries=0, base_url=server.url, max_tokens=64, **kwargs)


def gemini(server: WireServer, model: str = "gemini-3-flash-preview", **kwargs: Any) -> Any:
    """Gemini."""
    from langchain_google_genai import ChatGoogleGenerativeAI

    return ChatGoogleGenerativeAI(model=model, google_api_key="none", max_retries=1, base_url=server.url, **kwargs)


def mistral(server: WireServer, model: str = "mistral-small-latest", **kwargs: Any) -> Any:
    """Mistral."""
    from langchain_mistralai import ChatMistralAI

    return ChatMistralAI(model=model, api_key="none", max_retries=1, endpoint=server.url + "/v1", **kwargs)
