"""What runs in a server's own process? llama.cpp's server, for as long as somebody needs it.

Started by `servers.start` with its orders as one line of JSON on standard input. Where it belongs to a program, that
program keeps the other end of standard input open: when it closes, however the program ended, the server ends too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Take orders, serve, end."""
    # Ctrl-C is for the program; it decides what becomes of its servers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    orders = json.loads(sys.stdin.buffer.readline())
    if not orders["detached"]:
        threading.Thread(target=_end_with, args=(parent, Path(orders["state"])), daemon=True).start()

    from langroute.local.locks import acquire

    # Held for life, so that whoever looks can tell a living server from a file that was left behind.
    if acquire(Path(orders["lock"])) is None:
        sys.exit(f"a server named {orders['name']} is running already")
    server = _server(orders)
    state = {key: orders[key] for key in ("name", "model", "api_key", "threads", "context", "detached", "log")}
    _write(Path(orders["state"]), {**state, "pid": os.getpid(), "address": server.listening_address, "started_at": time.time()})
    while True:
        signal.pause()


def _server(orders: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = orders["path"]
    params.model_alias = {orders["model"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [orders["api_key"]]
    params.n_ctx = orders["context"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = orders["threads"]
    params.use_jinja = True
    params.ui = False
    # These two show what was asked.
    params.endpoint_slots = False
    params.verbosity = 1
    return xllamacpp.Server(params)


def _write(path: Path, state: dict[str, Any]) -> None:
    """Leave word where the server is, at once or not at all; it holds the key, so it is nobody else's to read."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(state, file)
    fresh.replace(path)


def _end_with(parent: int, state: Path) -> None:
    """End this process when the program that started it closes its end, or is gone."""
    import select

    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], 1.0)
        if readable and not os.read(sys.stdin.fileno(), 4096):
            break
    state.unlink(missing_ok=True)
    # Not `sys.exit`: the server's own threads would be waited for.
    os._exit(0)
