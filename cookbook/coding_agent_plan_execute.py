"""A coding agent that plans with the strong model, executes with the cheap one, and proves it with real tests.

The tests are real: they run in a Python process of their own against the file that the agent wrote. Only the models are scripted, so that the
recipe runs anywhere. The strong one plans the turn; the cheap one writes and tests; when its tests have failed twice the policy calls that
stuck, and the strong one looks over the work. The cheap one then goes on. Prompt caches are counted: `CacheAware` goes around the policy,
whose plans and reviews say `override_wrappers`, so they are not traded for a warm cache.

Output:
    1 act      frontier  plans the turn
    2 observe  cheap     executes
    3 observe  cheap     executes
    4 observe  frontier  reviews: the agent is stuck
    5 observe  cheap     executes
    6 observe  cheap     executes
    the agent says: slugify is done; its tests pass.
    the tests say: 3 passed
    cost: 0.0032 USD, 0.0062 with the frontier alone
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool

from langroute import Route, RouterMiddleware
from langroute.policies import CacheAware, PlanExecute
from langroute.testing import ScriptedModel

FOLDER = Path(tempfile.mkdtemp(prefix="langroute-recipe-"))
TESTS = """
from slug import slugify
assert slugify("Hello World") == "hello-world", "words are joined"
assert slugify("  Hello,   World! ") == "hello-world", "signs and spaces go"
assert slugify("") == "", "nothing stays nothing"
print("3 passed")
"""
(FOLDER / "test_slug.py").write_text(TESTS)

WRONG = "def slugify(text):\n    return text.lower().replace(' ', '-')\n"
RIGHT = "import re\n\ndef slugify(text):\n    return '-'.join(re.findall(r'[a-z0-9]+', text.lower()))\n"


@tool
def write_file(name: str, text: str) -> str:
    """Write a file."""
    (FOLDER / Path(name).name).write_text(text)
    return f"wrote {name}"


@tool
def run_tests() -> str:
    """Run the tests."""
    done = subprocess.run([sys.executable, "test_slug.py"], cwd=FOLDER, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout.strip()


class FailuresAreResults(AgentMiddleware):
    """Middleware that returns a tool's error as its result instead of ending the agent."""

    def wrap_tool_call(self, request, handler):
        """Return the error as the result if a tool raises."""
        try:
            return handler(request)
        except RuntimeError as error:
            return ToolMessage(f"Error: {error}", tool_call_id=request.tool_call["id"], status="error")


def write_and_test(text: str, number: int, thought: str = "") -> AIMessage:
    """Return a model's request to write the file and run the tests."""
    return AIMessage(
        thought,
        tool_calls=[
            {"name": "write_file", "args": {"name": "slug.py", "text": text}, "id": f"write_{number}"},
            {"name": "run_tests", "args": {}, "id": f"test_{number}"},
        ],
    )


def look(number: int, thought: str) -> AIMessage:
    """Return a model's request to run the tests."""
    return AIMessage(thought, tool_calls=[{"name": "run_tests", "args": {}, "id": f"look_{number}"}])


planner = ScriptedModel(
    AIMessage(
        "Plan: 1. write slugify in slug.py, 2. run the tests, 3. mend it until they pass.",
        tool_calls=[{"name": "write_file", "args": {"name": "slug.py", "text": "# to do\n"}, "id": "plan"}],
    ),
    write_and_test(RIGHT, 9, "Review: punctuation and runs of spaces break it. Keep the letters and digits, join them."),
    model="planner",
)
coder = ScriptedModel(
    look(1, "The tests first."),
    write_and_test(WRONG, 2),
    look(4, "Once more, to be sure."),
    "slugify is done; its tests pass.",
    model="coder",
)
# With real models:
#   from langchain.chat_models import init_chat_model
#   routes = {"cheap": "openai:gpt-5-mini", "frontier": "anthropic:claude-opus-4-6"}
#   planner = init_chat_model("anthropic:claude-opus-4-6")
routes = {
    "cheap": Route(coder, price={"input": 1, "output": 5, "cache_read": 0.1}),
    "frontier": Route(planner, price={"input": 5, "output": 25, "cache_read": 0.5}),
}
policy = CacheAware(PlanExecute.for_coding_agents())
agent = create_agent(planner, [write_file, run_tests], middleware=[RouterMiddleware(routes, policy=policy), FailuresAreResults()])


def main() -> None:
    """Run the agent, show each step's decision, and run the tests once more without it."""
    messages = agent.invoke({"messages": "Write slugify in slug.py so that the tests in test_slug.py pass."})["messages"]
    steps = [message for message in messages if isinstance(message, AIMessage)]
    carried = [message.response_metadata["langroute"] for message in steps]
    for place, step in enumerate(carried, 1):
        print(f"{place} {step['step']['kind']:8} {step['route']:9} {step['reason']}")
    print("the agent says:", steps[-1].text)
    print("the tests say:", run_tests.invoke({}))
    cost, alone = (sum(step[key] for step in carried) for key in ("cost_usd", "baseline_cost_usd"))
    print(f"cost: {cost:.4f} USD, {alone:.4f} with the frontier alone")


if __name__ == "__main__":
    main()
