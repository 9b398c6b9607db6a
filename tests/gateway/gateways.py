"""A gateway that runs in a thread, before a scripted provider."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs the extra `serve`")
pytest.importorskip("uvicorn", reason="needs the extra `serve`")
pytest.importorskip("aiohttp", reason="needs the extra `serve`")
pytest.importorskip("httptools", reason="needs the extra `serve`")
pytest.importorskip("uvloop", reason="needs the extra `serve`")

import httpx

from langroute.core.toml_file import TomlFile
from langroute.gateway.app import gateway_app
from langroute.gateway.clients import token_digest
from langroute.gateway.config import gateway_config
from langroute.gateway.gateway_state import GatewayState
from langroute.gateway.http_server import GatewayServer, bound_socket, uvicorn_config
from langroute.ledger.memory import MemoryLedger

TOKEN = "lr-token-of-the-tests"
KEY = "sk-key-of-the-provider"

CONFIG = """
policy = {{ name = "fixed", route = "large" }}

[routes.small]
provider = "{provider}"
model = "small-1"
key_env = "KEY"
base_url = "{url}"
protocols = ["chat", "responses", "messages"]
price = {{ input = 1, output = 2 }}

[routes.large]
provider = "{provider}"
model = "large-1"
key_env = "KEY"
base_url = "{url}"
protocols = ["chat", "responses", "messages"]
price = {{ input = 10, output = 20 }}

{more}
[serve]
port = 0
resend_seconds = {resend_seconds}
{serve}
"""


class Running:
    """A gateway that runs in a thread."""

    def __init__(self, text: str, *, ledger: Any = None, environment: dict[str, str] | None = None, token: str = TOKEN) -> None:
        self.text = text
        self.ledger = ledger or MemoryLedger()
        config = gateway_config(TomlFile(text, "langroute.toml"))
        self.socket = bound_socket(config.serve)
        self.port = self.socket.getsockname()[1]
        self.state = GatewayState(
            config,
            {"KEY": KEY, **(environment or {})},
            port=self.port,
            digest=token_digest(token),
            ledger=self.ledger,
            read=lambda: gateway_config(TomlFile(self.text, "langroute.toml")),
        )
        self.server = GatewayServer(uvicorn_config(gateway_app(self.state), config.serve), self.state)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        while not self.server.started:
            assert self._thread.is_alive()
            time.sleep(0.001)

    def _run(self) -> None:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) if hasattr(asyncio, "Runner") else _Runner() as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.server.serve(sockets=[self.socket])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {TOKEN}", **options.pop("headers", {})}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False, **options)

    @property
    def decisions(self) -> list[Any]:
        return list(self.ledger.decisions)

    def reload(self) -> None:
        """Read the text anew, as after a SIGHUP."""
        done = threading.Event()
        found = self.state.read_anew()
        assert not isinstance(found, str), found
        self._loop.call_soon_threadsafe(lambda: (self.state.take(found), done.set()))
        assert done.wait(30)

    def end(self) -> None:
        self.state.ending = True
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


class _Runner:
    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def run(self, work: Any) -> Any:
        return asyncio.run(work)
