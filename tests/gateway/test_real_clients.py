r"""Coding agents as they are installed finish a task through the gateway, in a network namespace that has loopback alone.

They are looked for in `$LANGROUTE_AGENTS`, a folder with npm's `node_modules` and a virtual environment `venv`:

    npm install --ignore-scripts @anthropic-ai/claude-code-linux-x64 @openai/codex @openai/codex-linux-x64 opencode-linux-x64 \
        @google/gemini-cli @mariozechner/pi-coding-agent @qwen-code/qwen-code cline @cline/cli-linux-x64
    python -m venv venv && venv/bin/pip install aider-chat mini-swe-agent

What they send is not kept.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from provider import CHAT, GEMINI, MESSAGES, RESPONSES

pytestmark = [pytest.mark.slow, pytest.mark.server]

HERE = Path(__file__).resolve().parent
TASK = "Create calc.py with a function add, and test_calc.py; run the test, and say done."
MODULES = "node_modules"
OPENCODE = {
    "autoupdate": False,
    "share": "disabled",
    "model": "lr/langroute/auto",
    "permission": {"*": "allow"},
    "provider": {
        "lr": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": "http://127.0.0.1:8900/v1", "apiKey": "lr-test"},
            "models": {"langroute/auto": {"name": "auto", "tool_call": True}},
        }
    },
}
GEMINI_CLI = {
    "telemetry": {"enabled": False},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"disableAutoUpdate": True},
    "security": {"auth": {"selectedType": "gemini-api-key"}},
}
PI = {
    "providers": {
        "lr": {
            "baseUrl": "http://127.0.0.1:8900/v1",
            "api": "openai-completions",
            "apiKey": "lr-test",
            "models": [{"id": "langroute/auto", "name": "auto", "contextWindow": 200000, "maxTokens": 8000}],
        }
    }
}
CODEX = (
    'model = "langroute/auto"\nmodel_provider = "lr"\ncheck_for_update_on_startup = false\n[model_providers.lr]\nname = "lr"\n'
    'base_url = "http://127.0.0.1:8900/v1"\nenv_key = "LR_KEY"\nwire_api = "responses"\n[analytics]\nenabled = false\n'
)

CLIENTS = {
    "claude": (
        f"{MODULES}/@anthropic-ai/claude-code-linux-x64/claude",
        ["-p", "--permission-mode", "bypassPermissions", TASK],
        {
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:8900", "ANTHROPIC_AUTH_TOKEN": "lr-test", "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1", "DISABLE_AUTOUPDATER": "1", "IS_SANDBOX": "1",
        },
        {},
        MESSAGES,
    ),
    "codex": (
        f"{MODULES}/.bin/codex",
        ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", TASK],
        {"LR_KEY": "lr-test"},
        {".codex/config.toml": CODEX},
        RESPONSES,
    ),
    "opencode": (
        f"{MODULES}/opencode-linux-x64/bin/opencode",
        ["run", TASK],
        {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
        {".config/opencode/opencode.json": json.dumps(OPENCODE)},
        CHAT,
    ),
    "gemini": (
        f"{MODULES}/.bin/gemini",
        ["-y", "-m", "langroute/auto", "-p", TASK],
        {"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:8900", "GEMINI_API_KEY": "lr-test", "GEMINI_CLI_TRUST_WORKSPACE": "true"},
        {".gemini/settings.json": json.dumps(GEMINI_CLI)},
        GEMINI,
    ),
    "pi": (
        f"{MODULES}/.bin/pi",
        ["--provider", "lr", "--model", "langroute/auto", "-p", TASK],
        {"PI_OFFLINE": "1"},
        {".pi/agent/models.json": json.dumps(PI)},
        CHAT,
    ),
    "qwen": (
        f"{MODULES}/.bin/qwen",
        ["-y", "-p", TASK],
        {"OPENAI_BASE_URL": "http://127.0.0.1:8900/v1", "OPENAI_API_KEY": "lr-test", "OPENAI_MODEL": "langroute/auto"},
        {},
        CHAT,
    ),
    "aider": (
        "venv/bin/aider",
        ["--model", "openai/langroute/auto", "--yes-always", "--edit-format", "whole", "--message", TASK],
        {"OPENAI_API_BASE": "http://127.0.0.1:8900/v1", "OPENAI_API_KEY": "lr-test", "AIDER_ANALYTICS": "false"},
        {},
        CHAT,
    ),
    "mini": (
        "venv/bin/mini",
        ["-y", "--exit-immediately", "-m", "openai/langroute/auto", "-t", TASK],
        {
            "OPENAI_API_BASE": "http://127.0.0.1:8900/v1", "OPENAI_API_KEY": "lr-test", "MSWEA_COST_TRACKING": "ignore_errors",
            "MSWEA_CONFIGURED": "true",
        },
        {},
        CHAT,
    ),
}  # fmt: skip


@pytest.fixture
def agents() -> Path:
    """The folder with the clients."""
    named = os.environ.get("LANGROUTE_AGENTS")
    if not named:
        pytest.skip("needs coding agents in $LANGROUTE_AGENTS")
    if os.name != "posix" or os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("needs unshare, as root: the agents run without a network")
    return Path(named)


@pytest.mark.parametrize("name", list(CLIENTS))
@pytest.mark.parametrize("fault", [None, "drop"])
@pytest.mark.timeout(240)
def test_a_real_client_finishes_its_task(name: str, fault: str | None, agents: Path, tmp_path: Path) -> None:
    program, arguments, environment, files, path = CLIENTS[name]
    if not (agents / program).exists():
        pytest.skip(f"needs {program} in {agents}")
    if fault and name in ("aider", "mini"):
        pytest.skip("sends no tools in streams")
    if fault and name == "qwen":
        pytest.skip("stops at a stream that broke, and executes nothing")
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    for file, text in files.items():
        (home / file).parent.mkdir(parents=True, exist_ok=True)
        (home / file).write_text(text)
    home.mkdir(exist_ok=True)
    subprocess.run(
        "git init -q . && git -c user.name=t -c user.email=t@example.invalid commit -qm i --allow-empty",
        shell=True,
        cwd=work,
        check=True,
    )
    order = {
        "client": [str(agents / program), *arguments], "environment": environment, "home": str(home), "work": str(work),
        "told": str(tmp_path / "told.json"), "fault": fault, "path": path, "kind": "text" if name in ("aider", "mini") else "tools",
        "name": name,
    }  # fmt: skip
    (tmp_path / "order.json").write_text(json.dumps(order))
    runner = [sys.executable, str(HERE / "alone.py"), str(tmp_path / "order.json")]
    ready = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        ["unshare", "-n", "--pid", "--fork", "--mount-proc", "--kill-child", *runner],
        env=ready, capture_output=True, text=True, timeout=220, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads((tmp_path / "told.json").read_text())
    if name != "mini":
        assert told["code"] == 0, told
    assert (work / "calc.py").read_text() == "def add(a, b):\n    return a + b\n"
    assert told["cost"] is not None
    assert told["calls"] == told["answered"] + (1 if fault else 0)
    assert told["steps"] == told["answered"], "a step that was sent again is one step"
