"""Install the coding agents of `agent_clients.py`, pinned and without their install scripts: `python tests/gateway/install_agents.py DIR`.

What cannot be installed here is named, and its tests skip. `--only claude,codex` installs some of them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

NPM = {
    "claude": "@anthropic-ai/claude-code-linux-x64@2.1.332",
    "codex": "@openai/codex@0.171.0",
    "opencode": "opencode-linux-x64@1.18.34",
    "gemini": "@google/gemini-cli@0.61.0",
    "pi": "@mariozechner/pi-coding-agent@0.73.1",
    "qwen": "@qwen-code/qwen-code@0.15.10",
    "cline": "@cline/cli-linux-x64@3.0.65",
}
PYPI = {
    "aider": ("venv", "aider-chat==0.86.2"),
    "mini": ("venv", "mini-swe-agent==2.4.6"),
    "deepagents": ("venv-dcode", "deepagents-code==0.1.57"),
}
"""Client → its virtual environment, and its package."""

SECONDS = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default=",".join((*NPM, *PYPI)))
    given = parser.parse_args()
    folder, wanted = given.folder.resolve(), given.only.split(",")
    folder.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        if not installed(name, folder):
            tell(f"not installed: {name}")


def installed(name: str, folder: Path) -> bool:
    """Install a client; return whether it could be."""
    if name in NPM:
        npm = shutil.which("npm")
        return npm is not None and ran(
            npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", NPM[name]
        )
    place, package = PYPI[name]
    python = folder / place / "bin" / "python"
    if not python.exists() and not ran(sys.executable, "-m", "venv", str(folder / place)):
        return False
    return ran(str(python), "-m", "pip", "install", "--quiet", package)


def ran(*command: str) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        tell(f"{command[0]}: {type(error).__name__}")
        return False
    if done.returncode:
        tell(done.stderr[-500:])
    return done.returncode == 0


def tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
