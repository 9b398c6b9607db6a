"""A suite of another project's tests: where it comes from, how it is run, and how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

OPTIONS = (
    *("-p", "router_plugin", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--tb=native"),
    *("-o", "addopts=", "-o", "asyncio_default_fixture_loop_scope=function", "--strict-markers", "--timeout=60"),
)


class NotReachedError(Exception):
    """A package could not be fetched."""


@dataclass(frozen=True)
class Suite:
    """A suite of tests, as `suites.toml` has it."""

    name: str
    tests: tuple[str, ...]
    modes: tuple[str, ...]
    packages: tuple[str, ...] = ()
    sdist: str | None = None
    sha256: str | None = None
    options: tuple[str, ...] = ()
    """Options of pytest that its tests need."""

    @classmethod
    def of(cls, name: str, table: Mapping[str, Any], packages: Sequence[str]) -> Suite:
        """Return a suite of its table and the packages that all suites have."""
        more = (*packages, *table.get("with", ()))
        return cls(
            name,
            tuple(table["tests"]),
            tuple(table["modes"]),
            more,
            table.get("sdist"),
            table.get("sha256"),
            tuple(table.get("options", ())),
        )

    def fetch(self, python: Path | str, folder: Path) -> Path:
        """Download the sdist with pip, which checks its hash, unpack it into the folder and return where it is.

        Raises:
            NotReachedError: pip could not fetch it.
        """
        wanted = folder / "sdist.txt"
        wanted.write_text(f"{self.sdist} --hash=sha256:{self.sha256}\n")
        command = [python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "--require-hashes", "-d", folder]
        done = subprocess.run([*command, "-r", wanted], capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise NotReachedError(f"{self.sdist} could not be fetched:\n{done.stderr[-2000:]}")
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        return folder / archive.name.removesuffix(".tar.gz")


@dataclass(frozen=True)
class Run:
    """How a suite ended in one mode."""

    outcomes: Mapping[str, Mapping[str, str]]
    counts: Mapping[str, int] = field(default_factory=dict)

    def count(self, outcome: str) -> int:
        """Return how many tests ended so."""
        return sum(found["outcome"] == outcome for found in self.outcomes.values())

    def failures(self) -> dict[str, str]:
        """Return the tests that failed, with the first line of the error."""
        return {
            name: (found["error"].splitlines() or [""])[0] for name, found in self.outcomes.items() if found["outcome"] == "failed"
        }


def run_tests(python: Path | str, folder: Path, tests: Sequence[str], mode: str, report: Path, *, timeout: float = 1800) -> Run:
    """Run tests in a folder, unmodified, and return how they ended.

    Args:
        python: The interpreter of their virtual environment.
        folder: Where they were unpacked.
        tests: Files, folders or single tests.
        mode: `baseline`, `model` or `middleware`; see `router_plugin.py`.
        report: File for the outcomes.
        timeout: Seconds after which the run is stopped.

    Raises:
        RuntimeError: pytest itself failed, and wrote no outcomes.
    """
    report.unlink(missing_ok=True)
    # Not the project's root, which has a folder named tests as they do.
    package = report.parent / "package"
    if not package.exists():
        package.mkdir()
        (package / "langroute").symlink_to(ROOT / "langroute")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "LANGROUTE", "LANGSMITH", "LANGCHAIN"))
    }
    environment = {
        **kept,
        "PYTHONPATH": f"{HERE / 'plugin'}{os.pathsep}{package}",
        "FOREIGN_MODE": mode,
        "FOREIGN_REPORT": str(report),
    }
    command = ["nice", str(python), "-m", "pytest", *OPTIONS, *tests]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    if not report.exists() or done.returncode > 1:
        raise RuntimeError(f"pytest ended with {done.returncode} in mode {mode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return Run(**json.loads(report.read_text()))
