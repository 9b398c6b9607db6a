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

from langroute import ChatRouter
from langroute.errors import ConfigurationError, RouteFailedError, RouteTimeoutError
from langroute.gate import Gate, Stopped
from langroute.patience import Patience
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed
from langroute.records import Price
from langroute.routes import Route
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


def router(slow: Any, patience: Patience, *, retries: int = 0, quick: Any = None) -> ChatRouter:
    price = Price(1.0, 2.0)
    routes = {"slow": Route(slow, price=price), "quick": Route(quick or ScriptedModel("The quick answer."), price=price)}
    policy = Fallback(Fixed("slow"), retries=retries, backoff_seconds=0.001)
    return ChatRouter(routes, policy=policy, patience=patience)


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
    """The caller waits for the limit, not for the slow route."""
    model = router(SlowModel("Late.", **HANGS), Patience(total_seconds=0.5))
    begun = time.perf_counter()

    assert model.invoke("Hello?").content == "The quick answer."
    assert time.perf_counter() - begun < 2
    assert attempts(model) == [("slow", "RouteTimeoutError"), ("quick", None)]
    # Nobody knows what the abandoned call was billed: the sum is unknown, not 0.
    assert model.ledger.decisions[-1].cost_usd is None


async def test_an_awaited_answer_that_does_not_come_is_cancelled() -> None:
    """And asked of another route."""
    model = router(SlowModel("Late.", **HANGS), Patience(total_seconds=0.5))

    assert (await model.ainvoke("Hello?")).content == "The quick answer."
    assert attempts(model) == [("slow", "RouteTimeoutError"), ("quick", None)]


def test_a_slow_first_token_falls_back_unseen() -> None:
    """Nothing was shown yet."""
    model = router(SlowModel("Late.", **HANGS), Patience(first_token_seconds=0.5))

    assert "".join(chunk.text for chunk in model.stream("Hello?")) == "The quick answer."
    assert attempts(model) == [("slow", "RouteTimeoutError"), ("quick", None)]


async def test_a_slow_first_token_falls_back_unseen_when_awaited() -> None:
    """The same."""
    model = router(SlowModel("Late.", **HANGS), Patience(first_token_seconds=0.5))

    assert "".join([chunk.text async for chunk in model.astream("Hello?")]) == "The quick answer."
    assert attempts(model) == [("slow", "RouteTimeoutError"), ("quick", None)]


def test_a_stream_that_takes_too_long_after_its_first_token_raises() -> None:
    """Another route's words behind these would be nonsense."""
    model = router(SlowModel("one two three", between=5.0), Patience(total_seconds=0.5))
    seen: list[str] = []

    with pytest.raises(RouteTimeoutError, match="within 0.5 s"):
        read(model.stream("Count."), seen)

    assert seen == ["one "]
    assert attempts(model) == [("slow", "RouteTimeoutError")]
    assert model.ledger.decisions[-1].attempts[0].streamed


async def test_an_awaited_stream_that_takes_too_long_raises() -> None:
    """The same."""
    model = router(SlowModel("one two three", between=5.0), Patience(total_seconds=0.5))
    seen: list[str] = []

    with pytest.raises(RouteTimeoutError):
        await aread(model.astream("Count."), seen)

    assert seen == ["one "]


def test_limits_that_are_kept_change_nothing() -> None:
    """The first token is in time; the rest may take longer than it."""
    model = router(SlowModel("one two three", between=0.05), Patience(first_token_seconds=2, total_seconds=10))

    assert "".join(chunk.text for chunk in model.stream("Count.")) == "one two three"
    assert model.invoke("Count.").content == "one two three"
    assert attempts(model) == [("slow", None)]


def test_a_call_that_was_given_up_shows_no_tokens_any_more() -> None:
    """It cannot be stopped, but nobody hears of it."""
    heard: list[str] = []

    class Listener(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            heard.append(token)

    slow = SlowModel("too late", before=1.5)
    model = router(slow, Patience(first_token_seconds=0.5))

    text = "".join(chunk.text for chunk in model.stream("Hello?", {"callbacks": [Listener()]}))
    deadline = time.monotonic() + 3
    while any(thread.name == "langroute-slow" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert text == "The quick answer."
    assert len(slow.calls) == 1, "the abandoned call did go on"
    assert "too " not in heard


def test_a_closed_gate_ends_the_models_own_stream() -> None:
    """Its handler raises, which LangChain passes on."""
    gate = Gate("slow")
    gate.close()

    with pytest.raises(Stopped):
        list(SlowModel("one two").stream("Hello?", {"callbacks": [gate]}))


def test_a_slow_route_is_raced_and_both_are_recorded() -> None:
    """The first answer wins."""
    model = router(SlowModel("Late.", before=1.0), Patience(hedge_seconds=0.05))

    answer = model.invoke("Hello?")

    assert answer.content == "The quick answer."
    assert answer.response_metadata["langroute"]["route"] == "quick"
    assert attempts(model) == [("slow", "RaceLostError"), ("quick", None)]
    assert model.ledger.decisions[-1].cost_usd is None


async def test_awaited_races_cancel_the_loser() -> None:
    """Awaited answers and awaited streams."""
    model = router(SlowModel("Late.", before=1.0), Patience(hedge_seconds=0.05))

    assert (await model.ainvoke("Hello?")).content == "The quick answer."
    assert "".join([chunk.text async for chunk in model.astream("Hello?")]) == "The quick answer."
    assert attempts(model) == [("slow", "RaceLostError"), ("quick", None)]


def test_streams_are_raced_to_their_first_token() -> None:
    """Only the winner's tokens are shown."""
    model = router(SlowModel("Late indeed.", before=1.0), Patience(hedge_seconds=0.05))
    chunks = list(model.stream("Hello?"))

    assert "".join(chunk.text for chunk in chunks) == "The quick answer."
    assert chunks[-1].response_metadata["langroute"]["route"] == "quick"
    assert attempts(model) == [("slow", "RaceLostError"), ("quick", None)]


def test_the_first_route_may_still_win_its_race() -> None:
    """The second one is then the loser."""
    model = router(SlowModel("Just in time.", before=0.2), Patience(hedge_seconds=0.05), quick=SlowModel("Even later.", before=3.0))

    assert model.invoke("Hello?").content == "Just in time."
    assert attempts(model) == [("quick", "RaceLostError"), ("slow", None)]


def test_a_quick_answer_is_not_raced() -> None:
    """The second request is sent only when the first is slow."""
    quick = ScriptedModel("Never asked.")
    model = router(SlowModel("Here."), Patience(hedge_seconds=1.0), quick=quick)

    assert model.invoke("Hello?").content == "Here."
    assert quick.calls == []


def test_when_both_racers_fail_both_errors_are_told() -> None:
    """One clear error that names both."""
    model = router(
        SlowModel(ConnectionError("one"), before=0.1),
        Patience(hedge_seconds=0.02),
        quick=SlowModel(ConnectionError("two"), before=0.3),
    )

    with pytest.raises(RouteFailedError, match=r"(?s)one.*two"):
        model.invoke("Hello?")
    assert attempts(model) == [("slow", "ConnectionError"), ("quick", "ConnectionError")]


def test_a_stream_that_breaks_after_its_first_token_raises() -> None:
    """By default what was shown stays the last word."""
    model = router(SlowModel("one two three", breaks_after=2), Patience())
    seen: list[str] = []

    with pytest.raises(ConnectionError, match="went dead"):
        read(model.stream("Count."), seen)

    assert "".join(seen) == "one two "
    assert attempts(model) == [("slow", "ConnectionError")]


def test_it_begins_again_where_the_user_asked_for_it_and_a_chunk_says_so() -> None:
    """Whoever shows the tokens can clear the page."""
    model = router(SlowModel("one two three", breaks_after=2), Patience(restart=True))
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
    model = router(SlowModel("one two three", breaks_after=2), Patience(restart=True))
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
    graph = _graph(router(SlowModel("one two three", breaks_after=2), Patience()))
    seen: list[str] = []

    with pytest.raises(ConnectionError):
        read(graph.stream({"messages": "Count."}, stream_mode="messages"), seen)

    assert "".join(seen) == "one two "


def test_in_a_graph_a_restart_is_an_event() -> None:
    """A custom event that the graph's reader can act on."""
    pytest.importorskip("langgraph")
    graph = _graph(router(SlowModel("one two three", breaks_after=2), Patience(restart=True)))
    events: list[str] = []

    class Listener(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            events.append(f"{name} {data['route']}")

    parts = list(graph.stream({"messages": "Count."}, {"callbacks": [Listener()]}, stream_mode=["messages", "values"]))

    assert events == ["langroute_restart quick", "langroute_decision quick"]
    assert parts[-1][1]["messages"][-1].content == "The quick answer."


def test_an_unwatched_call_falls_back_though_its_model_streams() -> None:
    """Nobody saw anything of a plain `invoke`."""
    pytest.importorskip("langgraph")
    graph = _graph(router(SlowModel(ConnectionError("no"), breaks_after=0), Patience()))

    assert graph.invoke({"messages": "Count."})["messages"][-1].content == "The quick answer."


@pytest.mark.parametrize("wrong", [{"total_seconds": 0}, {"first_token_seconds": -1}, {"hedge_seconds": 0}])
def test_impossible_limits_are_said_at_once(wrong: dict[str, Any]) -> None:
    """When they are made."""
    with pytest.raises(ConfigurationError):
        Patience(**wrong)
    with pytest.raises(ConfigurationError, match="Patience"):
        ChatRouter({"only": ScriptedModel("Hi.")}, patience=3)


async def test_cancellation_passes_at_once_and_what_was_spent_is_recorded() -> None:
    """Not a failure: no other route is asked."""
    model = router(SlowModel("Late.", **HANGS), Patience(total_seconds=60))
    task = asyncio.ensure_future(model.ainvoke("Hello?"))
    await asyncio.sleep(0.05)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert attempts(model) == [("slow", "CancelledError")]


@pytest.mark.parametrize("patience", [None, Patience(total_seconds=30)], ids=["without limits", "with limits"])
async def test_a_graphs_interrupt_passes_at_once(patience: Patience | None) -> None:
    """A person is asked; no other route is."""
    errors = pytest.importorskip("langgraph.errors")
    quick = ScriptedModel("Never asked.")
    model = router(ScriptedModel(errors.GraphInterrupt(())), patience, quick=quick)  # type: ignore[arg-type]

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
    model = router(SlowModel("Late.", **HANGS), Patience(first_token_seconds=0.5))

    assert str(model.stream_events("Hello?", version="v3").text) == "The quick answer."
    assert attempts(model) == [("slow", "RouteTimeoutError"), ("quick", None)]


def test_structured_output_keeps_the_limits_too() -> None:
    """Its call is timed like any other."""
    from pydantic import BaseModel

    class Number(BaseModel):
        """A number."""

        value: int

    call = {"name": "Number", "args": {"value": 42}, "id": "call_1"}
    model = router(SlowModel("Late.", **HANGS), Patience(total_seconds=0.5), quick=ScriptedModel(AIMessage("", tool_calls=[call])))

    assert model.with_structured_output(Number).invoke("6 * 7?") == Number(value=42)
    assert attempts(model) == [("slow", "RouteTimeoutError"), ("quick", None)]
