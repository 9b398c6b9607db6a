"""A router behaves like the chosen model: the same answer, the same callbacks once, the same usage."""

from __future__ import annotations

import asyncio
import inspect
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import filterfalse
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from pydantic import BaseModel
from recorder import Recorder, plain
from servers import anthropic_chat, openai_chat

from langroute import ChatRouter
from langroute.policies import Fixed
from langroute.testing import ScriptedModel

ANSWER = "Forty two, and not a word more."
HISTORY = [SystemMessage("Be brief."), HumanMessage("What is 6 * 7?"), AIMessage("42"), HumanMessage("Are you sure?")]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Joke(BaseModel):
    """A joke."""

    setup: str
    punchline: str


def scripted_call() -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "call_1", "type": "tool_call"}])


MAKERS: dict[str, Callable[..., Any]] = {
    "scripted": lambda **kwargs: ScriptedModel(ANSWER, **kwargs),
    "openai": openai_chat,
    "anthropic": anthropic_chat,
}


@pytest.fixture(params=list(MAKERS))
def maker(request: pytest.FixtureRequest, mock: Any) -> Callable[..., Any]:
    """Makes the model that is called directly on one side and through a router on the other."""
    mock.reply(ANSWER, times=None)
    return MAKERS[request.param]


def routed(model: Any, **kwargs: Any) -> ChatRouter:
    """A router that chooses this model and no other."""
    other = ScriptedModel("This route is not the chosen one.")
    return ChatRouter({"other": other, "chosen": model}, policy=Fixed("chosen"), fallback=False, **kwargs)


async def heard(call: Callable[[Any, dict[str, Any]], Any], model: Any) -> tuple[Any, list[Any], Recorder]:
    recorder = Recorder()
    config = {"callbacks": [recorder], "tags": ["mine"], "metadata": {"team": "search"}, "run_name": "step"}
    result = call(model, config)
    if inspect.isawaitable(result):
        result = await result
    return result, recorder.events, recorder


def is_token(event: Any) -> bool:
    return bool(event[0] == "token")


def whole(chunks: list[Any]) -> Any:
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    return total


def shown(chunks: list[Any]) -> list[Any]:
    return [plain(chunk) for chunk in chunks]


async def acollect(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


async def finished(awaitable: Any, then: Callable[[Any], Any]) -> Any:
    return then(await awaitable)


async def astream_events(model: Any, config: Any, version: str) -> list[Any]:
    return [
        (event["event"], event["name"], [tag for tag in event["tags"] if not tag.startswith("langroute")], said(event["data"]))
        async for event in model.astream_events(HISTORY, config, version=version)
        if event["name"] != "langroute_decision"
    ]


def said(data: dict[str, Any]) -> Any:
    return {key: plain(value) for key, value in data.items() if key != "input"}


def v3(model: Any, config: Any) -> Any:
    stream = model.stream_events(HISTORY, config, version="v3")
    events = [kept(event) for event in stream]
    return events, str(stream.text), plain(stream.output)


def kept(event: dict[str, Any]) -> dict[str, Any]:
    event = {key: value for key, value in event.items() if key not in ("id", "message_id")}
    if "metadata" in event:
        event["metadata"] = {k: v for k, v in event["metadata"].items() if k not in ("langroute", "id")}
    return event


async def av3(model: Any, config: Any) -> Any:
    stream = await model.astream_events(HISTORY, config, version="v3")
    events = [kept(event) async for event in stream]
    message = await stream
    return events, await stream.text, plain(message)


CALLS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "invoke": lambda model, config: plain(model.invoke(HISTORY, config)),
    "invoke a string": lambda model, config: plain(model.invoke("Hello?", config)),
    "invoke pairs": lambda model, config: plain(model.invoke([("system", "Be brief."), ("human", "Hello?")], config)),
    "invoke mixed": lambda model, config: plain(model.invoke([SystemMessage("Be brief."), ("human", "Hello?")], config)),
    "invoke dictionaries": lambda model, config: plain(model.invoke([{"role": "user", "content": "Hello?"}], config)),
    "invoke with stop": lambda model, config: plain(model.invoke(HISTORY, config, stop=["word"])),
    "ainvoke": lambda model, config: finished(model.ainvoke(HISTORY, config), plain),
    "stream": lambda model, config: plain(whole(list(model.stream(HISTORY, config)))),
    "stream, chunk by chunk": lambda model, config: shown(list(model.stream(HISTORY, config))),
    "astream, chunk by chunk": lambda model, config: finished(acollect(model.astream(HISTORY, config)), shown),
    "astream_events v2": lambda model, config: astream_events(model, config, "v2"),
    "astream_events v1": lambda model, config: astream_events(model, config, "v1"),
    "stream_events v3": v3,
    "astream_events v3": av3,
    "batch": lambda model, config: shown(model.batch([HISTORY, "Hello?"], {**config, "max_concurrency": 1})),
    "abatch": lambda model, config: finished(model.abatch([HISTORY, HISTORY], {**config, "max_concurrency": 1}), shown),
    "generate": lambda model, config: plain(model.generate([HISTORY], callbacks=config["callbacks"]).generations[0][0].message),
    "agenerate": lambda model, config: finished(
        model.agenerate([HISTORY], callbacks=config["callbacks"]), lambda result: plain(result.generations[0][0].message)
    ),
    "generate_prompt": lambda model, config: plain(
        model.generate_prompt([ChatPromptTemplate(["Hello?"]).invoke({})], callbacks=config["callbacks"]).generations[0][0].message
    ),
    "bind": lambda model, config: plain(model.bind(stop=["word"]).invoke(HISTORY, config)),
    "with_config": lambda model, config: plain(model.with_config(tags=["bound"], run_name="named").invoke(HISTORY, config)),
    "with_retry": lambda model, config: plain(model.with_retry(stop_after_attempt=2).invoke(HISTORY, config)),
    "with_fallbacks": lambda model, config: plain(model.with_fallbacks([ScriptedModel("no")]).invoke(HISTORY, config)),
    "fallback itself": lambda model, config: plain(
        ScriptedModel(ConnectionError("down")).with_fallbacks([model]).invoke(HISTORY, config)
    ),
    "with_listeners": lambda model, config: plain(model.with_listeners(on_start=lambda run: None).invoke(HISTORY, config)),
    "chain": lambda model, config: (ChatPromptTemplate(["Say {word}."]) | model | StrOutputParser()).invoke({"word": "x"}, config),
    "chain, streamed": lambda model, config: list(
        (ChatPromptTemplate(["Say {word}."]) | model | StrOutputParser()).stream({"word": "x"}, config)
    ),
    "chain, transformed": lambda model, config: shown(list(model.transform(iter(["Hello?"]), config))),
    "map": lambda model, config: shown(model.map().invoke(["Hello?"], config)),
    "pick in a lambda": lambda model, config: plain(RunnableLambda(lambda text: model.invoke(text)).invoke("Hello?", config)),
    "configurable_fields": lambda model, config: plain(
        model.configurable_fields(temperature=ConfigurableField(id="t")).invoke(HISTORY, {**config, "configurable": {"t": 0.1}})
    ),
    "get_num_tokens": lambda model, config: model.bind().invoke(HISTORY, config).usage_metadata,
}


@pytest.mark.server
@pytest.mark.parametrize("name", list(CALLS))
async def test_every_way_of_calling_is_the_same_as_calling_the_chosen_model(name: str, maker: Callable[..., Any]) -> None:
    call = CALLS[name]
    expected, expected_events, direct = await heard(call, maker(temperature=0.1))
    actual, events, through = await heard(call, routed(maker(temperature=0.1)))

    assert actual == expected
    if name == "configurable_fields":
        # A router hands its own settings on as arguments of the call, which is where the event has them.
        events, expected_events = [event[0] for event in events], [event[0] for event in expected_events]
    if name == "chain, streamed":
        # Until there is something to read another route may take over, so what follows the model begins then, not at an empty chunk.
        events, expected_events = ([*filter(is_token, some), *filterfalse(is_token, some)] for some in (events, expected_events))
    if name == "chain, streamed":
        # Chunks that show nothing yet are held back with the first that does, so what stands behind begins after its token.
        events, expected_events = sorted(events, key=repr), sorted(expected_events, key=repr)
    assert events == expected_events
    assert len(through.named("start")) == len(direct.named("start"))
    assert all(metadata["langroute_route"] == "chosen" for metadata in through.metadata if metadata.get("langroute_route"))


@pytest.mark.server
@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
async def test_bound_tools_are_called_as_by_the_chosen_model(how: str, maker: Callable[..., Any], mock: Any) -> None:
    mock.reset()

    def call(model: Any, config: Any) -> Any:
        bound = model.bind_tools([add], tool_choice="any")
        if how == "invoke":
            return plain(bound.invoke("Add 1 and 2.", config))
        if how == "stream":
            return plain(whole(list(bound.stream("Add 1 and 2.", config))))
        if how == "ainvoke":
            return finished(bound.ainvoke("Add 1 and 2.", config), plain)
        return finished(acollect(bound.astream("Add 1 and 2.", config)), lambda chunks: plain(whole(chunks)))

    def model() -> Any:
        return ScriptedModel(scripted_call()) if maker is MAKERS["scripted"] else maker()

    expected, expected_events, _ = await heard(call, model())
    actual, events, _ = await heard(call, routed(model()))

    assert [name for name, _ in actual[2]] == ["add"]
    assert actual == expected
    assert events == expected_events


def scripted_joke(*, as_text: bool) -> ScriptedModel:
    args = {"setup": "Knock knock.", "punchline": "Who is there?"}
    if as_text:
        return ScriptedModel('{"setup": "Knock knock.", "punchline": "Who is there?"}')
    return ScriptedModel(AIMessage("", tool_calls=[{"name": "Joke", "args": args, "id": "call_1", "type": "tool_call"}]))


@pytest.mark.server
@pytest.mark.parametrize("include_raw", [False, True])
@pytest.mark.parametrize("method", [None, "function_calling", "json_schema", "json_mode"])
@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
async def test_structured_output_is_that_of_the_chosen_model(
    how: str, method: str | None, include_raw: bool, maker: Callable[..., Any], mock: Any
) -> None:
    mock.reset()
    if maker is MAKERS["scripted"] and method in ("json_schema", "json_mode"):
        pytest.skip("LangChain's base class has function calling only")
    if method in ("json_mode", "json_schema"):
        mock.reply('{"setup": "Knock knock.", "punchline": "Who is there?"}', times=None)
    asked = {} if method is None else {"method": method}

    def call(model: Any, config: Any) -> Any:
        runnable = model.with_structured_output(Joke, include_raw=include_raw, **asked)
        if how == "invoke":
            return tidy(runnable.invoke("Tell a joke in JSON.", config))
        if how == "stream":
            return [tidy(part) for part in runnable.stream("Tell a joke in JSON.", config)]
        if how == "ainvoke":
            return finished(runnable.ainvoke("Tell a joke in JSON.", config), tidy)
        return finished(acollect(runnable.astream("Tell a joke in JSON.", config)), lambda parts: [tidy(part) for part in parts])

    def model() -> Any:
        return scripted_joke(as_text=False) if maker is MAKERS["scripted"] else maker()

    expected, expected_events, _ = await heard(call, model())
    actual, events, _ = await heard(call, routed(model()))

    if include_raw:
        # LangChain runs the parts of a map side by side, so what comes of them comes in any order.
        events, expected_events = sorted(events, key=repr), sorted(expected_events, key=repr)
        if how.endswith("stream"):
            actual, expected = sorted(actual, key=repr), sorted(expected, key=repr)
    assert actual == expected
    assert events == expected_events


def test_structured_output_of_which_nothing_can_be_parsed_streams_nothing() -> None:
    text = ScriptedModel("No JSON here.")
    direct = list(text.with_structured_output(Joke).stream("A joke."))
    assert list(routed(text).with_structured_output(Joke).stream("A joke.")) == direct


def tidy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(part) if key == "raw" else part for key, part in value.items()}
    return value


@pytest.mark.server
async def test_what_the_model_cannot_do_fails_as_it_would_have(maker: Callable[..., Any], mock: Any) -> None:
    mock.reset().fail(400, times=None)
    model = ScriptedModel(ValueError("bad request")) if maker is MAKERS["scripted"] else maker()

    def call(model: Any, config: Any) -> Any:
        with pytest.raises(Exception) as raised:  # noqa: PT011
            model.invoke(HISTORY, config)
        return type(raised.value), str(raised.value)

    expected, expected_events, _ = await heard(call, model)
    actual, events, _ = await heard(call, routed(model))

    assert actual == expected
    assert events == expected_events


@pytest.mark.server
def test_threads_each_get_their_own_answer_and_callbacks(maker: Callable[..., Any]) -> None:
    router = routed(maker())

    def call(number: int) -> tuple[Any, list[Any]]:
        recorder = Recorder()
        message = router.invoke(f"Number {number}?", {"callbacks": [recorder], "metadata": {"number": number}})
        return message, recorder.metadata

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(call, range(24)))

    assert [metadata[0]["number"] for _, metadata in results] == list(range(24))
    assert all(len(metadata) == 1 for _, metadata in results)
    marks = [message.response_metadata["langroute"]["decision_id"] for message, _ in results]
    assert len(set(marks)) == 24
    assert [metadata[0]["langroute_decision_id"] for _, metadata in results] == marks


async def test_tasks_each_get_their_own_answer_and_callbacks() -> None:
    router = routed(ScriptedModel(lambda messages: messages[-1].content))

    async def call(number: int) -> tuple[Any, list[Any]]:
        recorder = Recorder()
        message = await router.ainvoke(f"Number {number}?", {"callbacks": [recorder], "metadata": {"number": number}})
        return message, recorder.metadata

    results = await asyncio.gather(*(call(number) for number in range(24)))

    assert [message.content for message, _ in results] == [f"Number {number}?" for number in range(24)]
    assert [metadata[0]["number"] for _, metadata in results] == list(range(24))


def test_a_batch_decides_for_every_item() -> None:
    router = routed(ScriptedModel(lambda messages: messages[-1].content))
    questions = [f"Number {number}?" for number in range(12)]

    answers = router.batch(questions, {"max_concurrency": 4})

    assert [answer.content for answer in answers] == questions
    assert len({answer.response_metadata["langroute"]["decision_id"] for answer in answers}) == 12
    assert len(router.ledger.decisions) == 12


def test_generate_of_several_prompts_names_only_the_first_run() -> None:
    from uuid import uuid4

    recorder, run_id = Recorder(), uuid4()
    prompts = [[HumanMessage("One?")], [HumanMessage("Two?")]]

    result = routed(ScriptedModel("1", "2")).generate(prompts, callbacks=[recorder], run_id=run_id)

    assert [one[0].text for one in result.generations] == ["1", "2"]
    assert recorder.runs[0] == run_id
    assert recorder.runs[1] != run_id


def test_the_routers_own_callbacks_tags_and_metadata_reach_the_run() -> None:
    recorder = Recorder()
    model = ScriptedModel("Hello.")
    router = routed(model, callbacks=[recorder], tags=["own"], metadata={"owner": "me"})

    router.invoke("Hello?", {"tags": ["call"], "metadata": {"caller": "you"}})

    (start,) = recorder.named("start")
    assert sorted(start[4]) == ["call", "own"]
    assert {"owner": "me", "caller": "you"}.items() <= recorder.metadata[0].items()


def test_a_router_is_pickled_where_its_routes_can_be() -> None:
    router = ChatRouter({"small": ScriptedModel("Hello."), "large": ScriptedModel("Good day.")})
    router.invoke("Hello?")

    again = pickle.loads(pickle.dumps(router))

    assert again.invoke("Hello?").content == router.invoke("Hello?").content
    assert again.bind_tools([add]).invoke("Hello?").content

    bound = pickle.loads(pickle.dumps(router.bind_tools([ToolLike])))
    assert bound.invoke("Hello?").content


class ToolLike(BaseModel):
    """Look something up."""

    word: str


@pytest.mark.server
def test_an_anthropic_router_is_pickled() -> None:
    router = routed(anthropic_chat())
    assert pickle.loads(pickle.dumps(router)).invoke("Hello?").content


def test_tokens_are_counted_as_the_default_route_counts_them() -> None:
    model = ScriptedModel("x", custom_get_token_ids=lambda text: list(range(len(text))))
    router = routed(model)

    assert router.get_num_tokens("four") == model.get_num_tokens("four") == 4
    assert router.get_num_tokens_from_messages(HISTORY) == model.get_num_tokens_from_messages(HISTORY)
    assert router.get_token_ids("four") == model.get_token_ids("four")


def test_the_profile_is_what_all_routes_share() -> None:
    small = ScriptedModel("x", profile={"max_input_tokens": 8_000, "tool_calling": True, "image_inputs": True})
    large = ScriptedModel("x", profile={"max_input_tokens": 200_000, "tool_calling": True, "image_inputs": False})

    assert ChatRouter({"small": small, "large": large}).profile == {
        "max_input_tokens": 8_000,
        "tool_calling": True,
        "image_inputs": False,
    }
    assert ChatRouter({"small": small, "large": ScriptedModel("x")}).profile is None


def test_chunks_add_up_to_one_decision() -> None:
    router = routed(ScriptedModel(ANSWER))

    total = whole(list(router.stream("Hello?")))

    assert isinstance(total, AIMessageChunk)
    assert total.response_metadata["langroute"]["route"] == "chosen"
    assert total.response_metadata["langroute"]["decision_id"] == router.ledger.latest().id
    assert total.chunk_position == "last"


def test_settings_of_the_router_reach_whichever_model_is_chosen() -> None:
    model = ScriptedModel("Hello. Stop here.")
    router = ChatRouter({"only": model}, temperature=0.25, max_tokens=50, stop=["Stop"])

    assert router.invoke("Hello?").content == "Hello. "
    assert model.calls[-1][1] == {"temperature": 0.25, "max_tokens": 50, "stop": ["Stop"]}

    router.invoke("Hello?", temperature=1.0)
    assert model.calls[-1][1]["temperature"] == 1.0


def test_a_config_overrides_settings_and_the_model_at_run_time() -> None:
    small, large = ScriptedModel("small", model="tiny-1"), ScriptedModel("large", model="huge-1")
    router = ChatRouter({"small": small, "large": large}, policy=Fixed("small"))

    def ask(**configurable: Any) -> str:
        return router.invoke("Hello?", {"configurable": configurable}).content

    assert ask() == "small"
    assert ask(model="large") == "large"
    assert ask(model="huge-1") == "large"
    assert ask(model="scripted:huge-1") == "large"
    assert ask(route="large") == "large"
    ask(temperature=0.9)
    assert small.calls[-1][1] == {"temperature": 0.9}


def test_configured_fields_are_seen_by_tools_and_schemas_bound_afterwards() -> None:
    small, large = scripted_joke(as_text=False), scripted_joke(as_text=False)
    router = ChatRouter({"small": small, "large": large}, policy=Fixed("small"))
    free = router.configurable_fields(route=ConfigurableField(id="pin"))

    free.bind_tools([Joke]).invoke("A joke.", {"configurable": {"pin": "large"}})
    assert (len(small.calls), len(large.calls)) == (0, 1)
    assert large.calls[-1][1]["tools"][0]["function"]["name"] == "Joke"

    assert free.with_structured_output(Joke).invoke("A joke.", {"configurable": {"pin": "large"}}).setup == "Knock knock."
    assert (len(small.calls), len(large.calls)) == (0, 2)
    assert len(router.ledger.decisions) == 2


SETTINGS: dict[str, dict[str, Any]] = {
    "content blocks of version 1": {"output_version": "v1"},
    "no streaming": {"disable_streaming": True},
    "no streaming with tools": {"disable_streaming": "tool_calling"},
}


@pytest.mark.server
@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.parametrize("how", ["invoke", "stream, chunk by chunk", "astream, chunk by chunk", "astream_events v2"])
async def test_settings_of_every_chat_model_mean_the_same_on_a_router(how: str, name: str, maker: Callable[..., Any]) -> None:
    expected, expected_events, _ = await heard(CALLS[how], maker(**SETTINGS[name]))
    actual, events, _ = await heard(CALLS[how], routed(maker(), **SETTINGS[name]))

    assert actual == expected
    assert events == expected_events


@pytest.mark.server
@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream, chunk by chunk"])
async def test_langchains_cache_works_on_a_router_as_on_a_model(how: str, maker: Callable[..., Any]) -> None:
    from langchain_core.caches import InMemoryCache

    direct, router = maker(cache=InMemoryCache()), routed(maker(), cache=InMemoryCache())
    for _ in range(2):
        expected, expected_events, _ = await heard(CALLS[how], direct)
        actual, events, _ = await heard(CALLS[how], router)
        assert actual == expected
        assert events == expected_events


def test_a_rate_limiter_on_the_router_is_asked_before_every_attempt() -> None:
    from langchain_core.rate_limiters import BaseRateLimiter

    class Counting(BaseRateLimiter):
        asked = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            self.asked += 1
            return True

        async def aacquire(self, *, blocking: bool = True) -> bool:
            return self.acquire(blocking=blocking)

    limiter = Counting()
    router = routed(ScriptedModel("x"), rate_limiter=limiter)
    router.invoke("Hi.")
    list(router.stream("Hi."))
    router.bind_tools([add]).invoke("Hi.")
    assert limiter.asked == 3


@pytest.mark.server
@pytest.mark.parametrize("inside", ["invoke", "stream", "tools"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_graph_streams_and_calls_back_as_with_the_chosen_model(
    inside: str, asynchronous: bool, maker: Callable[..., Any]
) -> None:
    from langgraph.graph import START, MessagesState, StateGraph

    def graph_of(model: Any) -> Any:
        called = model.bind_tools([add]) if inside == "tools" else model

        def node(state: Any) -> Any:
            if inside == "stream":
                return {"messages": [whole(list(called.stream(state["messages"])))]}
            return {"messages": [called.invoke(state["messages"])]}

        async def anode(state: Any, config: RunnableConfig) -> Any:
            if inside == "stream":
                return {"messages": [whole(await acollect(called.astream(state["messages"], config)))]}
            return {"messages": [await called.ainvoke(state["messages"], config)]}

        graph = StateGraph(MessagesState)
        graph.add_node("think", RunnableLambda(node, anode))
        graph.add_edge(START, "think")
        return graph.compile()

    async def run(model: Any) -> tuple[list[Any], list[Any]]:
        recorder, asked = Recorder(), {"messages": "What is 6 * 7?"}
        config: Any = {"callbacks": [recorder], "configurable": {"thread_id": "t1"}}
        if asynchronous:
            parts = await acollect(graph_of(model).astream(asked, config, stream_mode=["messages", "values"]))
        else:
            parts = list(graph_of(model).stream(asked, config, stream_mode=["messages", "values"]))
        # One more chunk carries the record of the decision.
        parts = [(mode, part) for mode, part in parts if mode != "messages" or not is_record(part[0])]
        seen = [plain(part[0]) if mode == "messages" else [plain(message) for message in part["messages"]] for mode, part in parts]
        return seen, recorder.events

    def is_record(chunk: Any) -> bool:
        return not chunk.content and "langroute" in chunk.response_metadata

    expected, expected_events = await run(maker())
    actual, events = await run(routed(maker()))

    assert actual == expected
    assert events == expected_events
