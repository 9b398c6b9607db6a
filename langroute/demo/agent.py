"""Coding agent of the demo, a LangGraph graph: plan, write, test, repair where tests fail, summarize.

The agent uses one chat model and is unaware of routing. Each node is a kind of step, which the router derives from the node's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph

from langroute.core.answers import text_of
from langroute.core.records import Attempt, Request, Verdict
from langroute.core.subtask_pin import attempt_is_provisional
from langroute.demo.sandbox import LIMITS, SandboxLimits, Tested, run_tests
from langroute.demo.tasks import DemoTask
from langroute.hosts.chat_model import ChatRouter
from langroute.hosts.subtask import RouteSubtask

CODER = "You write one Python function. Answer with one Python code block and nothing else: no example, no explanation."
PLANNER = 'You plan small Python functions. Answer in JSON: {"approach": "..."}'
WRITER = "You say in one short sentence what a Python function does."

MAX_TOKENS = 220
"""Most tokens of an answer with code: the longest correct one of a small model takes 180."""

PLAN_SCHEMA = {
    "title": "plan",
    "type": "object",
    "properties": {"approach": {"type": "string", "maxLength": 90}},
    "required": ["approach"],
    "additionalProperties": False,
}
"""JSON schema of a plan; bounded, so that a small model's generation ends."""

READ = 20_000
"""Characters of an answer that are searched for code."""

_FENCE = re.compile(r"```(?:python|py)?[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)


class State(TypedDict, total=False):
    """Graph state of the agent."""

    task: DemoTask
    plan: str
    code: str
    tested: Tested
    repairs: int
    summary: str


Testing = Callable[[str, DemoTask, SandboxLimits], Tested]
"""Runs a task's tests on code, within limits."""


def build_agent(model: Any, *, max_repairs: int = 1, limits: SandboxLimits = LIMITS, testing: Testing = run_tests) -> Any:
    """Compile the agent's graph.

    Args:
        model: Any chat model.
        max_repairs: Most repairs after failed tests.
        limits: Resource limits of the code under test.
        testing: Runs the tests.
    """
    graph = _coder(model, max_repairs, limits, "summarize", testing=testing)
    graph.add_node("summarize", _summarize(model))
    graph.add_edge("summarize", END)
    return graph.compile()


def build_subtask_agent(
    model: ChatRouter,
    *,
    max_repairs: int = 1,
    limits: SandboxLimits = LIMITS,
    repairs_last: bool = False,
    keeps_plan: bool = False,
) -> Any:
    """Compile the agent's graph with the code as one subtask, which is begun anew on the next route where its tests fail at last.

    Args:
        model: A router.
        max_repairs: Most repairs after failed tests.
        limits: Resource limits of the code under test.
        repairs_last: Whether only the last route repairs; what another one writes wrong goes to the next at once.
        keeps_plan: Whether the next route goes by the plan that there is.
    """
    coder = _coder(model, max_repairs, limits, END, goes_on=keeps_plan, repairs_last=repairs_last).compile()
    graph = StateGraph(State)
    handover = (lambda result, _: {"plan": (result or {}).get("plan", "")}) if keeps_plan else None
    graph.add_node("code", RouteSubtask(coder, model, verify=passes_tests, handover=handover, name="code"))
    graph.add_node("summarize", _summarize(model))
    graph.add_edge(START, "code")
    graph.add_edge("code", "summarize")
    graph.add_edge("summarize", END)
    return graph.compile()


def build_handover_agent(model: ChatRouter, *, limits: SandboxLimits = LIMITS) -> Any:
    """Compile the agent's graph with the code as one subtask that the next route goes on with: it repairs what the tests rejected.

    The first route plans and writes, and repairs nothing; the next one has two repairs.

    Args:
        model: A router.
        limits: Resource limits of the code under test.
    """
    coder = _coder(model, 0, limits, END, goes_on=True).compile()
    graph = StateGraph(State)
    graph.add_node(
        "code", RouteSubtask(coder, model, verify=passes_tests, restart=False, handover=lambda *_: {"repairs": -2}, name="code")
    )
    graph.add_node("summarize", _summarize(model))
    graph.add_edge(START, "code")
    graph.add_edge("code", "summarize")
    graph.add_edge("summarize", END)
    return graph.compile()


def passes_tests(state: State) -> Verdict:
    """Return whether the code in a state has passed its tests."""
    tested = state["tested"]
    return Verdict("tests", 1.0 if tested.ok else 0.0, "" if tested.ok else tested.failures[0])


def _summarize(model: Any) -> Any:
    def summarize(state: State) -> State:
        prompt = f"```python\n{state['code']}\n```\nWhat does it do?"
        # Stops after one sentence, because a small model would go on.
        answer = model.invoke([SystemMessage(WRITER), HumanMessage(prompt)], max_tokens=60, stop=[". ", ".\n", "\n"])
        return {"summary": text_of(answer).strip()}

    return summarize


def _coder(
    model: Any,
    max_repairs: int,
    limits: SandboxLimits,
    after: str,
    *,
    goes_on: bool = False,
    repairs_last: bool = False,
    testing: Testing = run_tests,
) -> StateGraph[Any, Any, Any, Any]:
    """Return the part of the graph that plans, writes, tests and repairs, and then goes to the node `after`.

    With `goes_on` it begins with a repair where there is code that has failed its tests, and with the code where there is a plan. With
    `repairs_last` it ends instead of repairing where another route would begin anew.
    """
    planner = model.with_structured_output(PLAN_SCHEMA, include_raw=True)

    def plan(state: State) -> State:
        prompt = f"{wanted(state['task'])}\nDo not write it yet: say in one short sentence how to do it."
        parsed = planner.invoke([SystemMessage(PLANNER), HumanMessage(prompt)])["parsed"] or {}
        approach = str(parsed.get("approach", ""))
        # A plan that cannot be parsed, or only names the function, is dropped.
        return {"plan": approach if len(approach.split()) > 2 else ""}

    def write(state: State) -> State:
        prompt = wanted(state["task"]) + (f"\nPlan: {state['plan']}" if state["plan"] else "")
        return {"code": code_in(model.invoke([SystemMessage(CODER), HumanMessage(prompt)], max_tokens=MAX_TOKENS))}

    def test(state: State) -> State:
        return {"tested": testing(state["code"], state["task"], limits)}

    def repair(state: State) -> State:
        failure = state["tested"].failures[0]
        prompt = f"{wanted(state['task'])}\nThis is wrong:\n```python\n{state['code']}\n```\n{failure}.\nWrite it right."
        answer = model.invoke([SystemMessage(CODER), HumanMessage(prompt)], max_tokens=MAX_TOKENS)
        return {"code": code_in(answer), "repairs": state.get("repairs", 0) + 1}

    def judge(state: State) -> str:
        repairs = state.get("repairs", 0) < max_repairs and not (repairs_last and attempt_is_provisional())
        return "repair" if not state["tested"].ok and repairs else after

    def begin(state: State) -> str:
        return "repair" if "tested" in state else "write" if "plan" in state else "plan"

    graph = StateGraph(State)
    for node in (plan, write, test, repair):
        graph.add_node(node.__name__, node)
    if goes_on:
        graph.add_conditional_edges(START, begin, ["repair", "write", "plan"])
    else:
        graph.add_edge(START, "plan")
    graph.add_edge("plan", "write")
    graph.add_edge("write", "test")
    graph.add_conditional_edges("test", judge, ["repair", after])
    graph.add_edge("repair", "test")
    return graph


def wanted(task: DemoTask) -> str:
    """Return the description of a task that the agent receives.

    Example:
        >>> from langroute.demo.tasks import TASKS
        >>> print(wanted(TASKS[0]))
        Write a Python function add(a, b) that returns the sum of two numbers.
        Example: add(2, 3) == 5
    """
    return f"Write a Python function {task.signature} that {task.wanted}.\nExample: {task.example}"


def code_in(answer: Any) -> str:
    r"""Return the code in an answer: the fenced block, else all of it.

    Example:
        >>> code_in("Sure:\n" + "`" * 3 + "python\nx = 1\n" + "`" * 3)
        'x = 1\n'
    """
    text = text_of(answer)
    fenced = _FENCE.search(text[:READ])
    return fenced.group(1) if fenced else text


class TestsPass:
    """Verifier that runs the tests of a task on the code that the agent wrote.

    Only steps that write code are checked. The step names the task, because the agent runs inside `task(...)`.

    Args:
        tasks: The tasks, by name.
        limits: Resource limits of the code under test.
        testing: Runs the tests.
    """

    name = "tests_pass"
    __test__ = False  # for pytest: no collection of tests

    def __init__(self, tasks: Iterable[DemoTask], limits: SandboxLimits = LIMITS, testing: Testing = run_tests) -> None:
        self.tasks = {task.name: task for task in tasks}
        self.limits, self.testing = limits, testing

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Run the tests."""
        step = request.step
        task = self.tasks.get((step.task or "").rpartition("/")[2])
        if step.kind != "edit" or task is None:
            return Verdict(self.name, 1.0, "no code to test")
        tested = self.testing(code_in(attempt.answer), task, self.limits)
        return Verdict(self.name, 1.0 if tested.ok else 0.0, "" if tested.ok else tested.failures[0])
