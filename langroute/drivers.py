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

from langroute.effects import Call, Check, Consult, Effect, Fund, Reply, Settle, Wait
from langroute.events import RESTART, aannounce_restart, announce_restart, restarted
from langroute.failures import passes_through
from langroute.gate import shows
from langroute.marks import KEY, mark
from langroute.patience import Raced
from langroute.records import Decision
from langroute.router import Result
from langroute.verifiers import arun, run

Plan = Generator[Effect, Any, Result]
Ended = Callable[[Decision], Any] | None
"""Hears of the decision before the last chunk is handed on; awaited where the stream is."""


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

    streams: str
    """What its chunks are: `messages`, content-block `events`, or structured `outputs`."""

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
    reply: Reply | None = None
    try:
        effect = next(plan)
        while True:
            if type(effect) is Call:
                if reply is not None and reply.streamed:
                    announce_restart(effect, getattr(host, "config", None))
                begun, patience = perf_counter(), effect.patience
                try:
                    reply = host.call(effect) if patience is None or not patience.waits else patience.call(host, effect)
                except BaseException as error:
                    if passes_through(error):
                        plan.throw(error)
                        raise
                    reply = _failed(host, effect, error)
                reply.latency_s = perf_counter() - begun
                effect = plan.send(reply)
            else:
                effect = _resume(plan, _value(plan, effect))
    except StopIteration as stop:
        return _answered(stop.value)


async def adrive(plan: Plan, host: Host) -> Result:
    """Carry out a plan, awaiting what has to be awaited.

    Raises:
        Exception: What the model raised, where no route answered.
    """
    reply: Reply | None = None
    try:
        effect = next(plan)
        while True:
            if type(effect) is Call:
                if reply is not None and reply.streamed:
                    await aannounce_restart(effect, getattr(host, "config", None))
                begun, patience = perf_counter(), effect.patience
                try:
                    timed = patience is not None and patience.waits
                    reply = await (patience.acall(host, effect) if timed else host.acall(effect))
                except BaseException as error:
                    if passes_through(error):
                        plan.throw(error)
                        raise
                    reply = _failed(host, effect, error)
                reply.latency_s = perf_counter() - begun
                effect = plan.send(reply)
            else:
                effect = _resume(plan, await _avalue(plan, effect))
    except StopIteration as stop:
        return _answered(stop.value)


def stream(plan: Plan, host: StreamingHost, ended: Ended = None) -> Iterator[Any]:
    """Carry out a plan, handing on chunks as soon as they can no longer be rejected.

    The last chunk carries the decision; `ended` hears of it before.

    Raises:
        Exception: What the model raised, where no route answered or one broke off after its first token.
    """
    stage = _Stage(host.streams)
    try:
        effect = next(plan)
        while True:
            if type(effect) is Call:
                if stage.shown:
                    announce_restart(effect, getattr(host, "config", None))
                    yield from stage.again(effect)
                tally, following = stage.begin(effect), None
                timed = effect.patience is not None and effect.patience.waits
                try:
                    for chunk in effect.patience.stream(host, effect, tally.won) if timed else host.stream(effect):
                        if tally.shown and _in_the_middle(chunk):
                            yield chunk
                            continue
                        tally.add(chunk)
                        if tally.ends_with(chunk):
                            chunk, decision, following = _last(plan, tally, chunk, _caught(host))
                            if following is not None:
                                break
                            if ended is not None and decision is not None:
                                ended(decision)
                        if tally.shown:
                            yield chunk
                        else:
                            yield from tally.ready(chunk)
                    if tally.ended:
                        return
                except BaseException as error:
                    if tally.ended:
                        # The plan is over and its last chunk out: what fails now is the caller's, such as a callback that raises.
                        raise
                    if passes_through(error) or stage.cannot_go_on():
                        plan.throw(error)
                        raise
                    tally.failed(error, effect.gate)
                effect = plan.send(tally.reply(_caught(host))) if following is None else following
            else:
                effect = _resume(plan, _value(plan, effect))
    except StopIteration as stop:
        result = _answered(stop.value)
    if ended is not None:
        ended(result.decision)
    yield from stage.rest(result)


def _in_the_middle(chunk: Any) -> bool:
    """Nothing has to be noted of a chunk, as of most: it is handed on as it is."""
    return type(chunk) is AIMessageChunk and not (chunk.usage_metadata or chunk.response_metadata or chunk.chunk_position)


async def astream(plan: Plan, host: StreamingHost, ended: Ended = None) -> AsyncIterator[Any]:
    """The same as `stream`, awaiting what has to be awaited."""
    stage = _Stage(host.streams)
    try:
        effect = next(plan)
        while True:
            if type(effect) is Call:
                if stage.shown:
                    await aannounce_restart(effect, getattr(host, "config", None))
                    for chunk in stage.again(effect):
                        yield chunk
                tally, following = stage.begin(effect), None
                timed = effect.patience is not None and effect.patience.waits
                chunks = effect.patience.astream(host, effect, tally.won) if timed else host.astream(effect)
                try:
                    async for chunk in chunks:
                        if tally.shown and _in_the_middle(chunk):
                            yield chunk
                            continue
                        tally.add(chunk)
                        if tally.ends_with(chunk):
                            chunk, decision, following = _last(plan, tally, chunk, _caught(host))
                            if following is not None:
                                await closed(chunks)
                                break
                            if ended is not None and decision is not None:
                                await ended(decision)
                        if tally.shown:
                            yield chunk
                        else:
                            for ready in tally.ready(chunk):
                                yield ready
                    if tally.ended:
                        return
                except BaseException as error:
                    if tally.ended:
                        # The plan is over and its last chunk out: what fails now is the caller's, such as a callback that raises.
                        raise
                    if passes_through(error) or stage.cannot_go_on():
                        await closed(chunks)
                        plan.throw(error)
                        raise
                    tally.failed(error, effect.gate)
                effect = plan.send(tally.reply(_caught(host))) if following is None else following
            else:
                effect = _resume(plan, await _avalue(plan, effect))
    except StopIteration as stop:
        result = _answered(stop.value)
    if ended is not None:
        await ended(result.decision)
    for chunk in stage.rest(result):
        yield chunk


async def closed(chunks: Any) -> None:
    """Close an async stream now: left to itself, its model would hear of it only when the garbage is collected."""
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()


class _Raised:
    """Stands for an error that is thrown into the plan, which decides what a failing policy means."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _value(plan: Plan, effect: Effect) -> Any:
    """Do what is no call; the plan hears of it when that is cancelled, so that it records what was spent."""
    try:
        return _do(effect)
    except BaseException as error:
        plan.throw(error)
        raise


async def _avalue(plan: Plan, effect: Effect) -> Any:
    try:
        return await _ado(effect)
    except BaseException as error:
        plan.throw(error)
        raise


def _resume(plan: Plan, value: Any) -> Effect:
    return plan.throw(value.error) if isinstance(value, _Raised) else plan.send(value)


def _do(effect: Effect) -> Any:
    if isinstance(effect, Check):
        return run(effect.verifiers, effect.request, effect.attempt, effect.earlier)
    if isinstance(effect, Consult):
        try:
            return effect.policy.select(effect.request, effect.attempts)
        except Exception as error:  # noqa: BLE001
            return _Raised(error)
    if isinstance(effect, Fund):
        if effect.wait_s:
            time.sleep(effect.wait_s)
        try:
            return effect.ask()
        except Exception as error:  # noqa: BLE001
            return _Raised(error)
    if isinstance(effect, Wait):
        time.sleep(effect.seconds)
    elif isinstance(effect, Settle):
        effect.session.settle()
    return None


async def _ado(effect: Effect) -> Any:
    if isinstance(effect, Check):
        return await arun(effect.verifiers, effect.request, effect.attempt, effect.earlier)
    if isinstance(effect, Consult):
        try:
            return await effect.policy.aselect(effect.request, effect.attempts)
        except Exception as error:  # noqa: BLE001
            return _Raised(error)
    if isinstance(effect, Fund):
        if effect.wait_s:
            await asyncio.sleep(effect.wait_s)
        try:
            return effect.ask() if effect.local else await asyncio.to_thread(effect.ask)
        except Exception as error:  # noqa: BLE001
            return _Raised(error)
    if isinstance(effect, Wait):
        await asyncio.sleep(effect.seconds)
    elif isinstance(effect, Settle):
        await effect.session.asettle()
    return None


def _caught(host: Host) -> Any:
    """The raw message behind a structured answer."""
    caught = getattr(host, "caught_message", None)
    return caught() if caught is not None else None


def _failed(host: Host, call: Call, error: BaseException) -> Reply:
    """A reply that is an error. Where somebody watched the call's tokens, it may have been shown in part."""
    shown = call.gate is not None and call.gate.shown
    if isinstance(error, Raced):
        return Reply(None, error.error, streamed=shown, call=error.call, also=error.also)
    return Reply(_caught(host), error, streamed=shown)


def _answered(result: Result) -> Result:
    if result.error is not None:
        raise result.error
    return result


@dataclass(slots=True)
class _Tally:
    """One streamed attempt: what it adds up to. It stands in for the message where nobody needs its text."""

    tentative: bool
    kind: str = "messages"
    """What the chunks are: `messages`, content-block `events`, or structured `outputs`."""

    place: int = 0
    """Its call's place among the attempts."""

    begun: float = field(default_factory=perf_counter)
    heard: bool = False
    """A chunk came."""

    first: float | None = None
    """When there was something to read."""

    chunks: list[Any] = field(default_factory=list)
    """Held back while the attempt may still be rejected."""

    silent: list[Any] = field(default_factory=list)
    """Held back because there is nothing to read in it yet: the attempt can still be replaced unseen."""

    shown: bool = False
    """Something to read was handed on."""

    output: Any = None
    """The latest chunk where it is no message: structured output as far as it got."""

    error: BaseException | None = None
    ended: bool = False
    call: Any = None
    """Whose chunks these are, where several routes were asked at once."""

    also: Any = ()
    id: str | None = None
    usage_metadata: Any = None
    response_metadata: dict[str, Any] = field(default_factory=dict)

    def add(self, chunk: Any) -> None:
        """Count a chunk."""
        if not self.heard:
            self.heard = True
            self.id = getattr(chunk, "id", None)
        if self.first is None and shows(chunk):
            self.first = perf_counter() - self.begun
        if self.tentative:
            self.chunks.append(chunk)
        if not isinstance(chunk, BaseMessage):
            if self.kind == "messages":
                # A route that is a chain may end in a parser.
                self.kind = "outputs"
            if self.kind == "outputs":
                self.output = chunk
            return
        if usage := getattr(chunk, "usage_metadata", None):
            self.usage_metadata = add_usage(self.usage_metadata, usage) if self.usage_metadata else usage
        if chunk.response_metadata:
            self.response_metadata.update(chunk.response_metadata)

    def ready(self, chunk: Any) -> list[Any]:
        """What may be handed on now that this chunk is here: nothing before there is something to read."""
        if self.tentative:
            return []
        self.silent.append(chunk)
        if not shows(chunk):
            return []
        self.shown, ready, self.silent = True, self.silent, []
        return ready

    def won(self, reply: Reply) -> None:
        """Whose chunks these are, and who was asked beside."""
        self.call, self.also = reply.call, reply.also

    def failed(self, error: BaseException, gate: Any) -> None:
        """The attempt ended in an error. Who listens to its run may have seen a token that did not come through."""
        self.error = error
        self.shown = self.shown or (gate is not None and gate.shown and not self.tentative)
        if isinstance(error, Raced):
            self.error, self.call, self.also = error.error, error.call, error.also

    def ends_with(self, chunk: Any) -> bool:
        """The chunk is the last one, and what it belongs to can no longer be rejected."""
        if self.tentative or self.ended:
            return False
        if not isinstance(chunk, BaseMessage):
            return self.kind == "events" and chunk["event"] == "message-finish"
        return not isinstance(chunk, AIMessageChunk) or chunk.chunk_position == "last"

    def reply(self, caught: Any = None) -> Reply:
        """What the attempt came to; `caught` is its raw message where the chunks are something else."""
        message: Any = caught
        if caught is None and self.heard:
            message = merged(self.chunks) if self.tentative else self
        if self.error is not None and caught is None and not self.usage_metadata:
            message = None
        shown = self.shown and not self.tentative
        took = perf_counter() - self.begun
        return Reply(message, self.error, took, self.first, shown, parsed=self.output, call=self.call, also=self.also)


class _Stage:
    """The attempts of one streamed step."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.tallies: list[_Tally] = []
        self.restarts = False

    def begin(self, call: Call) -> _Tally:
        self.restarts = call.patience is not None and call.patience.restart
        tally = _Tally(call.selection.tentative, self.kind, place=call.index)
        self.tallies.append(tally)
        return tally

    @property
    def shown(self) -> bool:
        """Something of the latest attempt was handed on."""
        return bool(self.tallies) and self.tallies[-1].shown

    def again(self, call: Call) -> Iterator[Any]:
        """Say among the chunks that what was shown is worth nothing."""
        if self.kind == "messages":
            yield AIMessageChunk(content="", response_metadata={RESTART: restarted(call)})

    def cannot_go_on(self) -> bool:
        """A stream of events has begun a message that no other model can end."""
        return self.kind == "events" and self.restarts and self.shown

    def rest(self, result: Result) -> Iterator[Any]:
        """What was held back of the kept attempt; the last chunk carries the decision."""
        # The attempts that lost a race stand before the one that won it.
        tally = next(tally for tally in self.tallies if tally.place + len(tally.also) == result.index)
        chunks = tally.chunks
        yield from tally.silent
        if tally.kind == "outputs":
            yield from chunks
        elif chunks:
            yield from chunks[:-1]
            yield _carrying(chunks[-1], result)
        elif tally.kind == "messages":
            yield _carrying(AIMessageChunk(content="", id=tally.id, chunk_position="last"), result)


def _last(plan: Plan, tally: _Tally, chunk: Any, caught: Any) -> tuple[Any, Decision, None] | tuple[None, None, Effect]:
    """End the plan as soon as the last chunk is there, so that this chunk can carry the decision.

    Returns:
        The chunk and the decision; or how the plan goes on where the answer broke off and is begun again.

    Raises:
        AnswerCutOffError: The answer ended without a reason.
    """
    try:
        return None, None, plan.send(tally.reply(caught))
    except StopIteration as stop:
        tally.ended = True
        return _carrying(chunk, _answered(stop.value)), stop.value.decision, None


def _carrying(chunk: Any, result: Result) -> Any:
    if not isinstance(chunk, BaseMessage):
        return {**chunk, "metadata": {**(chunk.get("metadata") or {}), KEY: mark(result.decision)}}
    last = chunk.model_copy()
    last.response_metadata = {**last.response_metadata, KEY: mark(result.decision)}
    return last


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
        metadata = message.response_metadata
        if KEY in metadata:
            # LangChain's cache, for one, hands the same object to everybody who asks; what others were told stays as it was.
            message = message.model_copy()
        message.response_metadata = {**metadata, KEY: mark(result.decision)}
    return message


__all__ = ["Host", "StreamingHost", "adrive", "astream", "drive", "marked", "merged", "stream"]
