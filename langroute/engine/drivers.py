"""Sync, async and streaming drivers that carry out a plan."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from time import perf_counter
from typing import Any, Protocol

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from langroute.core.control_flow import passes_through
from langroute.core.decision_metadata import METADATA_KEY, to_metadata
from langroute.core.records import Decision
from langroute.engine.effects import AnswerCheck, Consult, Effect, Fund, Raced, Reply, RouteCall, Settle, Wait
from langroute.engine.events import aannounce_restart, announce_restart
from langroute.engine.step_execution import StepResult
from langroute.engine.stream_attempt import AttemptStream, StepStream, carrying
from langroute.verifiers import arun, run

Plan = Generator[Effect, Any, StepResult]
Ended = Callable[[Decision, str | None], Any] | None
"""Callback that receives the decision and the id of the message before the last chunk is yielded; awaited in an async stream."""


class Host(Protocol):
    """Calls a route's model for a chat model, a node or a middleware."""

    def call(self, call: RouteCall) -> Reply:
        """Call the model and return its reply; raise what the model raises."""
        ...

    async def acall(self, call: RouteCall) -> Reply:
        """Async version of `call`."""
        ...


class StreamingHost(Host, Protocol):
    """A host that can stream."""

    streams: str
    """Kind of its chunks: `messages`, content-block `events`, or structured `outputs`."""

    def stream(self, call: RouteCall) -> Iterator[BaseMessage]:
        """Yield the model's chunks."""
        ...

    def astream(self, call: RouteCall) -> AsyncIterator[BaseMessage]:
        """Async version of `stream`."""
        ...


def drive(plan: Plan, host: Host) -> StepResult:
    """Carry out a plan synchronously.

    Raises:
        Exception: The model's error, if no route answered.
    """
    reply: Reply | None = None
    try:
        effect = next(plan)
        while True:
            if type(effect) is RouteCall:
                if reply is not None and reply.streamed:
                    announce_restart(effect, getattr(host, "config", None))
                begun, timeouts = perf_counter(), effect.timeouts
                try:
                    reply = host.call(effect) if timeouts is None or not timeouts.waits else timeouts.call(host, effect)
                except BaseException as error:
                    if passes_through(error) or _is_foreign(host, error):
                        plan.throw(error)
                        raise
                    reply = _failed(host, effect, error)
                reply.latency_s = perf_counter() - begun
                effect = plan.send(reply)
            else:
                effect = resume(plan, _value(plan, effect))
    except StopIteration as stop:
        return _answered(stop.value)
    finally:
        # A failure outside of a call, such as in a callback, ends the plan too: its reservations are released now.
        plan.close()


async def adrive(plan: Plan, host: Host) -> StepResult:
    """Carry out a plan asynchronously.

    Raises:
        Exception: The model's error, if no route answered.
    """
    reply: Reply | None = None
    try:
        effect = next(plan)
        while True:
            if type(effect) is RouteCall:
                if reply is not None and reply.streamed:
                    await aannounce_restart(effect, getattr(host, "config", None))
                begun, timeouts = perf_counter(), effect.timeouts
                try:
                    timed = timeouts is not None and timeouts.waits
                    reply = await (timeouts.acall(host, effect) if timed else host.acall(effect))
                except BaseException as error:
                    if passes_through(error) or _is_foreign(host, error):
                        plan.throw(error)
                        raise
                    reply = _failed(host, effect, error)
                reply.latency_s = perf_counter() - begun
                effect = plan.send(reply)
            else:
                effect = resume(plan, await avalue(plan, effect))
    except StopIteration as stop:
        return _answered(stop.value)
    finally:
        # A failure outside of a call, such as in a callback, ends the plan too: its reservations are released now.
        plan.close()


def stream(plan: Plan, host: StreamingHost, ended: Ended = None) -> Iterator[Any]:  # noqa: C901 - one loop: a generator within would cost every chunk
    """Carry out a plan, yielding chunks as soon as they can no longer be rejected.

    The last chunk carries the decision; `ended` is called with it before.

    Raises:
        Exception: The model's error, if no route answered or one broke off after its first token.
    """
    stage = StepStream(host.streams)
    try:
        effect = next(plan)
        while True:
            if type(effect) is not RouteCall:
                effect = resume(plan, _value(plan, effect))
                continue
            if stage.shown:
                announce_restart(effect, getattr(host, "config", None))
                yield from stage.again(effect)
            attempt = stage.begin(effect)
            rule = attempt.rule
            following: Effect | None = None
            try:
                timed = effect.timeouts is not None and effect.timeouts.waits
                for chunk in effect.timeouts.stream(host, effect, attempt.won) if timed else host.stream(effect):
                    if rule.shown and _in_the_middle(chunk):
                        attempt.passed.append(chunk)
                        yield chunk
                        continue
                    released, decision, following = _released(plan, attempt, chunk, host)
                    if following is not None:
                        break
                    if ended is not None and decision is not None:
                        ended(decision, attempt.id)
                    yield from released
                if attempt.ended:
                    return
            except BaseException as error:
                if attempt.ended:
                    # The plan is finished and its last chunk yielded: an error now is the caller's, such as a callback that raises.
                    raise
                if passes_through(error) or stage.cannot_go_on():
                    plan.throw(error)
                    raise
                attempt.failed(error, effect.gate)
            effect = plan.send(attempt.reply(_caught(host))) if following is None else following
    except StopIteration as stop:
        result = _answered(stop.value)
    finally:
        plan.close()
    if ended is not None:
        ended(result.decision, message_id(result.message))
    yield from stage.rest(result)


def _in_the_middle(chunk: Any) -> bool:
    """Return whether a chunk carries only content, so that it can be passed on without further bookkeeping."""
    return type(chunk) is AIMessageChunk and not (chunk.usage_metadata or chunk.response_metadata or chunk.chunk_position)


async def astream(plan: Plan, host: StreamingHost, ended: Ended = None) -> AsyncIterator[Any]:  # noqa: C901 - as `stream`
    """Async version of `stream`."""
    stage = StepStream(host.streams)
    try:
        effect = next(plan)
        while True:
            if type(effect) is not RouteCall:
                effect = resume(plan, await avalue(plan, effect))
                continue
            if stage.shown:
                await aannounce_restart(effect, getattr(host, "config", None))
                for chunk in stage.again(effect):
                    yield chunk
            attempt = stage.begin(effect)
            rule = attempt.rule
            following: Effect | None = None
            timed = effect.timeouts is not None and effect.timeouts.waits
            chunks = effect.timeouts.astream(host, effect, attempt.won) if timed else host.astream(effect)
            try:
                async for chunk in chunks:
                    if rule.shown and _in_the_middle(chunk):
                        attempt.passed.append(chunk)
                        yield chunk
                        continue
                    released, decision, following = _released(plan, attempt, chunk, host)
                    if following is not None:
                        await closed(chunks)
                        break
                    if ended is not None and decision is not None:
                        await ended(decision, attempt.id)
                    for ready in released:
                        yield ready
                if attempt.ended:
                    return
            except BaseException as error:
                if attempt.ended:
                    # As in `stream`.
                    raise
                if passes_through(error) or stage.cannot_go_on():
                    await closed(chunks)
                    plan.throw(error)
                    raise
                attempt.failed(error, effect.gate)
            effect = plan.send(attempt.reply(_caught(host))) if following is None else following
    except StopIteration as stop:
        result = _answered(stop.value)
    finally:
        plan.close()
    if ended is not None:
        await ended(result.decision, message_id(result.message))
    for chunk in stage.rest(result):
        yield chunk


def _released(plan: Plan, attempt: AttemptStream, chunk: Any, host: Host) -> tuple[list[Any], Decision | None, Effect | None]:
    """Add a chunk to the attempt; the last one ends the plan.

    Returns:
        The chunks that may be yielded now; the decision, if the plan has ended; its next effect, if the answer broke off.
    """
    attempt.add(chunk)
    decision = None
    if attempt.ends_with(chunk):
        chunk, decision, following = _last(plan, attempt, chunk, _caught(host))
        if following is not None:
            return [], None, following
    return attempt.rule.release(chunk), decision, None


async def closed(chunks: Any) -> None:
    """Close an async stream now, so that its model is cancelled before garbage collection."""
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()


class _Raised:
    """Wraps an error that is to be thrown into the plan, which handles a failing policy."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _value(plan: Plan, effect: Effect) -> Any:
    """Carry out an effect that is not a call; throw a cancellation into the plan, so that it records what was spent."""
    try:
        return perform(effect)
    except BaseException as error:
        plan.throw(error)
        raise


async def avalue(plan: Plan, effect: Effect) -> Any:
    """Carry out an effect that is not a call; return what to `resume` the plan with."""
    try:
        return await aperform(effect)
    except BaseException as error:
        plan.throw(error)
        raise


def resume(plan: Plan, value: Any) -> Effect:
    """Return a plan's next effect after one that was carried out."""
    return plan.throw(value.error) if isinstance(value, _Raised) else plan.send(value)


def perform(effect: Effect) -> Any:
    """Carry out an effect that is not a call; an error that the plan handles is returned in a wrapper."""
    if isinstance(effect, AnswerCheck):
        return run(effect.verifiers, effect.request, effect.attempt, effect.earlier)
    if isinstance(effect, Consult):
        try:
            return effect.policy.select(effect.request, effect.attempts)
        except Exception as error:  # noqa: BLE001
            return _Raised(error)
    if isinstance(effect, Fund):
        from langroute.budgets.queries import carry_out

        if effect.wait_s:
            time.sleep(effect.wait_s)
        try:
            return carry_out(effect.ask())
        except Exception as error:  # noqa: BLE001
            return _Raised(error)
    if isinstance(effect, Wait):
        time.sleep(effect.seconds)
    elif isinstance(effect, Settle):
        effect.session.settle()
    return None


async def aperform(effect: Effect) -> Any:
    """Async version of `perform`."""
    if isinstance(effect, AnswerCheck):
        return await arun(effect.verifiers, effect.request, effect.attempt, effect.earlier)
    if isinstance(effect, Consult):
        try:
            return await effect.policy.aselect(effect.request, effect.attempts)
        except Exception as error:  # noqa: BLE001
            return _Raised(error)
    if isinstance(effect, Fund):
        from langroute.budgets.queries import acarry_out, carry_out

        if effect.wait_s:
            await asyncio.sleep(effect.wait_s)
        try:
            if effect.local:
                return carry_out(effect.ask())
            return await (acarry_out(effect.ask()) if effect.awaited else asyncio.to_thread(carry_out, effect.ask()))
        except Exception as error:  # noqa: BLE001
            return _Raised(error)
    if isinstance(effect, Wait):
        await asyncio.sleep(effect.seconds)
    elif isinstance(effect, Settle):
        await effect.session.asettle()
    return None


def _caught(host: Host) -> Any:
    """Return the raw message behind a structured answer."""
    caught = getattr(host, "caught_message", None)
    return caught() if caught is not None else None


def _is_foreign(host: Host, error: BaseException) -> bool:
    """Whether the host says that an error is none of the model it called."""
    return getattr(host, "foreign", None) is (error.error if isinstance(error, Raced) else error)


def _failed(host: Host, call: RouteCall, error: BaseException) -> Reply:
    """Return the reply for an error; it counts as streamed if a listener has seen tokens of the call."""
    shown = call.gate is not None and call.gate.shown
    if isinstance(error, Raced):
        return Reply(None, error.error, streamed=shown, call=error.call, also=error.also)
    return Reply(_caught(host), error, streamed=shown)


def _answered(result: StepResult) -> StepResult:
    if result.error is not None:
        raise result.error
    return result


def _last(plan: Plan, attempt: AttemptStream, chunk: Any, caught: Any) -> tuple[Any, Decision, None] | tuple[None, None, Effect]:
    """End the plan as soon as the last chunk is there, so that this chunk can carry the decision.

    Returns:
        The chunk, the decision and `None`; or `None` twice and the plan's next effect, if the answer broke off and is restarted.

    Raises:
        AnswerCutOffError: The answer ended without a finish reason.
    """
    try:
        return None, None, plan.send(attempt.reply(caught))
    except StopIteration as stop:
        attempt.ended = True
        return carrying(chunk, _answered(stop.value)), stop.value.decision, None


def message_id(message: Any) -> str | None:
    """Return the id of an answer that is a message."""
    # The base class is abstract: `isinstance` asks it with a call.
    return message.id if type(message) is AIMessage or isinstance(message, BaseMessage) else None


def marked(message: Any, result: StepResult) -> Any:
    """Return a message with the decision in its `response_metadata`."""
    if type(message) is AIMessage or isinstance(message, BaseMessage):
        metadata = message.response_metadata
        if METADATA_KEY in metadata:
            # LangChain's cache, for example, returns the same object to every caller; their metadata must not change.
            message = message.model_copy()
        metadata = {**metadata, METADATA_KEY: to_metadata(result.decision)}
        if type(message) is AIMessage:
            # What the assignment comes to, in a tenth of its time.
            message.__dict__["response_metadata"] = metadata
            message.model_fields_set.add("response_metadata")
        else:
            message.response_metadata = metadata
    return message


__all__ = ["Host", "StreamingHost", "adrive", "astream", "avalue", "drive", "marked", "message_id", "resume", "stream"]
