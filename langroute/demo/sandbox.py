"""Sandbox for code that a model wrote: runs its tests in a separate process with limits, and cleans up afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.demo.tasks import DemoTask

_HARNESS = Path(__file__).with_name("harness.py")
_MARK = "LANGROUTE_SANDBOX"
"""Environment variable by which processes that the code started are found."""


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Resource limits of code under test."""

    cpu_seconds: int = 2
    wall_seconds: float = 10.0
    memory_mb: int = 512


LIMITS = SandboxLimits()
"""Default limits."""


@dataclass(frozen=True, slots=True)
class Tested:
    """Result of a task's tests."""

    passed: int
    total: int
    failures: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every case passed."""
        return self.passed == self.total


@dataclass(frozen=True, slots=True)
class Ran:
    """Result of a process."""

    code: int | None
    """Its exit code, negative for a signal; `None` when it was stopped for taking too long."""

    output: bytes
    seconds: float


def run_tests(code: str, task: DemoTask, limits: SandboxLimits = LIMITS, *, guarded: bool = True) -> Tested:
    """Run a task's tests on code.

    Args:
        code: Code written by a model.
        task: The task whose tests are run.
        limits: Resource limits of the code.
        guarded: Forbid operations that no task needs; without it only the limits apply.

    Raises:
        ConfigurationError: This system cannot limit a process.

    Example:
        >>> from langroute.demo.tasks import TASKS
        >>> run_tests("def add(a, b): return a + b", TASKS[0]).ok
        True
        >>> run_tests("def add(a, b): return a - b", TASKS[0]).failures[0]
        'add(2, 3) returns -1, not 5'
    """
    if os.name != "posix":
        raise ConfigurationError("Code is only run where its memory and time can be limited: on Linux or macOS.")
    token = secrets.token_hex(8)
    orders = {
        "code": code,
        "function": task.name,
        "cases": task.cases,
        "cpu_seconds": limits.cpu_seconds,
        "wall_seconds": limits.wall_seconds,
        "memory_bytes": limits.memory_mb << 20,
        "guarded": guarded,
        "token": token,
    }
    ran = run_limited([sys.executable, "-I", "-S", "-B", str(_HARNESS)], json.dumps(orders).encode(), limits.wall_seconds)
    report = _report(ran.output, token)
    total = len(task.cases)
    if report is None:
        return Tested(0, total, (_ending(ran, limits),), ran.seconds)
    return Tested(report["passed"], total, tuple(report["failures"]), ran.seconds)


def run_limited(command: Sequence[str], given: bytes, wall_seconds: float) -> Ran:
    """Run a command until it ends or reaches its time limit, then end everything it started.

    Args:
        command: The command.
        given: Its standard input.
        wall_seconds: Time limit.
    """
    mark = secrets.token_hex(16)
    begun = time.monotonic()
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as output:
        source.write(given)
        source.seek(0)
        process = subprocess.Popen(  # noqa: S603
            list(command),
            stdin=source,
            # A file rather than a pipe: output is bounded by the file size limit, and needs no reader.
            stdout=output,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            # The program's own environment is not passed on: it may contain API keys.
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", _MARK: mark},
            cwd=tempfile.gettempdir(),
        )
        in_time = False
        try:
            in_time = _wait(process.pid, begun + wall_seconds)
        finally:
            # Before the process is reaped, so that its id cannot have been reused.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            _end_marked(mark)
        output.seek(0)
        return Ran(process.returncode if in_time else None, output.read(1 << 16), time.monotonic() - begun)


def _wait(pid: int, until: float) -> bool:
    """Wait for a process to end, without reaping it."""
    pause = 0.002
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() > until:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True


def _end_marked(mark: str) -> None:
    """End processes that left the process group but still carry the mark; repeat until none is left, as some may fork meanwhile."""
    sought = f"{_MARK}={mark}".encode()
    for _ in range(100):
        found = False
        for entry in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if sought in entry.read_bytes().split(b"\0"):
                    found = True
                    os.kill(int(entry.parent.name), signal.SIGKILL)
        if not found:
            return


def _report(output: bytes, token: str) -> dict[str, Any] | None:
    """Return the harness's report; output without the token was written by the tested code itself and is ignored."""
    try:
        report = json.loads(output)
    except ValueError:
        return None
    return report if isinstance(report, dict) and report.pop("token", None) == token else None


def _ending(ran: Ran, limits: SandboxLimits) -> str:
    if ran.code is None:
        return f"the code takes longer than {limits.wall_seconds:g} s"
    if ran.code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"the code takes more than {limits.cpu_seconds} s of computing: an endless loop?"
    if ran.code == -signal.SIGSEGV:
        return "the interpreter crashes: endless recursion?"
    return f"the code ends the program before its tests are done (exit {ran.code})"
