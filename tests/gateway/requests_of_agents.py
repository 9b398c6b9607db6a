"""Requests in the form in which coding agents send them, made here."""

from __future__ import annotations

import json
from typing import Any

from provider import CHAT, MESSAGES, RESPONSES

PATHS = (CHAT, RESPONSES, MESSAGES)
TOOL_SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}


def request_of(
    path: str, text: str = "Create calc.py and test it.", *, stream: bool = True, model: str = "any-model", **more: Any
) -> dict[str, Any]:
    """A first step of an agent."""
    if path == MESSAGES:
        return {
            "model": model,
            "messages": [{"role": "user", "content": [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]}],
            "system": [
                {"type": "text", "text": "You are an agent that works in a terminal.", "cache_control": {"type": "ephemeral"}}
            ],
            "tools": [{"name": "Bash", "description": "Run a command.", "input_schema": TOOL_SCHEMA}],
            "max_tokens": 4000,
            "stream": stream,
            **more,
        }
    if path == RESPONSES:
        return {
            "model": model,
            "instructions": "You are an agent that works in a terminal.",
            "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}],
            "tools": [{"type": "function", "name": "shell", "description": "Run a command.", "parameters": TOOL_SCHEMA}],
            "store": False,
            "stream": stream,
            **more,
        }
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are an agent that works in a terminal."},
            {"role": "user", "content": text},
        ],
        "tools": [{"type": "function", "function": {"name": "bash", "description": "Run a command.", "parameters": TOOL_SCHEMA}}],
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
        **more,
    }


def written(body: dict[str, Any]) -> bytes:
    """A body as JavaScript writes it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


JSON = {"content-type": "application/json"}
