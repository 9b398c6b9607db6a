"""A server that tells its usage with every chunk: the prompt is billed once, also where LangChain makes the message and adds the chunks up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("langchain_openai")

from handed_server import HandedServer, chunks
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph

from langroute import ChatRouter, OutcomeTracker, RouterMiddleware, RouterNode
from langroute.ledger.memory import MemoryLedger
from langroute.providers.stream_usage import StreamedUsage

pytestmark = pytest.mark.server


def told(given: int, written: int) -> dict[str, int]:
    return {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written}


USAGES = {
    "in every chunk": [told(1_000, 1), told(1_000, 2), told(1_000, 4)],
    "twice at the end": [None, told(1_000, 4), told(1_000, 4)],
    "once": [None, None, told(1_000, 4)],
}
ONCE = 258e-6
"""USD of gpt-5-mini: 1,000 x 0.25 + 4 x 2 millionths."""


def gpt(server: HandedServer, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-5-mini", base_url=server.url, api_key="x", max_retries=0, stream_usage=True, **more)


async def read(stream: Any) -> list[Any]:
    return [part async for part in stream]


def node(model: Any, awaited: bool) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("a", RouterNode({"a": model}))
    graph.add_edge(START, "a")
    return shown(graph.compile(), awaited)


def middleware(model: Any, awaited: bool) -> Any:
    return shown(create_agent(model, middleware=[RouterMiddleware({"a": model})]), awaited)


def shown(graph: Any, awaited: bool) -> Any:
    """The answer of a graph whose tokens a front end reads."""
    modes = {"stream_mode": ["messages", "values"]}
    asked = {"messages": "Hi."}
    parts = asyncio.run(read(graph.astream(asked, **modes))) if awaited else list(graph.stream(asked, **modes))
    return next(part for mode, part in reversed(parts) if mode == "values")["messages"][-1]


def plain(model: Any, awaited: bool) -> Any:
    """The answer of a model that was told to stream."""
    router = ChatRouter({"a": model.model_copy(update={"streaming": True})})
    return asyncio.run(router.ainvoke("Hi.")) if awaited else router.invoke("Hi.")


@pytest.mark.parametrize(
    ("told_when", "host", "awaited"),
    [
        *(("in every chunk", host, awaited) for host in (node, middleware, plain) for awaited in (False, True)),
        ("twice at the end", plain, False),
        ("once", node, True),
    ],
)
def test_what_langchain_added_up_is_billed_once(told_when: str, host: Any, awaited: bool) -> None:
    with HandedServer(events=chunks("gpt-5-mini", USAGES[told_when])) as server:
        answer = host(gpt(server), awaited)

    assert answer.response_metadata["langroute"]["cost_usd"] == pytest.approx(ONCE)
    assert (answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]) == (1_000, 4)


class CallsTold(MemoryLedger):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def record_call(self, call: Any) -> None:
        self.calls.append(call() if callable(call) else call)


@pytest.mark.parametrize(
    ("told_when", "way"),
    [*(("in every chunk", way) for way in ("stream", "astream", "invoke")), ("twice at the end", "stream"), ("once", "invoke")],
)
def test_a_tracker_bills_it_once_too(told_when: str, way: str) -> None:
    ledger = CallsTold()
    config: Any = {"callbacks": [OutcomeTracker(ledger)]}
    with HandedServer(events=chunks("gpt-5-mini", USAGES[told_when])) as server:
        if way == "stream":
            list(gpt(server).stream("Hi.", config))
        elif way == "astream":
            asyncio.run(read(gpt(server).astream("Hi.", config)))
        else:
            gpt(server, streaming=True).invoke("Hi.", config)

    (call,) = ledger.calls
    assert (call.usage.input_tokens, call.usage.output_tokens) == (1_000, 4)
    assert call.cost_usd == pytest.approx(ONCE)


def test_two_models_of_one_route_are_not_mixed_up() -> None:
    """A chain as a route: each model's usage is its own."""
    with HandedServer(events=chunks("gpt-5-mini", USAGES["in every chunk"])) as server:
        model = gpt(server, streaming=True)
        router = ChatRouter({"a": ChatRouter({"inner": model})})
        answer = router.invoke("Hi.")
    assert answer.response_metadata["langroute"]["cost_usd"] == pytest.approx(ONCE)


def used(given: int, written: int) -> Any:
    return {"input_tokens": given, "output_tokens": written, "total_tokens": given + written}


def test_a_usage_that_is_not_the_chunks_sum_counts_as_it_is() -> None:
    usage = StreamedUsage()
    for written in (1, 2):
        usage.hear(AIMessageChunk("a", usage_metadata=used(100, written)))

    assert usage.told_once(AIMessage("aa", usage_metadata=used(100, 2))) is None
    assert usage.told_once(AIMessage("aa")) is None
    assert usage.told_once(AIMessage("aa", usage_metadata=used(200, 3))) == used(100, 2)


def test_parts_of_a_usage_are_added() -> None:
    """Claude tells the prompt first and the answer last."""
    usage = StreamedUsage()
    for part in (used(100, 0), used(0, 7)):
        usage.hear(AIMessageChunk("a", usage_metadata=part))

    assert usage.told_once(AIMessage("aa", usage_metadata=used(100, 7))) is None
