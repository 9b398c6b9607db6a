"""What comparable routers got wrong as chat models, each reproduced with them first."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel
from servers import anthropic_chat, openai_chat

from langroute import ChatRouter, Route
from langroute.policies import Cascade, Fallback, Fixed
from langroute.testing import ScriptedModel

PRICE = {"input": 1.0, "output": 2.0}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def subtract(a: int, b: int) -> int:
    """Subtract two numbers."""
    return a - b


class Answer(BaseModel):
    """The answer."""

    value: int


def two(cheap: Any = "small", frontier: Any = "large") -> dict[str, Route]:
    return {"cheap": Route(ScriptedModel(cheap), price=PRICE), "frontier": Route(ScriptedModel(frontier), price=PRICE)}


def test_tokens_are_counted_once() -> None:
    """Delegating from `_generate` makes two runs of one call: 30 tokens for 15."""
    usage, direct = UsageMetadataCallbackHandler(), UsageMetadataCallbackHandler()
    ChatRouter(two(), policy=Fixed("cheap")).invoke("Hi.", {"callbacks": [usage]})
    ScriptedModel("small").invoke("Hi.", {"callbacks": [direct]})
    assert usage.usage_metadata == direct.usage_metadata


def test_the_run_names_the_model_that_serves() -> None:
    """A patch below the callbacks reports the model that was configured."""
    from recorder import Recorder

    recorder = Recorder()
    models = {
        "cheap": ScriptedModel("x", model="tiny-1", provider="p1"),
        "frontier": ScriptedModel("y", model="huge-1", provider="p2"),
    }
    ChatRouter(models, policy=Fixed("cheap")).invoke("Hi.", {"callbacks": [recorder]})
    (metadata,) = recorder.metadata
    assert (metadata["ls_model_name"], metadata["ls_provider"]) == ("tiny-1", "p1")


def test_binding_tools_leaves_the_router_as_it_was() -> None:
    """`bind_tools` that changes the shared router gives everybody's calls the tools of one."""
    model = ScriptedModel("x")
    router = ChatRouter({"only": model}, prices={"only": PRICE})
    one, other = router.bind_tools([add]), router.bind_tools([subtract], tool_choice="any")

    for runnable in (one, other, router, one):
        runnable.invoke("Hi.")

    names = [[tool["function"]["name"] for tool in kwargs.get("tools", ())] for _, kwargs in model.calls]
    assert names == [["add"], ["subtract"], [], ["add"]]
    assert [kwargs.get("tool_choice") for _, kwargs in model.calls] == [None, "any", None, None]


def test_tools_are_never_dropped_to_get_an_answer() -> None:
    """A router that 'recovers' by calling without tools turns an agent into a talker."""
    cheap = ScriptedModel(ValueError("tools not supported"), ScriptedModel("x"))
    frontier = ScriptedModel("large")
    router = ChatRouter(
        {"cheap": cheap, "frontier": frontier}, policy=Fallback(Fixed("cheap"), retries=0), prices={"scripted": PRICE}
    )

    router.bind_tools([add]).invoke("Hi.")

    assert all("tools" in kwargs for _, kwargs in (*cheap.calls, *frontier.calls))
    assert (len(cheap.calls), len(frontier.calls)) == (1, 1)


def test_routers_over_different_models_share_no_cached_answer() -> None:
    """LangChain's global cache, keyed on a router's own parameters, mixes the answers of two routers."""
    set_llm_cache(InMemoryCache())
    try:
        routers = [ChatRouter({"only": Route(ScriptedModel(f"answer {n}", model=f"m{n}"), price=PRICE)}) for n in (1, 2)]
        answers = [router.invoke("Hi.").content for router in (*routers, *routers)]
    finally:
        set_llm_cache(None)
    assert answers == ["answer 1", "answer 2"] * 2


@pytest.mark.server
def test_an_altered_copy_of_a_model_shares_no_cached_answer_with_it(mock: Any) -> None:
    """`model_copy` carries the serialized form over that LangChain's cache is keyed by."""
    mock.reply("first").reply("second")
    model = openai_chat()
    set_llm_cache(InMemoryCache())
    try:
        first = model.invoke("Hi.")
        second = ChatRouter({"only": model}, output_version="v1").invoke("Hi.")
    finally:
        set_llm_cache(None)
    assert (first.text, second.text) == ("first", "second")


def test_a_cached_answer_gets_an_id_of_its_own_in_a_graph() -> None:
    """With the same id `add_messages` replaces the earlier answer, and a turn is gone."""
    router = ChatRouter(two(), policy=Fixed("cheap"), cache=InMemoryCache())
    graph = StateGraph(MessagesState)
    ask = [HumanMessage("Hi.", id="h1")]
    for name in ("one", "two"):
        graph.add_node(name, lambda state: {"messages": [router.invoke(ask).model_copy(update={"id": None})]})
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    assert len(graph.compile().invoke({"messages": ask})["messages"]) == 3


def test_the_history_is_sent_as_it_is() -> None:
    """Prompts 'compressed to save tokens' lose the indentation of code, and pictures become their Python names."""
    code = "def f(x):\n    if x:\n\n\n        return   x\t# keep\n"
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    history = [
        SystemMessage("  Two  spaces.  "),
        HumanMessage([{"type": "text", "text": code}, picture]),
        AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "call_1", "type": "tool_call"}]),
        ToolMessage("3", tool_call_id="call_1"),
        HumanMessage("ok, continue"),
    ]
    before = [message.model_copy(deep=True) for message in history]
    model = ScriptedModel("x")

    ChatRouter({"only": model}, prices={"only": PRICE}).invoke(history)

    assert model.calls[0][0] == before
    assert history == before, "the stored history is never rewritten"


@pytest.mark.parametrize("content", [None, "", []])
def test_an_assistant_message_without_content_is_no_crash(content: Any) -> None:
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "call_1", "type": "tool_call"}
    silent = AIMessage("", tool_calls=[call]).model_copy(update={"content": content})
    answer = ChatRouter(two(), policy=Cascade()).invoke([HumanMessage("Hi."), silent, ToolMessage("3", tool_call_id="call_1")])
    assert answer.content == "small"


@pytest.mark.server
def test_the_way_to_structured_output_is_that_of_the_model_that_was_chosen(mock: Any) -> None:
    """One provider's strategy sent to another fails, or is silently not heeded."""
    mock.reply('{"value": 3}', provider="openai").call_tool("Answer", {"value": 3}, provider="anthropic")
    router = ChatRouter({"openai": openai_chat(), "anthropic": anthropic_chat()})
    structured = router.with_structured_output(Answer)

    for route in ("openai", "anthropic"):
        assert structured.invoke("Three?", {"configurable": {"route": route}}) == Answer(value=3)

    first, second = (request.body for request in mock.requests)
    assert "response_format" in first
    assert "tools" not in first
    assert second["tools"][0]["name"] == "Answer"
    assert "response_format" not in second


def test_usage_is_known_where_the_user_binds_tools_inside_a_node() -> None:
    """Other trackers lose the tokens of a model that the user has wrapped himself."""
    router = ChatRouter(two(), policy=Fixed("cheap"))
    graph = StateGraph(MessagesState)
    graph.add_node("think", lambda state: {"messages": [router.bind_tools([add]).invoke(state["messages"])]})
    graph.add_edge(START, "think")
    graph.compile().invoke({"messages": "Hi."})
    (attempt,) = router.ledger.latest().attempts
    assert attempt.usage is not None
    assert attempt.usage.total_tokens > 0
    assert attempt.cost_usd > 0


def test_a_route_that_failed_is_not_tried_again_by_a_cascade() -> None:
    failing = {"cheap": Route(ScriptedModel(ConnectionError("down")), price=PRICE)}
    router = ChatRouter(
        {**failing, "middle": Route(ScriptedModel("m"), price=PRICE), "frontier": two()["frontier"]},
        policy=Cascade(),
        max_retries=0,
    )
    assert router.invoke("Hi.").content == "m"
    assert [attempt.route for attempt in router.ledger.latest().attempts] == ["cheap", "middle"]


def test_every_tier_can_be_chosen() -> None:
    """Middle tiers that no rule can ever reach are paid for by nobody and trusted by everybody."""
    reached = set()
    for tier in ("cheap", "balanced", "frontier"):
        routes = {name: Route(ScriptedModel(name), price=PRICE) for name in ("cheap", "balanced", "frontier")}
        reached.add(ChatRouter(routes, policy=Fixed(tier)).invoke("Hi.").content)
    assert reached == {"cheap", "balanced", "frontier"}


def test_pairs_of_default_routes_both_get_work() -> None:
    """The default policy sends plain side work down and hard questions up, whatever their length."""
    router = ChatRouter(two())
    marks = {
        text: router.invoke(text).response_metadata["langroute"]["route"]
        for text in ("Prove P != NP.", "Write a title for this conversation in at most five words: we fixed the login bug.")
    }
    assert list(marks.values()) == ["frontier", "cheap"]


async def test_hooks_need_no_event_loop_and_get_none() -> None:
    import asyncio

    heard: list[bool] = []

    class Hook:
        def on_decision(self, decision: Any) -> None:
            try:
                asyncio.get_running_loop()
                heard.append(True)
            except RuntimeError:
                heard.append(False)

        def on_outcome(self, outcome: Any) -> None:
            """Nothing."""

    router = ChatRouter(two(), hooks=[Hook()])
    await asyncio.to_thread(router.invoke, "Hi.")
    await router.ainvoke("Hi.")
    assert heard == [False, True]


def test_tools_that_change_between_two_steps_are_bound_as_they_are_now() -> None:
    """What is worked out once for an agent's tools holds only as long as they are the same."""

    @tool
    def look_up(word: str) -> str:
        """Look a word up."""
        return word

    raw = {"type": "function", "function": {"name": "raw", "description": "one", "parameters": {}}}
    model = ScriptedModel("x")
    router = ChatRouter({"only": model}, prices={"only": PRICE})

    def described(**kwargs: Any) -> list[str]:
        router.bind_tools([look_up, raw], **kwargs).invoke("Hi.")
        return [tool["function"]["description"] for tool in model.calls[-1][1]["tools"]]

    assert described() == ["Look a word up.", "one"]
    look_up.description, raw["function"]["description"] = "Look two words up.", "two"
    assert described() == ["Look two words up.", "two"]
    assert described(tool_choice="any") == ["Look two words up.", "two"]
    assert [kwargs.get("tool_choice") for _, kwargs in model.calls] == [None, None, "any"]


@pytest.mark.server
def test_an_answer_that_could_not_be_parsed_is_not_free(mock: Any) -> None:
    """The provider bills it; where the integration lets its tokens go, the cost is unknown."""
    mock.reply('{"nope": 1}', times=None)
    router = ChatRouter({"only": openai_chat()}, max_retries=0)

    with pytest.raises(ValueError, match="value"):
        router.with_structured_output(Answer).invoke("Three?")
    assert router.ledger.latest().cost_usd is None

    with pytest.raises(ValueError, match="value"):
        router.with_structured_output(Answer, method="json_mode").invoke("Three?")
    assert router.ledger.latest().cost_usd > 0
