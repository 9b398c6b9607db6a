"""A task's totals are the same however its graph is run, and equal what the provider's server logged."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from servers import openai_chat

from langroute import ChatRouter
from langroute.ledger import open_ledger
from langroute.ledger.facts import TaskTotals
from langroute.ledger.memory import MemoryLedger
from langroute.policies.fixed import Fixed
from langroute.tracking.callbacks import OutcomeTracker, track

pytestmark = pytest.mark.server

CHEAP, STRONG = "gpt-4.1-mini", "gpt-4.1"
EXPECTED = {CHEAP: 5, STRONG: 4}
"""Model calls of one run of the graph: counted in the server's log too."""


@tool
def look_up(query: str) -> str:
    """Look something up."""
    return f"nothing is known of {query}"


class State(TypedDict, total=False):
    question: str
    ask: bool
    topic: Annotated[str, lambda _, new: new]
    found: Annotated[list[str], operator.add]
    answer: str


class Found(TypedDict):
    found: Annotated[list[str], operator.add]


def graph(cheap: Any, strong: Any, checkpointer: Any = None) -> Any:
    """A plan, two branches at once with a sub-graph each, an agent with a sub-agent as its tool, a pause, an answer."""
    inner = StateGraph(State, output_schema=Found)
    inner.add_node("read", lambda state: {"found": [cheap.invoke(f"Read about {state['topic']}.").text]})
    inner.add_edge(START, "read")
    research = inner.compile()
    helper = create_agent(cheap, [look_up], name="helper")

    @tool
    def ask_helper(request: str) -> str:
        """CacheRequest the helper."""
        return str(helper.invoke({"messages": [("user", request)]})["messages"][-1].content)

    @tool
    async def ask_helper_async(request: str) -> str:
        """CacheRequest the helper."""
        return str((await helper.ainvoke({"messages": [("user", request)]}))["messages"][-1].content)

    ask_helper.coroutine = ask_helper_async.coroutine
    agent = create_agent(strong, [ask_helper], name="boss")

    def plan(state: State) -> dict[str, Any]:
        strong.invoke(f"Plan: {state['question']}")
        return {}

    def work(state: State) -> dict[str, Any]:
        return {"found": [agent.invoke({"messages": [("user", "Do the work.")]})["messages"][-1].text]}

    async def work_async(state: State) -> dict[str, Any]:
        return {"found": [(await agent.ainvoke({"messages": [("user", "Do the work.")]}))["messages"][-1].text]}

    def pause(state: State) -> dict[str, Any]:
        if state.get("ask"):
            interrupt("Go on?")
        return {}

    def answer(state: State) -> dict[str, Any]:
        return {"answer": "".join(chunk for chunk in (strong | StrOutputParser()).stream("Answer."))}

    built = StateGraph(State)
    built.add_node("plan", plan)
    built.add_node("research", research)
    built.add_node("work", RunnableLambda(work, work_async))
    built.add_node("pause", pause)
    built.add_node("answer", answer)
    built.add_node("title", lambda state: {"topic": cheap.invoke("A title, please.").text})
    built.add_edge(START, "plan")
    built.add_conditional_edges("plan", lambda state: [Send("research", {"topic": topic}) for topic in ("ice", "snow")])
    built.add_edge("research", "work")
    built.add_edge("work", "pause")
    built.add_edge("pause", "answer")
    built.add_edge("answer", "title")
    built.add_edge("title", END)
    return built.compile(checkpointer=checkpointer)


INPUT = {"question": "Why is ice slippery?"}


def by_invoke(app: Any, config: Any) -> None:
    app.invoke(INPUT, config)


def by_stream(app: Any, config: Any) -> None:
    for _ in app.stream(INPUT, config, stream_mode=["messages", "updates"], subgraphs=True):
        pass


def by_batch(app: Any, config: Any) -> None:
    app.batch([INPUT], config)


def by_threads(app: Any, config: Any) -> None:
    with ContextThreadPoolExecutor(2) as pool:
        pool.submit(app.invoke, INPUT, config).result()


async def by_ainvoke(app: Any, config: Any) -> None:
    await app.ainvoke(INPUT, config)


async def by_astream(app: Any, config: Any) -> None:
    async for _ in app.astream(INPUT, config, stream_mode="messages"):
        pass


async def by_astream_events(app: Any, config: Any) -> None:
    async for _ in app.astream_events(INPUT, config, version="v2"):
        pass


async def by_abatch(app: Any, config: Any) -> None:
    await app.abatch([INPUT], config)


async def by_to_thread(app: Any, config: Any) -> None:
    await asyncio.to_thread(app.invoke, INPUT, config)


def by_resuming(app: Any, config: Any) -> None:
    app.invoke({**INPUT, "ask": True}, config)
    app.invoke(Command(resume="yes"), config)


async def by_resuming_async(app: Any, config: Any) -> None:
    await app.ainvoke({**INPUT, "ask": True}, config)
    async for _ in app.astream(Command(resume="yes"), config):
        pass


WAYS = [
    by_invoke,
    by_stream,
    by_batch,
    by_threads,
    by_ainvoke,
    by_astream,
    by_astream_events,
    by_abatch,
    by_to_thread,
    by_resuming,
    by_resuming_async,
]


def models(routed: bool, ledger: Any) -> tuple[Any, Any]:
    cheap, strong = openai_chat(CHEAP), openai_chat(STRONG)
    if not routed:
        return cheap, strong
    routes = {"cheap": cheap, "frontier": strong}
    return (
        ChatRouter(routes, policy=Fixed("cheap"), ledger=ledger),
        ChatRouter(routes, policy=Fixed("frontier"), ledger=ledger),
    )


def essence(totals: TaskTotals) -> tuple[Any, ...]:
    """What must not depend on the way of running; times do."""
    shares = (totals.by_model, totals.by_node, totals.by_step_kind)
    return (
        totals.calls,
        totals.errors,
        totals.retries,
        totals.tools,
        totals.tool_errors,
        totals.usage,
        round(totals.cost_usd, 12),
        totals.unknown_costs,
        [{name: (share.calls, share.tokens, round(share.cost_usd, 12)) for name, share in one.items()} for one in shares],
    )


async def run(way: Callable[[Any, Any], Any], app: Any, config: Any) -> None:
    if asyncio.iscoroutinefunction(way):
        await way(app, config)
    else:
        # The test's own loop runs: sync code goes where it would be without one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(way, app, config).result()


def logged(mock: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for request in mock.requests:
        counts[request.model] = counts.get(request.model, 0) + 1
    return counts


@pytest.mark.parametrize("routed", [False, True], ids=["plain", "routed"])
@pytest.mark.parametrize("kept_in", ["memory", "sqlite"])
async def test_totals_are_the_same_in_every_way_of_running(mock: Any, routed: bool, kept_in: str, tmp_path: Path) -> None:
    """And equal to what the server logged, once each; with `ChatRouter` and without."""
    ledger = MemoryLedger() if kept_in == "memory" else open_ledger(tmp_path / "ledger.db")
    tracker = OutcomeTracker(ledger)
    cheap, strong = models(routed, ledger)
    app = graph(cheap, strong, InMemorySaver())
    seen: dict[str, Any] = {}
    for way in WAYS:
        mock.reset()
        thread = f"thread-{way.__name__}"
        await run(way, app, {"configurable": {"thread_id": thread}, "callbacks": [tracker]})
        totals = tracker.task(thread)
        assert totals is not None
        assert totals.state == "ok"
        server = logged(mock)
        assert {name: share.calls for name, share in totals.by_model.items()} == server
        assert totals.calls == sum(server.values())
        assert totals.decisions == (totals.calls if routed else 0)
        seen[way.__name__] = essence(totals)
    reference = seen["by_invoke"]
    assert reference[0] == sum(EXPECTED.values())
    assert {way for way, found in seen.items() if found != reference} == set()
    if kept_in == "sqlite":
        ledger.close()


@pytest.mark.parametrize("routed", [False, True], ids=["plain", "routed"])
async def test_track_needs_no_handler_passed_along(mock: Any, routed: bool) -> None:
    """The same numbers as with a handler in the config."""
    ledger = MemoryLedger()
    cheap, strong = models(routed, ledger)
    app = graph(cheap, strong)
    mock.reset()
    with track("t1", ledger=ledger, kind="research") as tracked:
        app.invoke(INPUT)
    assert tracked.totals is not None
    assert (tracked.totals.calls, tracked.totals.kind, tracked.totals.state) == (len(mock.requests), "research", "ok")
    mock.reset()
    with track("t2", ledger=ledger) as other:
        await app.ainvoke(INPUT)
    assert other.totals is not None
    assert other.totals.calls == len(mock.requests)
    assert essence(other.totals) == essence(tracked.totals)


async def test_a_router_with_a_ledger_of_its_own_is_counted_all_the_same(mock: Any) -> None:
    """Its decisions are elsewhere: the tracker's ledger has the calls."""
    cheap, strong = models(True, MemoryLedger())
    app = graph(cheap, strong)
    tracker = OutcomeTracker()
    mock.reset()
    app.invoke(INPUT, {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}})
    totals = tracker.task("t1")
    assert totals is not None
    assert (totals.calls, totals.decisions) == (len(mock.requests), 0)
    assert {name: share.calls for name, share in totals.by_route.items()} == {
        "cheap": EXPECTED[CHEAP],
        "frontier": EXPECTED[STRONG],
    }
