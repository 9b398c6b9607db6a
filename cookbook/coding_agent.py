"""A small coding agent whose tests decide which model writes.

A LangGraph graph writes a function, runs its tests for real and summarizes the result. The cheap model writes first; its answer is
provisional until the tests have passed in a process of their own, with limits on time and memory. Where they fail, the frontier model
writes, and the agent never sees the rejected code. The summary stays with the cheap model: nothing depends on it.

Scripted models write here, so that the recipe runs anywhere. With `--local` the same agent runs on two real models on this machine
(`pip install 'langroute[local]'`, then `langroute local fetch`).

Output:
    add             cheap                 4 of 4 tests   It returns the sum of its arguments.
    primes          cheap, then frontier  4 of 4 tests   It lists the primes up to n.
    why: edit step in node write -> frontier: cheap scored 0.00
    cost: 0.00010 USD, 0.00017 with the frontier model alone
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypedDict

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.graph import END, START, StateGraph

from langroute import ChatRouter, Price, Route, local, task
from langroute.demo.agent import TestsPass, code_in, wanted
from langroute.demo.sandbox import Tested, run_tests
from langroute.demo.tasks import DemoTask, tasks
from langroute.hosts.explain import explain
from langroute.policies.rules import Rule, Rules
from langroute.testing import ScriptedModel
from langroute.verifiers import default_verifiers

TASKS = tasks(["add", "primes"])


class State(TypedDict, total=False):
    """Graph state of the agent."""

    task: DemoTask
    answer: BaseMessage
    tested: Tested
    summary: str


def build(model: ChatRouter) -> Any:
    """Return the agent: an ordinary graph that uses one chat model."""

    def write(state: State) -> State:
        return {"answer": model.invoke([HumanMessage(wanted(state["task"]) + "\nOnly the code.")], max_tokens=220)}

    def test(state: State) -> State:
        return {"tested": run_tests(code_in(state["answer"]), state["task"])}

    def summarize(state: State) -> State:
        said = model.invoke(
            [HumanMessage(f"{code_in(state['answer'])}\nSay in one sentence what it does.")], max_tokens=60, stop=["\n"]
        )
        return {"summary": str(said.text)}

    graph = StateGraph(State)
    for node in (write, test, summarize):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "write")
    graph.add_edge("write", "test")
    graph.add_edge("test", "summarize")
    graph.add_edge("summarize", END)
    return graph.compile()


def scripted(**code: str) -> ScriptedModel:
    """Return a stand-in for a model that writes the given code and summarizes."""

    def reply(messages: list[BaseMessage]) -> str:
        asked = str(messages[-1].content)
        if "one sentence" in asked:
            return "It lists the primes up to n." if "primes" in asked else "It returns the sum of its arguments."
        return next(f"```python\n{text}\n```" for name, text in code.items() if f"function {name}(" in asked)

    return ScriptedModel(reply)


@contextmanager
def routes() -> Iterator[dict[str, Route]]:
    """Return scripted models, or real ones with `--local`."""
    if "--local" not in sys.argv:
        right = "def primes(n):\n    return [i for i in range(2, n + 1) if all(i % d for d in range(2, i))]"
        wrong = "def primes(n):\n    return [i for i in range(n) if i % 2]"
        add = "def add(a, b):\n    return a + b"
        # With real models:
        #   yield {"cheap": "openai:gpt-5-mini", "frontier": "anthropic:claude-opus-4-6"}
        yield {
            "cheap": Route(scripted(add=add, primes=wrong), price=Price(input=0.1, output=0.4)),
            "frontier": Route(scripted(add=add, primes=right), price=Price(input=0.5, output=2.0)),
        }
        return
    with ExitStack() as stack:
        names = {"cheap": "smollm2-135m", "frontier": "qwen2.5-coder-1.5b"}
        yield {tier: stack.enter_context(local.serve(name)).route() for tier, name in names.items()}


# The tests judge what the cheap model writes; a summary only has to be there.
policy = Rules([Rule("cheap", kind=("edit", "summarize"), verify=True)], default="frontier")
with routes() as given:
    model = ChatRouter(given, policy=policy, verifier=[*default_verifiers(), TestsPass(TASKS)])
    agent = build(model)
    for one in TASKS:
        with task(one.name, kind="function"):
            state = agent.invoke({"task": one})
        ways = ", then ".join(attempt["route"] for attempt in state["answer"].response_metadata["langroute"]["attempts"])
        print(f"{one.name:<15} {ways:<21} {state['tested'].passed} of {state['tested'].total} tests   {state['summary']}")

print("why:", explain(state["answer"]).splitlines()[0])
decisions = model.router.ledger.decisions
alone = [decision.baseline_cost_usd for decision in decisions]
spent = sum(decision.cost_usd or 0.0 for decision in decisions)
print(f"cost: {spent:.5f} USD" + ("" if None in alone else f", {sum(alone):.5f} with the frontier model alone"))
