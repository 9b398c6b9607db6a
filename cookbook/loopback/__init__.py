"""What the recipes of coding agents need to run without an account: a scripted provider on loopback, `langroute serve` before it, and a client.

The provider answers in the protocol that it is asked in, streams and plain answers, by a script: a function of the request's body that
returns a text, the name and the arguments of a tool to call, or the status of an error. The gateway is the command itself, in a process of its own. `ask` sends a
request as a coding agent does and reads the answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

try:
    import aiohttp  # noqa: F401 - what the gateway needs
    import httpx
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError:
    print('needs the gateway: pip install "langroute[serve]"')
    raise SystemExit(77) from None

from langroute.core.records import Usage
from langroute.wire.protocols import PROTOCOLS, protocol_at
from langroute.wire.translation import TRANSLATORS

Script = Callable[[dict[str, Any]], "str | tuple[str, dict[str, Any]] | int"]
"""Returns a text, a tool's name and arguments, or the status of an error."""

START = "import sys; from langroute.cli import main; sys.argv[0] = 'langroute'; main()"
LONGEST_START = 60.0
"""Seconds that a gateway may take to begin."""


class LoopbackProvider:
    """A provider on loopback that answers by a script.

    Args:
        script: Returns the answer to a request's body.
        usage: Tokens of every answer.
    """

    def __init__(self, script: Script, usage: Usage | None = None) -> None:
        self.script, self.usage = script, usage or Usage(2000, 100)
        self.calls: list[dict[str, Any]] = []
        """The bodies of the requests that came."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> LoopbackProvider:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, protocol: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """Return status and body of the answer to a request, as its protocol writes it."""
        self.calls.append(body)
        said = self.script(body)
        if isinstance(said, int):
            return said, PROTOCOLS[protocol].error_body(said, "overloaded", "The provider is overloaded.")
        writer = TRANSLATORS[protocol].writer(model=body["model"], number=f"answer_{len(self.calls)}")
        if isinstance(said, str):
            writer.text(said)
        else:
            writer.call(0, f"call_{len(self.calls)}", said[0], json.dumps(said[1]))
        if body.get("stream"):
            return 200, writer.take() + writer.finished("stop", self.usage)
        return 200, json.dumps(writer.plain("stop" if isinstance(said, str) else "tool_calls", self.usage)).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, answer = provider.answer(protocol_at(self.path.partition("?")[0]).name, body)
                self.send_response(status)
                streams = status == 200 and body.get("stream")
                self.send_header("content-type", "text/event-stream" if streams else "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                return

        return Handler


@contextmanager
def gateway(folder: Path, config: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Run `langroute serve` in a folder, on any free port; yield its address.

    Args:
        folder: Its working directory; the configuration is written there.
        config: The text of `langroute.toml`.
        environment: Variables with the provider's keys and, as `LANGROUTE_TOKEN`, the token that clients need.
    """
    (folder / "langroute.toml").write_text(config, encoding="utf-8")
    log = folder / "gateway.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", START, "serve", "--port", "0"], cwd=folder, env={**os.environ, **environment}, stderr=said
        )
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        process.wait(60)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    until, sign = time.monotonic() + LONGEST_START, "langroute listens on "
    with httpx.Client(trust_env=False, timeout=5) as client:
        while process.poll() is None and time.monotonic() < until:
            text = log.read_text(encoding="utf-8")
            if sign in text and text.endswith("\n"):
                url = text.partition(sign)[2].split()[0]
                try:
                    if client.get(f"{url}/readyz").status_code == 200:
                        return url
                except httpx.TransportError:
                    pass
            time.sleep(0.05)
    raise RuntimeError(f"the gateway did not begin:\n{log.read_text(encoding='utf-8')}")


class Answered(NamedTuple):
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    text: str
    """Of the answer, or of the error."""

    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Id and arguments of each tool call."""

    @property
    def route(self) -> str:
        """The route that answered."""
        return self.headers["x-langroute-route"]


def ask(url: str, protocol: str, body: dict[str, Any], headers: Mapping[str, str]) -> Answered:
    """Send a request as a client of a protocol does: `chat`, `responses` or `messages`.

    Args:
        url: The gateway's address.
        protocol: The protocol.
        body: The request's body.
        headers: Its headers.
    """
    with httpx.Client(trust_env=False, timeout=60) as client:
        answer = client.post(url + PROTOCOLS[protocol].path, json=body, headers=headers)
    if answer.status_code != 200:
        return Answered(answer.status_code, answer.headers, answer.json()["error"]["message"])
    reader = PROTOCOLS[protocol].answer_reader(stream=bool(body.get("stream")))
    reader.feed(answer.content)
    reader.finish()
    calls = tuple((call.id, json.loads(call.text)) for call in reader.tool_calls)
    return Answered(answer.status_code, answer.headers, reader.text, calls)


def commands_on_path(folder: Path) -> str:
    """Return a `PATH` on which `langroute` and `python` are those of this interpreter, whatever is installed."""
    for name, command in (("langroute", f'{sys.executable} -c "{START}"'), ("python", sys.executable)):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


__all__ = ["Answered", "LoopbackProvider", "Script", "ask", "commands_on_path", "gateway"]
