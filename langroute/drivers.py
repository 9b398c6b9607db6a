"""How is a plan carried out? Sync, async and streaming drivers around one generator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from time import perf_counter
from typing import Any, Protocol

from langchain_core.messages import AIMessageChunk, BaseMessage

from langroute.effects import Call, Check, Consult, Effect, Fund, Reply, Settle, Wait
from langroute.events import aannounce_restart, announce_restart
from langroute.failures import passes_through
from langroute.marks import KEY, mark
from langroute.patience import Raced
from langroute.records import Decision
from langroute.router import Result
from langroute.tally import Stage, Tally, carrying
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
    stage = Stage(host.streams)
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
    stage = Stage(host.streams)
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


def _last(plan: Plan, tally: Tally, chunk: Any, caught: Any) -> tuple[Any, Decision, None] | tuple[None, None, Effect]:
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
        return carrying(chunk, _answered(stop.value)), stop.value.decision, None


def marked(message: Any, result: Result) -> Any:
    """A message with the decision in its `response_metadata`."""
    if isinstance(message, BaseMessage):
        metadata = message.response_metadata
        if KEY in metadata:
            # LangChain's cache, for one, hands the same object to everybody who asks; what others were told stays as it was.
            message = message.model_copy()
        message.response_metadata = {**metadata, KEY: mark(result.decision)}
    return message


__all__ = ["Host", "StreamingHost", "adrive", "astream", "drive", "marked", "stream"]
