"""The provider that all subjects call: OpenAI's chat protocol and Anthropic's messages on loopback, with faults and a prompt cache.

    python benchmarks/peers/provider.py          # prints its port, serves until its standard input is closed

The first part of a path says what is done: `/whole/v1/chat/completions` answers, `/429/v1/...` refuses, `/cut/v1/...` breaks off in the middle. Which
model was asked how often, and what it was billed, stands under `/log`, which is empty after `/clear`. Nothing but the standard library is needed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
from typing import Any

WORDS = 8
"""Words of an answer."""

PRICES = {"small": (2.0, 0.2, 2.5, 8.0), "large": (10.0, 1.0, 12.5, 40.0)}
"""USD a million tokens: input, read from the prompt cache, written to it, output."""

CACHED_CHAT = {
    "prompt_tokens": 100_000,
    "completion_tokens": 500,
    "total_tokens": 100_500,
    "prompt_tokens_details": {"cached_tokens": 90_000},
}
CACHED_MESSAGES = {
    "input_tokens": 8_000,
    "cache_read_input_tokens": 90_000,
    "cache_creation_input_tokens": 2_000,
    "output_tokens": 500,
}
"""What OpenAI and Anthropic say of the same call: OpenAI counts cached tokens as part of the input, Anthropic beside it."""

REFUSALS: dict[str, tuple[int, dict[str, Any]]] = {
    "429": (429, {"error": {"message": "Rate limit reached.", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}),
    "500": (500, {"error": {"message": "The server had an error.", "type": "server_error"}}),
    "401": (401, {"error": {"message": "Incorrect API key provided.", "type": "invalid_request_error", "code": "invalid_api_key"}}),
    "billing": (400, {"error": {"message": "Your credit balance is too low to access the API.", "type": "invalid_request_error"}}),
    "wrong": (400, {"error": {"message": "messages[0].role must be one of the known roles.", "type": "invalid_request_error"}}),
}
"""`billing` is about the account, `wrong` about the request: no other route can answer the latter."""


class Provider:
    """Answers requests, and remembers what it answered."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.seen: dict[str, set[int]] = {}

    def bill(self, model: str, messages: list[Any]) -> dict[str, int]:
        """Return tokens as a provider with a prompt cache counts them: the longest prefix that this model has seen is read from the cache."""
        seen, prefix, cached, total = self.seen.setdefault(model, set()), 0, 0, 0
        for message in messages:
            text = json.dumps(message, sort_keys=True)
            prefix, total = hash((prefix, text)), total + len(text) // 4
            if prefix in seen:
                cached = total
            seen.add(prefix)
        return {"prompt_tokens": total, "cached_tokens": cached}

    def usage(self, kind: str, model: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return what the answer says of its tokens."""
        if kind == "cached":
            return CACHED_CHAT
        if kind != "thread":
            return {"prompt_tokens": 10, "completion_tokens": WORDS, "total_tokens": 10 + WORDS}
        counted = self.bill(model, body["messages"])
        self.log[-1].update(counted)
        total = counted["prompt_tokens"] + 40
        return {
            "prompt_tokens": counted["prompt_tokens"],
            "completion_tokens": 40,
            "total_tokens": total,
            "prompt_tokens_details": {"cached_tokens": counted["cached_tokens"]},
        }


def chat_message(kind: str, body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the answer's message, and why it ended. In a thread the model reads a file after the other, and answers when a user's turn has three."""
    if kind == "errored":
        return {"role": "assistant", "content": ""}, "error"
    turn: list[str] = []
    for message in body["messages"]:
        turn = [] if message["role"] == "user" else [*turn, message["role"]]
    if kind == "thread" and body.get("tools") and turn.count("tool") < 3:
        place = len(body["messages"])
        called = {"name": body["tools"][0]["function"]["name"], "arguments": json.dumps({"path": f"src/file_{place}.py"})}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": f"call_{place}", "type": "function", "function": called}],
        }, "tool_calls"
    return {"role": "assistant", "content": "".join(words(body["model"]))}, "stop"


def words(model: str) -> list[str]:
    return [f"{model}-{place} " for place in range(WORDS)]


def chat_events(kind: str, body: dict[str, Any], usage: dict[str, Any]) -> list[bytes]:
    """Return the events of a streamed chat completion."""
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}

    def event(choices: list[Any], **more: Any) -> bytes:
        return b"data: " + json.dumps({**base, "choices": choices, **more}).encode() + b"\n\n"

    parts = [
        event([{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}])
        for word in words(body["model"])
    ]
    if kind == "error":
        return [*parts[:3], b'data: {"error": {"message": "Overloaded.", "type": "server_error", "code": 529}}\n\n']
    if kind in ("cut", "reset"):
        return parts[:3]
    parts.append(event([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    if (body.get("stream_options") or {}).get("include_usage"):
        parts.append(event([], usage=usage))
    return [*parts, b"data: [DONE]\n\n"]


def messages_events(body: dict[str, Any]) -> list[bytes]:
    """Return the events of a streamed Anthropic message."""
    begun = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "usage": {**CACHED_MESSAGES, "output_tokens": 1},
    }
    told: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in words(body["model"])
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": CACHED_MESSAGES},
        {"type": "message_stop"},
    ]
    return [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in told]


def answered(provider: Provider, kind: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the whole answer."""
    model = body["model"]
    if path.endswith("/messages"):
        content = [{"type": "text", "text": "".join(words(model))}]
        return {
            "id": "m", "type": "message", "role": "assistant", "model": model, "content": content, "stop_reason": "end_turn",
            "stop_sequence": None, "usage": CACHED_MESSAGES,
        }  # fmt: skip
    message, reason = chat_message(kind, body)
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [choice],
        "usage": provider.usage(kind, model, body),
    }


def head(status: int, kind: str, *more: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} ok", f"content-type: {kind}", *more, "", ""]).encode()


def whole(status: int, data: Any) -> bytes:
    body = json.dumps(data).encode()
    return head(status, "application/json", f"content-length: {len(body)}") + body


async def said(writer: asyncio.StreamWriter) -> None:
    """Wait until what was written has been shown: what comes in one piece with its error can be held back by anybody."""
    await writer.drain()
    await asyncio.sleep(0.3)


async def stream(writer: asyncio.StreamWriter, parts: list[bytes], kind: str) -> bool:
    """Write events in chunks, and return whether the connection lives on."""
    writer.write(head(200, "text/event-stream", "transfer-encoding: chunked"))
    for place, part in enumerate(parts):
        if kind == "error" and place == len(parts) - 1:
            await said(writer)
        writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    if kind in ("cut", "reset"):
        await said(writer)
    await writer.drain()
    if kind == "reset":
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
        return False
    writer.write(b"0\r\n\r\n")
    return True


async def answer(provider: Provider, path: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
    """Answer one request, and return whether the connection lives on."""
    kind = path.split("/")[1]
    if kind == "log":
        writer.write(whole(200, provider.log))
        return True
    if kind == "clear":
        provider.log, provider.seen = [], {}
        writer.write(whole(200, {}))
        return True
    if "model" not in body:
        # Gateways ask for the list of models; this provider has none.
        writer.write(whole(404, {"error": {"message": "There is nothing here.", "type": "not_found"}}))
        return True
    provider.log.append({"kind": kind, "model": body["model"]})
    if kind in REFUSALS:
        writer.write(whole(*REFUSALS[kind]))
    elif kind == "silent":
        await asyncio.sleep(30)
        return False
    elif body.get("stream"):
        found = (
            messages_events(body)
            if path.endswith("/messages")
            else chat_events(kind, body, provider.usage(kind, body["model"], body))
        )
        return await stream(writer, found, kind)
    else:
        writer.write(whole(200, answered(provider, kind, path, body)))
    return True


async def connection(provider: Provider, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while True:
            top = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path, length = top.split(" ", 2)[1].partition("?")[0], 0
            for line in top.split("\r\n")[1:]:
                name, _, value = line.partition(":")
                length = int(value) if name.lower() == "content-length" else length
            sent = await reader.readexactly(length)
            if not await answer(provider, path, json.loads(sent) if sent else {}, writer):
                break
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass  # the client went, or the provider ends
    finally:
        writer.close()


async def main() -> None:
    """Serve until standard input is closed."""
    provider = Provider()
    server = await asyncio.start_server(lambda r, w: connection(provider, r, w), "127.0.0.1", 0, limit=2**24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
