"""Long sessions of coding agents in the shape of each client's requests, made here with texts of our own.

Each request's history is that of the request before with an answer and what follows it. A new turn of the user comes every few steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from provider import CHAT, GEMINI, MESSAGES, RESPONSES
from wire_shapes import compact

TURN = 7
"""Steps of a turn of the user."""

MARK = {"cache_control": {"type": "ephemeral"}}


class Sent(NamedTuple):
    """One request of a session."""

    kind: str
    """`user` (a turn begins), `step`, `side` or `sub` (of a sub-agent)."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    sealed: str = ""
    """Signature, or encrypted reasoning, of the answer to it, as the history has it later."""


def _prose(words: str, count: int) -> str:
    return " ".join(f"{words} {place}." for place in range(count))


def _schema(name: str) -> dict[str, Any]:
    said = {"type": "string", "description": _prose(f"what {name} is to do", 6)}
    return {"type": "object", "properties": {"command": said}, "required": ["command"], "additionalProperties": False}


def _asks(turn: int) -> str:
    hard = "Find out why the scheduler deadlocks under load, prove it, and redesign its locking without a new dependency."
    return f"{hard if turn % 2 == 0 else 'Now rename the variable in util.py.'} Turn {turn}."


def _result(step: int) -> str:
    return f"a{step}.py\nb{step}.py\n" * 6


# Anthropic's Messages -----------------------------------------------------------------------------------------------------


def _messages_entries(step: int, *, thinking: bool, marked: bool) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"type": "thinking", "thinking": "", "signature": f"c2VhbGVk{step}"}] if thinking else []
    said += [
        {"type": "text", "text": f"Let me look, step {step}: ümlaut ✓."},
        {"type": "tool_use", "id": f"toolu_{step:04d}", "name": "Bash", "input": {"description": "list", "command": f"ls {step}"}},
    ]
    result = {"type": "tool_result", "tool_use_id": f"toolu_{step:04d}", "content": _result(step), "is_error": False}
    return [{"role": "assistant", "content": said}, {"role": "user", "content": [result]}]


def _with_mark(history: list[dict[str, Any]], last: int) -> list[dict[str, Any]]:
    """The history with marks on the last block of its last entries; they stand elsewhere in the next request."""
    found = list(history)
    for place in range(max(0, len(found) - last), len(found)):
        content = found[place]["content"]
        found[place] = {**found[place], "content": [*content[:-1], {**content[-1], **MARK}]}
    return found


def claude_code(steps: int) -> Iterator[Sent]:
    """Claude Code: a moving mark, a system entry in the history, signed thinking; a title, sub-agents and counts of tokens beside it."""
    session = {
        "x-claude-code-session-id": "5e55-1",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,context-1m-2025-08-07",
    }
    head = {
        "system": [
            {"type": "text", "text": "x-billing-header: v=1.2; entrypoint=cli;"},
            {"type": "text", "text": "You are an agent in a terminal.", **MARK},
            {"type": "text", "text": _prose("Work with care", 300), **MARK},
        ],
        "tools": [{"name": name, "description": _prose("Runs it", 60), "input_schema": _schema(name)} for name in ("Bash", "Read", "Edit", "Task")],
        "metadata": {"user_id": '{"device_id":"d","session_id":"5e55-1"}'},
        "max_tokens": 64000,
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "stream": True,
    }  # fmt: skip
    title = {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": [{"type": "text", "text": _asks(0)}]}],
             "system": [{"type": "text", "text": "Write a short title for this conversation, in at most seven words."}], "tools": [],
             "max_tokens": 32000, "thinking": {"type": "disabled"}, "stream": True}  # fmt: skip
    yield Sent("side", MESSAGES, session, title)
    history: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "<system-reminder>\nThe date.\n</system-reminder>"}, {"type": "text", "text": _asks(0)}]},
        {"role": "system", "content": [{"type": "text", "text": _prose("A skill", 100)}]},
    ]  # fmt: skip
    for step in range(steps):
        fresh = step % TURN == 0
        if fresh and step:
            # The turn before ended with a text.
            history += [{"role": "assistant", "content": [{"type": "text", "text": f"Done {step}."}]}]
            history += [{"role": "user", "content": [{"type": "text", "text": _asks(step // TURN)}]}]
        entries = history if history[-1]["role"] == "user" else [*history[:-1], _with_mark(history[-1:], 1)[0]]
        yield Sent(
            "user" if fresh else "step",
            MESSAGES,
            session,
            {"model": "claude-opus-4-8", "messages": _with_mark(entries, 1), **head},
            f"c2VhbGVk{step}",
        )
        if step % 40 == 5:
            for own in range(3):
                agent = {**session, "x-claude-code-agent-id": f"agent-{step}"}
                asked = {"role": "user", "content": [{"type": "text", "text": f"Search for callers, {step}."}]}
                inner = [
                    asked,
                    *(one for at in range(own) for one in _messages_entries(1000 * (step + 1) + at, thinking=False, marked=False)),
                ]
                yield Sent("sub", MESSAGES, agent, {"model": "claude-opus-4-8", "messages": _with_mark(inner, 1), **head})
        history += _messages_entries(step, thinking=True, marked=False)


def opencode_anthropic(steps: int) -> Iterator[Sent]:
    """The same agent as `opencode`, with Anthropic's package: marks on the system prompt and on the last two messages, another session header."""
    session = {"x-session-id": "ses_1", "x-session-affinity": "ses_1", "anthropic-version": "2023-06-01"}
    head = {
        "max_tokens": 32000,
        "system": [{"type": "text", "text": _prose("You are an agent", 300), **MARK}],
        "tools": [
            {"name": "Bash", "description": _prose("Runs it", 100), "input_schema": _schema("it"), "eager_input_streaming": True}
        ],
        "tool_choice": {"type": "auto"},
        "stream": True,
    }
    history: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": _asks(0)}]}]
    for step in range(steps):
        fresh = step % TURN == 0
        if fresh and step:
            history += [{"role": "assistant", "content": [{"type": "text", "text": f"Done {step}."}]}]
            history += [{"role": "user", "content": [{"type": "text", "text": _asks(step // TURN)}]}]
        yield Sent(
            "user" if fresh else "step", MESSAGES, session, {"model": "claude-opus-4-8", "messages": _with_mark(history, 2), **head}
        )
        history += _messages_entries(step, thinking=False, marked=False)


# OpenAI's Responses -------------------------------------------------------------------------------------------------------


def _items(step: int, *, reasoning: bool) -> list[dict[str, Any]]:
    sealed = [{"type": "reasoning", "id": f"rs_{step}", "summary": [], "encrypted_content": f"gAAAA{step}"}] if reasoning else []
    return [
        *sealed,
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": f"Let me look, step {step}."}]},
        {
            "type": "function_call",
            "name": "exec_command",
            "arguments": json.dumps({"cmd": f"ls {step}"}),
            "call_id": f"call_{step}",
        },
        {"type": "function_call_output", "call_id": f"call_{step}", "output": _result(step)},
    ]


def _responses(
    steps: int, headers: dict[str, str], first: list[dict[str, Any]], head: dict[str, Any], *, reasoning: bool
) -> Iterator[Sent]:
    given = list(first)
    for step in range(steps):
        fresh = step % TURN == 0
        if fresh:
            given = [*given, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": _asks(step // TURN)}]}]
        turn = {"a": step, "b": 1} if step % 2 else {"b": 1, "a": step}
        more = {"client_metadata": turn} if "prompt_cache_key" in head and reasoning else {}
        yield Sent(
            "user" if fresh else "step", RESPONSES, headers, {"model": "gpt-5.5", "input": given, **head, **more}, f"gAAAA{step}"
        )
        given = [*given, *_items(step, reasoning=reasoning)]


def codex(steps: int) -> Iterator[Sent]:
    """Codex: encrypted reasoning in the history, a key of the prompt cache, metadata whose keys change places."""
    head = {
        "tools": [{"type": "function", "name": "exec_command", "description": _prose("Runs it", 100), "strict": False, "parameters": _schema("it")},
                  {"type": "web_search", "external_web_access": True}],
        "tool_choice": "auto", "parallel_tool_calls": False, "reasoning": {"effort": "high", "summary": "auto"}, "store": False, "stream": True,
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "0199-thread",
    }  # fmt: skip
    first = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": _prose("You are an agent", 300)}]},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "<environment_context>\n  <cwd>/x</cwd>\n</environment_context>"}],
        },
    ]
    headers = {"session-id": "0199-thread", "thread-id": "0199-thread", "x-codex-turn-metadata": '{"turn":1}'}
    return _responses(steps, headers, first, head, reasoning=True)


def deepagents(steps: int) -> Iterator[Sent]:
    """deepagents-code: the system prompt in the input, no header of a session."""
    head = {
        "tools": [{"type": "function", "name": "exec_command", "description": _prose("Runs it", 100), "parameters": _schema("it")}],
        "stream": True,
        "prompt_cache_key": "thread-7",
    }
    first = [{"role": "system", "content": _prose("You are a deep agent", 300)}]
    return _responses(steps, {}, first, head, reasoning=False)


# OpenAI's Chat Completions ------------------------------------------------------------------------------------------------


def _chat(
    steps: int, *, head: dict[str, Any], headers: dict[str, str] | None = None, system: int = 300, calls: bool = True, parts: bool = False,
    shots: int = 0,
) -> Iterator[Sent]:  # fmt: skip
    def user(text: str) -> dict[str, Any]:
        return {"role": "user", "content": [{"type": "text", "text": text}] if parts else text}

    history: list[dict[str, Any]] = [{"role": "system", "content": _prose("You are an agent", system)}]
    for shot in range(shots):
        history += [user(f"An example {shot}."), {"role": "assistant", "content": _prose("Its answer", 40)}]
    tools = [{"type": "function", "function": {"name": "bash", "description": _prose("Runs it", 100), "parameters": _schema("it")}}]
    for step in range(steps):
        fresh = step % TURN == 0 or not calls
        if fresh:
            history = [*history, user(_asks(step // TURN))]
        yield Sent(
            "user" if fresh else "step",
            CHAT,
            headers or {},
            {"model": "gpt-5.5", "messages": history, **({"tools": tools} if calls else {}), **head},
        )
        if calls:
            call = {
                "id": f"call_{step}",
                "type": "function",
                "function": {"name": "bash", "arguments": json.dumps({"command": f"ls {step}"})},
            }
            said = {"role": "assistant", "content": None if step % 2 else "Let me look.", "tool_calls": [call]}
            history = [*history, said, {"role": "tool", "tool_call_id": f"call_{step}", "content": _result(step)}]
        else:
            history = [*history, {"role": "assistant", "content": _result(step)}]


STREAM = {"stream": True, "stream_options": {"include_usage": True}}


def opencode(steps: int) -> Iterator[Sent]:
    """opencode: a session header, and a title at its beginning."""
    session = {"x-session-id": "ses_2", "x-session-affinity": "ses_2"}
    asked = [
        {"role": "system", "content": "Write a short title for this conversation, in at most seven words."},
        {"role": "user", "content": _asks(0)},
    ]
    yield Sent("side", CHAT, session, {"model": "gpt-5.4-mini", "messages": asked, **STREAM})
    yield from _chat(steps, headers=session, head={"max_tokens": 32000, "temperature": 0.55, "tool_choice": "auto", **STREAM})


def pi(steps: int) -> Iterator[Sent]:
    """pi: a small prompt, and nothing that names its session."""
    return _chat(steps, system=120, parts=True, head={**STREAM, "store": False, "max_completion_tokens": 16000})


def qwen(steps: int) -> Iterator[Sent]:
    """qwen-code: a long system prompt."""
    return _chat(steps, system=900, head={**STREAM, "metadata": {"sessionId": "q", "promptId": "p"}})


def cline(steps: int) -> Iterator[Sent]:
    """Cline: parts of content."""
    return _chat(steps, system=200, parts=True, head={"temperature": 0, **STREAM})


def aider(steps: int) -> Iterator[Sent]:
    """aider: no tools, examples before the conversation, streams whose usage it does not ask for."""
    return _chat(steps, calls=False, shots=3, head={"stream": True, "temperature": 0})


def mini(steps: int) -> Iterator[Sent]:
    """mini-swe-agent: no streams."""
    return _chat(steps, system=120, head={"parallel_tool_calls": True})


# Google's protocol --------------------------------------------------------------------------------------------------------


def gemini(steps: int) -> Iterator[Sent]:
    """Gemini CLI: signed calls in the history, and a session that nothing names; the model stands in the address."""
    declared = {"name": "run_shell_command", "description": _prose("Runs it", 100), "parametersJsonSchema": _schema("it")}
    head = {
        "systemInstruction": {"role": "user", "parts": [{"text": _prose("You are an agent", 900)}]},
        "tools": [{"functionDeclarations": [declared]}],
        "generationConfig": {"temperature": 1, "topP": 0.95, "topK": 64, "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "HIGH"}},
    }  # fmt: skip
    context = {"text": "<session_context>\nThe date.\n</session_context>"}
    history: list[dict[str, Any]] = []
    for step in range(steps):
        fresh = step % TURN == 0
        if fresh:
            if step:
                history = [*history, {"role": "model", "parts": [{"text": f"Done {step}."}]}]
            asked = {"text": _asks(step // TURN)}
            history = [*history, {"role": "user", "parts": [asked] if step else [context, asked]}]
        yield Sent("user" if fresh else "step", GEMINI, {}, {"contents": history, **head}, f"c2VhbGVk{step}")
        call = {"id": f"c{step}", "name": "run_shell_command", "args": {"command": f"ls {step}"}}
        result = {"id": f"c{step}", "name": "run_shell_command", "response": {"output": _result(step)}}
        history = [
            *history,
            {"role": "model", "parts": [{"functionCall": call, "thoughtSignature": f"c2VhbGVk{step}"}]},
            {"role": "user", "parts": [{"functionResponse": result}]},
        ]


CLIENTS: dict[str, Callable[[int], Iterator[Sent]]] = {
    one.__name__: one
    for one in (claude_code, opencode_anthropic, codex, deepagents, opencode, pi, qwen, cline, aider, mini, gemini)
}
"""Name of a client → its session of a number of steps."""


def body_of(sent: Sent, model: str | None = None) -> bytes:
    """A request's bytes, for the client's own model or another."""
    return compact(sent.body if model is None or sent.path == GEMINI else {**sent.body, "model": model})


def address_of(sent: Sent, model: str | None = None) -> str:
    """Where a request is sent to, without a query."""
    return f"{GEMINI}/{model or 'gemini-3-pro'}:streamGenerateContent" if sent.path == GEMINI else sent.path
