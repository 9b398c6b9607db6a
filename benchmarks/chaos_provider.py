"""The provider of `gateway_chaos.py`: it answers three protocols, fails as it is drawn, and logs every call."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any

from aiohttp import web

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
WORDS = 8
"""Words of an answer."""


def tokens_of(key: str) -> tuple[int, int]:
    """Input and output tokens of a good answer to a request."""
    number = int(key[1:])
    return 1000 + number, 10 + number % 40


def word(key: str, place: int) -> str:
    return f"word {place} of {key} "


def fault(seed: int, key: str, nth: int) -> tuple[str, int]:
    """What happens to a call, and after how many words."""
    chance = random.Random(f"{seed} {key} {nth}")
    kinds = ("429", "500", "503", "529", "error", "eof", "drop", "whole")
    return chance.choices(kinds, (2, 1, 2, 2, 3, 3, 3, 84))[0], chance.randrange(1, WORDS)


def events(path: str, model: str, key: str) -> list[tuple[bool, bytes]]:
    """The events of an answer, and whether each is one of its words."""
    given, said = tokens_of(key)
    words = [word(key, place) for place in range(WORDS)]

    def event(data: Any, name: str = "") -> bytes:
        text = data if isinstance(data, str) else json.dumps(data)
        return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()

    def named(kind: str, **more: Any) -> bytes:
        return event({"type": kind, **more}, kind)

    if path == CHAT:
        base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model}
        parts = [
            (True, event({**base, "choices": [{"index": 0, "delta": {"content": one}, "finish_reason": None}]})) for one in words
        ]
        usage = {"prompt_tokens": given, "completion_tokens": said, "total_tokens": given + said}
        ends = [
            {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {**base, "choices": [], "usage": usage},
            "[DONE]",
        ]
        return [*parts, *((False, event(one)) for one in ends)]
    if path == MESSAGES:
        usage = {"input_tokens": given, "output_tokens": 1}
        message = {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "usage": usage,
        }
        parts = [(True, named("content_block_delta", index=0, delta={"type": "text_delta", "text": one})) for one in words]
        return [
            (False, named("message_start", message=message) + named("content_block_start", index=0, content_block={"type": "text", "text": ""})),
            *parts,
            (False, named("content_block_stop", index=0)),
            (False, named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": said})),
            (False, named("message_stop")),
        ]  # fmt: skip
    response = {"id": "r", "object": "response", "model": model, "status": "in_progress", "output": []}
    parts = [(True, named("response.output_text.delta", output_index=0, delta=one)) for one in words]
    return [
        (False, named("response.created", response=response)),
        *parts,
        (False, named("response.completed", response=plain(path, model, key))),
    ]


def plain(path: str, model: str, key: str) -> dict[str, Any]:
    """An answer that is no stream."""
    (given, said), text = tokens_of(key), "".join(word(key, place) for place in range(WORDS))
    if path == CHAT:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": given, "completion_tokens": said, "total_tokens": given + said}
        return {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}
    usage = {"input_tokens": given, "output_tokens": said}
    if path == MESSAGES:
        content = [{"type": "text", "text": text}]
        return {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": "end_turn",
            "usage": usage,
        }
    item = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text}],
    }
    usage = {**usage, "total_tokens": given + said}
    return {"id": "r", "object": "response", "model": model, "status": "completed", "output": [item], "usage": usage}


def key_of(body: Any) -> str:
    """The task that a request names in its first words."""
    said = body.get("messages") or body.get("input")
    content = said[-1]["content"]
    return (content if isinstance(content, str) else content[0]["text"]).split()[1]


class Provider:
    """The provider; it serves its log, too.

    Args:
        seed: Of its faults.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.log: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, and log what becomes of it."""
        body = await request.json()
        key = key_of(body)
        kind, after = fault(self.seed, key, self.asked[key])
        self.asked[key] += 1
        entry = {
            "key": key,
            "path": request.path,
            "model": body["model"],
            "kind": kind,
            "stream": bool(body.get("stream")),
            "words": 0,
            "ended": "open",
        }
        self.log.append(entry)
        try:
            if kind.isdigit():
                return self._refused(entry)
            if not entry["stream"]:
                return await self._plain(entry)
            return await self._streamed(request, entry, after)
        except (asyncio.CancelledError, ConnectionError):
            if entry["ended"] == "open":
                entry["ended"] = "left"
            raise

    @staticmethod
    def _refused(entry: dict[str, Any]) -> web.Response:
        entry["ended"] = "refused"
        error = {"type": "error", "error": {"type": "mock", "message": f"mock {entry['kind']}"}}
        return web.json_response(error, status=int(entry["kind"]), headers={"retry-after": "0"})

    @staticmethod
    async def _plain(entry: dict[str, Any]) -> web.Response:
        await asyncio.sleep(pause_of(entry["key"]))
        # A fault would tear a plain answer, of which nothing is heard.
        entry["kind"] = entry["ended"] = "whole"
        return web.json_response(plain(entry["path"], entry["model"], entry["key"]))

    async def _streamed(self, request: web.Request, entry: dict[str, Any], after: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for is_word, data in events(entry["path"], entry["model"], entry["key"]):
            if entry["kind"] != "whole" and is_word and entry["words"] == after:
                entry["ended"] = "cut"
                return await self._cut(request, response, entry)
            # Counted before: what is on its way may have been read.
            entry["words"] += is_word
            await response.write(data)
            if pause := pause_of(entry["key"]):
                await asyncio.sleep(pause)
        entry["ended"] = "whole"
        await response.write_eof()
        return response

    @staticmethod
    async def _cut(request: web.Request, response: web.StreamResponse, entry: dict[str, Any]) -> web.StreamResponse:
        if entry["kind"] == "drop":
            await asyncio.sleep(0.01)
            if request.transport is not None:
                request.transport.abort()
            return response
        if entry["kind"] == "error":
            name = "" if entry["path"] == CHAT else "event: error\n"
            error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
            await response.write(f"{name}data: {json.dumps(error)}\n\n".encode())
        await response.write_eof()
        return response

    async def tell(self, _: web.Request) -> web.Response:
        """Tell the log."""
        return web.json_response(self.log)


def pause_of(key: str) -> float:
    """Seconds between two events."""
    return random.Random(key).choice((0, 0.002, 0.02))


def serve(port: int, seed: int) -> None:
    """Serve until the process ends.

    Args:
        port: On loopback.
        seed: Of the faults.
    """
    provider, app = Provider(seed), web.Application()
    app.router.add_get("/log", provider.tell)
    for path in (CHAT, RESPONSES, MESSAGES):
        app.router.add_post(path, provider.answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, handler_cancellation=True)
