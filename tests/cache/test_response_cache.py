"""A router with a response cache reuses the answers that may be reused, and only those."""

from __future__ import annotations

import asyncio
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from open_calls import open_calls
from pydantic import BaseModel

from langroute.cache import CachePolicy, ResponseCache, cache_namespace
from langroute.cache.replay import listened_to
from langroute.cache.stores import MemoryStore
from langroute.cache.stores.sqlite import SqliteStore
from langroute.core.errors import ConfigurationError, InputError
from langroute.core.records import Outcome, Selection
from langroute.core.task_context import task
from langroute.hosts.chat_model import ChatRouter
from langroute.hosts.node import RouterNode
from langroute.policies.cascade import Cascade
from langroute.policies.fixed import Fixed
from langroute.routes.route import Route
from langroute.testing import ScriptedModel

PRICES = {"cheap": {"input": 1, "output": 4}, "frontier": {"input": 10, "output": 40}}


class Heard(BaseCallbackHandler):
    """Counts what a listener hears."""

    def __init__(self) -> None:
        self.starts: list[Any] = []
        self.ends: list[Any] = []
        self.errors = 0
        self.tokens: list[str] = []
        self.params: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.starts.append(kwargs["metadata"])
        self.params.append(kwargs.get("invocation_params"))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.ends.append(response.generations[0][0].message)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors += 1

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.tokens.append(token)


def numbered(**kwargs: Any) -> ScriptedModel:
    """A model whose every answer differs, so that a replayed one is seen."""
    model = ScriptedModel(**kwargs)
    model.replies = [lambda messages: f"Answer {len(model.calls)}."]
    return model


def router(model: Any = None, **kwargs: Any) -> tuple[ChatRouter, ScriptedModel]:
    model = model or numbered()
    kwargs.setdefault("response_cache", True)
    return ChatRouter({"cheap": model}, prices=PRICES, **kwargs), model


def said(message: Any) -> str:
    return str(message.response_metadata["langroute"]["cache"])


# A hit ---------------------------------------------------------------------------------------------------------------


def test_the_same_question_is_answered_once() -> None:
    model, scripted = router()
    first, second = model.invoke("Why?"), model.invoke("Why?")
    assert (first.content, second.content) == ("Answer 1.", "Answer 1.")
    assert (said(first), said(second)) == ("miss", "hit")
    assert len(scripted.calls) == 1
    assert model.invoke("Why not?").content == "Answer 2."


def test_a_hit_is_a_new_message_that_costs_nothing_and_says_what_it_saved() -> None:
    model, _ = router()
    first, second = model.invoke("Why?"), model.invoke("Why?")
    mark = second.response_metadata["langroute"]
    assert type(second) is AIMessage
    assert second.id not in (None, first.id)
    assert second.usage_metadata == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert mark["cost_usd"] == 0
    assert mark["saved"]["total_tokens"] == first.usage_metadata["total_tokens"]
    assert mark["saved"]["usd"] == first.response_metadata["langroute"]["cost_usd"] > 0
    assert mark["saved_usd"] == mark["baseline_cost_usd"] > 0
    assert mark["attempts"][0]["latency_s"] > 0
    assert second.response_metadata["model_name"] == "scripted"
    decision = model.router.ledger.latest()
    assert (decision.cache, decision.cost_usd, decision.kept.stored.route) == ("hit", 0.0, "cheap")


def test_a_hit_is_one_run_in_callbacks_and_counts_no_tokens() -> None:
    model, _ = router()
    model.invoke("Why?")
    heard = Heard()
    with get_usage_metadata_callback() as usage:
        model.invoke("Why?", {"callbacks": [heard], "tags": ["mine"], "metadata": {"x": 1}})
    assert (len(heard.starts), len(heard.ends), heard.errors) == (1, 1, 0)
    assert heard.starts[0]["x"] == 1
    assert heard.starts[0]["ls_model_name"] == "scripted"
    assert sum(one["total_tokens"] for one in usage.usage_metadata.values()) == 0


@pytest.mark.parametrize("listening", [False, True])
async def test_every_way_of_calling_hits(listening: bool) -> None:
    call = {"name": "read_file", "args": {"path": "a", "n": 1}, "id": "call_1", "type": "tool_call"}
    model, scripted = router(ScriptedModel(AIMessage("Let me look at this file first.", tool_calls=[call]), "never"))
    model.invoke("Why?")
    ids = set()

    def check(message: Any, heard: Heard) -> None:
        assert message.content == "Let me look at this file first."
        assert message.tool_calls[0]["args"] == {"path": "a", "n": 1}
        assert message.tool_calls[0]["id"] != "call_1"
        assert said(message) == "hit"
        ids.add(message.id)
        ids.add(message.tool_calls[0]["id"])
        assert (len(heard.starts), len(heard.ends)) == ((1, 1) if listening else (0, 0))

    def config() -> tuple[Any, Heard]:
        heard = Heard()
        return ({"callbacks": [heard]} if listening else {}), heard

    given, heard = config()
    check(model.invoke("Why?", given), heard)
    given, heard = config()
    check(await model.ainvoke("Why?", given), heard)
    given, heard = config()
    chunks = list(model.stream("Why?", given))
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    assert any(chunk.tool_call_chunks for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    check(sum(chunks[1:], chunks[0]), heard)
    given, heard = config()
    chunks = [chunk async for chunk in model.astream("Why?", given)]
    check(sum(chunks[1:], chunks[0]), heard)
    given, heard = config()
    check(model.batch(["Why?"], given)[0], heard)
    given, heard = config()
    result = model.generate([[HumanMessage("Why?")]], callbacks=[heard] if listening else None)
    check(result.generations[0][0].message, heard)
    given, heard = config()
    result = await model.agenerate([[HumanMessage("Why?")]], callbacks=[heard] if listening else None)
    check(result.generations[0][0].message, heard)
    assert len(scripted.calls) == 1
    assert len(ids) == 14


async def test_event_streams_hit_too() -> None:
    model, scripted = router()
    model.invoke("Why?")
    events = [event async for event in model.astream_events("Why?", version="v2")]
    assert next(event["event"] for event in events if "chat_model" in event["event"]) == "on_chat_model_start"
    assert "".join(event["data"]["chunk"].content for event in events if event["event"] == "on_chat_model_stream") == "Answer 1."
    for _ in range(2):
        stream = model.stream_events("Why?", version="v3")
        assert [event["event"] for event in stream][-1] == "message-finish"
    awaited = await model.astream_events("Why?", version="v3")
    assert (await awaited.output).text == "Answer 2."
    assert len(scripted.calls) == 2


async def test_what_was_streamed_is_stored() -> None:
    model, scripted = router()
    chunks = list(model.stream("Why?"))
    assert said(sum(chunks[1:], chunks[0])) == "miss"
    assert model.invoke("Why?").content == "Answer 1."
    async for _ in model.astream("And then?"):
        pass
    assert (await model.ainvoke("And then?")).content == "Answer 2."
    assert len(scripted.calls) == 2


def test_a_stream_that_is_left_early_is_not_stored() -> None:
    model, scripted = router(ScriptedModel("one two three four", "again"))
    for _ in model.stream("Count."):
        break
    assert model.invoke("Count.").content == "again"
    assert len(scripted.calls) == 2


class Person(BaseModel):
    name: str
    age: int


def test_structured_answers_are_parsed_again() -> None:
    call = {"name": "Person", "args": {"name": "Ann", "age": 7}, "id": "c", "type": "tool_call"}
    model, scripted = router(ScriptedModel(AIMessage("", tool_calls=[call]), "never"))
    structured = model.with_structured_output(Person)
    heard = Heard()
    assert structured.invoke("Who?") == structured.invoke("Who?", {"callbacks": [heard]}) == Person(name="Ann", age=7)
    assert (len(heard.starts), len(heard.ends)) == (1, 1)
    assert list(structured.stream("Who?"))[-1] == Person(name="Ann", age=7)
    raw = model.with_structured_output(Person, include_raw=True).invoke("Who?")
    assert (raw["parsed"], raw["parsing_error"], said(raw["raw"])) == (Person(name="Ann", age=7), None, "hit")
    assert len(scripted.calls) == 1

    class Other(BaseModel):
        title: str

    with pytest.raises(Exception, match=r"."):
        assert model.with_structured_output(Other).invoke("Who?").title
    assert len(scripted.calls) == 2


def test_in_a_graph_two_hits_are_two_messages() -> None:
    """The same id twice would replace the first."""
    from langgraph.graph import START, MessagesState, StateGraph

    model, scripted = router()
    builder = StateGraph(MessagesState)
    builder.add_node("a", RouterNode(model))
    builder.add_edge(START, "a")
    graph = builder.compile()
    model.invoke("Why?")
    first = graph.invoke({"messages": "Why?"})["messages"]
    second = graph.invoke({"messages": "Why?"})["messages"]
    assert len({first[-1].id, second[-1].id}) == 2
    streamed = [part for part, _ in graph.stream({"messages": "Why?"}, stream_mode="messages")]
    assert "".join(part.content for part in streamed) == "Answer 1."
    assert len(scripted.calls) == 1


def test_a_hit_can_be_changed_without_changing_the_next() -> None:
    call = {"name": "read_file", "args": {"path": ["a"]}, "id": "call_1", "type": "tool_call"}
    model, _ = router(ScriptedModel(AIMessage([{"type": "text", "text": "x"}], tool_calls=[call])))
    model.invoke("Why?").tool_calls[0]["args"]["path"].append("b")
    second = model.invoke("Why?")
    second.tool_calls[0]["args"]["path"].append("c")
    second.content[0]["text"] = "changed"
    third = model.invoke("Why?")
    assert (third.tool_calls[0]["args"], third.content[0]["text"]) == ({"path": ["a"]}, "x")


async def test_an_agent_hits_at_every_step() -> None:
    from langchain.agents import create_agent
    from langchain.agents.middleware import dynamic_prompt

    from langroute.hosts.middleware import RouterMiddleware

    @tool
    def read_file(path: str) -> str:
        """Read a file."""
        return f"content of {path}"

    call = {"name": "read_file", "args": {"path": "a"}, "id": "call_1", "type": "tool_call"}
    scripted = ScriptedModel(AIMessage("", tool_calls=[call]), "Done.", "Done rudely.", "never")
    prompt = ["Be polite."]

    @dynamic_prompt
    def changing(request: Any) -> str:
        return prompt[0]

    middleware = RouterMiddleware({"cheap": scripted}, response_cache=True)
    agent = create_agent(scripted, tools=[read_file], middleware=[middleware, changing])
    for awaited in (False, True, False):
        heard = Heard()
        config: Any = {"callbacks": [heard]}
        asked: Any = {"messages": "Go."}
        state = await agent.ainvoke(asked, config) if awaited else agent.invoke(asked, config)
        assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
        assert state["messages"][-1].content == "Done."
        assert state["messages"][1].tool_calls[0]["id"] == state["messages"][2].tool_call_id
        # Before Python 3.11 a task cannot be given a context, so that an agent's nodes do not hear of the caller's handlers.
        if not awaited or sys.version_info >= (3, 11):
            assert (len(heard.starts), len(heard.ends)) == (2, 2)
    assert len(scripted.calls) == 2
    # Middleware further in may say something else to the model than the router saw: the stored answer was to something else then.
    prompt[0] = "Be rude."
    assert agent.invoke({"messages": "Go."})["messages"][-1].content == "Done rudely."
    assert len(scripted.calls) == 3


# What is asked ---------------------------------------------------------------------------------------------------------


def test_what_changes_the_answer_is_asked_again() -> None:
    model, scripted = router()
    model.invoke("Why?")
    model.invoke("Why?", stop=["."])
    model.invoke("Why?", seed=1)
    model.bind_tools([{"type": "function", "function": {"name": "t", "parameters": {}}}]).invoke("Why?")
    model.bind_tools([{"type": "function", "function": {"name": "t", "parameters": {}}}], tool_choice="any").invoke("Why?")
    model.invoke([HumanMessage("Why?"), AIMessage("Because."), HumanMessage("Why?")])
    assert len(scripted.calls) == 6


def test_ok_continue_belongs_to_its_own_conversation() -> None:
    model, scripted = router()
    for about in ("cats", "dogs"):
        model.invoke([HumanMessage(f"Tell me of {about}."), AIMessage("Well."), HumanMessage("ok, continue")])
    assert len(scripted.calls) == 2


def test_routes_do_not_answer_for_each_other() -> None:
    cache = ResponseCache()
    cheap, frontier = ScriptedModel("cheap", model="c"), ScriptedModel("frontier", model="f")
    model = ChatRouter({"cheap": cheap, "frontier": frontier}, policy=Fixed("cheap"), response_cache=cache)
    assert model.invoke("Why?").content == "cheap"
    assert model.invoke("Why?", {"configurable": {"route": "frontier"}}).content == "frontier"
    other = ChatRouter({"cheap": ScriptedModel("another", model="c2")}, response_cache=cache)
    assert other.invoke("Why?").content == "another"
    hotter = ChatRouter({"cheap": ScriptedModel("cheap", model="c", max_tokens=7)}, response_cache=cache)
    hotter.invoke("Why?")
    assert cache.stats().hits == 0


def test_a_tier_may_answer_for_its_routes_by_choice() -> None:
    cache = ResponseCache(scope="tier")
    routes = {
        "one": Route(ScriptedModel("of one", model="1"), tier="cheap"),
        "two": Route(ScriptedModel("of two", model="2"), tier="cheap"),
    }
    assert ChatRouter(routes, policy=Fixed("one"), response_cache=cache).invoke("Why?").content == "of one"
    answer = ChatRouter(routes, policy=Fixed("two"), response_cache=cache).invoke("Why?")
    assert (answer.content, answer.response_metadata["langroute"]["route"]) == ("of one", "one")
    barred = ChatRouter(routes, policy=Fixed("two"), exclude=["one"], response_cache=cache)
    assert barred.invoke("Why?").content == "of two"


def test_a_new_version_under_the_same_name_ends_the_old_answers() -> None:
    versions = ["m-2026-01", "m-2026-01", "m-2026-09", "m-2026-09"]
    scripted = ScriptedModel(model="m")
    scripted.replies = [
        lambda messages: AIMessage(
            f"Answer {len(scripted.calls)}.", response_metadata={"model_name": versions[len(scripted.calls) - 1]}
        )
    ]
    model, _ = router(scripted)
    assert model.invoke("A?").content == "Answer 1."
    assert model.invoke("B?").content == "Answer 2."
    assert model.invoke("A?").content == "Answer 1."
    assert model.invoke("C?").content == "Answer 3."
    assert model.invoke("A?").content == "Answer 4."


# What may be cached ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (AIMessage("The answer is", response_metadata={"finish_reason": "length"}), "it ended with length"),
        (AIMessage("I cannot", response_metadata={"stop_reason": "max_tokens", "finish_reason": None}), "it ended with max_tokens"),
        (AIMessage("No.", response_metadata={"finish_reason": "content_filter"}), "it ended with content_filter"),
        (AIMessage("", response_metadata={"finish_reason": "stop"}), "it is empty"),
        (AIMessage("No", additional_kwargs={"refusal": "No"}), "it is a refusal"),
        (AIMessage("", tool_calls=[{"name": "pay", "args": {}, "id": "1"}]), "it calls pay, which may do more than read"),
        (
            AIMessage("", invalid_tool_calls=[{"name": "look", "args": "{", "id": "1", "error": None}]),
            "it has an invalid tool call",
        ),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_bad_answers_are_not_kept(answer: AIMessage, reason: str, streamed: bool) -> None:
    if streamed and answer.invalid_tool_calls:
        pytest.skip("a scripted model streams no invalid tool calls")
    model, scripted = router(ScriptedModel(answer, "second"), verifier=[])
    if streamed:
        list(model.stream("Why?"))
    else:
        model.invoke("Why?")
    assert reason in model.response_cache.stats().reasons
    assert model.invoke("Why?").content == "second"
    assert len(scripted.calls) == 2


def test_errors_are_not_kept() -> None:
    model, scripted = router(ScriptedModel(ValueError("down"), "up"), max_retries=0)
    with pytest.raises(ValueError, match="down"):
        model.invoke("Why?")
    assert model.invoke("Why?").content == "up"
    assert model.invoke("Why?").content == "up"
    assert len(scripted.calls) == 2


def test_no_finish_reason_means_that_a_known_provider_broke_off() -> None:
    policy = CachePolicy()
    whole = AIMessage("Half of the")
    assert policy.rejects(whole, None, may_be_silent=False) == "it has no finish reason: it broke off"
    assert policy.rejects(whole, None, may_be_silent=True) is None


def test_a_tool_that_acts_is_replayed_only_when_allowed() -> None:
    act = AIMessage("", tool_calls=[{"name": "send_email", "args": {"to": "a"}, "id": "1"}])
    strict, scripted = router(ScriptedModel(act))
    strict.invoke("Write to Ann."), strict.invoke("Write to Ann.")
    assert len(scripted.calls) == 2
    allowed, scripted = router(ScriptedModel(act), response_cache=ResponseCache(policy=CachePolicy(replay_tools=["send_email"])))
    allowed.invoke("Write to Ann."), allowed.invoke("Write to Ann.")
    assert len(scripted.calls) == 1


def test_a_next_action_is_repeated_only_in_the_same_state() -> None:
    call = {"name": "read_file", "args": {}, "id": "1", "type": "tool_call"}
    model, scripted = router(ScriptedModel(AIMessage("", tool_calls=[call])))
    bound = model.bind_tools([{"type": "function", "function": {"name": "read_file", "parameters": {}}}])

    def history(result: str, id: str) -> list[Any]:
        return [HumanMessage("Go."), AIMessage("", tool_calls=[{**call, "id": id}]), ToolMessage(result, tool_call_id=id)]

    bound.invoke(history("one", "a"))
    bound.invoke(history("one", "b"))
    assert len(scripted.calls) == 1
    bound.invoke(history("two", "c"))
    assert len(scripted.calls) == 2


def test_a_call_that_asks_for_variety_gets_it() -> None:
    model, scripted = router()
    for _ in range(2):
        answer = model.invoke("Why?", temperature=0.9)
    assert said(answer) == "bypass: temperature 0.9 asks for variety"
    warm, warm_scripted = router(numbered(temperature=1.0))
    warm.invoke("Why?"), warm.invoke("Why?")
    assert (len(scripted.calls), len(warm_scripted.calls)) == (2, 2)


def test_time_to_live_is_by_kind_and_a_call_may_ask_for_less() -> None:
    now = [1000.0]
    cache = ResponseCache(policy=CachePolicy(ttl={"answer": 100, "title": 0}), clock=lambda: now[0])
    model, _ = router(response_cache=cache)

    def ask(kind: str = "answer", **configurable: Any) -> str:
        return said(model.invoke("Why?", {"metadata": {"langroute_step_kind": kind}, "configurable": configurable}))

    assert [ask(), ask()] == ["miss", "hit"]
    now[0] += 60
    assert ask() == "hit"
    assert ask(langroute_cache_max_age=30) == "miss"
    now[0] += 60
    assert ask() == "hit"
    now[0] += 60
    assert ask() == "miss"
    assert ask("title") == "bypass: title steps are not cached"


def test_a_call_can_keep_out_of_the_cache() -> None:
    model, _ = router()

    def ask(mode: str) -> str:
        return model.invoke("Why?", {"configurable": {"langroute_cache": mode}}).content

    assert [ask("no_store"), ask("no_store")] == ["Answer 1.", "Answer 2."]
    assert model.invoke("Why?").content == "Answer 3."
    assert ask("off") == "Answer 4."
    assert ask("refresh") == "Answer 5."
    assert model.invoke("Why?").content == "Answer 5."
    assert ask("nonsense") == "Answer 6."


def test_large_answers_are_not_kept() -> None:
    model, _ = router(ScriptedModel("x" * 5000, "short"), response_cache=ResponseCache(policy=CachePolicy(max_bytes=2000)))
    model.invoke("Why?")
    assert model.invoke("Why?").content == "short"


def test_an_escalated_answer_is_kept_for_the_route_that_was_rejected() -> None:
    """Next time nobody asks the weak route in vain; its rejected answer is never given."""
    weak, strong = ScriptedModel("Hm.", model="w"), ScriptedModel("42", model="s")
    cascade: dict[str, Any] = {
        "policy": Cascade(["cheap", "frontier"], threshold=0.5),
        "verifier": lambda message: "42" in message.content,
    }
    cache = ResponseCache()
    model = ChatRouter({"cheap": weak, "frontier": strong}, response_cache=cache, prices=PRICES, **cascade)
    first, second = model.invoke("6 * 7?"), model.invoke("6 * 7?")
    assert (first.content, second.content) == ("42", "42")
    assert (len(weak.calls), len(strong.calls)) == (1, 1)
    assert second.response_metadata["langroute"]["route"] == "frontier"
    assert (said(first), said(second)) == ("miss", "hit")
    alone = ChatRouter({"cheap": weak, "frontier": strong}, route="cheap", response_cache=cache)
    assert alone.invoke("6 * 7?").content == "Hm."
    assert next(chunk.content for chunk in model.stream("6 * 7?")) == "42"


def test_a_rejected_answer_is_not_kept_even_when_it_is_the_best_there_was() -> None:
    model = ChatRouter(
        {"cheap": numbered(model="w"), "frontier": numbered(model="s")},
        policy=AlwaysTentative(),
        verifier=lambda message: 0.2,
        response_cache=True,
    )
    assert said(model.invoke("Why?")) == "miss"
    assert said(model.invoke("Why?")) == "miss"


class AlwaysTentative:
    """Tries the first route, verifies it and stops whatever comes of it."""

    def select(self, request: Any, attempts: Any) -> Selection | None:
        return None if attempts else Selection("cheap", provisional=True)


def test_a_stored_answer_is_not_verified_again() -> None:
    checked: list[Any] = []
    model = ChatRouter(
        {"cheap": ScriptedModel("42")},
        policy=AlwaysTentative(),
        verifier=lambda message: checked.append(1) or True,
        response_cache=True,
    )
    model.invoke("6 * 7?"), model.invoke("6 * 7?")
    assert len(checked) == 1
    assert model.router.ledger.latest().kept.score == 1.0


class Twice:
    """Tries a route, and then the same route again unless the answer was accepted."""

    def select(self, request: Any, attempts: Any) -> Selection | None:
        if len(attempts) == 2 or (attempts and attempts[-1].ok and (attempts[-1].score or 0) >= 0.5):
            return None
        return Selection("cheap", provisional=True)


def test_a_route_that_is_tried_again_does_not_wait_for_itself() -> None:
    """After an error, and after a rejected answer."""

    def patient() -> ResponseCache:
        return ResponseCache(wait_seconds=600)

    broken, scripted = router(ScriptedModel(ConnectionError("down"), "up"), policy=Twice(), response_cache=patient())
    assert broken.invoke("Why?").content == "up"
    assert said(broken.invoke("Why?")) == "hit"
    assert len(scripted.calls) == 2
    weak, scripted = router(
        ScriptedModel("Hm.", "42"), policy=Twice(), verifier=lambda message: message.content == "42", response_cache=patient()
    )
    assert weak.invoke("6 * 7?").content == "42"
    assert weak.invoke("6 * 7?").content == "42"
    assert len(scripted.calls) == 2
    retried, scripted = router(ScriptedModel(TimeoutError("slow"), "in time"), max_retries=2, response_cache=patient())
    assert retried.invoke("Why?").content == "in time"
    assert "".join(chunk.content for chunk in retried.stream("Why?")) == "in time"


def test_a_stored_answer_that_does_not_pass_is_asked_anew() -> None:
    """It was stored without a check, by a router that makes none."""
    cache = ResponseCache()
    model = ScriptedModel("Hm.", "42", model="m")
    plain = ChatRouter({"cheap": model}, response_cache=cache, prices=PRICES)
    plain.invoke("6 * 7?")
    checked = ChatRouter(
        {"cheap": model}, response_cache=cache, prices=PRICES, policy=Twice(), verifier=lambda message: message.content == "42"
    )
    assert checked.invoke("6 * 7?").content == "42"
    assert said(plain.invoke("6 * 7?")) == "hit"
    assert plain.invoke("6 * 7?").content == "42"


# Taking back ---------------------------------------------------------------------------------------------------------


def test_a_bad_hit_is_reported_by_its_message_or_decision() -> None:
    model, _ = router()
    model.invoke("Why?")
    hit = model.invoke("Why?")
    assert model.response_cache.report_bad_hit(hit.response_metadata["langroute"]["decision_id"])
    assert said(again := model.invoke("Why?")) == "miss"
    assert ResponseCache(model.response_cache.store).report_bad_hit(again)
    assert said(model.invoke("Why?")) == "miss"
    assert not model.response_cache.report_bad_hit("unknown")


def test_a_task_that_went_badly_takes_its_answers_with_it() -> None:
    model, _ = router()
    with task("good"):
        model.invoke("Shared?")
        model.invoke("Apart?")
    with task("bad"):
        model.invoke("Shared?")
        model.invoke("Own?")
    model.router.record_outcome(Outcome(task_id="good", success=True))
    model.router.record_outcome(Outcome(task_id="bad", success=False))
    assert [said(model.invoke(question)) for question in ("Shared?", "Own?", "Apart?")] == ["miss", "miss", "hit"]


def test_what_was_derived_from_a_withdrawn_answer_goes_too() -> None:
    model, _ = router()
    first = model.invoke("Plan it.")
    again = model.invoke("Plan it.")
    follow = [HumanMessage("Plan it."), again, HumanMessage("Go on.")]
    second = model.invoke(follow)
    third = [*follow, second, HumanMessage("And then?")]
    model.invoke(third)
    assert said(model.invoke(third)) == "hit"
    model.invoke("Unrelated?")
    assert model.response_cache.report_bad_hit(first)
    assert [said(model.invoke(asked)) for asked in (third, follow, "Plan it.", "Unrelated?")] == ["miss", "miss", "miss", "hit"]


@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_purging_by_whatever_is_known(where: str, tmp_path: Path) -> None:
    now = [1000.0]
    clock: Any = lambda: now[0]  # noqa: E731
    store = MemoryStore(clock=clock) if where == "memory" else SqliteStore(tmp_path / "c.db", clock=clock)
    cache = ResponseCache(store, clock=clock, isolate=["tenant_id"])
    cheap, frontier = ScriptedModel("c", model="c-1"), ScriptedModel("f", model="f-1")
    model = ChatRouter({"cheap": cheap, "frontier": frontier}, response_cache=cache, policy=Fixed("cheap"))

    def fill() -> None:
        for tenant in ("a", "b"):
            for route in ("cheap", "frontier"):
                for kind in ("title", "answer"):
                    model.invoke(
                        "Why?",
                        {
                            "metadata": {"tenant_id": tenant, "langroute_step_kind": kind},
                            "configurable": {"route": route, "langroute_cache_tags": [f"doc-{tenant}"]},
                        },
                    )
                    now[0] += 1

    fill()
    # Kinds share an entry: the question is the same one.
    assert cache.size().entries == 4
    assert cache.purge(route="cheap") == 2
    fill()
    assert cache.purge(model="f-1", tag="doc-a") == 1
    fill()
    assert cache.purge(namespace=cache.namespace_id(tenant_id="b")) == 2
    fill()
    assert cache.purge(older_than_seconds=10_000) == 0
    now[0] += 100
    assert cache.purge(older_than_seconds=50) == 4
    fill()
    assert cache.purge(key=cache.store.keys()[0]) == 1
    assert cache.purge(everything=True) == 3
    with pytest.raises(ConfigurationError, match="Say what to purge"):
        cache.purge()


# Whose answer --------------------------------------------------------------------------------------------------------


def test_tenants_and_users_never_meet() -> None:
    model, _ = router(response_cache=ResponseCache(isolate=["tenant_id", "user_id"]))

    def ask(**metadata: Any) -> str:
        return model.invoke("Who am I?", {"metadata": metadata}).content

    assert ask(tenant_id="a", user_id=1) == ask(tenant_id="a", user_id=1) == "Answer 1."
    assert ask(tenant_id="a", user_id=2) == "Answer 2."
    assert ask(tenant_id="b", user_id=1) == "Answer 3."
    assert ask(tenant_id="a,b", user_id=1) == "Answer 4."
    assert ask(tenant_id="a", user_id=1) == "Answer 1."


def test_without_a_tenant_the_cache_is_left_alone() -> None:
    model, _ = router(response_cache=ResponseCache(isolate=["tenant_id"]))
    answers = [model.invoke("Why?") for _ in range(2)] + [model.invoke("Why?", {"metadata": {"tenant_id": ""}})]
    assert [said(answer) for answer in answers] == ["bypass: no tenant_id"] * 3
    assert model.response_cache.size().entries == 0


def test_callers_narrow_and_never_widen() -> None:
    model, _ = router(response_cache=ResponseCache(isolate=["tenant_id"]))
    with cache_namespace(tenant_id="a"):
        model.invoke("Why?")
        assert said(model.invoke("Why?")) == "hit"
        assert said(model.invoke("Why?", {"metadata": {"tenant_id": "b"}})) == "bypass: two values of tenant_id"
        assert said(model.invoke("Why?", {"configurable": {"langroute_cache_namespace": "session-1"}})) == "miss"
        assert (
            said(model.invoke("Why?", {"configurable": {"langroute_cache_namespace": {"tenant_id": "b"}}}))
            == "bypass: two values of tenant_id"
        )
        with pytest.raises(InputError, match="cannot become"), cache_namespace(tenant_id="b"):
            pass
    with cache_namespace(tenant_id="b"):
        assert said(model.invoke("Why?")) == "miss"


def test_applications_that_share_a_store_do_not_share_answers() -> None:
    store, scripted = MemoryStore(), numbered()
    for name in ("one", "two"):
        ChatRouter({"cheap": scripted}, response_cache=ResponseCache(store, namespace=name)).invoke("Why?")
    assert len(scripted.calls) == 2


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _other_tenant(data: bytes) -> bytes:
    return data.replace(b'"ns":"', b'"ns":"0')


def _no_message(data: bytes) -> bytes:
    return data.replace(b'"AIMessage"', b'"HumanMessage"')


def _foreign_object(data: bytes) -> bytes:
    return data.replace(b'"additional_kwargs":{}', b'"x":1').replace(
        b'"kwargs":{', b'"kwargs":{"additional_kwargs":{"a":{"lc":1,"type":"secret","id":["OPENAI_API_KEY"]}},'
    )


@pytest.mark.parametrize(
    "spoil", [_cut, _other_tenant, _no_message, _foreign_object, lambda data: b"", lambda data: b"[]", lambda data: b"\x80\x04N."]
)
def test_spoiled_values_are_misses(spoil: Callable[[bytes], bytes]) -> None:
    model, _ = router()
    model.invoke("Why?")
    store = model.response_cache.store
    key = store.keys()[0]
    value = store.get(key)
    assert spoil(value) != value
    store.put(key, spoil(value))
    assert model.invoke("Why?").content == "Answer 2."
    assert model.invoke("Why?").content == "Answer 2."


def test_a_value_moved_to_another_key_is_a_miss() -> None:
    model, _ = router()
    model.invoke("One?")
    model.invoke("Two?")
    store = model.response_cache.store
    one, two = store.keys()
    store.put(one, store.get(two))
    assert {model.invoke("One?").content, model.invoke("Two?").content} in ({"Answer 1.", "Answer 3."}, {"Answer 3.", "Answer 2."})


# How it is set up --------------------------------------------------------------------------------------------------------


def test_the_cache_is_given_in_several_ways(tmp_path: Path) -> None:
    for given in (True, tmp_path / "a.db", str(tmp_path / "b.db"), ResponseCache()):
        model, scripted = router(response_cache=given)
        model.invoke("Why?"), model.invoke("Why?")
        assert len(scripted.calls) == 1
    assert ChatRouter({"cheap": ScriptedModel()}, response_cache=False).response_cache is None
    named = ChatRouter({"cheap": ScriptedModel()}, cache=ResponseCache())
    assert named.response_cache is not None
    assert named.cache is None
    with pytest.raises(ConfigurationError, match="scope"):
        ResponseCache(scope="planet")
    with pytest.raises(ConfigurationError, match="as a list"):
        ResponseCache(isolate="tenant_id")


def test_answers_outlive_the_process_in_a_file(tmp_path: Path) -> None:
    first, _ = router(response_cache=tmp_path / "c.db")
    first.invoke("Why?")
    first.response_cache.close()
    second, scripted = router(response_cache=tmp_path / "c.db")
    assert second.invoke("Why?").content == "Answer 1."
    assert scripted.calls == []


def test_a_router_with_a_cache_can_be_pickled(tmp_path: Path) -> None:
    """What is kept in a file is there again; what is kept in memory is not."""
    from langroute.cache.semantic import SemanticCache

    for where, expected in ((tmp_path / "c.db", "hit"), (None, "miss")):
        scripted = ScriptedModel("Because.")
        model = ChatRouter(
            {"cheap": scripted}, response_cache=ResponseCache(where, semantic=SemanticCache(), isolate=["t"]), prices=PRICES
        )
        config: Any = {"metadata": {"t": "1"}}
        model.invoke("Why?", config)
        assert said(pickle.loads(pickle.dumps(model)).invoke("Why?", config)) == expected


def test_a_copy_of_the_router_keeps_the_cache() -> None:
    model, _ = router()
    model.invoke("Why?")
    assert said(model.model_copy(update={"tags": ["x"]}).invoke("Why?")) == "hit"
    assert said(model.with_config(tags=["y"]).invoke("Why?")) == "hit"


def test_what_has_no_stable_form_is_answered_without_the_cache() -> None:
    model, _ = router()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert said(model.invoke("Why?", odd=object())).startswith("bypass: a object has no stable form")


async def test_a_cancelled_call_leaves_nothing_behind() -> None:
    started = asyncio.Event()

    class Slow(ScriptedModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            started.set()
            await asyncio.sleep(30)

    model, _ = router(Slow())
    call = asyncio.create_task(model.ainvoke("Why?"))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not open_calls(model.response_cache)


def test_a_listener_of_any_kind_is_noticed() -> None:
    """Where nobody hears of runs, none is made; whoever LangChain would tell must be seen."""
    from langchain_core.callbacks import CallbackManager, get_usage_metadata_callback
    from langchain_core.globals import set_debug
    from langchain_core.tracers.context import collect_runs
    from langsmith import tracing_context

    def told() -> bool:
        heard = bool(CallbackManager.configure(None).handlers)
        assert listened_to({}) is heard
        return heard

    assert not told()
    with get_usage_metadata_callback():
        assert told()
    with collect_runs():
        assert told()
    set_debug(True)
    try:
        assert told()
    finally:
        set_debug(False)
    with tracing_context(enabled=True):
        # What LangChain would make of it is a client that looks for its server.
        assert listened_to({})
    assert not told()


def test_what_a_caller_does_to_an_answer_stays_with_him() -> None:
    """The stored answer is kept as it was read; each hit is a copy all through."""
    content = [{"type": "text", "text": "Paris.", "annotations": [{"n": 1}]}]
    said = AIMessage(content, response_metadata={"finish_reason": "stop", "inner": {"a": [1]}})
    model = ChatRouter({"cheap": ScriptedModel(said)}, response_cache=True)
    model.invoke("Capital of France?")
    first = model.invoke("Capital of France?")
    first.content[0]["annotations"][0]["n"] = 2
    first.content.append("spoiled")
    first.response_metadata["inner"]["a"].append(2)

    second = model.invoke("Capital of France?")

    assert second.response_metadata["langroute"]["cache"] == "hit"
    assert second.content == [{"type": "text", "text": "Paris.", "annotations": [{"n": 1}]}]
    assert second.response_metadata["inner"] == {"a": [1]}


def test_another_process_learns_that_the_provider_serves_another_model(tmp_path: Path) -> None:
    """The name stays, the model behind it changes. Who reads one answer of the new one gives none of the old one any more."""

    def process(served: str) -> ChatRouter:
        scripted = ScriptedModel(lambda messages: AIMessage(f"by {served}", response_metadata={"model_name": served}))
        return ChatRouter({"cheap": scripted}, prices=PRICES, response_cache=tmp_path / "c.db")

    old, new = process("m-2026-01"), process("m-2026-02")
    for question in ("Why?", "How?"):
        old.invoke(question)
    new.invoke("What else?")
    reader = process("m-2026-02")
    assert reader.invoke("Why?").content == "by m-2026-01"

    assert reader.invoke("What else?").response_metadata["langroute"]["cache"] == "hit"

    assert reader.invoke("How?").content == "by m-2026-02"
    assert reader.invoke("Why?").content == "by m-2026-02"


def test_what_a_caller_does_to_structured_output_stays_with_him() -> None:
    """A dictionary that was parsed once is handed out as a copy."""
    schema = {
        "title": "City",
        "description": "A city.",
        "type": "object",
        "properties": {"names": {"type": "array", "items": {"type": "string"}}},
    }
    call = {"name": "City", "args": {"names": ["Paris"]}, "id": "c", "type": "tool_call"}
    model, scripted = router(ScriptedModel(AIMessage("", tool_calls=[call])))
    structured = model.with_structured_output(schema)
    for _ in range(3):
        found = structured.invoke("Which city?")
        assert found == {"names": ["Paris"]}
        found["names"].append("spoiled")
    assert len(scripted.calls) == 1
