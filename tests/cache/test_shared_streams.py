"""Everyone who joins a running stream receives it as it arrives, whatever happens to the other readers."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from open_calls import followers, open_calls
from pydantic import Field, SkipValidation
from waiting import until, wait_until

from langroute.cache import CachePolicy, ResponseCache
from langroute.core.errors import AnswerCutOffError
from langroute.engine.timeouts import Hedging, Timeouts
from langroute.hosts.chat_model import ChatRouter
from langroute.policies.cascade import Cascade
from langroute.testing import ScriptedModel

PRICES = {"cheap": {"input": 1, "output": 4}}
WORDS = ["one ", "two ", "three ", "four ", "five"]
TEXT = "".join(WORDS)


class Stepped(BaseChatModel):
    """Says a word whenever it is let to, and notes whether it was listened to until its end."""

    words: list[Any] = Field(default_factory=lambda: list(WORDS))
    free: bool = False
    """It waits for nobody."""

    pause: float = 0.0
    fails_at: dict[int, int] = Field(default_factory=dict)
    """Call → the word at which it breaks off."""

    ends: Any = "stop"
    calls: SkipValidation[list[int]] = Field(default_factory=list)
    closed: SkipValidation[list[int]] = Field(default_factory=list)
    said: SkipValidation[list[str]] = Field(default_factory=list)
    steps: SkipValidation[Any] = Field(default_factory=lambda: threading.Semaphore(0))

    @property
    def _llm_type(self) -> str:
        return "stepped"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind()

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.calls.append(0)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(TEXT, response_metadata={"finish_reason": "stop"}))])

    def _words(self) -> Iterator[tuple[bool, ChatGenerationChunk]]:
        call = len(self.calls)
        self.calls.append(call)
        for place, word in enumerate(self.words):
            if self.fails_at.get(call) == place:
                raise ConnectionError("broke off")
            yield True, ChatGenerationChunk(message=word if isinstance(word, AIMessageChunk) else AIMessageChunk(content=word))
            self.said.append(str(word))
        usage: Any = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
        known = {} if self.ends is None else {"finish_reason": self.ends}
        yield (
            False,
            ChatGenerationChunk(
                message=AIMessageChunk(content="", usage_metadata=usage, response_metadata=known, chunk_position="last")
            ),
        )

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        whole = False
        try:
            for waits, chunk in self._words():
                if waits and not self.free:
                    assert self.steps.acquire(timeout=20)
                time.sleep(self.pause)
                whole = not waits
                yield chunk
        finally:
            if not whole:
                self.closed.append(1)

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        whole = False
        try:
            for waits, chunk in self._words():
                while waits and not self.free and not self.steps.acquire(blocking=False):
                    await asyncio.sleep(0.001)
                await asyncio.sleep(self.pause)
                whole = not waits
                yield chunk
        finally:
            if not whole:
                self.closed.append(1)


def routed(model: Any, **kwargs: Any) -> ChatRouter:
    return ChatRouter({"cheap": model}, prices=PRICES, response_cache=kwargs.pop("cache", True), **{"max_retries": 0, **kwargs})


class Listener:
    """Reads a stream in a thread."""

    def __init__(self, stream: Iterator[Any]) -> None:
        self.chunks: list[Any] = []
        self.error: BaseException | None = None
        self._stream = stream
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for chunk in self._stream:
                self.chunks.append(chunk)
        except BaseException as error:
            self.error = error

    @property
    def text(self) -> str:
        return "".join(chunk.content for chunk in self.chunks)

    def wait(self) -> Listener:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self


def read_until(stream: Iterator[Any], leaves: int) -> str | None:
    """What a stream says to one who stays; `None` for one who leaves at a chunk."""
    text = ""
    for place, chunk in enumerate(stream):
        text += chunk.content
        if place >= leaves:
            stream.close()  # type: ignore[attr-defined]
            return None
    return text


def whole(chunks: list[Any]) -> Any:
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    return total


# While it comes ----------------------------------------------------------------------------------------------------------


def test_a_follower_hears_each_word_when_it_is_said() -> None:
    model = Stepped()
    router = routed(model)
    leader = Listener(router.stream("Count."))
    wait_until(lambda: model.calls)
    follower = Listener(router.stream("Count."))
    for place in range(1, len(WORDS) + 1):
        model.steps.release()
        wait_until(lambda place=place: follower.text == leader.text == "".join(WORDS[:place]))
    assert leader.wait().text == follower.wait().text == TEXT
    assert len(model.calls) == 1


async def test_a_follower_hears_each_word_when_it_is_said_awaited() -> None:
    model = Stepped()
    router = routed(model)
    heard: list[list[str]] = [[], []]

    async def listen(place: int) -> None:
        async for chunk in router.astream("Count."):
            heard[place].append(chunk.content)

    leader = asyncio.create_task(listen(0))
    await until(lambda: model.calls)
    follower = asyncio.create_task(listen(1))
    for place in range(1, len(WORDS) + 1):
        model.steps.release()
        await until(lambda place=place: "".join(heard[0]) == "".join(heard[1]) == "".join(WORDS[:place]))
    await asyncio.gather(leader, follower)
    assert len(model.calls) == 1


async def test_threads_and_coroutines_listen_to_each_other() -> None:
    for led_by_thread in (True, False):
        model = Stepped()
        router = routed(model)
        heard: list[str] = []

        async def listen(router: Any = router, heard: list[str] = heard) -> None:
            async for chunk in router.astream("Count."):
                heard.append(chunk.content)

        if led_by_thread:
            thread = Listener(router.stream("Count."))
            await until(lambda model=model: model.calls)
            task = asyncio.create_task(listen())
        else:
            task = asyncio.create_task(listen())
            await until(lambda model=model: model.calls)
            thread = Listener(router.stream("Count."))
        await until(lambda router=router: followers(router) == 1)
        for place in range(1, len(WORDS) + 1):
            model.steps.release()
            await until(lambda place=place, heard=heard, thread=thread: "".join(heard) == thread.text == "".join(WORDS[:place]))
        await task
        await asyncio.to_thread(thread.wait)
        assert len(model.calls) == 1


async def test_coroutines_of_two_event_loops_listen_to_each_other() -> None:
    model = Stepped()
    router = routed(model)
    heard: list[str] = []

    async def listen(into: list[str]) -> None:
        async for chunk in router.astream("Count."):
            into.append(chunk.content)

    leader = asyncio.create_task(listen([]))
    await until(lambda: model.calls)
    other = threading.Thread(target=lambda: asyncio.run(listen(heard)))
    other.start()
    await until(lambda: followers(router) == 1)
    for place in range(1, len(WORDS) + 1):
        model.steps.release()
        await until(lambda place=place: "".join(heard) == "".join(WORDS[:place]))
    await leader
    await asyncio.to_thread(other.join)
    assert len(model.calls) == 1


async def test_a_thousand_listen_to_one_stream() -> None:
    model = Stepped(free=True, pause=0.05)
    router = routed(model)

    async def listen() -> Any:
        return whole([chunk async for chunk in router.astream("Count.")])

    answers = await asyncio.gather(*(listen() for _ in range(1000)))
    assert {answer.content for answer in answers} == {TEXT}
    assert len({answer.id for answer in answers}) == 1000
    assert len(model.calls) == 1
    stats = router.response_cache.stats()
    assert (stats.hits, stats.shared, stats.misses) == (999, 999, 1)


def test_two_hundred_threads_listen_to_one_stream() -> None:
    model = Stepped(free=True, pause=0.1)
    router = routed(model)
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: whole(list(router.stream("Count."))), range(200)))
    assert {answer.content for answer in answers} == {TEXT}
    assert len({answer.id for answer in answers}) == 200
    assert len(model.calls) == 1


# What a follower is given ------------------------------------------------------------------------------------------------


def pair(router: ChatRouter, model: Stepped, config: Any = None) -> tuple[Listener, Listener]:
    """A leader and a follower who listens from the first word on, both through."""
    leader = Listener(router.stream("Count."))
    wait_until(lambda: model.calls)
    follower = Listener(router.stream("Count.", config))
    model.steps.release()
    wait_until(lambda: follower.chunks)
    for _ in model.words:
        model.steps.release()
    return leader.wait(), follower.wait()


def test_a_follower_has_an_id_of_its_own_and_took_no_tokens() -> None:
    model = Stepped()
    leader, follower = pair(routed(model), model)
    first, second = whole(leader.chunks), whole(follower.chunks)

    assert {chunk.id for chunk in follower.chunks} == {second.id}
    assert first.id != second.id
    assert first.usage_metadata["total_tokens"] == 12
    assert second.usage_metadata["total_tokens"] == 0
    mark = second.response_metadata["langroute"]
    assert (mark["cache"], mark["cost_usd"], mark["saved"]["total_tokens"]) == ("hit", 0.0, 12)
    assert mark["saved"]["usd"] == pytest.approx(27e-6)
    assert second.response_metadata["finish_reason"] == "stop"
    assert first.response_metadata["langroute"]["decision_id"] != mark["decision_id"]


def test_nobody_can_change_what_the_others_hear() -> None:
    words = [AIMessageChunk(content=[{"type": "text", "text": word, "index": 0, "notes": [1]}]) for word in WORDS]
    model = Stepped(words=words)
    router = routed(model)
    leader = Listener(router.stream("Count."))
    wait_until(lambda: model.calls)
    follower = Listener(router.stream("Count."))
    wait_until(lambda: followers(router) == 1)
    model.steps.release()
    wait_until(lambda: leader.chunks and follower.chunks)
    leader.chunks[0].content[0]["text"] = "spoiled "
    follower.chunks[0].content[0]["notes"].append(2)
    for _ in WORDS:
        model.steps.release()
    leader.wait(), follower.wait()
    later = router.invoke("Count.")
    assert later.response_metadata["langroute"]["cache"] == "hit"
    assert later.text == TEXT
    assert 2 not in later.content[0]["notes"]


def test_a_follower_s_tool_calls_have_ids_of_their_own() -> None:
    part: Any = {"name": "read_file", "args": '{"path": "a"}', "id": "call_1", "index": 0, "type": "tool_call_chunk"}
    model = Stepped(words=["Let me look. ", AIMessageChunk(content="", tool_call_chunks=[part])])

    @tool
    def read_file(path: str) -> str:
        """Read a file."""
        return path

    router = routed(model)
    bound = router.bind_tools([read_file])
    leader = Listener(bound.stream("Count."))
    wait_until(lambda: model.calls)
    follower = Listener(bound.stream("Count."))
    wait_until(lambda: followers(router) == 1)
    model.steps.release()
    wait_until(lambda: follower.text == "Let me look. ")
    model.steps.release()
    first, second = whole(leader.wait().chunks), whole(follower.wait().chunks)
    assert first.tool_calls[0]["args"] == second.tool_calls[0]["args"] == {"path": "a"}
    assert first.tool_calls[0]["id"] == "call_1"
    assert second.tool_calls[0]["id"] not in ("call_1", None)


def test_what_may_call_a_tool_that_acts_is_not_listened_to() -> None:
    """Its text may be shown to others, its call may not, and which it will be is seen too late."""

    @tool
    def pay(amount: int) -> str:
        """Pay."""
        return "paid"

    part: Any = {"name": "pay", "args": '{"amount": 1}', "id": "call_1", "index": 0, "type": "tool_call_chunk"}

    model = Stepped(words=["I will. ", AIMessageChunk(content="", tool_call_chunks=[part])])
    router = routed(model)
    bound = router.bind_tools([pay])
    leader = Listener(bound.stream("Pay."))
    wait_until(lambda: model.calls)
    follower = Listener(bound.stream("Pay."))
    wait_until(lambda: followers(router) == 1)
    model.steps.release()
    wait_until(lambda: leader.chunks)
    assert not follower.chunks
    for _ in range(3):
        model.steps.release()
    assert whole(leader.wait().chunks).tool_calls
    assert whole(follower.wait().chunks).tool_calls
    assert len(model.calls) == 2
    assert CachePolicy(replay_tools=["pay"]).shares_streams(["pay"])


class Heard(BaseCallbackHandler):
    """Counts runs and tokens."""

    def __init__(self) -> None:
        self.starts = self.ends = self.errors = 0
        self.tokens: list[str] = []

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.starts += 1

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.ends += 1

    def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
        self.errors += 1


def test_a_follower_s_own_listeners_hear_one_run() -> None:
    model, heard = Stepped(), Heard()
    _, follower = pair(routed(model), model, {"callbacks": [heard]})
    assert follower.text == TEXT
    assert (heard.starts, heard.ends, heard.errors) == (1, 1, 0)
    assert "".join(heard.tokens) == TEXT


async def test_a_follower_s_own_listeners_hear_one_run_awaited() -> None:
    model, heard = Stepped(free=True, pause=0.02), Heard()
    router = routed(model)

    async def listen(config: Any = None) -> str:
        return "".join([chunk.content async for chunk in router.astream("Count.", config)])

    texts = await asyncio.gather(listen(), listen({"callbacks": [heard]}))
    assert texts == [TEXT, TEXT]
    assert (heard.starts, heard.ends, heard.errors) == (1, 1, 0)
    assert "".join(heard.tokens) == TEXT


def test_a_cut_off_answer_is_cut_off_for_everybody_and_not_kept() -> None:
    model = Stepped(ends="length")
    router = routed(model)
    leader, follower = pair(router, model)
    assert leader.text == follower.text == TEXT
    assert whole(follower.chunks).response_metadata["finish_reason"] == "length"
    assert router.response_cache.size().entries == 0


def test_what_may_still_be_rejected_is_heard_when_it_is_accepted() -> None:
    """A provisional answer is held back from the leader too."""
    model = Stepped()
    router = ChatRouter(
        {"cheap": model, "large": ScriptedModel("never")},
        policy=Cascade(["cheap", "large"], threshold=0.5),
        verifier=lambda request, attempt: 1.0,
        prices=PRICES,
        response_cache=True,
    )
    leader = Listener(router.stream("Count."))
    wait_until(lambda: model.calls)
    follower = Listener(router.stream("Count."))
    wait_until(lambda: followers(router) == 1)
    for _ in model.words:
        model.steps.release()
    assert leader.wait().text == follower.wait().text == TEXT
    assert len(model.calls) == 1


# Through a graph ---------------------------------------------------------------------------------------------------------


def graph_of(router: ChatRouter) -> Any:
    """A graph whose node makes a plain call; LangGraph shows its tokens."""
    from langgraph.graph import START, MessagesState, StateGraph

    # Before Python 3.11 a coroutine has to be given the config.
    def node(state: Any, config: Any) -> Any:
        return {"messages": [router.invoke("Count.", config)]}

    async def anode(state: Any, config: Any) -> Any:
        return {"messages": [await router.ainvoke("Count.", config)]}

    built = StateGraph(MessagesState)
    built.add_node("count", RunnableLambda(node, anode))
    built.add_edge(START, "count")
    return built.compile()


def test_graphs_that_show_tokens_share_a_stream() -> None:
    model = Stepped()
    router = routed(model)
    graph = graph_of(router)

    def tokens() -> Iterator[Any]:
        for chunk, _ in graph.stream({"messages": []}, stream_mode="messages"):
            yield chunk

    leader = Listener(tokens())
    wait_until(lambda: model.calls)
    follower = Listener(tokens())
    wait_until(lambda: followers(router) == 1)
    for place in range(1, len(WORDS) + 1):
        model.steps.release()
        wait_until(lambda place=place: follower.text == leader.text == "".join(WORDS[:place]))
    leader.wait()
    follower.wait()
    assert leader.error is follower.error is None
    assert follower.text == leader.text == TEXT
    assert len(model.calls) == 1
    assert {chunk.id for chunk in leader.chunks}.isdisjoint({chunk.id for chunk in follower.chunks})
    later = graph.invoke({"messages": []})["messages"][-1]
    assert (later.content, later.response_metadata["langroute"]["cache"]) == (TEXT, "hit")


async def test_graphs_that_show_tokens_share_a_stream_awaited() -> None:
    model = Stepped()
    router = routed(model)
    graph = graph_of(router)
    heard: list[list[str]] = [[], []]

    async def listen(place: int) -> None:
        async for chunk, _ in graph.astream({"messages": []}, stream_mode="messages"):
            heard[place].append(chunk.content)

    leader = asyncio.create_task(listen(0))
    await until(lambda: model.calls)
    follower = asyncio.create_task(listen(1))
    await until(lambda: followers(router) == 1)
    for place in range(1, len(WORDS) + 1):
        model.steps.release()
        await until(lambda place=place: "".join(heard[0]) == "".join(heard[1]) == "".join(WORDS[:place]))
    await asyncio.gather(leader, follower)
    assert len(model.calls) == 1


def test_a_plain_call_whose_tokens_are_shown_is_whole_at_the_end() -> None:
    """What the graph's state gets is one message with its tokens and its decision, whoever led."""
    model = Stepped(free=True, pause=0.02)
    router = routed(model)
    graph = graph_of(router)

    def last() -> Any:
        return [
            state for _, state in graph.stream({"messages": []}, stream_mode=["messages", "values"]) if isinstance(state, dict)
        ][-1]

    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(lambda _: last(), range(4)))
    messages = [state["messages"][-1] for state in states]
    assert {message.content for message in messages} == {TEXT}
    assert {type(message) for message in messages} == {AIMessage}
    assert sorted(message.response_metadata["langroute"]["cache"] for message in messages) == ["hit"] * 3 + ["miss"]
    assert sorted(message.usage_metadata["total_tokens"] for message in messages) == [0, 0, 0, 12]
    assert len({message.id for message in messages}) == 4


# When somebody goes ------------------------------------------------------------------------------------------------------


def test_who_fails_before_the_first_word_is_followed_by_one() -> None:
    model = Stepped(fails_at={0: 0})
    router = routed(model)
    leader = Listener(router.stream("Count."))
    wait_until(lambda: model.calls)
    rest = [Listener(router.stream("Count.")) for _ in range(5)]
    for _ in range(20):
        model.steps.release()
    assert isinstance(leader.wait().error, ConnectionError)
    assert {one.wait().text for one in rest} == {TEXT}
    assert len(model.calls) == 2


def test_who_breaks_off_after_the_first_word_has_broken_off_for_all_who_heard_it() -> None:
    model = Stepped(fails_at={0: 2})
    router = routed(model)
    leader = Listener(router.stream("Count."))
    wait_until(lambda: model.calls)
    rest = [Listener(router.stream("Count.")) for _ in range(5)]
    wait_until(lambda: followers(router) == 5)
    model.steps.release()
    wait_until(lambda: all(one.text == "one " for one in rest))
    model.steps.release()
    assert isinstance(leader.wait().error, ConnectionError)
    for one in rest:
        assert isinstance(one.wait().error, AnswerCutOffError)
        assert isinstance(one.error.__cause__.__cause__, ConnectionError)
        assert one.text == "one two "
    assert len(model.calls) == 1
    assert router.response_cache.size().entries == 0
    for _ in range(20):
        model.steps.release()
    assert "".join(chunk.content for chunk in router.stream("Count.")) == TEXT


def test_who_wants_a_broken_answer_begun_again_gets_that_as_a_follower_too() -> None:
    model = Stepped(fails_at={0: 2})
    router = routed(model)
    patient = routed(model, cache=router.response_cache, timeouts=Timeouts(restart_stream=True), max_retries=1)
    leader = Listener(router.stream("Count."))
    wait_until(lambda: model.calls)
    follower = Listener(patient.stream("Count."))
    wait_until(lambda: followers(router) == 1)
    model.steps.release()
    wait_until(lambda: follower.text == "one ")
    for _ in range(20):
        model.steps.release()
    assert isinstance(leader.wait().error, ConnectionError)
    assert follower.wait().error is None
    assert follower.text == "one two " + TEXT
    assert len(model.calls) == 2


def test_a_leader_who_goes_leaves_the_stream_to_those_who_stay() -> None:
    model = Stepped()
    router = routed(model)
    stream = router.stream("Count.")
    first = threading.Thread(target=next, args=(stream,))
    first.start()
    wait_until(lambda: model.calls)
    rest = [Listener(router.stream("Count.")) for _ in range(3)]
    waits = ThreadPoolExecutor(1).submit(router.invoke, "Count.")
    wait_until(lambda: followers(router) == 4)
    model.steps.release()
    first.join()
    wait_until(lambda: all(one.text == "one " for one in rest))
    stream.close()
    for _ in WORDS:
        model.steps.release()
    assert {one.wait().text for one in rest} == {TEXT}
    assert waits.result(20).content == TEXT
    assert len(model.calls) == 1
    assert not model.closed
    assert router.invoke("Count.").response_metadata["langroute"]["cache"] == "hit"
    assert router.response_cache.size().entries == 1


async def test_a_leader_who_is_cancelled_leaves_the_stream_to_those_who_stay() -> None:
    model = Stepped()
    router = routed(model)

    heard: list[list[str]] = [[] for _ in range(4)]

    async def listen(number: int) -> str:
        async for chunk in router.astream("Count."):
            heard[number].append(chunk.content)
        return "".join(heard[number])

    leader = asyncio.create_task(listen(0))
    await until(lambda: model.calls)
    rest = [asyncio.create_task(listen(number)) for number in (1, 2, 3)]
    await until(lambda: followers(router) == 3)
    model.steps.release()
    await until(lambda: all(heard))
    leader.cancel()
    rest[0].cancel()
    for _ in WORDS:
        model.steps.release()
    texts = await asyncio.gather(leader, *rest, return_exceptions=True)
    assert texts[2:] == [TEXT, TEXT]
    assert isinstance(texts[0], asyncio.CancelledError)
    assert isinstance(texts[1], asyncio.CancelledError)
    assert len(model.calls) == 1
    await until(lambda: router.response_cache.size().entries == 1)


def test_when_all_are_gone_the_model_hears_of_it() -> None:
    model = Stepped()
    router = routed(model)
    leader = router.stream("Count.")
    first = threading.Thread(target=next, args=(leader,))
    first.start()
    wait_until(lambda: model.calls)
    heard: list[Any] = []
    follower = router.stream("Count.")
    second = threading.Thread(target=lambda: heard.append(next(follower)))
    second.start()
    wait_until(lambda: followers(router) == 1)
    model.steps.release()
    first.join()
    second.join()
    leader.close()
    assert not model.closed
    follower.close()
    model.steps.release()
    wait_until(lambda: model.closed)
    assert model.said.count("five") == 0
    assert router.response_cache.size().entries == 0
    for _ in range(20):
        model.steps.release()
    assert "".join(chunk.content for chunk in router.stream("Count.")) == TEXT


async def test_when_all_are_gone_the_model_hears_of_it_awaited() -> None:
    model = Stepped()
    router = routed(model)
    calls = [asyncio.create_task(router.astream("Count.").__anext__()) for _ in range(3)]
    await until(lambda: model.calls)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    model.steps.release()
    await until(lambda: model.closed)
    assert router.response_cache.size().entries == 0
    assert not open_calls(router.response_cache)


async def test_when_the_event_loop_that_reads_it_ends_the_others_are_told() -> None:
    model = Stepped()
    router = routed(model)

    async def lead() -> None:
        stream = router.astream("Count.")
        assert (await stream.__anext__()).content == "one "
        await until(lambda: follower.text == "one ")
        await until(lambda: heard == ["one "])

    leader = threading.Thread(target=lambda: asyncio.run(lead()))
    leader.start()
    await until(lambda: model.calls)
    follower = Listener(router.stream("Count."))
    heard: list[str] = []

    async def listen() -> None:
        async for chunk in router.astream("Count."):
            heard.append(chunk.content)

    task = asyncio.create_task(listen())
    await until(lambda: followers(router) == 2)
    model.steps.release()
    await asyncio.to_thread(leader.join)
    with pytest.raises(AnswerCutOffError):
        await task
    await asyncio.to_thread(follower.wait)
    assert isinstance(follower.error, AnswerCutOffError)
    assert not open_calls(router.response_cache)
    assert router.response_cache.size().entries == 0


def test_a_slow_listener_holds_up_nobody() -> None:
    model = Stepped(free=True)
    router = routed(model)
    slow = router.stream("Count.")
    assert next(slow).content == "one "
    began = time.monotonic()
    quick = Listener(router.stream("Count.")).wait()
    assert quick.text == TEXT
    assert time.monotonic() - began < 5
    assert "one " + "".join(chunk.content for chunk in slow) == TEXT
    assert len(model.calls) == 1


def test_one_thread_that_reads_two_streams_at_once_does_not_wait_for_itself() -> None:
    model = Stepped(free=True)
    router = routed(model)
    pairs = list(zip(router.stream("Count."), router.stream("Count."), strict=True))
    assert "".join(one.content for one, _ in pairs) == "".join(other.content for _, other in pairs) == TEXT
    assert len(model.calls) == 1
    held = router.stream("Again.")
    next(held)
    assert router.invoke("Again.").content == TEXT


async def test_one_task_that_reads_two_streams_at_once_does_not_wait_for_itself() -> None:
    model = Stepped(free=True)
    router = routed(model)
    held = router.astream("Count.")
    await held.__anext__()
    assert (await router.ainvoke("Count.")).content == TEXT
    assert router.invoke("Count.").content == TEXT
    assert "".join(chunk.content for chunk in router.stream("Count.")) == TEXT
    await held.aclose()


async def test_one_task_that_reads_two_streams_in_turn_makes_one_call() -> None:
    model = Stepped(free=True)
    router = routed(model)
    one, other = router.astream("Count."), router.astream("Count.")
    words: list[str] = []
    async for chunk in one:
        words.append(chunk.content)
        words.append((await other.__anext__()).content)
    assert "".join(words[::2]) == "".join(words[1::2]) == TEXT
    assert len(model.calls) == 1
    again = router.astream("Again.")
    first = await again.__anext__()
    assert "".join(chunk.content for chunk in router.stream("Again.")) == TEXT
    assert first.content + "".join([chunk.content async for chunk in again]) == TEXT


def test_what_is_heard_is_in_the_ledger_with_what_it_saved() -> None:
    model = Stepped()
    router = routed(model)
    pair(router, model)
    decision = router.ledger.latest()
    assert decision.cache in ("hit", "miss")
    records = router.ledger.decisions
    assert sorted(record.cache for record in records) == ["hit", "miss"]
    hit = next(record for record in records if record.cache == "hit")
    assert (hit.cost_usd, hit.attempts[0].stored.usage.total_tokens) == (0.0, 12)


def test_another_s_bad_hit_is_taken_back() -> None:
    cache = ResponseCache()
    model = Stepped()
    router = routed(model, cache=cache)
    _, follower = pair(router, model)
    assert cache.size().entries == 1
    assert cache.report_bad_hit(whole(follower.chunks).response_metadata["langroute"]["decision_id"])
    assert cache.size().entries == 0


def test_whatever_a_crowd_of_threads_does_nobody_waits_for_ever() -> None:
    """Some stream, some call, some leave, and the model breaks off now and then; whoever stays to the end has the whole answer or an error."""
    model = Stepped(free=True, pause=0.001, fails_at={call: call % 6 for call in range(0, 400, 5)})
    router = routed(model, timeouts=Timeouts(hedging=Hedging(after=5.0)))

    def visit(number: int) -> str | None:
        chance = random.Random(number)
        question = f"Count to {chance.randrange(6)}."
        try:
            if chance.random() < 0.3:
                return str(router.invoke(question, {"configurable": {"langroute_cache": chance.choice(["refresh", None])}}).content)
            leaves = chance.choice([1, 2, 99, 99])
            stream = router.stream(question, {"configurable": {"langroute_cache": chance.choice(["refresh", None, None])}})
            return read_until(stream, leaves)
        except (ConnectionError, AnswerCutOffError):
            return None

    with ThreadPoolExecutor(40) as pool:
        texts = list(pool.map(visit, range(600), timeout=100))
    assert {text for text in texts if text is not None} == {TEXT}
    wait_until(lambda: not open_calls(router.response_cache))


async def test_whatever_a_crowd_of_coroutines_does_nobody_waits_for_ever() -> None:
    model = Stepped(free=True, pause=0.001, fails_at={call: call % 6 for call in range(0, 400, 5)})
    router = routed(model)

    async def visit(number: int) -> str | None:
        chance = random.Random(number)
        await asyncio.sleep(chance.random() * 0.3)
        question = f"Count to {chance.randrange(6)}."
        config: Any = {"configurable": {"langroute_cache": chance.choice(["refresh", None, None])}}
        try:
            if chance.random() < 0.3:
                return str((await router.ainvoke(question, config)).content)
            leaves, text, place = chance.choice([1, 2, 99, 99]), "", 0
            stream = router.astream(question, config)
            async for chunk in stream:
                text += chunk.content
                place += 1
                if place > leaves:
                    await stream.aclose()
                    return None
            return text
        except (ConnectionError, AnswerCutOffError):
            return None

    async def impatient(number: int) -> str | None:
        try:
            return await asyncio.wait_for(visit(number), random.Random(-number).choice([0.05, 0.2, 50, 50]))
        except (asyncio.TimeoutError, TimeoutError):
            return None

    texts = await asyncio.wait_for(asyncio.gather(*(impatient(number) for number in range(600))), 100)
    assert {text for text in texts if text is not None} == {TEXT}
    await until(lambda: not open_calls(router.response_cache))
