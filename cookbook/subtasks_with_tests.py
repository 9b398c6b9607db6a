"""Subtasks with tests: a coding agent works on one cheap model for as long as its tests pass, and begins anew on the next one where they fail.

The agent is a graph of its own: it reads a file, writes it, and ends. `RouteSubtask` runs the whole of it on one route, runs the tests, and
where they fail puts the file back as it was and runs the agent again on the next route. What the tests said later (here a second set
that the agent never saw) goes to the same ledger, and the report says how good the first tests were beside what this pair of routes
needs. The models are scripted so that the recipe runs offline; the tests are run for real.

Output:
    add       cheap: accepted
    clamp     cheap: score 0.00: tests_pass, clamp(0, 1, 3) is not 1; frontier: accepted
    is_prime  cheap: accepted
    median    cheap: score 0.00: tests_pass, median([1, 2, 3, 4]) is not 2.5; frontier: accepted
    initials  (frontier alone) frontier: accepted
    Subtask fix, cheap before frontier: 2 of 4 results were accepted; 50 % (9–91) of the accepted were right, break-even is 100 %: the
    cascade loses, by too few outcomes to be sure; it solved 75 % (30–95) at 0.000242 USD each, frontier alone 100 % (21–100) at
    0.00044 USD each.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph

from langroute import ChatRouter, Route, RouteSubtask, open_ledger, record_outcome
from langroute.reports.build import build_report
from langroute.reports.window import Window
from langroute.reports.words import cascade_of
from langroute.testing import ScriptedModel

work = Path(tempfile.mkdtemp())

TASKS = {
    "add": ["add(2, 3) == 5"],
    "clamp": ["clamp(5, 1, 3) == 3", "clamp(0, 1, 3) == 1"],
    "is_prime": ["is_prime(7)", "not is_prime(8)"],
    "median": ["median([3, 1, 2]) == 2", "median([1, 2, 3, 4]) == 2.5"],
    "initials": ["initials('Ada Lovelace') == 'AL'"],
}
HIDDEN = {"is_prime": ["not is_prime(9)"]}
CHEAP = {
    "add": "def add(a, b): return a + b",
    "clamp": "def clamp(x, low, high): return min(x, high)",
    "is_prime": "def is_prime(n): return n % 2 == 1",
    "median": "def median(xs): return sorted(xs)[len(xs) // 2]",
}
FRONTIER = {
    "clamp": "def clamp(x, low, high): return max(low, min(x, high))",
    "median": "from statistics import median",
    "initials": "def initials(name): return ''.join(word[0] for word in name.split())",
}


@tool
def write_file(name: str, code: str) -> str:
    """Write a Python file."""
    (work / f"{name}.py").write_text(code, encoding="utf-8")
    return "written"


def says(answers: dict[str, str]):
    """A model that writes the file it is asked for, then says that it is done."""

    def reply(messages):
        if messages[-1].type == "tool":
            return "Done."
        name = messages[-1].content.split()[1]
        return AIMessage("", tool_calls=[{"name": "write_file", "args": {"name": name, "code": answers[name]}, "id": "1"}])

    return ScriptedModel(reply)


def passes(name: str, checks: list[str]) -> str:
    """Run tests in a separate process; return the first that fails."""
    for check in checks:
        program = f"from {name} import {name}\nassert {check}"
        if subprocess.run([sys.executable, "-c", program], cwd=work, capture_output=True, timeout=20, check=False).returncode:
            return check.replace("==", "is not")
    return ""


class State(MessagesState):
    name: str
    routing: dict


def tests_pass(before, _):
    """The check: called with the state that the subtask began with, and its result."""
    failed = passes(before["name"], TASKS[before["name"]])
    assert not failed, failed
    return True


def undo(before, _):
    """Put the file back as it was: here, away."""
    (work / f"{before['name']}.py").unlink(missing_ok=True)


with open_ledger(work / "ledger.db") as ledger:
    # With real models:
    #   model = ChatRouter({"cheap": "openai:gpt-5-mini", "frontier": "anthropic:claude-opus-4-6"}, ledger=ledger)
    model = ChatRouter(
        {
            "cheap": Route(says(CHEAP), price={"input": 0.25, "output": 2}),
            "frontier": Route(says(FRONTIER), price={"input": 5, "output": 25}),
        },
        ledger=ledger,
    )
    coder = create_agent(model, [write_file])
    graph = StateGraph(State)
    graph.add_node("fix", RouteSubtask(coder, model, verify=tests_pass, undo=undo, record_key="routing"))
    graph.add_edge(START, "fix")
    graph.add_edge("fix", END)
    app = graph.compile()

    for name in TASKS:
        # A share of the tasks begins on the stronger route: what the cascade is compared with.
        alone = name == "initials"
        config = {"configurable": {"route": "frontier"}} if alone else None
        result = app.invoke({"name": name, "messages": [HumanMessage(f"Write {name} into {name}.py.")]}, config)
        told = "; ".join(f"{one['route']}: {one['verdict']}" for one in result["routing"]["attempts"])
        print(f"{name:<9} {'(frontier alone) ' if alone else ''}{told}")
        # What came of it, a minute or a week later.
        record_outcome(ledger, not passes(name, HIDDEN.get(name, [])), decision_id=result["routing"]["decision_id"], source="tests")

    ledger.flush()
    for line in build_report(ledger, Window.since("1d")).subtasks:
        print(textwrap.fill(cascade_of(line), 130))
