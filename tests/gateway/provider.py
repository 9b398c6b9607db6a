"""A scripted provider on loopback: chat completions, responses, messages and Gemini, streams and plain answers, and faults on demand."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

web = pytest.importorskip("aiohttp.web", reason="needs the extra `serve`")


@dataclass
class Seen:
    """One request that came."""

    path: str
    query: str
    headers: dict[str, str]
    raw: bytes
    body: Any
    address: str = ""
    """The path as it was called; `path` is that of the protocol."""
    ended: str = "open"
    """`open`, `whole`, `cut` (by us) or `left` (by the client)."""
    fault: Fault | None = None
    """What was done instead of an answer, or within it."""


@dataclass
class Fault:
    """What to do instead of an answer, or within one.

    `status`: answer with it. `after`: events after which `how` happens: `error` (an event), `drop` (a reset), `eof` (a tidy end) or `stall`.
    An answer that is no stream is an error's body, half of one, or late.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    after: int = 3
    how: str | None = None
    seconds: float = 0.0
    model: str | None = None
    """Only for requests that ask for this model."""
    tools: bool = False
    """Only for requests with tools."""
    when: Callable[[Seen], bool] | None = None
    """Only for requests of which this is true."""


CHAT, RESPONSES, MESSAGES, GEMINI = "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models"
USAGE_OUT = 20


def plain_events(path: str, model: str, words: list[str], prompt: int, thinking: str | None = None) -> list[tuple[str, Any]]:
    """The events of an answer of some words, in a protocol."""
    if path == MESSAGES and thinking is not None:
        signed = {"type": "content_block_delta", "index": 1, "delta": {"type": "signature_delta", "signature": thinking}}
        begun = {"type": "content_block_start", "index": 1, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}
        thought = [
            ("content_block_start", begun),
            ("content_block_delta", signed),
            ("content_block_stop", {"type": "content_block_stop", "index": 1}),
        ]
        plainly = plain_events(path, model, words, prompt)
        return [*plainly[:2], *thought, *plainly[2:]]
    if path == MESSAGES:
        usage = {"input_tokens": prompt, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "usage": usage,
        }
        return [
            ("message_start", {"type": "message_start", "message": message}),
            ("ping", {"type": "ping"}),
            ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            *(("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}) for word in words),
            ("content_block_stop", {"type": "content_block_stop", "index": 0}),
            ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": USAGE_OUT}}),
            ("message_stop", {"type": "message_stop"}),
        ]  # fmt: skip
    if path == RESPONSES:
        empty = {"id": "resp_1", "object": "response", "model": model, "status": "in_progress", "output": []}
        item = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "".join(words)}],
        }
        usage = {"input_tokens": prompt, "output_tokens": USAGE_OUT, "total_tokens": prompt + USAGE_OUT}
        return [
            ("response.created", {"type": "response.created", "response": empty}),
            ("response.output_item.added", {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}}),
            *(("response.output_text.delta", {"type": "response.output_text.delta", "output_index": 0, "delta": word}) for word in words),
            ("response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": item}),
            ("response.completed", {"type": "response.completed", "response": {**empty, "status": "completed", "output": [item], "usage": usage}}),
        ]  # fmt: skip
    if path == GEMINI:
        return [("", gemini_chunk(model, [{"text": word}])) for word in words] + [("", gemini_chunk(model, [{"text": ""}], prompt))]
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    choice = lambda delta, end=None: ("", {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})  # noqa: E731
    usage = {"prompt_tokens": prompt, "completion_tokens": USAGE_OUT, "total_tokens": prompt + USAGE_OUT}
    return [
        choice({"role": "assistant", "content": ""}),
        *(choice({"content": word}) for word in words),
        choice({}, "stop"),
        ("", {**base, "choices": [], "usage": usage}),
        ("", "[DONE]"),
    ]


def gemini_chunk(model: str, parts: list[Any], prompt: int | None = None) -> dict[str, Any]:
    """A chunk of an answer in Google's protocol; with the tokens of the prompt it is the last."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    told: dict[str, Any] = {"candidates": [candidate], "modelVersion": model, "responseId": "resp-1"}
    if prompt is not None:
        candidate["finishReason"] = "STOP"
        tokens = {"promptTokenCount": prompt, "candidatesTokenCount": USAGE_OUT - 5, "thoughtsTokenCount": 5}
        told["usageMetadata"] = {**tokens, "totalTokenCount": prompt + USAGE_OUT}
    return told


def plain(path: str, model: str, words: list[str], prompt: int) -> dict[str, Any]:
    """An answer that is no stream, in a protocol."""
    if path == GEMINI:
        return gemini_chunk(model, [{"text": "".join(words)}], prompt)
    text = "".join(words)
    if path == MESSAGES:
        usage = {"input_tokens": prompt, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": USAGE_OUT}
        content = [{"type": "text", "text": text}]
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": "end_turn",
            "usage": usage,
        }
    if path == RESPONSES:
        return plain_events(path, model, words, prompt)[-1][1]["response"]
    usage = {"prompt_tokens": prompt, "completion_tokens": USAGE_OUT, "total_tokens": prompt + USAGE_OUT}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def whole(path: str, events: list[tuple[str, Any]]) -> dict[str, Any]:
    """The plain answer that says what a stream says."""
    told = [data for _, data in events if isinstance(data, dict)]
    if path == RESPONSES:
        return told[-1]["response"]
    if path == MESSAGES:
        blocks: dict[int, dict[str, Any]] = {}
        for one in told:
            if one["type"] == "content_block_start":
                blocks[one["index"]] = dict(one["content_block"])
            elif one["type"] == "content_block_delta" and "signature" in one["delta"]:
                blocks[one["index"]]["signature"] = one["delta"]["signature"]
            elif one["type"] == "content_block_delta":
                block, delta = blocks[one["index"]], one["delta"]
                block["text" if "text" in delta else "json"] = block.get("text" if "text" in delta else "json", "") + (
                    delta.get("text") or delta.get("partial_json", "")
                )
        for block in blocks.values():
            if "json" in block:
                block["input"] = json.loads(block.pop("json"))
        end = next(one for one in told if one["type"] == "message_delta")
        message = told[0]["message"]
        usage = {**message["usage"], **end["usage"]}
        return {**message, "content": [*blocks.values()], "stop_reason": end["delta"]["stop_reason"], "usage": usage}
    if path == GEMINI:
        parts = [part for one in told for part in one["candidates"][0]["content"]["parts"]]
        return {**told[-1], "candidates": [{**told[-1]["candidates"][0], "content": {"role": "model", "parts": parts}}]}
    text, refusal, calls, end = "", "", {}, "stop"
    for one in told:
        for choice in one["choices"]:
            delta, end = choice["delta"], choice.get("finish_reason") or end
            text += delta.get("content") or ""
            refusal += delta.get("refusal") or ""
            for call in delta.get("tool_calls") or ():
                known = calls.setdefault(
                    call["index"],
                    {"id": call.get("id"), "type": "function", "function": {"name": call["function"].get("name"), "arguments": ""}},
                )
                known["function"]["arguments"] += call["function"].get("arguments", "")
    message = {
        "role": "assistant",
        "content": text or None,
        **({"tool_calls": [*calls.values()]} if calls else {}),
        **({"refusal": refusal} if refusal else {}),
    }
    base = {**told[0], "object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": end}]}
    return {**base, "usage": next(one["usage"] for one in told if one.get("usage"))}


ERROR_EVENTS = {
    MESSAGES: ("error", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    RESPONSES: ("error", {"type": "error", "code": "server_error", "message": "overloaded", "param": None, "sequence_number": 99}),
    CHAT: ("", {"error": {"message": "overloaded", "type": "server_error", "code": 529}}),
    GEMINI: ("", {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}),
}


class Provider:
    """The provider, in a thread of its own."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.words = ["Hello", " from", " the", " provider."]
        self.prompt = 1000
        self.thinking: str | None = None
        self.script: Callable[[str, str, Any], list[tuple[str, Any]]] | None = None
        """Returns the events of an answer, in the place of the words."""
        self.pause = 0.0
        """Seconds between two events."""
        self.refuses: Callable[[Seen], str | None] | None = None
        """Returns why a request is refused, if it is."""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        self.seen, self.faults, self.words, self.prompt, self.pause = [], [], ["Hello", " from", " the", " provider."], 1000, 0.0
        self.thinking = None

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=256 * 2**20)
        for path in (CHAT, RESPONSES, MESSAGES):
            app.router.add_post(path, self._answer)
        app.router.add_post("/v1/messages/count_tokens", self._count)
        app.router.add_post(GEMINI + "/{call:.*}", self._answer)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def _events(self, seen: Seen) -> list[tuple[str, Any]]:
        if self.script is not None:
            return self.script(seen.path, seen.body["model"], seen.body)
        return plain_events(seen.path, seen.body["model"], self.words, self.prompt, self.thinking)

    def _plain(self, seen: Seen) -> dict[str, Any]:
        if self.script is None:
            return plain(seen.path, seen.body["model"], self.words, self.prompt)
        return whole(seen.path, self._events(seen))

    def _fault(self, seen: Seen) -> Fault | None:
        for place, fault in enumerate(self.faults):
            meant = fault.model in (None, seen.body.get("model")) and (seen.body.get("tools") or not fault.tools)
            if meant and (fault.when is None or fault.when(seen)):
                return self.faults.pop(place)
        return None

    def _refused(self, seen: Seen) -> Fault | None:
        reason = None if self.refuses is None else self.refuses(seen)
        if reason is None:
            return None
        error = {"type": "invalid_request_error", "message": reason}
        return Fault(status=400, body={"type": "error", "error": error})

    async def _count(self, request: web.Request) -> web.Response:
        await self._noted(request)
        return web.json_response({"input_tokens": 4242})

    async def _noted(self, request: web.Request) -> Seen:
        raw = await request.read()
        path, body = request.path, json.loads(raw)
        if path.startswith(GEMINI):
            model, _, method = path.removeprefix(f"{GEMINI}/").rpartition(":")
            path, body = GEMINI, {**body, "model": model, "stream": method == "streamGenerateContent"}
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(path, request.query_string, headers, raw, body, request.path)
        self.seen.append(seen)
        return seen

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        seen = await self._noted(request)
        fault = seen.fault = self._fault(seen) or self._refused(seen)
        try:
            return await self._told(request, seen, fault)
        except (asyncio.CancelledError, ConnectionResetError):
            seen.ended = "left" if seen.ended == "open" else seen.ended
            raise

    async def _told(self, request: web.Request, seen: Seen, fault: Fault | None) -> web.StreamResponse:
        if fault is not None and fault.status is not None:
            seen.ended = "whole"
            body = fault.body or {"error": {"message": f"mock {fault.status}", "type": "mock"}}
            return web.json_response(body, status=fault.status, headers=fault.headers)
        if fault is not None and fault.seconds and fault.how is None:
            await asyncio.sleep(fault.seconds)
        if not seen.body.get("stream"):
            if fault is not None and fault.how == "stall":
                await asyncio.sleep(fault.seconds)
            if fault is not None and fault.how in ("error", "drop", "eof"):
                return await self._broken_plain(request, seen, fault.how)
            seen.ended = "whole"
            return web.json_response(self._plain(seen))
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "x-request-id": "req_1", "request-id": "req_1"})
        await response.prepare(request)
        for place, (name, data) in enumerate(self._events(seen)):
            if fault is not None and fault.how is not None and place == fault.after:
                if fault.how == "stall":
                    await asyncio.sleep(fault.seconds)
                else:
                    seen.ended = "cut"
                    if fault.how == "error":
                        await response.write(event(*ERROR_EVENTS[seen.path]))
                    if fault.how == "drop":
                        request.transport.abort()
                    else:
                        await response.write_eof()
                    return response
            await response.write(event(name, data))
            if self.pause:
                await asyncio.sleep(self.pause)
        seen.ended = "whole"
        await response.write_eof()
        return response

    async def _broken_plain(self, request: web.Request, seen: Seen, how: str) -> web.StreamResponse:
        """An error in an answer's place, half an answer before a reset, or half of one that ends as if it were whole."""
        seen.ended = "cut"
        if how == "error":
            return web.json_response(ERROR_EVENTS[seen.path][1])
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        told = json.dumps(self._plain(seen)).encode()
        await response.write(told[: len(told) // 2])
        if how == "drop":
            request.transport.abort()
        else:
            await response.write_eof()
        return response


def event(name: str, data: Any) -> bytes:
    """An event as it is sent."""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\ndata: {text}\n\n".encode() if name else f"data: {text}\n\n".encode()


def answer_bytes(provider: Provider, path: str, model: str) -> bytes:
    """The bytes of the provider's stream."""
    return b"".join(event(*one) for one in plain_events(path, model, provider.words, provider.prompt))


def waited(what: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait until something is true."""
    import time

    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)
    return found


def events_of(raw: bytes) -> Iterator[tuple[str, str]]:
    """The events of a stream."""
    for block in raw.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in lines:
            yield lines.get("event", ""), lines["data"]
