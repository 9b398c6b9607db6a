"""Test harness that runs inside the sandbox: calls code that a model wrote with the arguments of a task's tests.

This file is run as a program of its own, without langroute: its input comes as JSON on standard input, its report goes to standard
output, and what the code prints is discarded. The guard stops accidents (a process started, a file overwritten, a connection opened);
it is not a security boundary against malicious code.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import Any

FORBIDDEN = (
    *("os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "os.kill", "os.killpg"),
    *("subprocess.Popen", "pty.spawn", "signal.pthread_kill", "socket.__new__", "ctypes.dlopen", "ctypes.dlsym", "_posixsubprocess.fork_exec"),
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime"),
    *("shutil.rmtree", "shutil.move", "resource.setrlimit", "resource.prlimit", "os.putenv", "sys.addaudithook"),
)  # fmt: skip
"""Audit events of the interpreter that a small function has no reason to trigger."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ForbiddenError(PermissionError):
    """The code tried something that no task needs."""


def limit(cpu_seconds: int, memory_bytes: int) -> None:
    """Limit the resources of this process permanently."""
    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: 1 << 16,
        resource.RLIMIT_NOFILE: 32,
        resource.RLIMIT_CORE: 0,
        # This limit does not apply to root; the guard does.
        resource.RLIMIT_NPROC: 0,
    }
    for what, most in limits.items():
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def guard() -> None:
    """Install an audit hook that raises on forbidden events."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            raise ForbiddenError(f"{event} is not allowed here")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            raise ForbiddenError("writing files is not allowed here")

    sys.addaudithook(hook)


def plain(value: Any) -> Any:
    """Return a value in a form for comparison: tuples become lists, 2.0 equals 2."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def same(found: Any, expected: Any) -> bool:
    """Return whether a function's result equals the expected one."""
    if isinstance(expected, bool) or isinstance(found, bool):
        return found is expected
    if isinstance(expected, (int, float)) and isinstance(found, (int, float)):
        return abs(found - expected) <= 1e-9 * max(1.0, abs(expected))
    found = plain(found)
    return type(found) is type(expected) and bool(found == expected)


def short(value: Any, most: int = 80) -> str:
    """Return a value's `repr`, truncated where it is long."""
    try:
        text = repr(value)
    except BaseException as error:  # noqa: BLE001 - of an object that the code made
        text = f"an object whose repr raises {type(error).__name__}"
    return text if len(text) <= most else text[:most] + "…"


def report(orders: dict[str, Any]) -> dict[str, Any]:
    """Run the code, then each test case."""
    namespace: dict[str, Any] = {"__name__": "answer"}
    name = orders["function"]
    failures: list[str] = []
    try:
        exec(compile(orders["code"], "<answer>", "exec"), namespace)  # noqa: S102 - what this process is for
        function = namespace[name]
    except KeyError:
        return {"passed": 0, "failures": [f"there is no function {name}"]}
    except BaseException as error:  # noqa: BLE001 - whatever the code raises, SystemExit too
        return {"passed": 0, "failures": [f"the code raises {type(error).__name__}: {short(str(error), 120)}"]}
    for arguments, expected in orders["cases"]:
        call = f"{name}({', '.join(short(argument) for argument in arguments)})"
        try:
            found = function(*arguments)
            right = same(found, expected)
        except BaseException as error:  # noqa: BLE001
            failures.append(f"{call} raises {type(error).__name__}: {short(str(error), 120)}")
            continue
        if not right:
            failures.append(f"{call} returns {short(found)}, not {short(expected)}")
    return {"passed": len(orders["cases"]) - len(failures), "failures": failures}


def main() -> None:
    """Read the input, run, report, and exit without waiting for threads that the code may have started."""
    orders = json.load(sys.stdin)
    answer = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    limit(orders["cpu_seconds"], orders["memory_bytes"])
    # The parent normally ends this process sooner; this is for when the parent is gone.
    signal.alarm(int(orders["wall_seconds"]) + 2)
    # Kept out of reach of the tested code: no variable that it can name holds the token.
    token = orders.pop("token")
    if orders["guarded"]:
        guard()
    found = report(orders)
    os.write(answer, json.dumps({**found, "token": token}).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
