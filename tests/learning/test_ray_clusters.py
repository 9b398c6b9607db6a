"""A Ray cluster of two nodes that is reached at `ray://`: the same report, also when a node is lost, and errors without Ray's traces."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from made_traffic import PRICES, made_traffic, write
from ports import free_port

pytestmark = [
    pytest.mark.skipif("LANGROUTE_RAY" not in os.environ, reason="starts a Ray cluster, 40 s: set LANGROUTE_RAY=1"),
    pytest.mark.timeout(300),
]
FOLDERS = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": os.pathsep.join(FOLDERS)}
REQUESTS = 60_000


def program(main: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", f"from {main} import main; main()", *arguments]


@contextmanager
def node(*options: str) -> Iterator[int]:
    """Run a node with one processor; yield the process of its raylet."""
    given = ("--block", "--num-cpus", "1", "--disable-usage-stats", "--include-log-monitor=false", *options)
    running = subprocess.Popen(program("ray.scripts.scripts", "start", *given), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        for line in running.stdout:
            if "runtime started" in line:
                break
        found = subprocess.run(["pgrep", "-P", str(running.pid), "raylet"], capture_output=True, text=True, check=True)
        yield int(found.stdout)
    finally:
        running.terminate()
        running.wait(30)


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a cluster of two nodes; yield its address, and the raylet of the second."""
    port, door = free_port(), free_port()
    with ExitStack() as stack:
        ports = ("--min-worker-port=0", "--max-worker-port=0")
        head = ("--head", "--node-ip-address=127.0.0.1", f"--port={port}", f"--ray-client-server-port={door}")
        stack.enter_context(node(*head, "--include-dashboard=false", f"--temp-dir={folder}", *ports))
        second = stack.enter_context(node("--node-ip-address=127.0.0.2", f"--address=127.0.0.1:{port}", *ports))
        yield f"ray://127.0.0.1:{door}", second


def replayed(file: Path, *options: str) -> subprocess.Popen[str]:
    given = ("--policy", "default", "--format", "json", "--prices", str(file.with_name("prices.toml")))
    command = program("langroute.cli", "replay", str(file), *given, *options)
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_node_is_lost_and_the_report_is_that_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (the extra `ray`)")
    pytest.importorskip("grpc", reason="grpcio is not installed (`ray[client]`)")
    file, broken = tmp_path / "traffic.jsonl", tmp_path / "broken.jsonl"
    write(file, made_traffic(REQUESTS))
    file.with_name("prices.toml").write_text(PRICES)
    lines = file.read_text().splitlines()
    for place in (5, 20_000, 40_000):
        lines[place] = "no JSON"
    broken.write_text("\n".join(lines))
    expected, _ = replayed(file).communicate()
    # Ray's sockets have to fit in 107 bytes.
    with TemporaryDirectory(prefix="ray") as short, cluster(Path(short)) as (address, second):
        working = replayed(file, "--engine", address)
        assert working.stderr is not None
        for line in working.stderr:
            if line.startswith("2 of"):
                os.kill(second, signal.SIGKILL)
                break
        found, told = working.communicate()
        assert (working.returncode, found) == (0, expected), told
        refused = replayed(broken, "--engine", address)
        found, told = refused.communicate()
        assert (refused.returncode, found) == (2, "")
        (said,) = (line for line in told.splitlines() if " of " not in line)
        assert said.startswith(f"langroute: {broken}:6: not a JSON object"), told
