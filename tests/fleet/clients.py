"""What runs on a machine beside its gateway: clients of the gateway, an app in the library, and somebody who asks whether all is well.

    python clients.py SETTINGS.json

Each thread writes a line to its file for whatever comes of a call. Clients of the gateway stop when there is a file `STOP` beside; the app goes on
until its budget is used up, or there is a file `END`.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from langroute import Budget, ChatRouter, Route, task
from langroute.budgets import RedisBudgets
from langroute.core.errors import BudgetExceededError, BudgetStoreError
from langroute.ledger import open_ledger

TURNS = 4
"""Turns of a conversation with the gateway."""

PADDING = "Look at the log again and say what is wrong with it, step by step. " * 15
"""So that a call costs something beside the limits of its answer."""

PATIENCE_S = 60.0

PAUSE_S = 0.1
"""Between two calls, as long as nobody has asked to stop."""


class Log:
    """Lines of JSON, as things happen."""

    def __init__(self, path: str) -> None:
        self._file, self._lock = Path(path), threading.Lock()

    def note(self, kind: str, key: str, how: str, begun: float) -> None:
        line = {"kind": kind, "key": key, "how": how, "at": begun, "seconds": round(time.time() - begun, 3)}
        with self._lock, self._file.open("a") as file:
            file.write(json.dumps(line) + "\n")


def prompt(key: str) -> str:
    return f"{PADDING}[{key}]"


class Clients:
    """All of them.

    Args:
        settings: Name of the machine, addresses, the limit of the app's budget, and files.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings, self.name = settings, settings["name"]
        self.log = Log(settings["log"])
        self._folder = Path(settings["log"]).parent

    def _asked_to(self, what: str) -> bool:
        return (self._folder / what).exists()

    def _post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        # A connection of its own each time, so that every worker of the gateway gets some.
        authorized = {"authorization": f"Bearer {self.settings['token']}", **headers}
        return httpx.post(f"{self.settings['gateway']}{path}", json=body, headers=authorized, timeout=PATIENCE_S, trust_env=False)

    def talk(self, thread: int) -> None:
        """Lead conversations with the gateway, and tell what came of each turn."""
        for number in count():
            messages: list[dict[str, str]] = []
            for turn in range(TURNS):
                if self._asked_to("STOP"):
                    return
                time.sleep(PAUSE_S)
                key = f"{self.name}-gateway-{thread}-{number}-{turn}"
                messages.append({"role": "user", "content": prompt(key)})
                body = {"model": "any", "messages": messages, "max_tokens": 50}
                said = self._noted(
                    "gateway", key, lambda body=body, key=key: self._post("/v1/chat/completions", body, {"x-langroute-task": key})
                )
                if said is None:
                    break
                messages.append(said.json()["choices"][0]["message"])
                about = {"task_id": key, "success": turn % 2 == 0, "source": "tests"}
                self._noted("outcome", key, lambda about=about: self._post("/v1/outcomes", about, {}))

    def _noted(self, kind: str, key: str, ask: Callable[[], httpx.Response]) -> httpx.Response | None:
        begun = time.time()
        try:
            said = ask()
        except httpx.HTTPError as error:
            self.log.note(kind, key, type(error).__name__, begun)
            return None
        self.log.note(kind, key, "answered" if said.status_code == 200 else f"{said.status_code} {said.text[:200]}", begun)
        return said if said.status_code == 200 else None

    def look(self) -> None:
        """Ask whether the gateway is well."""
        while not self._asked_to("STOP"):
            for path in ("/healthz", "/readyz"):
                begun = time.time()
                try:
                    how = str(httpx.get(f"{self.settings['gateway']}{path}", timeout=PATIENCE_S, trust_env=False).status_code)
                except httpx.HTTPError as error:
                    how = type(error).__name__
                self.log.note("health", path, how, begun)
            time.sleep(0.2)

    def app(self, model: ChatRouter, keys: Iterator[int]) -> None:
        """Call models through the library until the budget is used up."""
        while not self._asked_to("END"):
            number = next(keys)
            while not self._asked_to("STOP"):
                time.sleep(2 * PAUSE_S)
                if number < self.settings["calls"]:
                    break
            key, begun = f"{self.name}-app-{number}", time.time()
            try:
                with task(key, kind="app"):
                    model.invoke(prompt(key))
                how = "answered"
            except BudgetStoreError:
                how = "store away"
            except BudgetExceededError:
                how = "used up"
            except Exception as error:
                how = f"{type(error).__name__}: {error}"
            self.log.note("app", key, how, begun)
            if how == "used up":
                return

    def run(self) -> None:
        """Run until asked to stop."""
        from langchain_openai import ChatOpenAI

        said = self.settings
        ledger = open_ledger(said["ledger"], flush_interval_s=0.1)
        budget = Budget(usd=said["limit"], per="all", store=RedisBudgets(said["redis"], prefix="{app}:budget"), name="app")
        own = ChatOpenAI(model="own-1", base_url=f"{said['models']}/v1", api_key="none", max_tokens=50, max_retries=0)
        model = ChatRouter({"own": Route(own, price=said["price"])}, budget=[budget], ledger=ledger)
        keys = count()
        begun = [threading.Thread(target=self.talk, args=(thread,)) for thread in range(3)]
        begun.append(threading.Thread(target=self.look))
        begun.extend(threading.Thread(target=self.app, args=(model, keys)) for _ in range(2))
        for thread in begun:
            thread.start()
        for thread in begun:
            thread.join()
        ledger.close()


if __name__ == "__main__":
    Clients(json.loads(Path(sys.argv[1]).read_text())).run()
