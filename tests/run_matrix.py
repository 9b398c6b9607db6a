"""Run the host tests with the oldest and the newest supported packages, on the oldest and newest supported Python.

    python tests/run_matrix.py [SET ...] [--python PATH=LABEL ...] [--keep FOLDER] [-- PYTEST ARGUMENTS]

Makes a virtual environment for every set and Python, installs into it, runs the tests and prints a table. Nothing of the environment
it is called from is used or changed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = [
    *(
        "tests/hosts/test_equality.py",
        "tests/hosts/test_node.py",
        "tests/hosts/test_middleware.py",
        "tests/engine/test_robustness.py",
        "tests/test_traps.py",
    ),
    *("tests/standard", "tests/verifiers", "tests/policies"),
]
TOOLS = ["pytest>=8.3", "pytest-asyncio>=1.0", "pytest-timeout>=2.3", "langchain-tests>=1.1.6", "llmock>=0.2", "hypothesis>=6.100"]

SETS: dict[str, list[list[str]]] = {
    # Each step is one call of pip; a step that begins with --no-deps goes on top of what is there.
    "oldest": [
        [
            "langchain-core==1.4.7",
            "langgraph==1.2.0",
            "langchain==1.3.0",
            "langchain-openai==1.3.0",
            "langchain-anthropic==1.4.4",
            "openai==2.54.0",
            "anthropic==0.125.0",
        ]
    ],
    "current": [["langchain-core<1.8", "langchain<1.5", "langgraph", "langchain-openai", "langchain-anthropic"]],
    "newest": [
        ["langchain", "langgraph", "langchain-openai", "langchain-anthropic"],
        # Asks for a certificate bundle that not every mirror has; nothing here needs that one.
        ["--no-deps", "langchain==1.5.0", "langchain-core==1.8.2"],
    ],
}


def run(command: list[str], log: Path) -> bool:
    """Run a command, its output into a file."""
    with log.open("a") as out:
        return subprocess.run(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, check=False).returncode == 0


def environment(python: str, steps: list[list[str]], folder: Path, log: Path) -> Path | None:
    """A virtual environment with the set and langroute in it; `None` where that cannot be made."""
    interpreter = folder / "bin" / "python"
    if interpreter.exists():
        return interpreter
    pip = [str(interpreter), "-m", "pip", "install", "-q"]
    made = run([python, "-m", "venv", str(folder)], log) and run([*pip, "-U", "pip"], log)
    # One resolution for the set, langroute's own requirements and the tools, so that the pins hold.
    made = made and run([*pip, "-e", str(ROOT), *steps[0], *TOOLS], log)
    for step in steps[1:]:
        made = made and run([*pip, *step], log)
    return interpreter if made else None


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=[], help=f"of {', '.join(SETS)}; all where none is named")
    parser.add_argument("--python", action="append", default=[], help="an interpreter; this one where none is named")
    parser.add_argument("--keep", help="folder for the environments; a temporary one where none is named")
    parser.add_argument("--tests", nargs="*", default=TESTS, help="what to run")
    given = parser.parse_args()
    folder = Path(given.keep) if given.keep else Path(tempfile.mkdtemp(prefix="langroute-matrix-"))
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in given.sets or SETS:
        for python in given.python or [sys.executable]:
            version = subprocess.run(
                [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=True
            )
            label = f"{name}-{version.stdout.strip()}"
            log = folder / f"{label}.log"
            log.unlink(missing_ok=True)
            began = time.monotonic()
            interpreter = environment(python, SETS[name], folder / label, log)
            if interpreter is None:
                outcome, good = "could not be installed", False
            else:
                good = run([str(interpreter), "-m", "pytest", "-W", "ignore", "--benchmark-disable", *given.tests], log)
                outcome = next(
                    (line for line in reversed(log.read_text().splitlines()) if " passed" in line or " failed" in line), ""
                )
                outcome = outcome.strip("= ") or ("passed" if good else f"failed, see {log}")
            failed |= not good
            print(f"{label:14} {'ok' if good else 'FAILED':8} {outcome} ({time.monotonic() - began:.0f} s)", flush=True)  # noqa: T201
    if not given.keep and not failed:
        shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
