"""What the gateway adds to a call, paired with direct calls of the same provider: first byte, whole answer, throughput, memory.

    python benchmarks/gateway.py                   # 77 kB bodies, streams of 60 events
    python benchmarks/gateway.py --body 1000000    # bodies of 1 MB
    python benchmarks/gateway.py --requests 100000 # how its memory grows

Provider, gateway, a bare pass-through on the same servers and client run in processes of their own. Direct calls and calls through each are
made in turn, so that what else the machine does meets all of them alike; the differences are of pairs. Pairs are calls one after the other, each
of a conversation of its own. Then come as many as it can take, all the same and each of its own, and half as many a second, each of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EVENTS = 60
TOKEN = "lr-benchmark"


def chat_body(size: int, turn: int = 0) -> bytes:
    """A request as an agent sends it: a long prefix of tools and instructions, and a short task."""
    tools = [
        {
            "type": "function",
            "function": {"name": f"tool_{place}", "description": "word " * 300, "parameters": {"type": "object", "properties": {}}},
        }
        for place in range(max(1, size // 3200))
    ]
    body = {"model": "any", "messages": [], "tools": tools, "stream": True, "stream_options": {"include_usage": True}}
    rest = max(100, size - len(json.dumps(body)) - 200)
    system = "You are an agent. " + "rule " * (rest // 5)
    body["messages"] = [{"role": "system", "content": system}, {"role": "user", "content": f"Fix the failing test {turn}."}]
    return json.dumps(body, separators=(",", ":")).encode()


def numbered(body: bytes, turn: int) -> bytes:
    """Return a body of `chat_body` as that of another conversation."""
    return body.replace(b"failing test 0.", b"failing test %d." % turn)


def events() -> list[bytes]:
    """The provider's stream."""
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "large-1"}

    def event(choices: list[Any], **more: Any) -> bytes:
        return b"data: " + json.dumps({**base, "choices": choices, **more}).encode() + b"\n\n"

    parts = [event([{"index": 0, "delta": {"role": "assistant", "content": f"word {place} "}}]) for place in range(EVENTS - 3)]
    usage = {"prompt_tokens": 19_000, "completion_tokens": 60, "total_tokens": 19_060}
    parts += [event([{"index": 0, "delta": {}, "finish_reason": "stop"}]), event([], usage=usage), b"data: [DONE]\n\n"]
    return parts


def provider(port: int) -> None:
    """A provider that answers at once."""
    from aiohttp import web

    parts = events()

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        await response.write_eof()
        return response

    app = web.Application(client_max_size=256 * 2**20)
    app.router.add_post("/v1/chat/completions", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def bare(port: int, upstream: int) -> None:
    """A pass-through on the gateway's own servers that reads nothing."""
    import aiohttp
    import uvicorn

    session: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if not session:
            session.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        async with session[0].post(f"http://127.0.0.1:{upstream}/v1/chat/completions", data=body) as response:
            headers = [(b"content-type", response.headers["content-type"].encode())]
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            async for chunk in response.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", log_level="critical", lifespan="off")


def gateway(port: int, upstream: int, folder: str) -> None:
    """The gateway, with the default policy, a budget and a ledger in SQLite."""
    from langroute.core.toml_file import TomlFile
    from langroute.gateway.clients import token_digest
    from langroute.gateway.config import gateway_config
    from langroute.gateway.http_server import bound_socket
    from langroute.gateway.starting import run_worker

    routes = "".join(
        f'[routes.{name}]\nprovider = "openai"\nmodel = "{name}-1"\nbase_url = "http://127.0.0.1:{upstream}"\n'
        f"price = {{ input = {price}, output = {price} }}\n"
        for name, price in (("small", 1), ("large", 10))
    )
    ledger = Path(folder) / "ledger.db"
    text = f'ledger = "{ledger}"\n{routes}[[budgets]]\nusd = 1e9\nper = "all"\n[serve]\nport = {port}\n'
    config = gateway_config(TomlFile(text, "benchmark"))
    run_worker(config, os.environ, bound_socket(config.serve), digest=token_digest(TOKEN), read=None)


async def called(session: Any, url: str, body: bytes, more: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Milliseconds until the first byte, and until the end; `more` are further headers."""
    begun = time.perf_counter()
    headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}", **(more or {})}
    async with session.post(url, data=body, headers=headers) as response:
        first = None
        async for _ in response.content.iter_any():
            first = first or time.perf_counter()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}")
    return ((first or begun) - begun) * 1e3, (time.perf_counter() - begun) * 1e3


async def paired(
    urls: dict[str, str], size: int, pairs: int, headers: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return median and p99 of what each adds to the direct call of its turn, in milliseconds: to the first byte and to the end.

    `headers` are those that some of them need besides, by name.
    """
    import aiohttp

    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in urls}
    async with aiohttp.ClientSession() as session:
        for turn in range(pairs + 20):
            body = chat_body(size, turn)
            for name, url in urls.items():
                found = await called(session, url, body, (headers or {}).get(name))
                if turn >= 20:
                    taken[name].append(found)
    found_of: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in list(urls)[1:]}
    for name, told in found_of.items():
        for place, what in enumerate(("first byte", "whole answer")):
            added = sorted(one[place] - direct[place] for one, direct in zip(taken[name], taken["direct"], strict=True))
            told[what] = statistics.median(added), added[int(0.99 * len(added)) - 1]
    return found_of


async def rate(
    url: str, size: int, seconds: float, clients: int = 16, more: Mapping[str, str] | None = None, *, first: int | None = None
) -> float:
    """Requests a second of some clients that call as fast as they are answered.

    All send the same request; where `first` is given, each is a conversation of its own, from this number on.
    """
    import aiohttp

    body, until, count = chat_body(size), time.perf_counter() + seconds, 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def calls() -> None:
            nonlocal count
            while time.perf_counter() < until:
                told = body if first is None else numbered(body, first + count)
                count += 1
                await called(session, url, told, more)

        await asyncio.gather(*(calls() for _ in range(clients)))
    return count / seconds


async def at_rate(
    url: str, size: int, rate: float, seconds: float, first: int = 0, more: Mapping[str, str] | None = None
) -> list[float]:
    """Return the milliseconds until the first byte of requests that come at a steady rate, whatever becomes of those before them.

    Each is a conversation of its own; `first` is the number of the first one.
    """
    import aiohttp

    body, begun = chat_body(size), time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(turn: int) -> float:
            await asyncio.sleep(begun + turn / rate - time.perf_counter())
            return (await called(session, url, numbered(body, first + turn), more))[0]

        return list(await asyncio.gather(*(call(turn) for turn in range(int(rate * seconds)))))


async def added_at_rate(urls: dict[str, str], size: int, rate: float, seconds: float) -> dict[str, tuple[float, float]]:
    """Return what each adds at a steady rate to the first byte, at the median and at p99, in milliseconds.

    All are measured in turn, a second each: the differences are of the percentiles of all their seconds together.
    """
    taken: dict[str, list[float]] = {name: [] for name in urls}
    for turn in range(round(seconds) + 1):
        for name, url in urls.items():
            found = await at_rate(url, size, rate, 1.0, first=turn * 100_000)
            if turn:
                taken[name] += found

    def of(name: str, share: float) -> float:
        return sorted(taken[name])[int(share * len(taken[name])) - 1]

    return {name: (of(name, 0.5) - of("direct", 0.5), of(name, 0.99) - of("direct", 0.99)) for name in list(urls)[1:]}


def memory_mb(process: Any) -> float:
    """Resident memory of a process."""
    with Path(f"/proc/{process.pid}/statm").open() as told:
        return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds(process: Any) -> float:
    """Processor time that a process has used."""
    with Path(f"/proc/{process.pid}/stat").open() as told:
        fields = told.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:  # noqa: PERF203
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("a server did not start")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--body", type=int, default=77_000, help="bytes of a request")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement of throughput")
    parser.add_argument("--requests", type=int, default=0, help="requests between two looks at the memory")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        ports = {name: _free() for name in ("direct", "bare", "gateway")}
        processes = [
            context.Process(target=provider, args=(ports["direct"],), daemon=True),
            context.Process(target=bare, args=(ports["bare"], ports["direct"]), daemon=True),
            context.Process(target=gateway, args=(ports["gateway"], ports["direct"], folder), daemon=True),
        ]
        for process in processes:
            process.start()
        for port in ports.values():
            _wait(port)
        urls = {name: f"http://127.0.0.1:{port}/v1/chat/completions" for name, port in ports.items()}
        print(f"bodies of {len(chat_body(options.body)):,} bytes, {EVENTS} events, one worker")
        for name, told in asyncio.run(paired(urls, options.body, options.pairs)).items():
            for what, (middle, high) in told.items():
                print(f"{name:8} {what:13} adds {middle:6.2f} ms (median) {high:6.2f} ms (p99) over {options.pairs} pairs")
        rates, cpu = {}, {}
        for name, process in zip(urls, processes, strict=True):
            before = cpu_seconds(process)
            rates[name] = asyncio.run(rate(urls[name], options.body, options.seconds))
            cpu[name] = (cpu_seconds(process) - before) / (rates[name] * options.seconds) * 1e3
        print("requests a second: " + ", ".join(f"{name} {found:.0f}" for name, found in rates.items()))
        print(f"the gateway's share of the bare pass-through: {rates['gateway'] / rates['bare']:.0%}")
        print("processor time of a request: " + ", ".join(f"{name} {cpu[name]:.2f} ms" for name in ("bare", "gateway")))
        own = {name: asyncio.run(rate(urls[name], options.body, options.seconds, first=10**5)) for name in ("bare", "gateway")}
        print("each a conversation of its own: " + ", ".join(f"{name} {found:.0f}" for name, found in own.items()))
        half = own["gateway"] / 2
        for name, (middle, high) in asyncio.run(added_at_rate(urls, options.body, half, 2 * options.seconds)).items():
            print(f"{name:8} first byte    adds {middle:6.2f} ms (median) {high:6.2f} ms (p99) at {half:.0f} requests a second")
        if options.requests:
            seconds = options.requests / 10 / rates["gateway"]
            told, count = [f"{memory_mb(processes[2]):.0f}"], 0
            while count < options.requests:
                count += round(seconds * asyncio.run(rate(urls["gateway"], options.body, seconds, first=10**6 + count)))
                told.append(f"{memory_mb(processes[2]):.0f}")
            print(f"memory before and while {count:,} conversations come: {', '.join(told)} MB")
        for process in processes:
            process.terminate()
            process.join(10)


if __name__ == "__main__":
    main()
