"""A subtask knows whether another route will do it again if its result is rejected, and may leave repairs to that one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from demo_models import routes
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from langroute import ChatRouter, RouterMiddleware, RouteSubtask, attempt_is_provisional
from langroute.demo.compare import BRIEF, KEPT_PLAN, SUBTASK, compare, subtask_policy
from langroute.demo.tasks import tasks
from langroute.testing import ScriptedModel


def router() -> ChatRouter:
    return ChatRouter({"cheap": ScriptedModel("41"), "middle": ScriptedModel("41"), "frontier": ScriptedModel("41")})


def rejected(result: Any) -> bool:
    return False


@pytest.mark.parametrize("asynchronous", [False, True])
def test_all_but_the_last_attempt_are_provisional(asynchronous: bool) -> None:
    model, seen = router(), []

    def step(state: Any) -> Any:
        model.invoke("What is 6 * 7?")
        with ThreadPoolExecutor() as pool:
            seen.append((attempt_is_provisional(), pool.submit(copy_context().run, attempt_is_provisional).result()))
        return {"answer": "41"}

    node = RouteSubtask(step, model, verify=rejected)
    asyncio.run(node.ainvoke({})) if asynchronous else node.invoke({})

    assert seen == [(True, True), (True, True), (False, False)]
    assert not attempt_is_provisional()


def test_a_route_that_a_caller_asks_for_is_the_only_one() -> None:
    model, seen = router(), []

    def step(state: Any) -> Any:
        seen.append(attempt_is_provisional())
        return {"answer": model.invoke("What is 6 * 7?").text}

    RouteSubtask(step, model, verify=rejected).invoke({}, {"configurable": {"route": "cheap"}})

    assert seen == [False]


def test_what_is_inside_a_provisional_subtask_is_provisional() -> None:
    model, seen = router(), []

    def step(state: Any) -> Any:
        seen.append(attempt_is_provisional())
        return {"answer": model.invoke("What is 6 * 7?").text}

    inner = RouteSubtask(step, model, verify=lambda _: True, routes=["cheap"])
    RouteSubtask(inner, model, verify=rejected, routes=["cheap", "frontier"]).invoke({})

    assert seen == [True, False]


def test_tools_of_an_agent_whose_result_is_checked_know_it() -> None:
    seen = []

    @tool
    def test_it() -> str:
        """Run the tests."""
        seen.append(attempt_is_provisional())
        return "failed"

    def reply(messages: Any) -> AIMessage:
        if messages[-1].type == "tool":
            return AIMessage("Done.")
        return AIMessage("", tool_calls=[{"name": "test_it", "args": {}, "id": str(len(messages))}])

    models = {"cheap": ScriptedModel(reply), "frontier": ScriptedModel(reply)}
    agent = create_agent(models["frontier"], [test_it], middleware=[RouterMiddleware(models, verify_result=rejected)])
    agent.invoke({"messages": "Mend it."})

    assert seen == [True, False]


def test_the_demos_subtask_leaves_repairs_and_keeps_the_plan() -> None:
    """Calls by route and step: what is left out is what the rejected route would have mended, and the second plan."""
    found = compare(
        routes(weak=[], strong=["is_even"]),
        tasks(["is_even"]),
        policies=dict.fromkeys((SUBTASK, BRIEF, KEPT_PLAN), subtask_policy),
    )

    plan, write = {"cheap": 1, "frontier": 1}, {"cheap": 1, "frontier": 1}
    cheap = {"cheap": 1}
    assert [run.solved for run in found] == [1, 1, 1]
    went = [{step: ways for step, ways in run.went.items() if step != "code"} for run in found]
    assert went == [
        {"plan": plan, "write": write, "repair": cheap, "summarize": cheap},
        {"plan": plan, "write": write, "summarize": cheap},
        {"plan": cheap, "write": write, "summarize": cheap},
    ]
