"""Starting a gateway: the configuration that is meant, the token of the machine's own user, and workers that are kept alive."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from langroute.core.errors import ConfigurationError, DataError, MissingExtraError
from langroute.core.files import make_folder
from langroute.core.toml_file import TomlFile
from langroute.core.writing import write_together
from langroute.engine.config_file import RouterConfig
from langroute.gateway.app import gateway_app
from langroute.gateway.clients import new_token, token_digest
from langroute.gateway.config import GatewayConfig, ServeConfig, check_serve, checked_files, gateway_config
from langroute.gateway.gateway_state import GatewayState
from langroute.gateway.http_server import GatewayServer, uvicorn_config

PAIRS: Mapping[str, tuple[str, str, str]] = {
    "anthropic": ("ANTHROPIC_API_KEY", "claude-haiku-4-5", "claude-opus-4-8"),
    "openai": ("OPENAI_API_KEY", "gpt-5.4-mini", "gpt-5.5"),
}
"""Provider → the variable of its key, and the models of a gateway without a configuration: a cheap one and a strong one."""

TOKEN_FILE = "gateway-token.sha256"  # noqa: S105 - a name; the file holds a hash
_FAILED_QUICKLY = 2.0
_MOST_QUICK_FAILURES = 5
_LOOK_SECONDS = 0.5

SWITCH_SECONDS = 0.001
"""How long a thread that writes records may keep the interpreter from the one that answers: Python's own 5 ms are longer than an answer takes."""

GARBAGE = 20_000
"""Objects after which Python looks for cycles among the new ones. Hundreds of requests at once hold more than its own 700, and are no garbage."""


def config_from_keys(environment: Mapping[str, str]) -> GatewayConfig:
    """Return the configuration of a gateway that was given none: a pair of models for each provider whose key is set.

    Args:
        environment: Environment variables.

    Raises:
        ConfigurationError: No key is set.

    Example:
        >>> [route.name for route in config_from_keys({"OPENAI_API_KEY": "sk-x"}).router.routes]
        ['gpt-5.4-mini', 'gpt-5.5']
    """
    found = [(provider, *pair[1:]) for provider, pair in PAIRS.items() if environment.get(pair[0], "").strip()]
    if not found:
        names = " or ".join(pair[0] for pair in PAIRS.values())
        raise ConfigurationError(
            f"There is no langroute.toml here and no key in the environment. Set {names}, write a langroute.toml, or give --local for local models."
        )
    cheap = [_route(one[1], one[0], "cheap") for one in found]
    strong = [_route(one[2], one[0], "frontier") for one in found]
    return gateway_config(TomlFile("\n".join((*cheap, *strong)), "(models of the keys in the environment)"))


def _route(model: str, provider: str, tier: str) -> str:
    return f'[routes."{model}"]\nprovider = "{provider}"\nmodel = "{model}"\ntier = "{tier}"\n'


LOCAL_KEYS = "LANGROUTE_LOCAL_KEY_"


def config_of_local(servers: list[Any]) -> tuple[GatewayConfig, dict[str, str]]:
    """Return the configuration of a gateway before servers of local models, and the environment with their keys.

    Args:
        servers: `LocalServer`s, the cheapest first.
    """
    parts, keys = [], {}
    for place, server in enumerate(servers):
        name = f"{LOCAL_KEYS}{place}"
        keys[name] = server.api_key
        tier = "cheap" if place < len(servers) - 1 else "frontier"
        parts.append(
            f'[routes."{server.model}"]\nprovider = "local"\nmodel = "{server.model}"\ntier = "{tier}"\nkey_env = "{name}"\n'
            f'base_url = "{server.base_url}"\nprotocols = ["chat", "responses", "messages"]\ncontext_window = {server.context}\n'
            f"price = {{ input = 0, output = 0, per_second = {server.price.per_second!r} }}\n"
        )
    return gateway_config(TomlFile("\n".join(parts), "(local models)")), keys


def own_token(folder: Path, *, anew: bool = False) -> tuple[str, str | None]:
    """Return the hash of the token of the machine's own user, and the token where it was made just now.

    The token is shown once; only its hash is kept.

    Args:
        folder: Where the hash is kept.
        anew: Make a new token in the place of the one before.

    Raises:
        DataError: The hash cannot be kept.
    """
    path = folder / TOKEN_FILE
    if not anew:
        with suppress(OSError, UnicodeDecodeError):
            kept = path.read_text("ascii").strip()
            if len(kept) == 64 and all(sign in "0123456789abcdef" for sign in kept):
                return kept, None
    token = new_token()
    try:
        make_folder(folder)
        write_together({path: f"{token_digest(token)}\n".encode()})
    except OSError as error:
        raise DataError(f"{path}: the token's hash cannot be kept: {error.strerror}.") from error
    return token_digest(token), token


def checked(config: GatewayConfig, environment: Mapping[str, str]) -> GatewayState:
    """Return the state of a gateway, made to see whether its configuration is right; its ledger is one in memory.

    Raises:
        ConfigurationError: It is not right.
    """
    from langroute.ledger.memory import MemoryLedger

    checked_files(config.serve)
    _check_ledger(config.router)
    return GatewayState(config, environment, ledger=MemoryLedger())


def _check_ledger(config: RouterConfig) -> None:
    """Raise where a ledger's path or URL is none; it is not opened, which would make it."""
    if config.ledger is None:
        return
    from langroute.ledger.connection import url_of

    if not config.ledger.strip():
        raise config.file.error(("ledger",), "this is empty. Leave it out for a ledger in memory.")
    try:
        url_of(config.ledger)
    except ConfigurationError as error:
        if config.file.values.get("ledger") != config.ledger:
            # An option or a variable of the command.
            raise
        raise config.file.error(("ledger",), str(error)) from error


def run_worker(
    config: GatewayConfig,
    environment: Mapping[str, str],
    listening: socket.socket,
    *,
    digest: str | None,
    read: Callable[[], GatewayConfig] | None,
) -> None:
    """Serve in this process until a signal ends it.

    Args:
        config: The configuration.
        environment: Environment variables, which hold the providers' keys.
        listening: The socket.
        digest: Hash of the token of the machine's own user.
        read: Reads the configuration anew, for SIGHUP.
    """
    try:
        import uvloop
    except ImportError as error:
        raise MissingExtraError("uvloop", "serve", "The gateway") from error
    state = GatewayState(config, environment, port=listening.getsockname()[1], digest=digest, read=read)
    server = GatewayServer(uvicorn_config(gateway_app(state), config.serve), state)
    freeze_start()
    sys.setswitchinterval(SWITCH_SECONDS)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(server.serve(sockets=[listening]))
    finally:
        loop.close()


def freeze_start() -> None:
    """Have Python look for garbage less often, and no more among what a worker is started with: that stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, *gc.get_threshold()[1:])


def _end_with(parent: int) -> None:
    """End this worker when the process that started it is gone: killed, it could not tell it, and the port would stay taken."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


class GatewayWorkers:
    """Worker processes that share a listening socket; one that dies is replaced.

    Args:
        serve: How many, and how long they may take to end.
        work: What a worker does, in its own process.
    """

    def __init__(self, serve: ServeConfig, work: Callable[[], None]) -> None:
        if not hasattr(os, "fork"):
            raise ConfigurationError("Several workers need a system with fork, such as Linux or macOS.")
        self._serve, self._work = serve, work
        self._workers: dict[int, float] = {}
        self._ending = False
        self._quick_failures = 0

    def run(self) -> None:
        """Start the workers and keep them alive until a signal ends them."""
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, self._end)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._tell(signal.SIGHUP))
        for _ in range(self._serve.workers):
            self._start()
        while self._workers:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                break
            except InterruptedError:
                continue
            self._gone(pid, status)

    def _start(self) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._workers[pid] = time.monotonic()
            return
        code = 1
        try:
            for sign in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)):
                signal.signal(sign, signal.SIG_DFL)
            threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
            self._work()
            code = 0
        except KeyboardInterrupt:
            code = 0
        except Exception:
            logging.getLogger("langroute.gateway").exception("A worker failed.")
        finally:
            logging.shutdown()
            os._exit(code)

    def _gone(self, pid: int, status: int) -> None:
        begun = self._workers.pop(pid, None)
        if begun is None or self._ending:
            return
        self._quick_failures = self._quick_failures + 1 if time.monotonic() - begun < _FAILED_QUICKLY else 0
        if self._quick_failures >= _MOST_QUICK_FAILURES:
            logging.getLogger("langroute.gateway").error("Workers keep failing as they start; the gateway ends.")
            self._end()
            return
        logging.getLogger("langroute.gateway").warning("Worker %d ended (%s); another one takes its place.", pid, status)
        self._start()

    def _tell(self, sign: int) -> None:
        for pid in self._workers:
            with suppress(ProcessLookupError):
                os.kill(pid, sign)

    def _end(self, *_: Any) -> None:
        if not self._ending:
            self._ending = True
            self._tell(signal.SIGTERM)
            # Longer than a worker takes of itself.
            signal.signal(signal.SIGALRM, lambda *_: self._tell(signal.SIGKILL))
            signal.setitimer(signal.ITIMER_REAL, self._serve.drain_seconds + 10)


def with_options(config: GatewayConfig, **options: Any) -> GatewayConfig:
    """Return a configuration with other values in `[serve]`; those that are `None` stay.

    Raises:
        ConfigurationError: With these it would not be safe; see `check_serve`.

    Example:
        >>> with_options(config_from_keys({"OPENAI_API_KEY": "x"}), port=9000, host=None).serve.port
        9000
    """
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return config
    found = replace(config, serve=replace(config.serve, **given))
    check_serve(found)
    return found


__all__ = ["PAIRS", "GatewayWorkers", "checked", "config_from_keys", "config_of_local", "own_token", "run_worker", "with_options"]
