"""Runs a coding agent, `langroute serve` and the scripted provider in a network namespace that has loopback alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from model_rules import refusal
from provider import GEMINI, MESSAGES, Fault, Provider, Seen, waited
from scripted_task import Task

from langroute.gateway.clients import token_digest
from langroute.ledger import open_ledger

TOO_LONG = {
    "type": "error",
    "error": {"type": "invalid_request_error", "code": "context_length_exceeded", "message": "prompt is too long: 300000 tokens > 200000 maximum"},
}  # fmt: skip
UNPAID = {
    "type": "error",
    "error": {"type": "billing_error", "code": "insufficient_quota", "message": "Your credit balance is too low."},
}
BUSY = {"type": "error", "error": {"type": "overloaded_error", "code": "overloaded", "message": "Overloaded"}}
LIMITED = {"type": "error", "error": {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "Slow down."}}

FAULTS: dict[str, dict[str, Any]] = {
    "429": {"status": 429, "headers": {"retry-after": "1"}, "body": LIMITED},
    "503": {"status": 503, "body": BUSY},
    "529": {"status": 529, "body": BUSY},
    "error": {"how": "error"},
    "drop": {"how": "drop"},
    "eof": {"how": "eof"},
    "context": {"status": 400, "body": TOO_LONG},
    "402": {"status": 402, "body": UNPAID},
    "stall": {"how": "stall", "seconds": 4.0},
}
"""What may happen in the middle of a task."""

REFUSALS = frozenset(name for name, fault in FAULTS.items() if "status" in fault)
BREAKS = frozenset({"error", "drop", "eof"})

MODELS = {
    "messages": ("anthropic", "claude-opus-4-8", "claude-haiku-4-5"),
    "chat": ("openai", "gpt-4.1", "gpt-5.4-mini"),
    "responses": ("openai", "gpt-5.5", "gpt-4.1-mini"),
    "gemini": ("google_genai", "gemini-3-pro-preview", "gemini-2.5-flash"),
}
"""Protocol → the maker, the model that clients write for, and another one."""

NAMES = {MESSAGES: "messages", GEMINI: "gemini", "/v1/chat/completions": "chat", "/v1/responses": "responses"}


def config(mode: str, path: str, url: str, folder: Path, fault: str | None) -> str:
    """The gateway's file: one route of the client's protocol (`same`), another model beside it (`other`), or a route of another protocol (its name)."""
    spoken = NAMES[path] if mode in ("same", "other") else mode
    maker, believed, another = MODELS[spoken]
    translate = "" if mode in ("same", "other") else "translate = true\n"
    models = {"another": another, "believed": believed} if mode == "other" else {"believed": believed}
    routes = "".join(
        f'[routes.{name}]\nprovider = "{maker}"\nmodel = "{model}"\nkey_env = "KEY"\nbase_url = "{url}"\nprotocols = ["{spoken}"]\n'
        f"price = {{ input = 10, output = 20 }}\n{translate}"
        for name, model in models.items()
    )
    # A refusal is seen by the client, or by the next route. Where routes are translated to, the gateway tries again by itself.
    retries = "max_retries = 0\n" if fault in REFUSALS and not translate else ""
    return (
        f'policy = {{ name = "fixed", route = "{next(iter(models))}" }}\n{retries}ledger = "{folder / "ledger.db"}"\n{routes}'
        f'[models]\n"*" = "langroute/auto"\n[clients.agent]\ntoken_sha256 = "{token_digest("lr-test")}"\n'
        "[serve]\nport = 8900\nresend_seconds = 30\nping_seconds = 1\ndrain_seconds = 5\n"
    )


def _answers() -> bool:
    try:
        return httpx.get("http://127.0.0.1:8900/readyz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def run_client(order: dict[str, Any], folder: Path) -> int:
    """Run the agent; return what it ended with."""
    home = folder / "home"
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb", "NO_COLOR": "1", "CI": "1", "LANG": "C.UTF-8",
        **order["environment"],
    }  # fmt: skip
    # To a file: what an agent leaves running would hold a pipe open.
    with (folder / "said").open("wb") as said:
        done = subprocess.run(
            order["command"], cwd=folder / "work", env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            timeout=150, check=False,
        )  # fmt: skip
    return done.returncode


def provider_of(order: dict[str, Any], folder: Path) -> Provider:
    """The provider, which refuses what its models do not take."""
    provider = Provider()
    task = Task(folder / "work", writes_itself=order["writes_itself"], finishes=order["finishes"])
    provider.script, provider.pause = task.events, 0.02
    provider.refuses = lambda seen: refusal(seen.path, seen.body["model"], seen.body, seen.headers)
    if order["fault"]:
        task.fault = Fault(**FAULTS[order["fault"]], after=4, when=task.in_the_middle)
        provider.faults = [task.fault]
    return provider


def told_of(seen: Seen) -> dict[str, Any]:
    """What came of a request, without what it said."""
    fault = seen.fault
    body = (fault.body or {}).get("error", {}) if fault is not None and fault.status == 400 else {}
    return {
        "path": seen.path, "model": seen.body.get("model"), "ended": seen.ended, "stream": bool(seen.body.get("stream")),
        "status": 0 if fault is None else fault.status or 0,
        "how": None if fault is None else fault.how, "refused": None if fault is None or fault.when is not None else body.get("message"),
    }  # fmt: skip


def main() -> None:
    """Run what the order says."""
    folder = Path(sys.argv[1])
    order = json.loads((folder / "order.json").read_text())
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    provider = provider_of(order, folder)
    file = folder / "langroute.toml"
    file.write_text(config(order["mode"], order["path"], provider.url, folder, order["fault"]))
    program = [sys.executable, "-c", "from langroute.cli import main; main()", "serve", "--config", str(file)]
    with (folder / "gateway").open("wb") as said:
        gateway = subprocess.Popen(
            program, env={**os.environ, "KEY": "sk-x", "LANGROUTE_TOKEN": "lr-own"}, stdout=said, stderr=said
        )
    waited(lambda: _answers() or gateway.poll() is not None, 60)
    assert gateway.poll() is None, (folder / "gateway").read_text()
    code = run_client(order, folder)
    gateway.send_signal(signal.SIGTERM)
    gateway.wait(30)
    with open_ledger(folder / "ledger.db") as books:
        decisions = books.recent(1000)
    told = {
        "code": code,
        "calls": [told_of(seen) for seen in provider.seen if not seen.address.endswith("count_tokens")],
        "steps": [
            {
                "route": decision.route,
                "attempts": [
                    {"route": one.route, "error": one.error_type, "cost": one.cost_usd, "edits": list(one.edits or ())}
                    for one in decision.attempts
                ],
            }
            for decision in reversed(decisions)
        ],
        "said": (folder / "said").read_text(errors="replace")[-700:],
        "gateway": (folder / "gateway").read_text(errors="replace")[-700:],
    }
    (folder / "told.json").write_text(json.dumps(told, indent=1))
    # Threads of servers do not hold up the end.
    os._exit(0)


if __name__ == "__main__":
    main()
