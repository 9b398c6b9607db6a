"""What `RouterMiddleware` makes an agent do beside its model calls: no steps, runs or tasks of its own, and no second reading of its tools."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_core.utils import function_calling
from recorder import Recorder

from langroute import RouterMiddleware
from langroute.policies import Fixed
from langroute.testing import ScriptedModel

ASKED = {"messages": [("user", "What is 1 + 2?")]}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Nothing(AgentMiddleware):
    """Middleware that passes every call on."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return handler(request)

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        return await handler(request)


def adding() -> ScriptedModel:
    called = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "call_add", "type": "tool_call"}])
    return ScriptedModel(lambda messages: AIMessage("It is 3.") if messages[-1].type == "tool" else called)


def routing() -> RouterMiddleware:
    return RouterMiddleware({"cheap": adding(), "frontier": adding()}, policy=Fixed("cheap"))


def test_an_agents_graph_has_no_more_nodes_with_the_middleware_than_without() -> None:
    def nodes(*middleware: AgentMiddleware) -> list[str]:
        return list(create_agent(adding(), [add], middleware=middleware).get_graph().nodes)

    assert nodes(routing()) == nodes()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_agent_makes_the_same_runs_with_the_middleware_as_without(asynchronous: bool) -> None:
    async def events(*middleware: Any) -> list[str]:
        agent, recorder = create_agent(adding(), [add], middleware=middleware), Recorder()
        config: Any = {"callbacks": [recorder]}
        await agent.ainvoke(ASKED, config) if asynchronous else agent.invoke(ASKED, config)
        return [event[0] for event in recorder.events]

    assert await events(routing()) == await events()


async def test_an_awaited_call_makes_no_more_tasks_and_hops_than_middleware_that_does_nothing() -> None:
    async def made(one: AgentMiddleware) -> tuple[int, int]:
        agent, loop, hops = create_agent(adding(), [add], middleware=[one]), asyncio.get_running_loop(), []
        tasks: list[Any] = []

        def hop(*args: Any) -> Any:
            hops.append(args)
            return type(loop).run_in_executor(loop, *args)

        def task(loop: Any, work: Any, **given: Any) -> Any:
            tasks.append(work)
            return asyncio.Task(work, loop=loop, **given)

        loop.run_in_executor = hop  # type: ignore[method-assign]
        loop.set_task_factory(task)
        try:
            await agent.ainvoke(ASKED)
        finally:
            loop.set_task_factory(None)
            del loop.run_in_executor
        return len(tasks), len(hops)

    assert await made(routing()) == await made(Nothing())


def test_tools_are_read_once_for_all_calls_of_an_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    whole = function_calling.convert_to_openai_tool

    def reading(tool: Any, **given: Any) -> Any:
        read.append(tool)
        return whole(tool, **given)

    # The scripted model has the function by its name from before: what is counted is the router's own reading.
    monkeypatch.setattr(function_calling, "convert_to_openai_tool", reading)
    agent = create_agent(adding(), [add], middleware=[routing()])
    for _ in range(3):
        agent.invoke(ASKED)
    assert len(read) == 1
