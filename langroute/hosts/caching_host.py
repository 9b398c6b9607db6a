"""`CachingHost`: a response cache between a router's plan and the host that makes its calls.

Calls are looked up before they are made, and when the plan has ended, the answer that was accepted
is offered to the cache. A router without a cache does not use this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from typing import Any

from langroute.cache.flights import Follower
from langroute.cache.requests import Hit
from langroute.engine.effects import Effect, Reply, RouteCall, Settle
from langroute.engine.step_execution import StepResult
from langroute.engine.stream_attempt import merged
from langroute.engine.token_gate import shows_tokens
from langroute.hosts.cache_session import CacheSession
from langroute.hosts.cached_call import CachedCall
from langroute.hosts.cached_replay import CachedReplay
from langroute.hosts.calling import ModelHost
from langroute.hosts.store_answers import StoreAnswers
from langroute.hosts.stream_sharing import SharedCall
from langroute.hosts.sync_async import Calls, acarry_out, carry_out, collected


class CachingHost:
    """Wraps a host, so that its calls may be answered from the cache.

    Args:
        session: The state of the step.
    """

    streaming = ""
    """`plain` or `awaited` where the latest call is streamed, else empty. A streamed plan ends before its last chunk is out."""

    def __init__(self, session: CacheSession) -> None:
        self.session, self.cache, self.host, self.streams = session, session.cache, session.host, session.streams

    # The host's own attributes -----------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name == "caught_message":
            inner = getattr(self.host, name)
            return lambda: self._caught(inner)
        if name == "inner":
            return getattr(self.session.twin or self.host, name)
        return getattr(self.host, name)

    @property
    def structured(self) -> Any:
        """The structured output of a `StructuredHost`."""
        return self.host.structured

    @structured.setter
    def structured(self, value: Any) -> None:
        self.host.structured = value

    def _caught(self, inner: Any) -> Any:
        if self.session.served is not None:
            return self.session.served
        try:
            return inner()
        except AttributeError:
            return None

    # The plan ----------------------------------------------------------------------------------------------------------

    def keeping(self, plan: Generator[Effect, Any, StepResult]) -> Generator[Effect, Any, StepResult]:
        """Run the plan, add the cache status to its replies, and offer its answer to the cache at the end."""
        session = self.session
        try:
            effect = next(plan)
            while True:
                try:
                    value = yield effect
                except BaseException as error:  # noqa: BLE001 - handed on to the plan, which decides
                    effect = plan.throw(error)
                    continue
                if type(effect) is RouteCall:
                    session.replied(effect, value)
                effect = plan.send(value)
        except StopIteration as stop:
            result: StepResult = stop.value
            session.end(result)
        except BaseException:
            session.abandon()
            raise
        if session.pending:
            if self.streaming == "":
                yield Settle(StoreAnswers(session))
            elif self.streaming == "awaited" and self.cache.store.shared:
                # The last chunk is on its way and the caller may never ask for more, so this does not wait for it.
                self.cache.later(StoreAnswers(session).asettle())
            else:
                StoreAnswers(session).settle()
        return result

    # Calling -----------------------------------------------------------------------------------------------------------

    def call(self, call: RouteCall) -> Reply:
        """Answer from the cache, or make the call."""
        return carry_out(self._answer(call))

    async def acall(self, call: RouteCall) -> Reply:
        """Async version of `call`."""
        return await acarry_out(self._answer(call))

    def _answer(self, call: RouteCall) -> Calls[Reply]:
        cached, self.streaming = self.session.open(call), ""
        if cached.lookup is None:
            reply: Reply = yield self.host.call, self.host.acall, (call,)
            return reply
        cached.running = True
        try:
            return (yield from self._looked_up(cached))
        except BaseException:
            self.session.failed(cached)
            raise
        finally:
            self.session.ended(cached)

    def _looked_up(self, cached: CachedCall) -> Calls[Reply]:
        if self._is_shown and (sharing := SharedCall(self.session, cached)).listens:
            return (yield from self._shown(sharing))
        hit = yield self.cache.recall, self.cache.arecall, (cached.lookup,)
        if hit is not None and (reply := (yield from CachedReplay(self.session, cached, hit).reply())) is not None:
            return reply
        if not isinstance(self.host, ModelHost):
            self.session.record_messages()
        return (yield from self._called(cached))

    def _called(self, cached: CachedCall) -> Calls[Reply]:
        call = cached.call
        try:
            reply: Reply = yield self.host.call, self.host.acall, (call,)
        except asyncio.CancelledError:
            # The caller was cancelled, or another route was faster.
            self.cache.fail(cached.lookup)  # type: ignore[arg-type]
            raise
        if call.gate is not None and call.gate.closed:
            self.session.late(cached, reply)
        return reply

    @property
    def _is_shown(self) -> bool:
        """Whether a plain call's tokens are shown as they come, as in LangGraph's message stream; it is shared like a stream."""
        return type(self.host) is ModelHost and shows_tokens(self.host.config)

    def _shown(self, sharing: SharedCall) -> Calls[Reply]:
        lookup = sharing.lookup
        found = yield self.cache.listen, self.cache.alisten, (lookup,)
        while isinstance(found, Follower):
            if chunks := (yield from _collected(partial(sharing.follow, found), partial(sharing.afollow, found))):
                return Reply(merged(chunks))
            lookup.failures += 1
            found = yield self.cache.listen, self.cache.alisten, (lookup,)
        if found is not None and (reply := (yield from CachedReplay(self.session, sharing.cached, found).reply())) is not None:
            return reply
        if not sharing.leads:
            return (yield from self._called(sharing.cached))
        return Reply(merged((yield from _collected(sharing.lead, sharing.alead))))

    # Streaming ---------------------------------------------------------------------------------------------------------

    def stream(self, call: RouteCall) -> Iterator[Any]:
        """Stream a stored answer, a running stream of another call, or the model."""
        cached, self.streaming = self.session.open(call), "plain"
        if cached.lookup is None:
            yield from self.host.stream(call)
            return
        cached.running = True
        try:
            yield from self._streamed(cached)
        except BaseException:
            self.session.failed(cached)
            raise
        finally:
            self.session.ended(cached)

    def _streamed(self, cached: CachedCall) -> Iterator[Any]:
        sharing, follows = SharedCall(self.session, cached), True
        parts: list[Any] = []
        while follows and not parts:
            found = self.cache.listen(sharing.lookup, live=sharing.listens)
            follows = isinstance(found, Follower)
            source = self._sources(sharing, found, parts)[0]()
            try:
                for chunk in source:
                    parts.append(chunk)
                    yield chunk
            finally:
                # A stream that is left early is handed over to its listeners before the call ends.
                if (close := getattr(source, "close", None)) is not None:
                    close()
            if follows:
                sharing.lookup.failures += 1

    async def astream(self, call: RouteCall) -> AsyncIterator[Any]:
        """Async version of `stream`."""
        cached, self.streaming = self.session.open(call), "awaited"
        source: Any = None
        try:
            if cached.lookup is None:
                source = self.host.astream(call)
                async for chunk in source:
                    yield chunk
                return
            cached.running = True
            sharing, follows = SharedCall(self.session, cached), True
            parts: list[Any] = []
            while follows and not parts:
                found = await self.cache.alisten(sharing.lookup, live=sharing.listens)
                follows = isinstance(found, Follower)
                source = self._sources(sharing, found, parts)[1]()
                async for chunk in source:
                    parts.append(chunk)
                    yield chunk
                if follows:
                    sharing.lookup.failures += 1
        except BaseException:
            self.session.failed(cached)
            raise
        finally:
            if (close := getattr(source, "aclose", None)) is not None:
                await close()
            self.session.ended(cached)

    def _sources(
        self, sharing: SharedCall, found: Hit | Follower | None, parts: list[Any]
    ) -> tuple[Callable[[], Iterator[Any]], Callable[[], AsyncIterator[Any]]]:
        """Return where a call's chunks come from, sync and async: another call's stream, the cache, or the model, and who may listen."""
        if isinstance(found, Follower):
            return partial(sharing.follow, found), partial(sharing.afollow, found)
        if found is not None and (replay := CachedReplay(self.session, sharing.cached, found)).fits():
            return replay.chunks, replay.achunks
        if sharing.leads:
            return sharing.lead, sharing.alead
        sharing.cached.chunks = parts
        return partial(self.host.stream, sharing.call), partial(self.host.astream, sharing.call)


class RacingHost(CachingHost):
    """Caching host that may have several calls running at once, like the host it wraps."""

    races = True


def _collected(source: Callable[[], Iterator[Any]], asource: Callable[[], AsyncIterator[Any]]) -> Calls[list[Any]]:
    """Read a stream to its end; return its chunks."""
    chunks: list[Any] = yield lambda: list(source()), lambda: collected(asource()), ()
    return chunks


__all__ = ["CachingHost", "RacingHost"]
