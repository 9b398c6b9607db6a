"""The small coding task that the scripted provider has every agent do, in each protocol: write two files, run the test, say done."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import provider as scripted
from model_rules import seal
from provider import CHAT, GEMINI, MESSAGES, RESPONSES, Fault, Seen

COMMANDS = (
    "echo 1 >> ran; printf 'def add(a, b):\\n    return a + b\\n' > calc.py && printf 'from calc import add\\nassert add(2, 3) == 5\\n' > test_calc.py",
    "echo 2 >> ran; python3 test_calc.py && echo 3 >> ran",
)
"""Each notes that it ran: a part of a command that is executed, or a second time, is seen in the notes."""

RAN = "1\n2\n3\n"
"""The notes when each command ran once, and as a whole."""

HALF = "python3 te"
"""Where the second command is cut in two."""

SAID = "Let me run it."
"""What comes before a call."""

CALC = "def add(a, b):\n    return a + b\n"
WRITTEN = f"calc.py\n```python\n{CALC}```\n\ntest_calc.py\n```python\nfrom calc import add\nassert add(2, 3) == 5\n```\n"
"""The files as an agent without tools is told them."""

FINISH = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
"""By which mini-swe-agent is told that it is done."""

SHELLS = (
    "Bash",
    "bash",
    "exec_command",
    "shell",
    "shell_command",
    "run_shell_command",
    "execute",
    "run_commands",
    "execute_command",
)


def shell(body: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Name and schema of the tool that runs commands."""
    tools = [one for tool in body.get("tools") or [] for one in tool.get("functionDeclarations", [tool])]
    for tool in tools:
        function = tool.get("function", tool)
        if function.get("name") in SHELLS:
            schemas = (function.get(name) for name in ("parameters", "input_schema", "parametersJsonSchema"))
            return function["name"], next(filter(None, schemas), {})
    return None


def arguments(schema: dict[str, Any], command: str) -> dict[str, Any]:
    """Arguments of the tool for a command."""
    given: dict[str, Any] = {}
    for name, one in schema.get("properties", {}).items():
        if name in ("command", "cmd", "commands"):
            listed = [command] if name == "commands" else ["bash", "-lc", command]
            given[name] = listed if one.get("type") == "array" else command
        elif name in schema.get("required", ()):
            given[name] = {"string": "run it", "number": 10, "integer": 10, "boolean": False}.get(one.get("type"), "x")
    return given


def halves(text: str) -> tuple[str, str]:
    """A text in two parts; a command is cut within a word."""
    cut = text.index(HALF) + len(HALF) if HALF in text else len(text) // 2
    return text[:cut], text[cut:]


class Task:
    """What the provider says to each request.

    Args:
        work: The folder in which the agent works.
        writes_itself: The agent has no tools.
        finishes: It is told by a command that it is done.
    """

    def __init__(self, work: Path, *, writes_itself: bool, finishes: bool) -> None:
        self.work, self.writes_itself, self.finishes = work, writes_itself, finishes
        self.numbers = count(1)
        self.fault: Fault | None = None

    def in_the_middle(self, seen: Seen) -> bool:
        """Whether a request is the one for which a fault is kept: the second of the task, or the one whose answer is files."""
        if self.writes_itself:
            return bool(seen.body.get("stream"))
        return shell(seen.body) is not None and self.done() == 1

    def done(self) -> int:
        """Number of commands that were run, or begun."""
        try:
            return min(2, len((self.work / "ran").read_text().split()))
        except OSError:
            return 0

    def events(self, path: str, model: str, body: dict[str, Any]) -> list[tuple[str, Any]]:
        """The events of an answer, which has an id of its own."""
        text = json.dumps(self._events(path, model, body, number := next(self.numbers)))
        for name in ("resp_", "resp-", "msg_", "chatcmpl-"):
            text = text.replace(f'"{name}1"', f'"{name}{number}"')
        return [(kind, data) for kind, data in json.loads(text)]

    def _events(self, path: str, model: str, body: dict[str, Any], number: int) -> list[tuple[str, Any]]:
        found = shell(body)
        if self.writes_itself:
            # The call beside it, without a stream, asks for a commit's message.
            said = [WRITTEN[at : at + 30] for at in range(0, len(WRITTEN), 30)] if self._asked_for_files(body) else ["Add calc."]
            return scripted.plain_events(path, model, said, 1000)
        if found is None or asks_for_a_summary(body):
            return scripted.plain_events(path, model, ["Add calculator:", " calc.py is written."], 1000)
        done = self.done()
        if done == len(COMMANDS) and not self.finishes:
            return scripted.plain_events(path, model, ["Done: the test", " passes."], 1000)
        command = FINISH if done == len(COMMANDS) else COMMANDS[done]
        events, half = tool_answer(path, model, found[0], arguments(found[1], command), number, thinks(path, body))
        if self.fault is not None and done == 1:
            self.fault.after = half
        return events

    @staticmethod
    def _asked_for_files(body: dict[str, Any]) -> bool:
        return "commit message" not in json.dumps(body)[:4000]


def asks_for_a_summary(body: dict[str, Any]) -> bool:
    """Whether the history is to be made shorter: some clients offer their tools with that, too."""
    history = next((body[name] for name in ("messages", "input", "contents") if isinstance(body.get(name), list)), [{}])
    return "summary of" in json.dumps(history[-1])


def thinks(path: str, body: dict[str, Any]) -> bool:
    """Whether the answer begins with signed thoughts."""
    if path == MESSAGES:
        return (body.get("thinking") or {}).get("type") in ("adaptive", "enabled")
    return path == GEMINI or (path == RESPONSES and "reasoning.encrypted_content" in (body.get("include") or ()))


def tool_answer(
    path: str, model: str, name: str, given: dict[str, Any], number: int, thinking: bool
) -> tuple[list[tuple[str, Any]], int]:
    """The events of an answer that calls a tool, and how many of them come before the call is whole."""
    written = {MESSAGES: _messages, RESPONSES: _responses, CHAT: _chat, GEMINI: _gemini}[path]
    events, half = written(
        model, name, given, number, scripted.plain_events(path, model, [], 1000), seal(model, number) if thinking else None
    )
    return events, half


Events = list[tuple[str, Any]]


def _typed(kind: str, **more: Any) -> tuple[str, Any]:
    return kind, {"type": kind, **more}


def _messages(model: str, name: str, given: Any, number: int, around: Events, sealed: str | None) -> tuple[Events, int]:
    thought: Events = []
    if sealed is not None:
        thought = [
            _typed("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
            _typed("content_block_delta", index=0, delta={"type": "signature_delta", "signature": sealed}),
            _typed("content_block_stop", index=0),
        ]
    place = 1 if thought else 0
    thought += [
        _typed("content_block_start", index=place, content_block={"type": "text", "text": ""}),
        _typed("content_block_delta", index=place, delta={"type": "text_delta", "text": SAID}),
        _typed("content_block_stop", index=place),
    ]
    place += 1
    block = {"type": "tool_use", "id": f"toolu_{number:04d}", "name": name, "input": {}}
    deltas = [
        _typed("content_block_delta", index=place, delta={"type": "input_json_delta", "partial_json": part})
        for part in halves(json.dumps(given))
    ]
    end = _typed(
        "message_delta", delta={"stop_reason": "tool_use", "stop_sequence": None}, usage={"output_tokens": scripted.USAGE_OUT}
    )
    before = [around[0], around[1], *thought, _typed("content_block_start", index=place, content_block=block)]
    return [*before, *deltas, _typed("content_block_stop", index=place), end, around[-1]], len(before) + 1


def _responses(model: str, name: str, given: Any, number: int, around: Events, sealed: str | None) -> tuple[Events, int]:
    text = json.dumps(given)
    thought = {"id": f"rs_{number}", "type": "reasoning", "summary": [], "encrypted_content": sealed}
    item = {"id": f"fc_{number}", "type": "function_call", "call_id": f"call_{number}", "name": name, "arguments": text, "status": "completed"}  # fmt: skip
    place = 0 if sealed is None else 1
    before = [around[0]]
    if sealed is not None:
        before += [
            _typed("response.output_item.added", output_index=0, item={**thought, "encrypted_content": ""}),
            _typed("response.output_item.done", output_index=0, item=thought),
        ]
    before.append(_typed("response.output_item.added", output_index=place, item={**item, "arguments": "", "status": "in_progress"}))
    deltas = [
        _typed("response.function_call_arguments.delta", item_id=item["id"], output_index=place, delta=part)
        for part in halves(text)
    ]
    ends = [
        _typed("response.function_call_arguments.done", item_id=item["id"], output_index=place, arguments=text),
        _typed("response.output_item.done", output_index=place, item=item),
    ]
    kind, completed = around[-1]
    completed["response"]["output"] = [item] if sealed is None else [thought, item]
    return [*before, *deltas, *ends, (kind, completed)], len(before) + 1


def _chat(model: str, name: str, given: Any, number: int, around: Events, sealed: str | None) -> tuple[Events, int]:
    first, second = halves(json.dumps(given))
    base = around[0][1]
    told = lambda delta, end=None: ("", {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})  # noqa: E731
    call = {"index": 0, "id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": first}}
    rest = {"index": 0, "function": {"arguments": second}}
    return [around[0], told({"tool_calls": [call]}), told({"tool_calls": [rest]}), told({}, "tool_calls"), *around[-2:]], 2


def _gemini(model: str, name: str, given: Any, number: int, around: Events, sealed: str | None) -> tuple[Events, int]:
    thought = scripted.gemini_chunk(model, [{"text": "Hm.", "thought": True}])
    call = scripted.gemini_chunk(model, [{"functionCall": {"name": name, "args": given}, "thoughtSignature": sealed}])
    # A call comes whole: what can be cut is what stands before it.
    return [("", thought), ("", thought), ("", call), *around], 2


__all__ = ["CALC", "RAN", "Task"]
