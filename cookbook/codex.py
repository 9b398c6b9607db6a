"""Codex through `langroute serve`: what it asks for, what it gets, and a provider that is overloaded in the middle of the work.

Codex takes the gateway as a provider of its own, in `~/.codex/config.toml` or a project's `.codex/config.toml`:

    model = "langroute/auto"
    model_provider = "langroute"

    [model_providers.langroute]
    name = "langroute"
    base_url = "http://127.0.0.1:8900/v1"
    env_key = "LANGROUTE_TOKEN"
    wire_api = "responses"
    http_headers = { "x-langroute-project" = "shop" }

`codex exec "..."` then works as before. `model` may also be the name of a route, `langroute/cost`, or a name of the table `[models]`: whoever leaves
`gpt-5.5` there gets what the table says. A route that fails before its first word is replaced, and Codex does not notice; the response
header `x-langroute-reason` and the ledger do. `langroute explain --last 5` shows the same later.

Here the provider is a script on loopback (`cookbook/loopback`), and a few lines speak Codex's protocol: a probe for a websocket, then
Responses as streams, with the thread's id in headers and all of the history in each request.

Output:
    a websocket, perhaps? 426: This gateway has no websockets. Use POST.
    step 1 asks for gpt-5.5, is answered by mini: shell ls
    step 2 asks for gpt-5.5, is answered by large: shell cat cart.py
           (mini failed: overloaded)
    step 3 asks for gpt-5.5, is answered by large: The cart has no test.
    a second opinion asks for large, is answered by large: The cart has no test.
           (the caller asked for 'large')
    the provider saw: gpt-5.4-mini, gpt-5.4-mini, gpt-5.5, gpt-5.5, gpt-5.5
    the ledger: 4 calls that were answered, 1 that failed, 0.0400 USD
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import httpx
from loopback import Answered, LoopbackProvider, ask, gateway

from langroute.ledger import open_ledger

# For the real provider leave out `base_url` and `price`: its address and list prices are known.
CONFIG = """
ledger = "ledger.db"
policy = {{ name = "fixed", route = "mini" }}
max_retries = 0                    # the next route at once, rather than the same one again

[routes.mini]
provider = "openai"
model = "gpt-5.4-mini"
tier = "cheap"
price = {{ input = 1, output = 5 }}
base_url = "{provider}/v1"

[routes.large]
provider = "openai"
model = "gpt-5.5"
tier = "frontier"
price = {{ input = 5, output = 25 }}
base_url = "{provider}/v1"

[models]
"gpt-5.5" = "langroute/auto"       # what Codex asks for of itself -> what it gets
"""
SHELL = {
    "type": "function",
    "name": "shell",
    "description": "Run a command.",
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}
COMMANDS = ["ls", "cat cart.py"]


def scripted(body: dict[str, Any]) -> str | tuple[str, dict[str, Any]] | int:
    """Answer as a model would; the small one is overloaded at its second call."""
    done = sum(item.get("type") == "function_call" for item in body["input"])
    if body["model"] == "gpt-5.4-mini" and done:
        return 503
    return ("shell", {"command": COMMANDS[done]}) if done < len(COMMANDS) else "The cart has no test."


class Codex:
    """What Codex does on the wire."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.headers = {
            "authorization": f"Bearer {token}",
            "session-id": "0199-thread",
            "thread-id": "0199-thread",
            "x-langroute-project": "shop",
        }

    def probe(self) -> str:
        """Ask for a websocket, as Codex does of the provider that it knows best."""
        upgrade = {**self.headers, "connection": "Upgrade", "upgrade": "websocket"}
        answer = httpx.get(f"{self.url}/v1/responses", headers=upgrade, trust_env=False)
        return f"{answer.status_code}: {answer.json()['error']['message']}"

    def ask(self, model: str, history: list[dict[str, Any]]) -> Answered:
        """Ask for a step."""
        body = {
            "model": model, "instructions": "You are an agent that works in a terminal.", "input": history, "tools": [SHELL],
            "store": False, "stream": True, "prompt_cache_key": "0199-thread",
        }  # fmt: skip
        return ask(self.url, "responses", body, self.headers)

    def work(self, task: str) -> list[dict[str, Any]]:
        """Do a task; return the history."""
        history: list[dict[str, Any]] = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": task}]}]
        for step in range(1, 10):
            answer = self.ask("gpt-5.5", history)
            said = f"shell {answer.calls[0][1]['command']}" if answer.calls else answer.text
            print(f"step {step} asks for gpt-5.5, is answered by {answer.route}: {said}")
            if "failed" in answer.headers["x-langroute-reason"]:
                print(f"       ({answer.headers['x-langroute-reason']})")
            if not answer.calls:
                break
            number = answer.calls[0][0]
            arguments = f'{{"command": "{answer.calls[0][1]["command"]}"}}'
            history = [
                *history,
                {"type": "function_call", "name": "shell", "arguments": arguments, "call_id": number},
                {"type": "function_call_output", "call_id": number, "output": "cart.py"},
            ]
        return history


def main() -> None:
    """Work on a task, and read what the ledger has of it."""
    with tempfile.TemporaryDirectory() as place, LoopbackProvider(scripted) as provider:
        folder, token = Path(place), "lr-token-of-this-machine"
        environment = {**os.environ, "OPENAI_API_KEY": "a-key-of-the-provider", "LANGROUTE_TOKEN": token}
        with gateway(folder, CONFIG.format(provider=provider.url), environment) as url:
            codex = Codex(url, token)
            print("a websocket, perhaps?", codex.probe())
            history = codex.work("Which part of the shop has no test?")
            answer = codex.ask("large", history)
            print(f"a second opinion asks for large, is answered by {answer.route}: {answer.text}")
            print(f"       ({answer.headers['x-langroute-reason']})")
        print("the provider saw:", ", ".join(call["model"] for call in provider.calls))
        with open_ledger(folder / "ledger.db") as ledger:
            totals = ledger.task("0199-thread")
            print(
                f"the ledger: {totals.calls - totals.errors} calls that were answered, {totals.errors} that failed, {totals.cost_usd:.4f} USD"
            )


if __name__ == "__main__":
    main()
