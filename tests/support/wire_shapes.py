"""Requests and answers in the shapes that coding agents and providers send, with texts of our own."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

TOOL_NAMES = ("Bash", "Read", "Edit")


def compact(value: Any) -> bytes:
    """JSON as JavaScript's clients write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _schema(name: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"command": {"type": "string", "description": f"What {name} is to do. " * 20}},
        "required": ["command"],
        "additionalProperties": False,
    }


def claude_code(
    turns: int = 1, *, model: str = "claude-opus-4-8", tools: int = 3, stream: bool = True, text: str = "Fix the test."
) -> bytes:
    """A request of the shape that Claude Code sends: system entries in the history, adaptive thinking, moving cache marks."""
    mark = {"cache_control": {"type": "ephemeral"}}
    messages: list[dict[str, Any]] = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "<system-reminder>\nThe date is today.\n</system-reminder>"},
                {"type": "text", "text": text},
            ],
        },
        {"role": "system", "content": [{"type": "text", "text": "Skills: none. " * 40}]},
    ]
    for turn in range(turns):
        messages += [
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "", "signature": f"c2lnbmF0dXJl{turn}"},
                    {"type": "text", "text": f"Let me look, step {turn}: ümlaut 机."},
                    {
                        "type": "tool_use",
                        "id": f"toolu_{turn:04d}",
                        "name": "Bash",
                        "input": {"description": "list", "command": f"ls {turn}"},
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": f"toolu_{turn:04d}", "content": "a.py\n" * 30, "is_error": False}
                ],
            },
        ]
    last = messages[-1]["content"][-1] if turns else messages[0]["content"][-1]
    last.update(mark)
    body = {
        "model": model,
        "messages": messages,
        "system": [
            {"type": "text", "text": "x-billing: v"},
            {"type": "text", "text": "You are an agent.", **mark},
            {"type": "text", "text": "Work with care. " * 60, **mark},
        ],
        "tools": [
            {
                "name": TOOL_NAMES[at % 3] + ("" if at < 3 else str(at)),
                "description": "Runs it. " * 30,
                "input_schema": _schema("it"),
            }
            for at in range(tools)
        ],
        "metadata": {"user_id": '{"device_id":"d","session_id":"s1"}'},
        "max_tokens": 64000,
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "xhigh"},
        "stream": stream,
    }
    return compact(body)


CLAUDE_CODE_HEADERS = {
    "Authorization": "Bearer client-token",
    "X-Claude-Code-Session-Id": "5e551014-0000",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,context-1m-2025-08-07,interleaved-thinking-2025-05-14",
    "x-stainless-retry-count": "0",
    "Connection": "keep-alive",
    "Host": "127.0.0.1:8900",
    "Accept-Encoding": "gzip, br",
    "Content-Length": "12345",
}


def codex(turns: int = 1, *, model: str = "gpt-5.2") -> bytes:
    """A request of the shape that Codex sends."""
    given: list[dict[str, Any]] = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are an agent. " * 50}]},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "<environment_context>\n  <cwd>/x</cwd>\n</environment_context>"}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix the test."}]},
    ]
    for turn in range(turns):
        given += [
            {"type": "reasoning", "id": f"rs_{turn}", "summary": [], "encrypted_content": f"gAAAA{turn}"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
            {"type": "function_call", "name": "exec_command", "arguments": '{"cmd":"ls"}', "call_id": f"call_{turn}"},
            {"type": "function_call_output", "call_id": f"call_{turn}", "output": "a.py\n" * 30},
        ]
    return compact(
        {
            "model": model,
            "input": given,
            "tools": [
                {
                    "type": "function",
                    "name": "exec_command",
                    "description": "Runs it. " * 30,
                    "strict": False,
                    "parameters": _schema("it"),
                },
                {"type": "web_search", "external_web_access": True},
            ],
            "tool_choice": "auto",
            "parallel_tool_calls": False,
            "reasoning": {"effort": "xhigh", "summary": "auto"},
            "store": False,
            "stream": True,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "0199-thread",
            "client_metadata": {"x-codex-turn": "1"},
        }
    )


def opencode(turns: int = 1, *, model: str = "gpt-5.2", stream: bool = True) -> bytes:
    """A request of the shape that chat clients send (opencode, pi, qwen-code, Cline)."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You are an agent. " * 50},
        {"role": "user", "content": [{"type": "text", "text": "Fix the test."}]},
    ]
    for turn in range(turns):
        call = {"id": f"call_{turn}", "type": "function", "function": {"name": "bash", "arguments": '{"command":"ls"}'}}
        messages += [
            {"role": "assistant", "content": None if turn % 2 else "Let me look.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": "a.py\n" * 30},
        ]
    return compact(
        {
            "model": model,
            "max_tokens": 32000,
            "temperature": 0.55,
            "messages": messages,
            "tools": [
                {"type": "function", "function": {"name": "bash", "description": "Runs it. " * 30, "parameters": _schema("it")}}
            ],
            "tool_choice": "auto",
            "stream": stream,
            "stream_options": {"include_usage": True},
        }
    )


GEMINI_ADDRESS = "gemini-3-pro:streamGenerateContent"


def gemini_cli(turns: int = 1) -> bytes:
    """A request of the shape that Gemini CLI sends: the model stands in its address."""
    contents: list[dict[str, Any]] = [
        {"role": "user", "parts": [{"text": "This is the Gemini CLI. The date is Monday."}]},
        {"role": "user", "parts": [{"text": "Fix the test."}]},
    ]
    for turn in range(turns):
        call = {"functionCall": {"name": "run_shell_command", "args": {"command": "ls", "turn": turn}}}
        told = {"name": "run_shell_command", "response": {"output": "a.py\n" * 30}}
        contents += [
            {"role": "model", "parts": [{**call, "thoughtSignature": f"c2lnbmF0dXJl{turn}"}]},
            {"role": "user", "parts": [{"functionResponse": told}]},
        ]
    return compact(
        {
            "contents": contents,
            "systemInstruction": {"role": "user", "parts": [{"text": "You are an agent. " * 50}]},
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "run_shell_command", "description": "Runs it. " * 30, "parametersJsonSchema": _schema("it")}
                    ]
                }
            ],
            "generationConfig": {
                "temperature": 1,
                "topP": 0.95,
                "topK": 64,
                "maxOutputTokens": 64000,
                "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "HIGH"},
            },
        }
    )


REQUESTS = {"messages": claude_code, "responses": codex, "chat": opencode}
"""Protocol → a request in it of a number of turns."""


def title_call() -> bytes:
    """A client's call beside the conversation that gives it a title."""
    return compact(
        {
            "model": "claude-opus-4-8",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Fix the failing test in parser.py"}]}],
            "system": [
                {"type": "text", "text": "Write a short title for this conversation, in sentence case, of at most seven words."}
            ],
            "tools": [],
            "max_tokens": 32000,
            "thinking": {"type": "disabled"},
            "output_config": {
                "format": {
                    "type": "json_schema",
                    "schema": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
                }
            },
            "stream": True,
        }
    )


def messages_stream(text: str = "Dönе ✓.", *, call: dict[str, Any] | None = None, model: str = "claude-haiku-4-5") -> bytes:
    """A stream of Anthropic's protocol."""
    usage = {
        "input_tokens": 12,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 400,
        "output_tokens": 1,
        "service_tier": "standard",
    }
    events: list[dict[str, Any]] = [
        {
            "type": "message_start",
            "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [], "usage": usage},
        },
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": part}} for part in _halves(text)),
        {"type": "content_block_stop", "index": 1},
    ]
    if call is not None:
        events += [
            {
                "type": "content_block_start",
                "index": 2,
                "content_block": {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}},
            },
            *(
                {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": part}}
                for part in _halves(json.dumps(call))
            ),
            {"type": "content_block_stop", "index": 2},
        ]
    events += [
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn" if call is None else "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 20},
        },
        {"type": "message_stop"},
    ]
    return b"".join(b"event: %s\ndata: %s\n\n" % (event["type"].encode(), compact(event)) for event in events)


def chat_stream(text: str = "Dönе ✓.", *, call: dict[str, Any] | None = None, model: str = "gpt-5.2", usage: bool = True) -> bytes:
    """A stream of OpenAI's Chat Completions protocol."""
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    events = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": part}) for part in _halves(text))]
    if call is not None:
        head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "bash", "arguments": ""}}
        events += [
            chunk({"tool_calls": [head]}),
            *(chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}) for part in _halves(json.dumps(call))),
        ]
    events.append(chunk({}, "stop" if call is None else "tool_calls"))
    if usage:
        counts = {
            "prompt_tokens": 442,
            "completion_tokens": 20,
            "total_tokens": 462,
            "prompt_tokens_details": {"cached_tokens": 400},
        }
        events.append({**base, "choices": [], "usage": counts})
    return b"".join(b"data: %s\n\n" % compact(event) for event in events) + b"data: [DONE]\n\n"


def responses_stream(text: str = "Dönе ✓.", *, call: dict[str, Any] | None = None, model: str = "gpt-5.2") -> bytes:
    """A stream of OpenAI's Responses protocol."""
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": model, "status": "in_progress", "output": []}
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAsealed"}
    items: list[dict[str, Any]] = [reasoning, message]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        {"type": "response.in_progress", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": {**reasoning, "encrypted_content": ""}},
        {"type": "response.output_item.done", "output_index": 0, "item": reasoning},
        {"type": "response.output_item.added", "output_index": 1, "item": {**message, "status": "in_progress", "content": []}},
        {
            "type": "response.content_part.added",
            "item_id": "msg_1",
            "output_index": 1,
            "content_index": 0,
            "part": {**part, "text": ""},
        },
        *(
            {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 1, "content_index": 0, "delta": piece}
            for piece in _halves(text)
        ),
        {"type": "response.output_text.done", "item_id": "msg_1", "output_index": 1, "content_index": 0, "text": text},
        {"type": "response.content_part.done", "item_id": "msg_1", "output_index": 1, "content_index": 0, "part": part},
        {"type": "response.output_item.done", "output_index": 1, "item": message},
    ]
    if call is not None:
        item = {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "exec_command",
            "arguments": "",
            "status": "in_progress",
        }
        done = {**item, "arguments": json.dumps(call), "status": "completed"}
        items.append(done)
        events += [
            {"type": "response.output_item.added", "output_index": 2, "item": item},
            *(
                {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 2, "delta": piece}
                for piece in _halves(json.dumps(call))
            ),
            {"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 2, "arguments": json.dumps(call)},
            {"type": "response.output_item.done", "output_index": 2, "item": done},
        ]
    usage = {
        "input_tokens": 442,
        "input_tokens_details": {"cached_tokens": 400},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 8},
        "total_tokens": 462,
    }
    events.append({"type": "response.completed", "response": {**response, "status": "completed", "output": items, "usage": usage}})
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), compact({**event, "sequence_number": number}))
        for number, event in enumerate(events)
    )


STREAMS = {"messages": messages_stream, "chat": chat_stream, "responses": responses_stream}
"""Protocol → a stream in it."""


def _halves(text: str) -> list[str]:
    return [part for part in (text[: len(text) // 2], text[len(text) // 2 :]) if part]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The bytes in chunks that end at these places, wherever that is."""
    edges = sorted({place % (len(data) + 1) for place in places})
    return [data[start:stop] for start, stop in zip([0, *edges], [*edges, len(data)], strict=True)]


LEAVES = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | st.text(max_size=8)
WORDS = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "text",
        "tool_use",
        "tool_result",
        "user",
        "assistant",
        "system",
        "developer",
        "tool",
        "function_call",
        "id",
        "name",
        "input",
        "arguments",
    ]
)
VALUES = st.recursive(
    LEAVES | WORDS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=15
)
FIELDS = (
    "messages",
    "input",
    "system",
    "instructions",
    "tools",
    "max_tokens",
    "stream",
    "model",
    "thinking",
    "output_config",
    "text",
    "metadata",
)
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8)
"""Bodies with the fields of all protocols, in shapes that hardly any client sends."""
