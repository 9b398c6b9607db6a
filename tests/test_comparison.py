"""The comparison with other packages: a quick run over what is installed, and the page that the full run wrote."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PEERS = ROOT / "benchmarks" / "peers"


def quick(*options: str) -> str:
    """Return the page that a quick run prints."""
    pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    pytest.importorskip("langchain_anthropic", reason="langchain-anthropic is not installed")
    command = [sys.executable, str(PEERS / "run.py"), "--quick", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=380, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("# Beside its peers")[2]


def section(page: str, title: str) -> str:
    return page.partition(f"## {title}")[2].partition("\n## ")[0]


@pytest.mark.server
@pytest.mark.timeout(400)
def test_a_quick_run_measures_langroute_in_the_environment_that_runs_it() -> None:
    page = quick("--subjects", "langroute_default", "--only", "overhead,costs,thread")

    assert re.search(r"\| langroute \| judges \| -?[\d,.]+ \|", section(page, "Time added to a call"))
    assert "(wrong)" not in section(page, "What a call cost")
    assert section(page, "What a call cost").count("0.0430 | 0.0430") == 2
    assert "| langroute | 24 |" in section(page, "The provider's prompt cache over a thread")


@pytest.mark.server
@pytest.mark.timeout(400)
def test_peers_that_are_not_installed_are_named_with_the_reason() -> None:
    page = quick("--subjects", "lev_router", "--only", "told")

    assert re.search(r"\| levrouter \| (not installed: .*levrouter|levrouter [\d.]+)", section(page, "Who is compared"))


def test_the_page_names_every_peer_and_is_what_the_command_writes() -> None:
    """Whoever adds a subject runs the command."""
    text = (PEERS / "peers.toml").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")

    names = [name.replace('\\"', '"') for name in re.findall(r'^name = "(.*)"$', text, re.MULTILINE)]
    assert [name for name in names if name not in page] == []
    assert "Made by: python benchmarks/peers/run.py" in page
    assert [
        version
        for version in re.findall(r'"([a-z-]+)(?:\[\w+\])?==', text)
        if version in ("litellm", "levrouter") and version not in page
    ] == []
