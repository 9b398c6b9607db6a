"""The record of a decision in `stream_mode="messages"`, however the graph calls its model."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph

from langroute import ChatRouter, RouterMiddleware
from langroute.core.records import Verdict
from langroute.ledger.memory import MemoryLedger
from langroute.policies.cascade import Cascade
from langroute.testing import ScriptedModel


def routes(*said: str) -> dict[str, Any]:
    return {"small": ScriptedModel(*(said or ("Hi there you.",))), "large": ScriptedModel("Good day to you.")}


def graph_of(call: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("say", call)
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    return graph.compile()


def invoking(model: Any) -> Any:
    return graph_of(lambda state: {"messages": [model.invoke(state["messages"])]})


def streaming(model: Any) -> Any:
    return graph_of(lambda state: {"messages": [reduce(add, model.stream(state["messages"]))]})


HOSTS = {
    "middleware": lambda model: create_agent(ScriptedModel("x"), middleware=[RouterMiddleware(model)]),
    "agent": create_agent,
    "node": invoking,
    "streaming node": streaming,
}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("way", ["sync", "async"])
async def test_one_chunk_carries_the_record(host: str, way: str) -> None:
    ledger = MemoryLedger()
    app = HOSTS[host](ChatRouter(routes(), route="large", ledger=ledger))
    if way == "sync" or "node" in host:
        shown = list(app.stream({"messages": "Hello?"}, stream_mode="messages"))
    else:
        shown = [one async for one in app.astream({"messages": "Hello?"}, stream_mode="messages")]
    marked = [(chunk, told) for chunk, told in shown if "langroute" in chunk.response_metadata]
    (chunk, told), decision = marked[0], ledger.decisions[0]
    assert len(marked) == 1
    assert marked[0] is shown[-1] or shown[-1][0] is chunk
    assert chunk.response_metadata["langroute"]["decision_id"] == decision.id == told["langroute_decision_id"]
    assert told["langroute_route"] == "large"
    assert {one.id for one, _ in shown} == {chunk.id}
    whole = reduce(add, (one for one, _ in shown if isinstance(one, AIMessageChunk)))
    assert whole.content == "Good day to you."
    assert whole.response_metadata["langroute"]["route"] == "large"


class RefusesSmall:
    name = "refuses_small"

    def verify(self, request: Any, attempt: Any) -> Verdict:
        return Verdict("refuses_small", float(attempt.route != "small"))


def test_of_an_answer_that_was_held_back_the_whole_message_carries_it() -> None:
    policy = Cascade(["small", "large"], threshold=0.5)
    agent = create_agent(ChatRouter(routes(), policy=policy, verifier=RefusesSmall()))
    shown = [chunk for chunk, _ in agent.stream({"messages": "Hello?"}, stream_mode="messages")]
    assert "".join(chunk.text for chunk in shown) == "Good day to you."
    assert sum("langroute" in chunk.response_metadata for chunk in shown) == 1


def test_each_step_of_an_agent_has_its_own() -> None:
    from langchain_core.messages import AIMessage

    @tool
    def look(x: str) -> str:
        """Look."""
        return "seen"

    call = {"name": "look", "args": {"x": "1"}, "id": "c1", "type": "tool_call"}
    model = ScriptedModel(AIMessage("", tool_calls=[call]), "Done.")
    agent = create_agent(model, [look], middleware=[RouterMiddleware({"only": model})])
    ids = [
        chunk.response_metadata["langroute"]["decision_id"]
        for chunk, _ in agent.stream({"messages": "Look."}, stream_mode="messages")
        if "langroute" in chunk.response_metadata
    ]
    assert len(ids) == len(set(ids)) == 2


def test_a_node_that_hides_its_model_hides_the_record() -> None:
    model = ChatRouter(routes())
    app = graph_of(lambda state: {"messages": [], "said": model.invoke("Hello?", {"tags": ["nostream"]})})
    assert [
        chunk for chunk, _ in app.stream({"messages": "Hello?"}, stream_mode="messages") if isinstance(chunk, AIMessageChunk)
    ] == []


def test_events_of_a_run_have_one_model_run_for_each_attempt() -> None:
    agent = create_agent(ChatRouter(routes()))
    seen = list(agent.stream({"messages": "Hello?"}, stream_mode=["messages", "updates"]))
    assert [mode for mode, _ in seen].count("updates") == 1


async def test_astream_events_are_as_before() -> None:
    agent = create_agent(ChatRouter(routes()))
    names = [event["event"] async for event in agent.astream_events({"messages": "Hello?"}, version="v2")]
    assert names.count("on_chat_model_start") == names.count("on_chat_model_end") == 1
