"""Ten coding agents as they are installed: how each is started, where it is pointed at the gateway, and at which faults it stops by itself.

They are looked for in `$LANGROUTE_AGENTS`, a folder with npm's `node_modules` and two virtual environments, made by `install_agents.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from provider import CHAT, GEMINI, MESSAGES, RESPONSES

TASK = "Create calc.py with a function add, and test_calc.py; run the test, and say done."
MODULES = "node_modules"
MODEL = "MODEL"
"""Stands for the name of the model in arguments, variables and files."""

URL = "http://127.0.0.1:8900"
OPENAI = {"OPENAI_API_KEY": "lr-test"}


@dataclass(frozen=True)
class Client:
    """One coding agent."""

    program: str
    """In the folder with the clients."""

    arguments: list[str]
    path: str
    """Its protocol."""

    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Files of its home."""

    believes: str = "gpt-4.1"
    """The model that it writes for, where it is told no name of the gateway."""

    across: tuple[str, ...] = ()
    """Protocols of other routes that have to answer it."""

    stops: frozenset[str] = frozenset()
    """Faults at which it gives its task up where the gateway has no other route, by its own rules."""

    writes_itself: bool = False
    """It has no tools: what it writes is taken for files."""

    def order(self, model: str, folder: str) -> dict[str, Any]:
        """Return how it is started, for a model's name."""
        program = f"{folder}/{self.program}"
        put = lambda given: {name: text.replace(MODEL, model) for name, text in given.items()}  # noqa: E731
        arguments = [one.replace(MODEL, model) for one in self.arguments]
        return {"command": [program, *arguments], "environment": put(self.environment), "files": put(self.files), "path": self.path}


OPENCODE = {
    "autoupdate": False,
    "share": "disabled",
    "model": f"lr/{MODEL}",
    "permission": {"*": "allow"},
    "provider": {
        "lr": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": f"{URL}/v1", "apiKey": "lr-test"},
            "models": {MODEL: {"name": "auto", "tool_call": True}},
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
            "baseUrl": f"{URL}/v1",
            "api": "openai-completions",
            "apiKey": "lr-test",
            "models": [{"id": MODEL, "name": "auto", "contextWindow": 200000, "maxTokens": 8000}],
        }
    }
}
CLINE = {
    "version": 1,
    "lastUsedProvider": "openai-compatible",
    "providers": {
        "openai-compatible": {
            "settings": {"provider": "openai-compatible", "model": MODEL, "baseUrl": f"{URL}/v1"},
            "updatedAt": "2026-12-01T00:00:00Z",
        }
    },
}
"""As the line of `langroute serve` writes it: the key is a variable."""

CODEX = (
    f'model = "{MODEL}"\nmodel_provider = "lr"\ncheck_for_update_on_startup = false\n[model_providers.lr]\nname = "lr"\n'
    f'base_url = "{URL}/v1"\nenv_key = "LR_KEY"\nwire_api = "responses"\n[analytics]\nenabled = false\n'
)

CLIENTS = {
    "claude": Client(
        f"{MODULES}/@anthropic-ai/claude-code-linux-x64/claude",
        ["-p", "--model", MODEL, "--permission-mode", "bypassPermissions", TASK],
        MESSAGES,
        {
            "ANTHROPIC_BASE_URL": URL, "ANTHROPIC_AUTH_TOKEN": "lr-test", "DISABLE_TELEMETRY": "1", "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_AUTOUPDATER": "1", "IS_SANDBOX": "1",
        },
        believes="claude-opus-4-8",
        stops=frozenset({"402"}),
    ),
    "codex": Client(
        f"{MODULES}/.bin/codex",
        ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", TASK],
        RESPONSES,
        {"LR_KEY": "lr-test"},
        {".codex/config.toml": CODEX},
        across=("chat", "messages"),
        stops=frozenset({"context"}),
        believes="gpt-5.5",
    ),
    "opencode": Client(
        f"{MODULES}/opencode-linux-x64/bin/opencode",
        ["run", TASK],
        CHAT,
        {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
        {".config/opencode/opencode.json": json.dumps(OPENCODE)},
        across=("responses", "messages"),
        stops=frozenset({"402"}),
    ),
    "gemini": Client(
        f"{MODULES}/.bin/gemini",
        ["-y", "-m", MODEL, "-p", TASK],
        GEMINI,
        {"GOOGLE_GEMINI_BASE_URL": URL, "GEMINI_API_KEY": "lr-test", "GEMINI_CLI_TRUST_WORKSPACE": "true"},
        {".gemini/settings.json": json.dumps(GEMINI_CLI)},
        believes="gemini-3-pro-preview",
        stops=frozenset({"context", "402"}),
    ),
    "pi": Client(
        f"{MODULES}/.bin/pi",
        ["--provider", "lr", "--model", MODEL, "-p", TASK],
        CHAT,
        {"PI_OFFLINE": "1"},
        {".pi/agent/models.json": json.dumps(PI)},
        across=("responses", "messages"),
        stops=frozenset({"402"}),
    ),
    "qwen": Client(
        f"{MODULES}/.bin/qwen",
        ["-y", "-p", TASK],
        CHAT,
        {**OPENAI, "OPENAI_BASE_URL": f"{URL}/v1", "OPENAI_MODEL": MODEL},
        stops=frozenset({"error", "drop", "eof", "context", "402"}),
    ),
    "cline": Client(
        f"{MODULES}/@cline/cli-linux-x64/bin/cline",
        ["--auto-approve", "true", TASK],
        CHAT,
        OPENAI,
        {".cline/data/settings/providers.json": json.dumps(CLINE)},
        stops=frozenset({"402"}),
    ),
    "aider": Client(
        "venv/bin/aider",
        ["--model", f"openai/{MODEL}", "--yes-always", "--edit-format", "whole", "--message", TASK],
        CHAT,
        {**OPENAI, "OPENAI_API_BASE": f"{URL}/v1", "AIDER_ANALYTICS": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        across=("responses", "messages"),
        writes_itself=True,
        stops=frozenset({"context"}),
    ),
    "mini": Client(
        "venv/bin/mini",
        ["-y", "--exit-immediately", "-m", f"openai/{MODEL}", "-t", TASK],
        CHAT,
        {
            **OPENAI, "OPENAI_API_BASE": f"{URL}/v1", "MSWEA_COST_TRACKING": "ignore_errors", "MSWEA_CONFIGURED": "true",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        across=("responses", "messages"),
    ),
    "deepagents": Client(
        "venv-dcode/bin/deepagents-code",
        ["-n", TASK, "-q", "-M", f"openai:{MODEL}", "--no-mcp", "--no-interpreter", "--shell-allow-list", "all"],
        RESPONSES,
        {
            **OPENAI, "OPENAI_BASE_URL": f"{URL}/v1", "DEEPAGENTS_CODE_OFFLINE": "1", "DEEPAGENTS_CODE_NO_UPDATE_CHECK": "1",
            "LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        },
        stops=frozenset({"402", "error", "drop", "eof"}),
        believes="gpt-5.5",
    ),
}  # fmt: skip
