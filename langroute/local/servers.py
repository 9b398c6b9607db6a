"""Start, discovery and shutdown of local model servers."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langroute.core.errors import LocalModelError, MissingExtraError
from langroute.core.files import open_instead
from langroute.core.records import Price
from langroute.local.catalogue import CATALOGUE, LocalModel, find
from langroute.local.locks import is_held
from langroute.local.places import is_fetched, model_path, servers_directory

if TYPE_CHECKING:
    from langroute.local.chat import LocalChat
    from langroute.routes.route import Route

USD_PER_CORE_HOUR = 0.05
"""Assumed price of a core per hour: about that of an on-demand virtual core in a cloud, memory included (2026)."""

_BOOT = "import sys; sys.path.append(sys.argv[1]); from langroute.local.worker import main; main()"
"""Bootstrap code of the worker: imports langroute from where the program found it, and nothing from the current directory."""

_MOST_SAID = 1 << 18
"""Most bytes that are read of a server's list of models, and of the end of its log."""

_number = count(1)


@dataclass(frozen=True)
class LocalServer:
    """A running server.

    Example:
        >>> server = LocalServer("small", "smollm2-135m", "http://127.0.0.1:1", "key", threads=2, context=4096, pid=0, log=Path("log"))
        >>> server.price.per_second == 2 * USD_PER_CORE_HOUR / 3600
        True
    """

    name: str
    model: str
    """Name in the catalogue."""

    address: str
    api_key: str = field(repr=False)
    threads: int
    context: int
    """Most tokens of a call, answer included."""

    pid: int
    log: Path
    started_at: float = 0.0
    detached: bool = False
    _process: Any = field(default=None, repr=False, compare=False)
    _state: Path | None = field(default=None, repr=False, compare=False)

    @property
    def base_url(self) -> str:
        """Base URL for an OpenAI client."""
        return f"{self.address}/v1"

    @property
    def price(self) -> Price:
        """Price of the server's cores per second of work."""
        return Price(input=0.0, output=0.0, per_second=self.threads * USD_PER_CORE_HOUR / 3600)

    def chat_model(self, **kwargs: Any) -> LocalChat:
        """Return a chat model for this server, by default with temperature 0 and usage in streams.

        Raises:
            MissingExtraError: langchain-openai is not installed.
        """
        try:
            from langroute.local.chat import LocalChat
        except ImportError:
            raise MissingExtraError("langchain-openai", "local", "A local chat model") from None
        given = {"model": self.model, "base_url": self.base_url, "api_key": self.api_key, "temperature": 0, "stream_usage": True}
        return LocalChat(**{**given, "max_retries": 0, "timeout": 600, **kwargs})

    def route(self, model: Any = None, **kwargs: Any) -> Route:
        """Return a route to this server, priced per second, with its limits set.

        Args:
            model: Its chat model; by default `chat_model()`.
            kwargs: Further arguments of `Route`.
        """
        from langroute.routes.route import Route

        known = CATALOGUE.get(self.model)
        capabilities = known.capabilities if known is not None else {}
        given = {"price": self.price, "context_window": self.context, "capabilities": capabilities}
        return Route(model if model is not None else self.chat_model(), **{**given, **kwargs})

    def is_healthy(self) -> bool:
        """Return whether the server answers and is the one that was started, which its key proves."""
        request = urllib.request.Request(f"{self.base_url}/models", headers={"Authorization": f"Bearer {self.api_key}"})  # noqa: S310
        try:
            # Proxy settings must not apply to loopback.
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
                return any(found["id"] == self.model for found in json.loads(answer.read(_MOST_SAID))["data"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError, http.client.HTTPException):
            return False

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Stop the server and return when it has ended."""
        if self._process is not None:
            _end(self._process, timeout_seconds)
        elif self._state is not None and is_held(_lock_of(self._state)):
            for sign in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, sign)
                until = time.monotonic() + timeout_seconds
                while is_held(_lock_of(self._state)) and time.monotonic() < until:
                    time.sleep(0.02)
            if is_held(_lock_of(self._state)):
                raise LocalModelError(f"The server {self.name} (process {self.pid}) does not stop.")
        if self._state is not None:
            _forget(self._state)


@contextmanager
def serve(
    model: str | LocalModel,
    *,
    directory: str | Path | None = None,
    threads: int | None = None,
    context: int = 4096,
    timeout_seconds: float = 180.0,
) -> Iterator[LocalServer]:
    """Run a server for the duration of the block; it also ends with the program, even when that crashes.

    Args:
        model: A model that was fetched.
        directory: Where local models are kept.
        threads: Cores it may use; by default those that are free, four at most.
        context: Most tokens of a call, answer included.
        timeout_seconds: How long loading may take.

    Raises:
        LocalModelError: The model is not fetched, or its server does not come up; the message has the end of its log.
    """
    server = start(model, directory=directory, threads=threads, context=context, timeout_seconds=timeout_seconds)
    try:
        yield server
    finally:
        server.stop()


def start(
    model: str | LocalModel,
    *,
    directory: str | Path | None = None,
    threads: int | None = None,
    context: int = 4096,
    timeout_seconds: float = 180.0,
    detached: bool = False,
) -> LocalServer:
    """Start a server and return when it answers.

    Args:
        model: A model that was fetched.
        directory: Where local models are kept.
        threads: Cores it may use; by default those that are free, four at most.
        context: Most tokens of a call, answer included.
        timeout_seconds: How long loading may take.
        detached: Whether it outlives the program until it is stopped; there is at most one detached server of each model.

    Raises:
        LocalModelError: The model is not fetched, its detached server runs already, or it does not come up.
        MissingExtraError: xllamacpp is not installed.
    """
    model = find(model)
    if os.name != "posix":
        raise LocalModelError("Local model servers need Linux or macOS; models can be fetched on any system.")
    if find_spec("xllamacpp") is None:
        raise MissingExtraError("xllamacpp", "local", "A local model server")
    if not is_fetched(model, directory):
        raise LocalModelError(
            f"{model.name} is not on this machine. Fetch it with `langroute local fetch {model.name}` ({model.size / 1e6:.0f} MB)."
        )
    if not 1 <= context <= model.context_window:
        raise LocalModelError(f"{model.name} has a context of 1 to {model.context_window} tokens, not {context}.")
    name = model.name if detached else f"{model.name}-{os.getpid()}-{next(_number)}"
    state = servers_directory(directory) / f"{name}.json"
    log = state.with_suffix(".log")
    if detached and is_held(_lock_of(state)):
        raise LocalModelError(
            f"{name} is running already. `langroute local list` shows where, `langroute local stop {name}` stops it."
        )
    state.unlink(missing_ok=True)
    orders = {
        "name": name,
        "model": model.name,
        "path": str(model_path(model, directory)),
        "context": context,
        "threads": threads or default_threads(),
        "api_key": secrets.token_urlsafe(24),
        "detached": detached,
        "state": str(state),
        "lock": str(_lock_of(state)),
        "log": str(log),
    }
    with os.fdopen(open_instead(log), "wb") as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", _BOOT, str(Path(__file__).parents[2]), f"langroute server {name}"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=state.parent,
        )
    try:
        _order(process, orders, keep_open=not detached)
        server = _wait(process, state, log, timeout_seconds)
    except BaseException:
        _end(process)
        _forget(state)
        raise
    return server


def default_threads() -> int:
    """Return the number of free cores that this program may use, four at most: small models gain nothing from more.

    llama.cpp's threads wait for each other by spinning: where they have to share cores with other programs, one is many times faster
    than two.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    return max(1, min(4, allowed - busy))


def running(directory: str | Path | None = None) -> list[LocalServer]:
    """Return the running servers, detached or not; state files of dead ones are removed."""
    found = []
    for state in sorted(servers_directory(directory).glob("*.json")):
        if not is_held(_lock_of(state)):
            _forget(state)
        elif (server := _read(state)) is not None:
            found.append(server)
    return found


def connect(model: str | LocalModel, directory: str | Path | None = None) -> LocalServer:
    """Return the running server of a model.

    Raises:
        LocalModelError: None is running.
    """
    model = find(model)
    servers = [server for server in running(directory) if server.model == model.name]
    if not servers:
        raise LocalModelError(f"No server of {model.name} is running. Start one with `langroute local start {model.name}`.")
    return min(servers, key=lambda server: not server.detached)


def _order(process: subprocess.Popen[bytes], orders: dict[str, Any], *, keep_open: bool) -> None:
    pipe = process.stdin
    if pipe is None:
        raise LocalModelError("The server's process takes no orders.")
    with contextlib.suppress(BrokenPipeError):
        pipe.write(json.dumps(orders).encode() + b"\n")
        pipe.flush()
        if not keep_open:
            pipe.close()


def _wait(process: subprocess.Popen[bytes], state: Path, log: Path, timeout_seconds: float) -> LocalServer:
    until = time.monotonic() + timeout_seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise LocalModelError(
                f"The server ended while it was starting ({_exit(process.returncode)}). The end of its log:\n{_tail(log)}"
            )
        server = _read(state, process)
        if server is not None and server.is_healthy():
            return server
        time.sleep(0.05)
    raise LocalModelError(f"The server did not come up in {timeout_seconds:.0f} s. The end of its log:\n{_tail(log)}")


def _read(state: Path, process: Any = None) -> LocalServer | None:
    try:
        said = json.loads(state.read_text())
        return LocalServer(
            **{
                key: said[key]
                for key in ("name", "model", "address", "api_key", "threads", "context", "pid", "started_at", "detached")
            },
            log=Path(said["log"]),
            _process=None if said["detached"] else process,
            _state=state,
        )
    except (OSError, ValueError, KeyError):
        return None


def _end(process: subprocess.Popen[bytes], timeout_seconds: float = 5.0) -> None:
    """End a process that we started and wait until it has ended."""
    for end in (process.terminate, process.kill):
        if process.poll() is None:
            end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout_seconds)
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _lock_of(state: Path) -> Path:
    return state.with_suffix(".lock")


def _forget(state: Path) -> None:
    for path in (state, _lock_of(state)):
        path.unlink(missing_ok=True)
    # Every attached server has a new name, so its log would never be overwritten.
    if state.stem not in CATALOGUE:
        state.with_suffix(".log").unlink(missing_ok=True)


def _exit(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _tail(log: Path, lines: int = 12) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_SAID))
            said = file.read(_MOST_SAID).decode(errors="replace")
        return "\n".join(said.splitlines()[-lines:]) or "(empty)"
    except OSError:
        return "(no log)"
