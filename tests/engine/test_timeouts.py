"""Time limits, raced requests and restarts: sync, async and streamed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableConfig
from waiting import wait_until

from langroute import Budget, ChatRouter
from langroute.core.errors import ConfigurationError, RouteFailedError, RouteTimeoutError
from langroute.core.records import Price, Request
from langroute.engine.timeouts import Hedging, Timeouts
from langroute.engine.token_gate import Stopped, TokenGate
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed
from langroute.routes.route import Route
from langroute.testing import ScriptedModel


class SlowModel(ScriptedModel):
    """Waits before its answer, and between its words."""

    before: float = 0.0
    between: float = 0.0
    breaks_after: int | None = None
    """Words after which the stream raises."""

    def _next(self, messages: Any, stop: Any, kwargs: Any) -> AIMessage:
        time.sleep(self.before)
        return super()._next(messages, stop, kwargs)

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for place, chunk in enumerate(super()._stream(messages, stop, run_manager, **kwargs)):
            if place == self.breaks_after:
                raise ConnectionError("the line went dead")
            if place:
                time.sleep(self.between)
            yield self._told(chunk, run_manager)

    def _told(self, chunk: ChatGenerationChunk, run_manager: Any) -> ChatGenerationChunk:
        if run_manager is not None:
            run_manager.on_llm_new_token(str(chunk.message.content), chunk=chunk)
        return chunk

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        await asyncio.sleep(self.before)
        fast = self.model_copy(update={"before": 0.0})
        return fast._generate(messages, stop, None, **kwargs)

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(self.before)
        fast = self.model_copy(update={"before": 0.0, "between": 0.0, "breaks_after": None})
        for place, chunk in enumerate(fast._stream(messages, stop, None, **kwargs)):
            if place == self.breaks_after:
                raise ConnectionError("the line went dead")
            if place:
                await asyncio.sleep(self.between)
            yield chunk


def router(slow: Any, timeouts: Timeouts, *, retries: int = 0, quick: Any = None, budget: Any = None) -> ChatRouter:
    price = Price(1.0, 2.0)
    routes = {"slow": Route(slow, price=price), "quick": Route(quick or ScriptedModel("The quick answer."), price=price)}
    policy = Fallback(Fixed("slow"), retries=retries, backoff_seconds=0.001)
    return ChatRouter(routes, policy=policy, timeouts=timeouts, budget=budget)


def attempts(model: ChatRouter) -> list[tuple[str, str | None]]:
    return [(attempt.route, attempt.error_type) for attempt in model.ledger.decisions[-1].attempts]


HANGS = {"before": 5.0}
"""Ten times the limits below, which are long enough for a quick answer on a machine that has other things to do."""


def read(stream: Any, seen: list[str]) -> None:
    for part in stream:
        chunk = part[0] if isinstance(part, tuple) else part
        seen.append(chunk.text)


async def aread(stream: Any, seen: list[str]) -> None:
    async for chunk in stream:
        seen.append(chunk.text)


def test_an_answer_that_does_not_come_is_asked_of_another_route() -> None:
    """The caller waits for the limit, not for the slow route: that one is still out when the answer is there."""
    release, ended = threading.Event(), threading.Event()

    def hangs(_: Any) -> str:
        release.wait(60)
        ended.set()
        return "Late."

    model = router(ScriptedModel(hangs), Timeouts(total=0.5))
    try:
        assert model.invoke("Hello?").content == "The quick answer."
        assert not ended.is_set()
    finally:
        release.set()
    assert attempts(model) == [("slow", "RouteTimeoutError"), ("quick", None)]
    # Nobody knows what the abandoned call was billed: the sum is unknown, not 0.
    assert model.ledger.decisions[-1].cost_usd is None


async def test_an_awaited_answer_that_does_not_come_is_cancelled() -> None:
    """And asked of another route."""
    model = router(SlowModel("Late.", **HANGS), Timeouts(total=0.5))

    assert (await model.ainvoke("Hello?")).content == "The quick answer."
    assert attempts(model) == [("slow", "RouteTimeoutError"), ("quick", None)]


def test_a_slow_first_token_falls_back_unseen() -> None:
    """Nothing was shown yet."""
    model = router(SlowModel("Late.", **HANGS), Timeouts(first_token=0.5))

    assert "".join(chunk.text for chunk in model.stream("Hello?")) == "The quick answer."
    assert attempts(model) == [("slow", "RouteTimeoutError"), ("quick", None)]


async def test_a_slow_first_token_falls_back_unseen_when_awaited() -> None:
    """The same."""
    model = router(SlowModel("Late.", **HANGS), Timeouts(first_token=0.5))

    assert "".join([chunk.text async for chunk in model.astream("Hello?")]) == "The quick answer."
    assert attempts(model) == [("slow", "RouteTimeoutError"), ("quick", None)]


def test_a_stream_that_takes_too_long_after_its_first_token_raises() -> None:
    """Another route's words behind these would be nonsense."""
    model = router(SlowModel("one two three", between=5.0), Timeouts(total=0.5))
    seen: list[str] = []

    with pytest.raises(RouteTimeoutError, match="within 0.5 s"):
        read(model.stream("Count."), seen)

    assert seen == ["one "]
    assert attempts(model) == [("slow", "RouteTimeoutError")]
    assert model.ledger.decisions[-1].attempts[0].streamed


async def test_an_awaited_stream_that_takes_too_long_raises() -> None:
    """The same."""
    model = router(SlowModel("one two three", between=5.0), Timeouts(total=0.5))
    seen: list[str] = []

    with pytest.raises(RouteTimeoutError):
        await aread(model.astream("Count."), seen)

    assert seen == ["one "]


def test_limits_that_are_kept_change_nothing() -> None:
    """The first token is in time; the rest may take longer than it."""
    model = router(SlowModel("one two three", between=0.05), Timeouts(first_token=2, total=10))

    assert "".join(chunk.text for chunk in model.stream("Count.")) == "one two three"
    assert model.invoke("Count.").content == "one two three"
    assert attempts(model) == [("slow", None)]


def test_a_call_that_was_given_up_shows_no_tokens_any_more() -> None:
    """It cannot be stopped, but nobody hears of it."""
    heard: list[str] = []

    class Listener(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            heard.append(token)

    release = threading.Event()
    slow = SlowModel(lambda _: release.wait(60) and "too late")
    model = router(slow, Timeouts(first_token=0.5))

    text = "".join(chunk.text for chunk in model.stream("Hello?", {"callbacks": [Listener()]}))
    assert len(slow.calls) == 1, "the abandoned call goes on"
    release.set()
    wait_until(lambda: not any(thread.name == "langroute-slow" for thread in threading.enumerate()))

    assert text == "The quick answer."
    assert "too " not in heard


def test_a_closed_gate_ends_the_models_own_stream() -> None:
    """Its handler raises, which LangChain passes on."""
    gate = TokenGate("slow")
    gate.close()

    with pytest.raises(Stopped):
        list(SlowModel("one two").stream("Hello?", {"callbacks": [gate]}))


def test_a_slow_route_is_raced_and_both_are_recorded() -> None:
    """The first answer wins."""
    model = router(SlowModel("Late.", **HANGS), Timeouts(hedging=Hedging(after=0.05)))

    answer = model.invoke("Hello?")

    assert answer.content == "The quick answer."
    assert answer.response_metadata["langroute"]["route"] == "quick"
    assert attempts(model) == [("slow", "RaceLostError"), ("quick", None)]
    assert model.ledger.decisions[-1].cost_usd is None


async def test_awaited_races_cancel_the_loser() -> None:
    """Awaited answers and awaited streams."""
    model = router(SlowModel("Late.", **HANGS), Timeouts(hedging=Hedging(after=0.05)))

    assert (await model.ainvoke("Hello?")).content == "The quick answer."
    assert "".join([chunk.text async for chunk in model.astream("Hello?")]) == "The quick answer."
    assert attempts(model) == [("slow", "RaceLostError"), ("quick", None)]


def test_streams_are_raced_to_their_first_token() -> None:
    """Only the winner's tokens are shown."""
    model = router(SlowModel("Late indeed.", before=1.0), Timeouts(hedging=Hedging(after=0.05)))
    chunks = list(model.stream("Hello?"))

    assert "".join(chunk.text for chunk in chunks) == "The quick answer."
    assert chunks[-1].response_metadata["langroute"]["route"] == "quick"
    assert attempts(model) == [("slow", "RaceLostError"), ("quick", None)]


def test_the_first_route_may_still_win_its_race() -> None:
    """The second one is then the loser."""
    raced, over = threading.Event(), threading.Event()

    def in_time(_: Any) -> str:
        assert raced.wait(30)
        return "Just in time."

    def later(_: Any) -> str:
        raced.set()
        over.wait(30)
        return "Even later."

    model = router(ScriptedModel(in_time), Timeouts(hedging=Hedging(after=0.05)), quick=ScriptedModel(later))

    try:
        assert model.invoke("Hello?").content == "Just in time."
    finally:
        over.set()
    assert attempts(model) == [("quick", "RaceLostError"), ("slow", None)]


def test_a_quick_answer_is_not_raced() -> None:
    """The second request is sent only when the first is slow."""
    quick = ScriptedModel("Never asked.")
    model = router(SlowModel("Here."), Timeouts(hedging=Hedging(after=30.0)), quick=quick)

    assert model.invoke("Hello?").content == "Here."
    assert quick.calls == []


def test_when_both_racers_fail_both_errors_are_told() -> None:
    """One clear error that names both."""
    model = router(
        SlowModel(ConnectionError("one"), before=0.1),
        Timeouts(hedging=Hedging(after=0.02)),
        quick=SlowModel(ConnectionError("two"), before=0.3),
    )

    with pytest.raises(RouteFailedError, match=r"(?s)one.*two"):
        model.invoke("Hello?")
    assert attempts(model) == [("slow", "ConnectionError"), ("quick", "ConnectionError")]


def test_a_stream_that_breaks_after_its_first_token_raises() -> None:
    """By default what was shown stays the last word."""
    model = router(SlowModel("one two three", breaks_after=2), Timeouts())
    seen: list[str] = []

    with pytest.raises(ConnectionError, match="went dead"):
        read(model.stream("Count."), seen)

    assert "".join(seen) == "one two "
    assert attempts(model) == [("slow", "ConnectionError")]


def test_it_begins_again_where_the_user_asked_for_it_and_a_chunk_says_so() -> None:
    """Whoever shows the tokens can clear the page."""
    model = router(SlowModel("one two three", breaks_after=2), Timeouts(restart_stream=True))
    shown: list[str] = []
    for chunk in model.stream("Count."):
        if "langroute_restart" in chunk.response_metadata:
            assert chunk.response_metadata["langroute_restart"]["route"] == "quick"
            shown.clear()
        shown.append(chunk.text)

    assert "".join(shown) == "The quick answer."
    assert attempts(model) == [("slow", "ConnectionError"), ("quick", None)]


async def test_awaited_streams_begin_again_too() -> None:
    """With the marker between what is worth nothing and what counts."""
    model = router(SlowModel("one two three", breaks_after=2), Timeouts(restart_stream=True))
    chunks: list[AIMessageChunk] = [chunk async for chunk in model.astream("Count.")]
    marker = next(place for place, chunk in enumerate(chunks) if "langroute_restart" in chunk.response_metadata)

    assert "".join(chunk.text for chunk in chunks[:marker]) == "one two "
    assert "".join(chunk.text for chunk in chunks[marker:]) == "The quick answer."


def _graph(model: ChatRouter) -> Any:
    from langgraph.graph import START, MessagesState, StateGraph

    graph = StateGraph(MessagesState)
    graph.add_node("answer", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_edge(START, "answer")
    return graph.compile()


def test_in_a_graph_tokens_that_were_shown_forbid_another_routes_words() -> None:
    """`invoke` inside a node streams to the graph's reader: he has seen the beginning."""
    pytest.importorskip("langgraph")
    graph = _graph(router(SlowModel("one two three", breaks_after=2), Timeouts()))
    seen: list[str] = []

    with pytest.raises(ConnectionError):
        read(graph.stream({"messages": "Count."}, stream_mode="messages"), seen)

    assert "".join(seen) == "one two "


def test_in_a_graph_a_restart_is_an_event() -> None:
    """A custom event that the graph's reader can act on."""
    pytest.importorskip("langgraph")
    graph = _graph(router(SlowModel("one two three", breaks_after=2), Timeouts(restart_stream=True)))
    events: list[str] = []

    class Listener(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            events.append(f"{name} {data['route']}")

    parts = list(graph.stream({"messages": "Count."}, {"callbacks": [Listener()]}, stream_mode=["messages", "values"]))

    assert events == ["langroute_restart quick", "langroute_decision quick"]
    assert parts[-1][1]["messages"][-1].content == "The quick answer."


async def test_in_an_awaited_graph_a_restart_is_an_event_too() -> None:
    pytest.importorskip("langgraph")
    from langgraph.graph import START, MessagesState, StateGraph

    model = router(SlowModel("one two three", breaks_after=2), Timeouts(restart_stream=True))
    events: list[str] = []

    class Listener(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            events.append(f"{name} {data['route']}")

    async def answer(state: Any) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    stream = graph.compile().astream({"messages": "Count."}, {"callbacks": [Listener()]}, stream_mode=["messages", "values"])
    parts = [part async for part in stream]

    assert events == ["langroute_restart quick", "langroute_decision quick"]
    assert parts[-1][1]["messages"][-1].content == "The quick answer."


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_streaming_node_announces_a_restart_too(asynchronous: bool) -> None:
    """Once, when the second route begins, with what it takes to clear the page."""
    pytest.importorskip("langgraph")
    from langgraph.graph import START, MessagesState, StateGraph

    model = router(SlowModel("one two three", breaks_after=2), Timeouts(restart_stream=True))
    events: list[tuple[str, dict[str, Any]]] = []

    class Listener(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            events.append((name, data))

    def answer(state: Any, config: RunnableConfig) -> dict[str, Any]:
        *_, last = model.stream(state["messages"], config)
        return {"messages": [last]}

    async def aanswer(state: Any, config: RunnableConfig) -> dict[str, Any]:
        chunks = [chunk async for chunk in model.astream(state["messages"], config)]
        return {"messages": [chunks[-1]]}

    graph = StateGraph(MessagesState)
    graph.add_node("answer", aanswer if asynchronous else answer)
    graph.add_edge(START, "answer")
    compiled, config = graph.compile(), {"callbacks": [Listener()]}
    if asynchronous:
        await compiled.ainvoke({"messages": "Count."}, config)
    else:
        compiled.invoke({"messages": "Count."}, config)

    restarts = [data for name, data in events if name == "langroute_restart"]
    assert restarts == [{"restart": True, "route": "quick", "decision_id": model.ledger.decisions[-1].id, "attempt": 1}]
    assert [name for name, _ in events] == ["langroute_restart", "langroute_decision"]


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_listener_that_fails_at_a_restart_leaves_nothing_reserved(how: str) -> None:
    """The step ends then and there, however long somebody keeps the error. What the first route cost is recorded."""
    pytest.importorskip("langgraph")
    from langgraph.graph import START, MessagesState, StateGraph

    budget = Budget(usd=1, per="all")
    slow, quick = SlowModel("one two three", breaks_after=2, max_tokens=9), ScriptedModel("Quick.", max_tokens=9)
    model = router(slow, Timeouts(restart_stream=True), quick=quick, budget=budget)

    class Broken(BaseCallbackHandler):
        raise_error = True

        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            raise RuntimeError(f"cannot show {data['route']}")

    def answer(state: Any, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"]) if how == "invoke" else [*model.stream(state["messages"])][-1]]}

    async def aanswer(state: Any, config: RunnableConfig) -> dict[str, Any]:
        if how == "ainvoke":
            return {"messages": [await model.ainvoke(state["messages"])]}
        return {"messages": [[chunk async for chunk in model.astream(state["messages"])][-1]]}

    graph = StateGraph(MessagesState)
    graph.add_node("answer", aanswer if how.startswith("a") else answer)
    graph.add_edge(START, "answer")
    compiled, config = graph.compile(), {"callbacks": [Broken()]}

    async def shown() -> list[Any]:
        if not how.startswith("a"):
            return list(compiled.stream({"messages": "Count."}, config, stream_mode="messages"))
        return [part async for part in compiled.astream({"messages": "Count."}, config, stream_mode="messages")]

    with pytest.raises(RuntimeError, match="cannot show quick") as kept:
        await shown()

    (balance,) = budget.store.balances([budget.key(Request("Count."), None, "")])
    assert (balance.held, balance.spent > 0) == (0, True)
    assert [route for route, _ in attempts(model)] == ["slow", "quick"]
    assert quick.calls == []
    del kept


def test_an_unwatched_call_falls_back_though_its_model_streams() -> None:
    """Nobody saw anything of a plain `invoke`."""
    pytest.importorskip("langgraph")
    graph = _graph(router(SlowModel(ConnectionError("no"), breaks_after=0), Timeouts()))

    assert graph.invoke({"messages": "Count."})["messages"][-1].content == "The quick answer."


@pytest.mark.parametrize("wrong", [{"total": 0}, {"first_token": -1}])
def test_impossible_limits_are_said_at_once(wrong: dict[str, Any]) -> None:
    """When they are made."""
    with pytest.raises(ConfigurationError):
        Timeouts(**wrong)
    with pytest.raises(ConfigurationError, match="after"):
        Hedging(after=0)
    with pytest.raises(ConfigurationError, match="Timeouts"):
        ChatRouter({"only": ScriptedModel("Hi.")}, timeouts=3)


async def test_cancellation_passes_at_once_and_what_was_spent_is_recorded() -> None:
    """Not a failure: no other route is asked."""
    called = asyncio.Event()

    class Called(SlowModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            called.set()
            return await super()._agenerate(*args, **kwargs)

    model = router(Called("Late.", before=60.0), Timeouts(total=60))
    task = asyncio.ensure_future(model.ainvoke("Hello?"))
    await called.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert attempts(model) == [("slow", "CancelledError")]


@pytest.mark.parametrize("timeouts", [None, Timeouts(total=30)], ids=["without limits", "with limits"])
async def test_a_graphs_interrupt_passes_at_once(timeouts: Timeouts | None) -> None:
    """A person is asked; no other route is."""
    errors = pytest.importorskip("langgraph.errors")
    quick = ScriptedModel("Never asked.")
    model = router(ScriptedModel(errors.GraphInterrupt(())), timeouts, quick=quick)  # type: ignore[arg-type]

    with pytest.raises(errors.GraphInterrupt):
        model.invoke("Shall I?")
    with pytest.raises(errors.GraphInterrupt):
        await model.ainvoke("Shall I?")
    with pytest.raises(errors.GraphInterrupt):
        list(model.stream("Shall I?"))
    assert quick.calls == []
    assert attempts(model) == [("slow", "GraphInterrupt")]
    assert len(model.ledger.decisions) == 3


def test_content_block_events_keep_the_limits_too() -> None:
    """LangChain's newest way of streaming."""
    if not hasattr(ScriptedModel, "stream_events"):
        pytest.skip("this langchain-core has no stream_events")
    model = router(SlowModel("Late.", **HANGS), Timeouts(first_token=0.5))

    assert str(model.stream_events("Hello?", version="v3").text) == "The quick answer."
    assert attempts(model) == [("slow", "RouteTimeoutError"), ("quick", None)]


def test_structured_output_keeps_the_limits_too() -> None:
    """Its call is timed like any other."""
    from pydantic import BaseModel

    class Number(BaseModel):
        """A number."""

        value: int

    call = {"name": "Number", "args": {"value": 42}, "id": "call_1"}
    model = router(SlowModel("Late.", **HANGS), Timeouts(total=0.5), quick=ScriptedModel(AIMessage("", tool_calls=[call])))

    assert model.with_structured_output(Number).invoke("6 * 7?") == Number(value=42)
    assert attempts(model) == [("slow", "RouteTimeoutError"), ("quick", None)]
