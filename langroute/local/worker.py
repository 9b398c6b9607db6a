"""Entry point of a local server's process: runs llama.cpp's server.

Started by `servers.start` with its configuration as one line of JSON on standard input. Unless it is detached, the parent
program keeps the other end of standard input open: when that closes, however the program ended, the server ends too.
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
    """Read the configuration, serve, and end."""
    # Ctrl-C is handled by the parent program, which stops its servers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    orders = json.loads(sys.stdin.buffer.readline())
    if not orders["detached"]:
        threading.Thread(target=_end_with, args=(parent, Path(orders["state"])), daemon=True).start()

    from langroute.local.locks import acquire

    # Held until the process ends, so that others can tell a living server from a leftover state file.
    lock = acquire(Path(orders["lock"]))
    if lock is None:
        sys.exit(f"a server named {orders['name']} is running already")
    server = _server(orders)
    state = {key: orders[key] for key in ("name", "model", "api_key", "threads", "context", "detached", "log")}
    _write(Path(orders["state"]), {**state, "pid": os.getpid(), "address": server.listening_address, "started_at": time.time()})
    while lock.is_locked:
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
    # These two endpoints would reveal prompts.
    params.endpoint_slots = False
    params.verbosity = 1
    return xllamacpp.Server(params)


def _write(path: Path, state: dict[str, Any]) -> None:
    """Write the server's state file atomically; it contains the key, so only the owner may read it."""
    from langroute.core.writing import write_together

    write_together({path: json.dumps(state).encode()})


def _end_with(parent: int, state: Path) -> None:
    """End this process when the parent program closes its end of standard input or has ended."""
    import select

    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], 1.0)
        if readable and not os.read(sys.stdin.fileno(), 4096):
            break
    state.unlink(missing_ok=True)
    # Not `sys.exit`, which would wait for the server's threads.
    os._exit(0)
