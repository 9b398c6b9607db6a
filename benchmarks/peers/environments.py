"""A virtual environment for each peer, made once and kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 400
"""How long pip may take for one environment."""


class NotInstalledError(Exception):
    """A peer's environment could not be made."""


def clean() -> dict[str, str]:
    """Return environment variables that a peer's program gets: nothing that points to other packages, and nothing that asks the network."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LANGROUTE", "LANGSMITH", "LANGCHAIN"))
    }
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "HF_HUB_OFFLINE": "1", "LANGSMITH_TRACING": "false"}
    return kept | quiet | {"OPENAI_API_KEY": "none", "ANTHROPIC_API_KEY": "none"}


class Environment:
    """A peer's virtual environment below a folder."""

    def __init__(self, name: str, told: dict[str, Any], folder: Path, *, newest: bool = False) -> None:
        self.name, self.folder = name, folder / name
        self.shown: list[str] = told["shown"]
        self.requirements = [one.partition("==")[0] for one in told["requirements"]] if newest else list(told["requirements"])
        self.options: list[str] = told.get("options", [])
        self.own = bool(told.get("own"))
        self.python = self.folder / "bin" / "python"

    def make(self) -> None:
        """Make it, unless it is there with the same requirements.

        Raises:
            NotInstalledError: pip could not, or took too long.
        """
        mark, wanted = self.folder / "made.json", json.dumps([self.requirements, self.options, str(ROOT) if self.own else ""])
        if mark.exists() and mark.read_text() == wanted:
            return
        print(f"making the environment of {self.name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", self.folder], check=True)
        pip = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        own = ["-e", f"{ROOT}[openai,anthropic,agents,serve]"] if self.own else []
        try:
            subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True, capture_output=True, timeout=SECONDS)
            done = subprocess.run([*pip, *self.options, *own, *self.requirements], capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise NotInstalledError(f"pip was not done within {SECONDS} s") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise NotInstalledError("; ".join(lines[:2])[:300] or "pip failed")
        mark.write_text(wanted)

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that the page shows."""
        program = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
        done = subprocess.run([self.python, "-c", program, *self.shown], capture_output=True, text=True, check=True, env=clean())
        return dict(json.loads(done.stdout))


class ThisEnvironment(Environment):
    """The environment that runs this program: for a look without making any."""

    def __init__(self, name: str, told: dict[str, Any]) -> None:
        super().__init__(name, told, Path(sys.prefix))
        self.python = Path(sys.executable)

    def make(self) -> None:
        """Say whether it has what is needed.

        Raises:
            NotInstalledError: A package is missing.
        """
        names = [one.partition("==")[0].partition("[")[0] for one in self.requirements]
        program = "import importlib.metadata as m, sys\nfor n in sys.argv[1:]:\n    m.version(n)"
        done = subprocess.run([self.python, "-c", program, *names], capture_output=True, text=True)
        if done.returncode:
            raise NotInstalledError(done.stderr.strip().splitlines()[-1])
