"""The generated part of the page on the wire: which changes there are, which of them models get, and what translations lose.

`PYTHONPATH=tests/support python tests/wire/wire_table.py` writes it into `docs/wire.md`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from wire_shapes import CLAUDE_CODE_HEADERS, GEMINI_ADDRESS, REQUESTS, compact, gemini_cli

from langroute.wire.edits import EDITS, WireEdit, WireTarget
from langroute.wire.plain_request import LOSSES
from langroute.wire.protocols import PROTOCOLS
from langroute.wire.sessions import SESSION_HEADERS
from langroute.wire.translation import TRANSLATORS, translated

PAGE = Path(__file__).parents[2] / "docs" / "wire.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"

SHAPES = {"messages": "Claude Code", "responses": "Codex", "chat": "opencode", "gemini": "Gemini CLI"}
"""Protocol → the client whose request is tried."""

MODELS: Mapping[str, Sequence[WireTarget]] = {
    "messages": [
        WireTarget("claude-opus-5-5", "anthropic", max_output=128_000),
        WireTarget("claude-opus-4-7", "anthropic", max_output=128_000),
        WireTarget("claude-sonnet-4-6", "anthropic", max_output=128_000),
        WireTarget("claude-opus-4-5", "anthropic", max_output=64_000),
        WireTarget("claude-haiku-4-5", "anthropic", max_output=64_000),
        WireTarget("claude-opus-4-1", "anthropic", max_output=32_000),
        WireTarget("claude-3-haiku", "anthropic", max_output=4096),
        WireTarget("a model of another maker"),
    ],
    "responses": [WireTarget(name, "openai") for name in ("gpt-5.1", "gpt-5-mini", "o3", "gpt-4.1-mini")],
    "chat": [
        WireTarget("gpt-5-mini", "openai", max_output=128_000),
        WireTarget("gpt-4.1-mini", "openai", max_output=32_768),
        WireTarget("deepseek-chat", "deepseek", max_output=8192),
        WireTarget("kimi-k2.6", "moonshot"),
        WireTarget("mistral-small", "mistralai"),
        WireTarget("llama-3.3-70b", "groq"),
    ],
    "gemini": [
        WireTarget("gemini-3-flash", "google_genai", max_output=65_536),
        WireTarget("gemini-2.5-flash-lite", "google_genai", max_output=32_768),
        WireTarget("gemini-2.0-flash", "google_genai", max_output=8192),
    ],
}
"""Protocol → models that are asked in the place of the client's."""


def _shape(name: str) -> bytes:
    """A client's request, with fields that not every server knows."""
    if name == "gemini":
        return gemini_cli(2)
    if name != "chat":
        return REQUESTS[name](2)
    body = json.loads(REQUESTS[name](2, model="gpt-5.2"))
    del body["temperature"]
    return compact(body | {"temperature": 1.3, "store": False, "reasoning_effort": "xhigh", "prompt_cache_key": "k"})


def _named(edits: Sequence[WireEdit]) -> str:
    said = [
        f"`{one.name}`{f' ({one.what})' if one.what else ''}{f' × {one.count}' if one.count > 1 and not one.what else ''}"
        for one in edits
    ]
    return ", ".join(said) or "nothing"


def models_table(name: str) -> list[str]:
    """A row for each model, with what a client's request gets for it."""
    headers = CLAUDE_CODE_HEADERS if name == "messages" else {}
    request = PROTOCOLS[name].read_request(_shape(name), headers, GEMINI_ADDRESS, "alt=sse")
    lines = [
        f"A request of the shape that {SHAPES[name]} sends (`{PROTOCOLS[name].path}`, for `{request.model}`, two steps of tools):",
        "",
        "| Model | What changes |",
        "| --- | --- |",
    ]
    return [*lines, *(f"| {target.model} | {_named(PROTOCOLS[name].edits(request, target))} |" for target in MODELS[name]), ""]


def losses_table() -> list[str]:
    """A row for each pair of protocols, with what a client's request loses."""
    lines = ["| Client | Its protocol | Provider's protocol | What is lost or added |", "| --- | --- | --- | --- |"]
    targets = {
        name: WireTarget("claude-haiku-4-5" if name == "messages" else "gpt-4.1", None, max_output=32_000) for name in TRANSLATORS
    }
    for source, client in SHAPES.items():
        for target in TRANSLATORS:
            if target != source and source in TRANSLATORS:
                there = translated(PROTOCOLS[source].read_request(REQUESTS[source](2), {}), PROTOCOLS[target], targets[target])
                lines.append(f"| {client} | {source} | {target} | {_named(there.edits)} |")
    return lines


def rendered() -> str:
    """The generated part of the page."""
    names = [f"| `{name}` | {what} |" for name, what in EDITS.items()]
    losses = [f"| `{name}` | {what} |" for name, what in LOSSES.items()]
    parts = [
        "## What changes for another model",
        "",
        "| Change | What it does |",
        "| --- | --- |",
        *names,
        "",
        *(line for name in SHAPES for line in models_table(name)),
        "## What a translation loses",
        "",
        "| Loss | What it is |",
        "| --- | --- |",
        *losses,
        "",
        "Requests of the shapes that clients send, two steps of tools long:",
        "",
        *losses_table(),
        "",
        "## Headers that name a conversation",
        "",
        "The first that is there counts: " + ", ".join(f"`{name}`" for name in SESSION_HEADERS) + ".",
        "",
    ]
    return "\n".join([BEGIN, "", *parts, END])


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page[: page.index(BEGIN)] + rendered() + page[page.index(END) + len(END) :], encoding="utf-8")
