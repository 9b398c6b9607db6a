"""Machines of their own on this one: network namespaces that are joined by switches, and whose wires can be pulled.

Each namespace lives as long as the process that holds it, and that one as long as the tests: nothing is left behind, however they end.
Nothing in them reaches this machine's own network, nor is reached from there; programs share its files and processes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

NEEDED = ("ip", "unshare", "nsenter", "setpriv")
"""Programs of Debian's `iproute2` and `util-linux`."""


class Machine:
    """A network namespace, and the programs that run in it.

    Args:
        name: For messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.programs: list[subprocess.Popen[Any]] = []
        own = Path("/proc/self/ns/net").readlink()
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"], stderr=subprocess.PIPE
        )
        self._namespace = Path(f"/proc/{self._holder.pid}/ns/net")
        wait_until(lambda: self._holder.poll() is not None or self._namespace.readlink() != own)
        if self._holder.poll() is not None:
            assert self._holder.stderr is not None
            pytest.skip(f"this user may make no network namespace: {self._holder.stderr.read().decode().strip()}")
        self.ip("link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        """The process that holds it."""
        return self._holder.pid

    def command(self, command: Sequence[Any], user: tuple[int, int] | None = None) -> list[str]:
        """What runs a program in it; the program ends with the tests.

        Args:
            command: The program and its arguments.
            user: Numbers of the user and the group to run it as.
        """
        as_user = [] if user is None else ["--reuid", str(user[0]), "--regid", str(user[1]), "--clear-groups"]
        return ["nsenter", f"--net={self._namespace}", "setpriv", *as_user, "--pdeathsig", "KILL", *map(str, command)]

    def start(self, command: Sequence[Any], user: tuple[int, int] | None = None, **options: Any) -> subprocess.Popen[Any]:
        """Start a program in it."""
        self.programs.append(subprocess.Popen(self.command(command, user), **options))
        return self.programs[-1]

    def ip(self, *words: Any) -> None:
        """Configure its network."""
        done = subprocess.run(self.command(["ip", *words]), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"ip {' '.join(map(str, words))}: {done.stderr}"

    def close(self) -> None:
        """End its programs, and the namespace with its wires."""
        for program in self.programs:
            if program.poll() is None:
                program.send_signal(signal.SIGKILL)
        for program in self.programs:
            program.wait(30)
        self._holder.kill()
        self._holder.wait(30)


class Lab:
    """Machines, and switches between them.

    Each switch is a network with addresses that no real one has (192.0.2.0/24 and 198.51.100.0/24, RFC 5737): so one wire of a machine
    can be pulled while another one stays.
    """

    def __init__(self) -> None:
        missing = [name for name in NEEDED if shutil.which(name) is None]
        if missing or os.getuid() != 0:
            pytest.skip(f"needs {', '.join(missing)}" if missing else "only root may make network namespaces")
        self.machines: dict[str, Machine] = {}
        self._switch = self._made("switch")
        self._ports: dict[tuple[str, str], str] = {}

    def _made(self, name: str) -> Machine:
        self.machines[name] = machine = Machine(name)
        return machine

    def machine(self, name: str) -> Machine:
        """A new machine that is wired to nothing yet."""
        return self._made(name)

    def wire(self, network: str, addresses: dict[Machine, str]) -> None:
        """Join machines by a switch of their own.

        Args:
            network: Its name, of a few letters.
            addresses: The machines, each with its address there.
        """
        self._switch.ip("link", "add", network, "type", "bridge", "forward_delay", 0)
        self._switch.ip("link", "set", network, "up")
        for number, (machine, address) in enumerate(addresses.items()):
            port = f"{network}{number}"
            self._switch.ip("link", "add", port, "type", "veth", "peer", "name", network, "netns", machine.pid)
            self._switch.ip("link", "set", port, "master", network, "up")
            machine.ip("address", "add", f"{address}/24", "dev", network)
            machine.ip("link", "set", network, "up")
            self._ports[machine.name, network] = port

    @contextmanager
    def cut(self, machine: Machine, network: str) -> Iterator[None]:
        """Lose every packet between a machine and a network: connections hang, and nobody is told."""
        port = self._ports[machine.name, network]
        self._switch.ip("link", "set", port, "nomaster")
        try:
            yield
        finally:
            self._switch.ip("link", "set", port, "master", network)

    def close(self) -> None:
        """End everything."""
        for machine in self.machines.values():
            with suppress(subprocess.TimeoutExpired):
                machine.close()


__all__ = ["Lab", "Machine"]
