"""A `RouterMiddleware` stands first: what it judges is not yet what the middleware behind it will send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain")

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ClearToolUsesEdit, ContextEditingMiddleware
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langroute import RouterMiddleware
from langroute.testing import ScriptedModel

SMALL = {"max_input_tokens": 8_000, "max_output_tokens": 1_000}


class KeepsTheLast(AgentMiddleware):
    """Sends the latest question alone."""

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(request.override(messages=request.messages[-1:]))

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return await handler(request.override(messages=request.messages[-1:]))


def tool_results(rounds: int) -> list[BaseMessage]:
    """A question, and as many tool results of 1,900 tokens."""
    found: list[BaseMessage] = [HumanMessage("Look it up.")]
    for number in range(rounds):
        call = {"name": "f", "args": {}, "id": f"c{number}", "type": "tool_call"}
        found += [AIMessage("", tool_calls=[call]), ToolMessage("word " * 1_500, tool_call_id=f"c{number}")]
    return found


@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("rounds", [8, 60], ids=["twice the windows", "fourteen times the windows"])
@pytest.mark.parametrize("inner", ["clears tool results", "keeps the last"])
def test_a_history_that_is_cut_behind_the_router_is_not_refused(inner: str, rounds: int, awaited: bool) -> None:
    cutting: Any = (
        ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=2_000, keep=1)])
        if inner == "clears tool results"
        else KeepsTheLast()
    )
    messages = [*tool_results(rounds), *([HumanMessage("Well?")] if inner == "keeps the last" else [])]
    cheap, frontier = (ScriptedModel("fine", profile=SMALL) for _ in range(2))
    agent = create_agent(frontier, middleware=[RouterMiddleware({"cheap": cheap, "frontier": frontier}), cutting])
    asked: Any = {"messages": messages}

    answer = asyncio.run(agent.ainvoke(asked)) if awaited else agent.invoke(asked)

    assert answer["messages"][-1].text == "fine"
    assert len(cheap.calls) + len(frontier.calls) == 1
