"""How is a plan carried out? Sync, async and streaming drivers around one generator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

from langchain_core.messages import AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.messages.ai import add_ai_message_chunks, add_usage

from langroute.failures import passes_through
from langroute.marks import KEY, mark
from langroute.records import Decision
from langroute.router import Call, Check, Consult, Effect, Reply, Result, Wait
from langroute.verifiers import arun, run

Plan = Generator[Effect, Any, Result]
Ended = Callable[[Decision], Any] | None


class Host(Protocol):
    """Calls a route's model in the way of a chat model, a node or a middleware."""

    def call(self, call: Call) -> Reply:
        """Call and return what came; raise what the model raises."""
        ...

    async def acall(self, call: Call) -> Reply:
        """The same, awaited."""
        ...


class StreamingHost(Host, Protocol):
    """A host that can stream."""

    def stream(self, call: Call) -> Iterator[BaseMessage]:
        """The model's chunks."""
        ...

    def astream(self, call: Call) -> AsyncIterator[BaseMessage]:
        """The same, awaited."""
        ...


def drive(plan: Plan, host: Host) -> Result:
    """Carry out a plan.

    Raises:
        Exception: What the model raised, where no route answered.
    """
    try:
        effect = next(plan)
        while True:
            if type(effect) is Call:
                begun = perf_counter()
                try:
                    reply = host.call(effect)
                except BaseException as error:
                    if passes_through(error):
                        plan.throw(error)
                        raise
                    reply = Reply(_caught(host), error)
                reply.latency_s = perf_counter() - begun
                effect = plan.send(reply)
            else:
                effect = _step(plan, effect)
    except StopIteration as stop:
        return _answered(stop.value)


async def adrive(plan: Plan, host: Host) -> Result:
    """Carry out a plan, awaiting what has to be awaited.

    Raises:
        Exception: What the model raised, where no route answered.
    """
    try:
        effect = next(plan)
        while True:
            if type(effect) is Call:
                begun = perf_counter()
                try:
                    reply = await host.acall(effect)
                except BaseException as error:
                    if passes_through(error):
                        plan.throw(error)
                        raise
                    reply = Reply(_caught(host), error)
                reply.latency_s = perf_counter() - begun
                effect = plan.send(reply)
            else:
                effect = await _astep(plan, effect)
    except StopIteration as stop:
        return _answered(stop.value)


def stream(plan: Plan, host: StreamingHost, ended: Ended = None) -> Iterator[Any]:
    """Carry out a plan, handing on chunks as soon as they can no longer be rejected.

    The last chunk carries the decision; `ended` hears of it before.

    Raises:
        Exception: What the model raised, where no route answered or one broke off after its first token.
    """
    stage = _Stage()
    try:
        effect = next(plan)
        while True:
            if type(effect) is Call:
                tally = stage.begin(effect)
                try:
                    for chunk in host.stream(effect):
                        if (ready := tally.add(chunk)) is not None:
                            yield ready
                except BaseException as error:
                    if passes_through(error):
                        plan.throw(error)
                        raise
                    tally.error = error
                effect = plan.send(tally.reply(_caught(host)))
            else:
                effect = _step(plan, effect)
    except StopIteration as stop:
        result = _answered(stop.value)
    if ended is not None:
        ended(result.decision)
    yield from stage.rest(result)


async def astream(plan: Plan, host: StreamingHost, ended: Ended = None) -> AsyncIterator[Any]:
    """The same as `stream`, awaiting what has to be awaited."""
    stage = _Stage()
    try:
        effect = next(plan)
        while True:
            if type(effect) is Call:
                tally = stage.begin(effect)
                try:
                    async for chunk in host.astream(effect):
                        if (ready := tally.add(chunk)) is not None:
                            yield ready
                except BaseException as error:
                    if passes_through(error):
                        plan.throw(error)
                        raise
                    tally.error = error
                effect = plan.send(tally.reply(_caught(host)))
            else:
                effect = await _astep(plan, effect)
    except StopIteration as stop:
        result = _answered(stop.value)
    if ended is not None:
        ended(result.decision)
    for chunk in stage.rest(result):
        yield chunk


def _step(plan: Plan, effect: Effect) -> Effect:
    if isinstance(effect, Check):
        return plan.send(run(effect.verifiers, effect.request, effect.attempt, effect.earlier))
    if isinstance(effect, Consult):
        return _consulted(plan, lambda: effect.policy.select(effect.request, effect.attempts))
    if isinstance(effect, Wait):
        time.sleep(effect.seconds)
    return plan.send(None)


async def _astep(plan: Plan, effect: Effect) -> Effect:
    if isinstance(effect, Check):
        return plan.send(await arun(effect.verifiers, effect.request, effect.attempt, effect.earlier))
    if isinstance(effect, Consult):
        try:
            selection = await effect.policy.aselect(effect.request, effect.attempts)
        except Exception as error:  # noqa: BLE001 - the plan decides what a failing policy means
            return plan.throw(error)
        return plan.send(selection)
    if isinstance(effect, Wait):
        await asyncio.sleep(effect.seconds)
    return plan.send(None)


def _consulted(plan: Plan, ask: Callable[[], Any]) -> Effect:
    try:
        selection = ask()
    except Exception as error:  # noqa: BLE001 - the plan decides what a failing policy means
        return plan.throw(error)
    return plan.send(selection)


def _caught(host: Host) -> Any:
    """The raw message behind a structured answer."""
    caught = getattr(host, "caught_message", None)
    return caught() if caught is not None else None


def _answered(result: Result) -> Result:
    if result.error is not None:
        raise result.error
    return result


@dataclass(slots=True)
class _Tally:
    """One streamed attempt: what it has shown, and what it adds up to."""

    tentative: bool
    begun: float = field(default_factory=perf_counter)
    first: float | None = None
    chunks: list[Any] = field(default_factory=list)
    pending: Any = None
    """A chunk that may be the last, kept until it is known."""

    shown: bool = False
    error: BaseException | None = None
    id: str | None = None
    usage_metadata: Any = None
    response_metadata: dict[str, Any] = field(default_factory=dict)
    tool_calls: bool = False

    def add(self, chunk: Any) -> Any | None:
        """Take a chunk; return one that may be shown now."""
        if self.first is None:
            self.first = perf_counter() - self.begun
            self.id = getattr(chunk, "id", None)
        if self.tentative:
            self.chunks.append(chunk)
            return None
        if usage := getattr(chunk, "usage_metadata", None):
            self.usage_metadata = add_usage(self.usage_metadata, usage) if self.usage_metadata else usage
        if metadata := getattr(chunk, "response_metadata", None):
            self.response_metadata.update(metadata)
        ready, self.pending = self.pending, None
        if not isinstance(chunk, AIMessageChunk) or chunk.chunk_position == "last":
            self.pending = chunk
        elif ready is None:
            ready = chunk
        else:
            ready, self.pending = ready, chunk
        self.shown = self.shown or ready is not None
        return ready

    def reply(self, caught: Any) -> Reply:
        """What the attempt came to; `caught` is its raw message where the chunks are something else."""
        message: Any = caught
        output = None
        if caught is not None:
            output = self.chunks[-1] if self.chunks else self.pending
        elif self.first is not None:
            message = merged(self.chunks) if self.tentative else self
        if self.error is not None and message is self and not self.usage_metadata:
            message = None
        return Reply(message, self.error, perf_counter() - self.begun, self.first, self.shown, parsed=output)


class _Stage:
    """The attempts of one streamed step."""

    def __init__(self) -> None:
        self.tallies: list[_Tally] = []

    def begin(self, call: Call) -> _Tally:
        tally = _Tally(call.selection.tentative)
        self.tallies.append(tally)
        return tally

    def rest(self, result: Result) -> Iterator[Any]:
        """What was held back of the kept attempt; the last chunk carries the decision."""
        tally = self.tallies[result.index]
        chunks = tally.chunks if tally.tentative else [tally.pending] if tally.pending is not None else []
        carried = mark(result.decision)
        if chunks and not isinstance(chunks[-1], BaseMessage):
            yield from chunks
            return
        if not chunks or (not tally.tentative and getattr(chunks[-1], "chunk_position", "last") != "last"):
            yield from chunks
            yield AIMessageChunk(content="", id=tally.id, response_metadata={KEY: carried}, chunk_position="last")
            return
        yield from chunks[:-1]
        last = chunks[-1].model_copy()
        last.response_metadata = {**last.response_metadata, KEY: carried}
        yield last


def merged(chunks: list[Any]) -> BaseMessage:
    """One message from its chunks."""
    if len(chunks) == 1 or not isinstance(chunks[0], AIMessageChunk):
        whole = chunks[-1]
    else:
        whole = add_ai_message_chunks(chunks[0], *chunks[1:])
    return message_chunk_to_message(whole) if isinstance(whole, AIMessageChunk) else whole


def marked(message: Any, result: Result) -> Any:
    """A message with the decision in its `response_metadata`."""
    if isinstance(message, BaseMessage):
        message.response_metadata = {**message.response_metadata, KEY: mark(result.decision)}
    return message


__all__ = ["Host", "StreamingHost", "adrive", "astream", "drive", "marked", "merged", "stream"]
