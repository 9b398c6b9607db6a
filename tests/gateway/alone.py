"""Runs a coding agent, the gateway and the scripted provider in a network namespace that has loopback alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import provider as scripted
from gateways import Running
from provider import CHAT, GEMINI, MESSAGES, RESPONSES, Fault, Provider

COMMANDS = (
    "printf 'def add(a, b):\\n    return a + b\\n' > calc.py && printf 'from calc import add\\nassert add(2, 3) == 5\\n' > test_calc.py",
    "python3 test_calc.py",
)
AIDER = "calc.py\n```python\ndef add(a, b):\n    return a + b\n```\n\ntest_calc.py\n```python\nfrom calc import add\nassert add(2, 3) == 5\n```\n"
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


def results(path: str, body: dict[str, Any]) -> int:
    """Number of tool results in a request."""
    if path == RESPONSES:
        return sum(str(item.get("type", "")).endswith("_call_output") for item in body.get("input", []) if isinstance(item, dict))
    if path == GEMINI:
        return sum("functionResponse" in part for entry in body["contents"] for part in entry["parts"])
    if path == CHAT:
        return sum(message.get("role") == "tool" for message in body["messages"])
    blocks = [block for message in body["messages"] if isinstance(message["content"], list) for block in message["content"]]
    return sum(block.get("type") == "tool_result" for block in blocks)


def shell(path: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
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


def tool_answer(path: str, model: str, name: str, given: dict[str, Any], number: int) -> list[tuple[str, Any]]:
    """The events of an answer that calls a tool."""
    text = json.dumps(given)
    events = scripted.plain_events(path, model, [], 1000)
    if path == GEMINI:
        call = scripted.gemini_chunk(model, [{"functionCall": {"name": name, "args": given}, "thoughtSignature": f"c2ln{number}"}])
        thought = scripted.gemini_chunk(model, [{"text": "Hm.", "thought": True}])
        return [*[("", thought)] * 4, ("", call), *events]
    if path == MESSAGES:
        block = {"type": "tool_use", "id": f"toolu_{number:04d}", "name": name, "input": {}}
        call = [
            ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": block}),
            *(
                (
                    "content_block_delta",
                    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": part}},
                )
                for part in (text[:10], text[10:])
            ),
            ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        ]
        end = {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": {"output_tokens": 20}}
        return [events[0], events[1], *call, ("message_delta", end), events[-1]]
    if path == RESPONSES:
        item = {
            "id": f"fc_{number}",
            "type": "function_call",
            "call_id": f"call_{number}",
            "name": name,
            "arguments": text,
            "status": "completed",
        }
        done = events[-1][1]
        done["response"]["output"] = [item]
        return [
            events[0],
            ("response.output_item.added", {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}}),
            *(
                ("response.function_call_arguments.delta", {"type": "response.function_call_arguments.delta", "item_id": item["id"], "output_index": 0, "delta": part})
                for part in (text[:10], text[10:])
            ),
            ("response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": item}),
            (events[-1][0], done),
        ]  # fmt: skip
    base = events[0][1]
    call = {"index": 0, "id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": text[:10]}}
    rest = {"index": 0, "function": {"arguments": text[10:]}}
    told = lambda delta, end=None: ("", {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})  # noqa: E731
    return [events[0], told({"tool_calls": [call]}), told({"tool_calls": [rest]}), told({}, "tool_calls"), *events[-2:]]


def scripted_answer(order: dict[str, Any]) -> Any:
    """What the provider says to each request of the task."""
    numbers = iter(range(1, 1000))

    def events(path: str, model: str, body: dict[str, Any]) -> list[tuple[str, Any]]:
        found = shell(path, body)
        if order["name"] == "aider":
            said = "Add calc." if not body.get("stream") else AIDER
            return scripted.plain_events(path, model, [said], 1000)
        if found is None:
            return scripted.plain_events(path, model, ["Add calculator"], 1000)
        done = results(path, body)
        if order["name"] == "mini" and done >= len(COMMANDS):
            command = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
        elif done >= len(COMMANDS):
            return scripted.plain_events(path, model, ["Done: the test passes."], 1000)
        else:
            command = COMMANDS[done]
        return tool_answer(path, model, found[0], arguments(found[1], command), next(numbers))

    return events


def main() -> None:
    """Run what the order says."""
    order = json.loads(Path(sys.argv[1]).read_text())
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    provider = Provider()
    provider.script = scripted_answer(order)
    route = (
        f'[routes.only]\nprovider = "anthropic"\nmodel = "only-1"\nkey_env = "KEY"\nbase_url = "{provider.url}"\n'
        'protocols = ["chat", "responses", "messages", "gemini"]\nprice = { input = 10, output = 20 }\n'
    )
    gateway = Running(f"{route}[serve]\nport = 8900\nresend_seconds = 10\n", token="lr-test")
    if order["fault"]:
        provider.faults, provider.pause = [Fault(how=order["fault"], after=4, tools=True)], 0.02
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": order["home"],
        "TERM": "dumb",
        "NO_COLOR": "1",
        "CI": "1",
        "LANG": "C.UTF-8",
        **order["environment"],
    }
    done = subprocess.run(
        order["client"],
        cwd=order["work"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    gateway.end()
    time.sleep(0.1)
    decisions = gateway.decisions
    costs = [decision.cost_usd for decision in decisions]
    told = {
        "code": done.returncode,
        "calls": sum(seen.path == order["path"] for seen in provider.seen),
        "answered": sum(seen.ended == "whole" for seen in provider.seen),
        "steps": len(decisions),
        "cost": None if None in costs else sum(costs),
        "said": done.stdout[-500:] + done.stderr[-500:],
    }
    Path(order["told"]).write_text(json.dumps(told))
    # Threads of servers do not hold up the end.
    os._exit(0)


if __name__ == "__main__":
    main()
