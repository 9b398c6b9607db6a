"""A virtual environment for each peer, made once and kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 400
"""How long pip, or one program, may take."""


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
        self.npm = [one.rpartition("@")[0] if newest else one for one in told.get("npm", [])]
        self.overrides: dict[str, str] = told.get("overrides", {})
        self.own = bool(told.get("own"))
        self.extras = ",".join(told.get("extras", []))
        self.python = self.folder / "bin" / "python"

    @property
    def itself(self) -> str:
        """This checkout with its extras, where the environment is langroute's own."""
        return f"{ROOT}[{self.extras}]" if self.own else ""

    def make(self) -> None:
        """Make it, unless it is there with the same requirements.

        Raises:
            NotInstalledError: pip could not, or took too long.
        """
        mark, wanted = (
            self.folder / "made.json",
            json.dumps([self.requirements, self.options, self.itself, self.npm, self.overrides]),
        )
        if mark.exists() and mark.read_text() == wanted:
            return
        print(f"making the environment of {self.name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", self.folder], check=True)
        pip = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        own = ["-e", self.itself] if self.own else []
        try:
            subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True, capture_output=True, timeout=SECONDS)
            done = subprocess.run([*pip, *self.options, *own, *self.requirements], capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise NotInstalledError(f"pip was not done within {SECONDS} s") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise NotInstalledError("; ".join(lines[:2])[:300] or "pip failed")
        self._make_node()
        mark.write_text(wanted)

    def _make_node(self) -> None:
        """Install npm packages beside the Python ones, without their install scripts.

        Raises:
            NotInstalledError: There is no npm, or it could not.
        """
        if not self.npm:
            return
        if not (npm := shutil.which("npm")):
            raise NotInstalledError("npm is not installed")
        # What npm packages need below them, where the newest of it does not work with them.
        (self.folder / "package.json").write_text(json.dumps({"private": True, "overrides": self.overrides}))
        command = [npm, "install", "--prefix", self.folder, "--no-audit", "--no-fund", "--ignore-scripts", *self.npm]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        if done.returncode:
            raise NotInstalledError(" ".join(done.stderr.split())[:300] or "npm failed")

    def asked(self, arguments: list[str], seconds: float = SECONDS) -> Any:
        """Run a program in the environment, and return the JSON of its last line, or `{"failed": ...}`."""
        variables = clean() | self.variables()
        try:
            done = subprocess.run([self.python, *arguments], capture_output=True, text=True, env=variables, timeout=seconds)
        except subprocess.TimeoutExpired:
            return {"failed": f"was not done within {seconds:g} s"}
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            return {"failed": lines[-1][:200]}
        return json.loads(done.stdout.strip().splitlines()[-1])

    def variables(self) -> dict[str, str]:
        """Return environment variables that its programs get besides."""
        return {}

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that the page shows."""
        program = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
        done = subprocess.run([self.python, "-c", program, *self.shown], capture_output=True, text=True, check=True, env=clean())
        modules = self.folder / "node_modules"
        names = [one.rpartition("@")[0] or one for one in self.npm]
        told = {name: json.loads((modules / name / "package.json").read_text())["version"] for name in names}
        return {**json.loads(done.stdout), **told}


class ThisEnvironment(Environment):
    """The environment that runs this program: for a look without making any."""

    def __init__(self, name: str, told: dict[str, Any]) -> None:
        super().__init__(name, told, Path(sys.prefix))
        self.python = Path(sys.executable)

    def variables(self) -> dict[str, str]:
        """Return where langroute is, for its own programs: this interpreter may have another one installed."""
        return {"PYTHONPATH": str(ROOT)} if self.own else {}

    def make(self) -> None:
        """Say whether it has what is needed.

        Raises:
            NotInstalledError: A package is missing.
        """
        if self.npm:
            raise NotInstalledError("npm packages are looked for in environments of their own only")
        names = [one.partition("==")[0].partition("[")[0] for one in self.requirements]
        program = "import importlib.metadata as m, sys\nfor n in sys.argv[1:]:\n    m.version(n)"
        done = subprocess.run([self.python, "-c", program, *names], capture_output=True, text=True)
        if done.returncode:
            raise NotInstalledError(done.stderr.strip().splitlines()[-1])
