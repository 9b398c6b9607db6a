"""Claude Code on a repository for a day: routed by `langroute serve`, judged by a git hook, so that a solved task has a price.

Start `langroute serve --config langroute.toml` and point Claude Code at it, with the repository's name in a header:

    export ANTHROPIC_BASE_URL=http://127.0.0.1:8900 ANTHROPIC_AUTH_TOKEN=$LANGROUTE_TOKEN
    export ANTHROPIC_CUSTOM_HEADERS="x-langroute-project: shop"
    claude

A session is a task. Claude Code tells its hooks which session it is (`SESSION_START`, for `.claude/settings.json`); the git hook `post-commit`
runs the tests of what was committed and tells the gateway what came of it. `langroute report --by project` then knows the cost of a solved task of each
repository, and `langroute top` shows the sessions while they run.

Here the provider is a script on loopback (`cookbook/loopback`), and a few lines speak Claude Code's protocol: the side call for a
title, then steps with a tool. What it runs, commits and tests is real. The model's second piece of work is wrong.

Output:
    session 1: Add total() to cart.py.
      title -> haiku
      step 1 -> haiku: runs a command
      step 2 -> haiku: runs a command
      step 3 -> haiku: Done.
      committed; the hook says: tests passed
    session 2: Redesign the cart's rounding, prove that it never loses a cent, and add discount().
      title -> haiku
      step 1 -> opus: runs a command
      step 2 -> opus: Done.
      committed; the hook says: tests failed
    shop: 2 tasks, 1 solved, 0.0375 USD for a solved task
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from loopback import Answered, LoopbackProvider, ask, commands_on_path, gateway

from langroute.ledger import open_ledger
from langroute.reports import Window, build_report

if os.name != "posix" or shutil.which("git") is None:
    print("needs git, and a POSIX shell for its hook")
    raise SystemExit(77)

# For the real provider leave out `base_url` and `price`: its address and list prices are known.
CONFIG = """
ledger = "ledger.db"

[routes.haiku]
provider = "anthropic"
model = "claude-haiku-4-5"
tier = "cheap"
price = {{ input = 1, output = 5 }}
base_url = "{provider}"

[routes.opus]
provider = "anthropic"
model = "claude-opus-4-8"
tier = "frontier"
price = {{ input = 5, output = 25 }}
base_url = "{provider}"
"""

KEEP_ID = """python -c "import json, sys; open('.git/langroute-session', 'w').write(json.load(sys.stdin)['session_id'])" """
SESSION_START = {"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": KEEP_ID}]}]}}

POST_COMMIT = """#!/bin/sh
session=$(cat .git/langroute-session) || exit 0
if python -B test_cart.py 2>/dev/null; then verdict=--success; else verdict=--failure; fi
langroute outcome "$session" $verdict --key tests_passed --source tests >/dev/null
echo "$verdict" >.git/verdict
"""

BASH = {
    "name": "Bash",
    "description": "Run a command.",
    "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}

TASKS = ("Add total() to cart.py.", "Redesign the cart's rounding, prove that it never loses a cent, and add discount().")
TOTAL = "def total(prices):\n    return sum(prices)\n"
DISCOUNT = "\n\ndef discount(price, percent):\n    return price - percent\n"
TEST_TOTAL = "from cart import total\n\nassert total([1, 2]) == 3\n"
TEST_DISCOUNT = "from cart import discount\n\nassert discount(50, 10) == 45\n"


def scripted(body: dict[str, Any]) -> str | tuple[str, dict[str, Any]]:
    """Answer as a model would that is good at sums and bad at percentages."""
    if not body.get("tools"):
        return "Work on the cart"
    if TASKS[0] in json.dumps(body["messages"]):
        work = [f"cat > cart.py <<'END'\n{TOTAL}END", f"cat > test_cart.py <<'END'\n{TEST_TOTAL}END"]
    else:
        work = [f"cat >> cart.py <<'END'\n{DISCOUNT}END\ncat >> test_cart.py <<'END'\n{TEST_DISCOUNT}END"]
    done = sum(message["role"] == "assistant" for message in body["messages"])
    return ("Bash", {"command": work[done]}) if done < len(work) else "Done."


class ClaudeCode:
    """What Claude Code does on the wire, and with its tool and its hook."""

    def __init__(self, url: str, repository: Path, environment: dict[str, str], session: str) -> None:
        self.url = url
        self.headers = {
            "authorization": f"Bearer {environment['LANGROUTE_TOKEN']}", "anthropic-version": "2023-06-01",
            "x-claude-code-session-id": session, "x-langroute-project": "shop",
        }  # fmt: skip
        self.repository, self.environment = repository, environment
        hook = SESSION_START["hooks"]["SessionStart"][0]["hooks"][0]["command"]
        self.shell(hook, said=json.dumps({"session_id": session, "hook_event_name": "SessionStart"}))

    def shell(self, command: str, said: str = "") -> str:
        """Run a command in the repository."""
        done = subprocess.run(
            command, shell=True, cwd=self.repository, env=self.environment, input=said, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def ask(self, messages: list[dict[str, Any]], system: str, tools: list[dict[str, Any]]) -> Answered:
        """Ask for a step."""
        body = {
            "model": "claude-opus-4-8",
            "messages": messages,
            "system": system,
            "tools": tools,
            "max_tokens": 4000,
            "stream": True,
        }
        return ask(self.url, "messages", body, self.headers)

    def work(self, task: str) -> None:
        """Do a task: a title beside it, then steps until there is no command left to run."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": task}]
        title = self.ask(messages, "Write a short title for this conversation, in at most seven words.", [])
        print(f"  title -> {title.route}")
        for step in range(1, 10):
            answer = self.ask(messages, "You are an agent that works in a terminal.", [BASH])
            print(f"  step {step} -> {answer.route}: {'runs a command' if answer.calls else answer.text}")
            if not answer.calls:
                return
            ((number, arguments),) = answer.calls
            said = {"type": "tool_use", "id": number, "name": "Bash", "input": arguments}
            result = {"type": "tool_result", "tool_use_id": number, "content": self.shell(arguments["command"]) or "(no output)"}
            messages += [{"role": "assistant", "content": [said]}, {"role": "user", "content": [result]}]


def main() -> None:
    """Let the agent work for a day, and read what a solved task cost."""
    with tempfile.TemporaryDirectory() as place, LoopbackProvider(scripted) as provider:
        folder, repository = Path(place), Path(place) / "shop"
        environment = {
            **os.environ, "ANTHROPIC_API_KEY": "a-key-of-the-provider", "LANGROUTE_TOKEN": "lr-token-of-this-machine",
            "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PATH": commands_on_path(folder),
        }  # fmt: skip
        with gateway(folder, CONFIG.format(provider=provider.url), environment) as url:
            environment["LANGROUTE_URL"] = url
            subprocess.run(["git", "init", "-q", str(repository)], check=True, env=environment)
            hook = repository / ".git" / "hooks" / "post-commit"
            hook.parent.mkdir(exist_ok=True)
            hook.write_text(POST_COMMIT, encoding="utf-8")
            hook.chmod(0o755)
            for number, task in enumerate(TASKS, 1):
                print(f"session {number}: {task}")
                agent = ClaudeCode(url, repository, environment, f"5e55-{number}")
                agent.work(task)
                agent.shell(f"git add -A && git -c user.name=ada -c user.email=ada@example.com commit -qm 'Session {number}'")
                verdict = (repository / ".git" / "verdict").read_text().strip()
                print(f"  committed; the hook says: tests {'passed' if verdict == '--success' else 'failed'}")
        with open_ledger(folder / "ledger.db") as ledger:
            for line in build_report(ledger, Window.since("1d"), by="project").lines:
                print(
                    f"{line.key}: {line.tasks} tasks, {line.success.hits} solved, {line.per_success.usd:.4f} USD for a solved task"
                )


if __name__ == "__main__":
    main()
