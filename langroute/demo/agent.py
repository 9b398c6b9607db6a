"""How does the demo's coding agent work? A LangGraph graph: plan, write, test, repair where tests fail, summarise.

The agent knows one chat model and nothing of routing. Each node is a step of its own kind, which the router tells by the node's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypedDict

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph

from langroute.answers import text_of
from langroute.demo.sandbox import LIMITS, Limits, Tested, run_tests
from langroute.demo.tasks import Task
from langroute.records import Attempt, Request, Verdict

CODER = "You write one Python function. Answer with one Python code block and nothing else: no example, no explanation."
PLANNER = 'You plan small Python functions. Answer in JSON: {"approach": "..."}'
WRITER = "You say in one short sentence what a Python function does."

MAX_TOKENS = 220
"""Longest answer with code: the longest right one of a small model takes 180."""

PLAN_SCHEMA = {
    "title": "plan",
    "type": "object",
    "properties": {"approach": {"type": "string", "maxLength": 90}},
    "required": ["approach"],
    "additionalProperties": False,
}
"""How a plan is written down; bounded, so that a small model comes to an end."""

_FENCE = re.compile(r"```(?:python|py)?[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)


class State(TypedDict, total=False):
    """What the agent knows of its task so far."""

    task: Task
    plan: str
    code: str
    tested: Tested
    repairs: int
    summary: str


def build_agent(model: Any, *, max_repairs: int = 1, limits: Limits = LIMITS) -> Any:
    """Compile the agent's graph.

    Args:
        model: Any chat model.
        max_repairs: How often it may try again after failed tests.
        limits: What the code under test may use.
    """
    planner = model.with_structured_output(PLAN_SCHEMA, include_raw=True)

    def plan(state: State) -> State:
        prompt = f"{wanted(state['task'])}\nDo not write it yet: say in one short sentence how to do it."
        parsed = planner.invoke([SystemMessage(PLANNER), HumanMessage(prompt)])["parsed"] or {}
        approach = str(parsed.get("approach", ""))
        # A plan that cannot be read, or only names the function, is no plan; the agent goes on without.
        return {"plan": approach if len(approach.split()) > 2 else ""}

    def write(state: State) -> State:
        prompt = wanted(state["task"]) + (f"\nPlan: {state['plan']}" if state["plan"] else "")
        return {"code": code_in(model.invoke([SystemMessage(CODER), HumanMessage(prompt)], max_tokens=MAX_TOKENS))}

    def test(state: State) -> State:
        return {"tested": run_tests(state["code"], state["task"], limits)}

    def repair(state: State) -> State:
        failure = state["tested"].failures[0]
        prompt = f"{wanted(state['task'])}\nThis is wrong:\n```python\n{state['code']}\n```\n{failure}.\nWrite it right."
        answer = model.invoke([SystemMessage(CODER), HumanMessage(prompt)], max_tokens=MAX_TOKENS)
        return {"code": code_in(answer), "repairs": state.get("repairs", 0) + 1}

    def summarize(state: State) -> State:
        prompt = f"```python\n{state['code']}\n```\nWhat does it do?"
        # One sentence: a small model would go on.
        answer = model.invoke([SystemMessage(WRITER), HumanMessage(prompt)], max_tokens=60, stop=[". ", ".\n", "\n"])
        return {"summary": text_of(answer).strip()}

    def judge(state: State) -> str:
        return "repair" if not state["tested"].ok and state.get("repairs", 0) < max_repairs else "summarize"

    graph = StateGraph(State)
    for node in (plan, write, test, repair, summarize):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "plan")
    graph.add_edge("plan", "write")
    graph.add_edge("write", "test")
    graph.add_conditional_edges("test", judge, ["repair", "summarize"])
    graph.add_edge("repair", "test")
    graph.add_edge("summarize", END)
    return graph.compile()


def wanted(task: Task) -> str:
    """A task as the agent is told.

    Example:
        >>> from langroute.demo.tasks import TASKS
        >>> print(wanted(TASKS[0]))
        Write a Python function add(a, b) that returns the sum of two numbers.
        Example: add(2, 3) == 5
    """
    return f"Write a Python function {task.signature} that {task.wanted}.\nExample: {task.example}"


def code_in(answer: Any) -> str:
    r"""The code in an answer: what is fenced, else all of it.

    Example:
        >>> code_in("Sure:\n" + "`" * 3 + "python\nx = 1\n" + "`" * 3)
        'x = 1\n'
    """
    text = text_of(answer)
    fenced = _FENCE.search(text)
    return fenced.group(1) if fenced else text


class TestsPass:
    """A verifier: code that the agent writes passes the tests of its task.

    Only steps that write code are looked at. Which task it is stands in the step: the agent runs inside `task(...)`.

    Args:
        tasks: The tasks, by name.
        limits: What the code under test may use.
    """

    name = "tests_pass"
    __test__ = False  # for pytest: no collection of tests

    def __init__(self, tasks: Iterable[Task], limits: Limits = LIMITS) -> None:
        self.tasks = {task.name: task for task in tasks}
        self.limits = limits

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Run the tests."""
        step = request.step
        task = self.tasks.get((step.task or "").rpartition("/")[2])
        if step.kind != "edit" or task is None:
            return Verdict(self.name, 1.0, "no code to test")
        tested = run_tests(code_in(attempt.answer), task, self.limits)
        return Verdict(self.name, 1.0 if tested.ok else 0.0, "" if tested.ok else tested.failures[0])
