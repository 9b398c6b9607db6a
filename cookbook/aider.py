"""aider through `langroute serve`: edits and commit messages each where they belong, costs although aider asks for none, and no call twice.

    export OPENAI_API_BASE=http://127.0.0.1:8900/v1 OPENAI_API_KEY=$LANGROUTE_TOKEN
    aider --model openai/langroute/auto --weak-model openai/langroute/cost

aider sends no tools and names no session. Which repository its calls belong to says a header, in `.aider.model.settings.yml`; a
conversation is known by how it begins:

    - name: openai/langroute/auto
      extra_params: {extra_headers: {x-langroute-project: shop}}

It reads the usage of a stream only where it gets one unasked, and does not ask. The gateway asks in its place and keeps the answer for the
ledger, so that aider is sent what it would be sent without a gateway. With `[cache]`, what is asked again (a run of `aider --message` that CI repeats,
a step that was undone) is answered by the bytes of the first answer, for nothing.

Here the provider is a script on loopback (`cookbook/loopback`), and a few lines speak aider's protocol: Chat Completions without tools, as a
stream for edits, as a plain answer for commit messages.

Output:
    edit            large  (cache: miss)  usage shown to aider: False
    commit message  mini   (cache: miss)  Add total()
    edit again      large  (cache: hit)   the same bytes: True
    the provider was asked 2 times; a usage was asked for: True
    shop: 3 steps for 0.0150 USD, 0.0125 USD saved by the response cache
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import httpx
from loopback import LoopbackProvider, gateway

from langroute.ledger import open_ledger
from langroute.reports import Window, build_report

# For the real provider leave out `base_url` and `price`: its address and list prices are known.
CONFIG = """
ledger = "ledger.db"
cache = true

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
"""
EDIT = "cart.py\n```\ndef total(prices):\n    return sum(prices)\n```"


def scripted(body: dict[str, Any]) -> str:
    """Answer as a model would."""
    return EDIT if body.get("stream") else "Add total()"


class Aider:
    """What aider does on the wire."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"authorization": f"Bearer {token}", "x-langroute-project": "shop"}
        self.client = httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60)

    def ask(self, model: str, system: str, said: str, **more: Any) -> httpx.Response:
        """Ask for a completion."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": said}]
        return self.client.post("/v1/chat/completions", json={"model": model, "messages": messages, "temperature": 0, **more})

    def edit(self, task: str) -> httpx.Response:
        """Ask the main model for an edit, as a stream."""
        return self.ask("langroute/auto", "Act as an expert software developer. Return whole files.", task, stream=True)

    def message(self, diff: str) -> httpx.Response:
        """Ask the weak model for a commit message."""
        return self.ask("langroute/cost", "Write a one-line commit message for these changes.", diff)


def line(name: str, answer: httpx.Response, said: str) -> str:
    """Return what is to be seen of an answer."""
    cache = f"(cache: {answer.headers['x-langroute-cache']})"
    return f"{name:15} {answer.headers['x-langroute-route']:6} {cache:14} {said}"


def main() -> None:
    """Edit, commit, and edit once more; then read what it cost."""
    task = "Redesign the cart so that totals are exact under concurrency, and prove that no cent is lost."
    with tempfile.TemporaryDirectory() as place, LoopbackProvider(scripted) as provider:
        folder, token = Path(place), "lr-token-of-this-machine"
        environment = {**os.environ, "OPENAI_API_KEY": "a-key-of-the-provider", "LANGROUTE_TOKEN": token}
        with gateway(folder, CONFIG.format(provider=provider.url), environment) as url:
            aider = Aider(url, token)
            first = aider.edit(task)
            print(line("edit", first, f"usage shown to aider: {'prompt_tokens' in first.text}"))
            message = aider.message("+def total(prices):\n+    return sum(prices)")
            print(line("commit message", message, message.json()["choices"][0]["message"]["content"]))
            again = aider.edit(task)
            print(line("edit again", again, f"the same bytes: {again.content == first.content}"))
        asked = [call for call in provider.calls if call.get("stream_options", {}).get("include_usage")]
        print(f"the provider was asked {len(provider.calls)} times; a usage was asked for: {bool(asked)}")
        with open_ledger(folder / "ledger.db") as ledger:
            for shop in build_report(ledger, Window.since("1d"), by="project").lines:
                saved = shop.response_saved_usd
                print(
                    f"{shop.key}: {shop.decisions} steps for {shop.spend.usd:.4f} USD, {saved:.4f} USD saved by the response cache"
                )


if __name__ == "__main__":
    main()
