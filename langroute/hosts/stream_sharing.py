"""Sharing of one stream among identical concurrent calls: the first call leads, the others listen to its stream.

All of them see the same: a stream that breaks off before its first content is started again by one of the listeners,
and one that breaks off later breaks off for all. A leader that leaves hands the stream over to the listeners.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from langroute.cache.entries import new_message_id
from langroute.cache.flights import Follower, InFlight
from langroute.cache.live import END, Awaited, Live, Plain, Retold, StreamLostError, duplicate
from langroute.cache.replay import is_message
from langroute.cache.requests import Lookup
from langroute.core.errors import AnswerCutOffError
from langroute.core.records import Attempt, Stored
from langroute.engine.effects import Reply, RouteCall
from langroute.engine.release import may_be_rejected
from langroute.engine.stream_attempt import merged
from langroute.hosts.cached_call import CachedCall
from langroute.hosts.calling import ModelHost
from langroute.hosts.sync_async import Calls, acarry_out, carry_out
from langroute.steps.tools import tool_name

if TYPE_CHECKING:
    from langroute.hosts.cache_session import CacheSession


class SharedCall:
    """A streamed call of a caching host, as leader or listener.

    Args:
        session: The step.
        cached: The call.
    """

    def __init__(self, session: CacheSession, cached: CachedCall) -> None:
        self.session, self.cache, self.cached, self.call = session, session.cache, cached, cached.call
        self.lookup = cast("Lookup", cached.lookup)

    @property
    def listens(self) -> bool:
        """Whether this call can listen to another's stream: a stream of messages, without tools that may do more than read.

        Whether a tool call may be repeated is known only when it is complete, and by then it has been streamed.
        """
        session = self.session
        if session.streams != "messages" or not isinstance(session.host, ModelHost):
            return False
        return self.cache.policy.shares_streams(map(tool_name, session.request.tools))

    @property
    def leads(self) -> bool:
        """Whether others may listen, because chunks reach the caller at once and cannot be rejected any more."""
        return self.lookup.flight is not None and not may_be_rejected(self.call.selection) and self.listens

    # Leading -----------------------------------------------------------------------------------------------------------

    def lead(self) -> Iterator[Any]:
        """Yield the model's stream to this caller, and publish it to listeners."""
        live = Plain(iter(self.session.host.stream(self.call)), self.call.route, self.call.selection)
        leading, place = self._leading(live), 0
        try:
            while (chunk := live.at(place)) is not END:
                yield leading.shown(chunk)
                place += 1
        except StreamLostError:
            raise leading.lost() from None
        finally:
            if not live.ended:
                if (flight := self._abandoned()) is None:
                    live.close()
                else:
                    self._in_thread(partial(carry_out, self._rest(live, flight)))

    async def alead(self) -> AsyncIterator[Any]:
        """Async version of `lead`."""
        live = Awaited(self.session.host.astream(self.call), self.call.route, self.call.selection)
        leading, place = self._leading(live), 0
        try:
            while (chunk := await live.aat(place)) is not END:
                yield leading.shown(chunk)
                place += 1
        except StreamLostError:
            raise leading.lost() from None
        finally:
            if not live.ended:
                if (flight := self._abandoned()) is None:
                    await live.aclose()
                else:
                    self.cache.later(self._arest(live, flight))

    def _leading(self, live: Live) -> _Leading:
        self.cached.chunks = live.chunks
        return _Leading(live, self.lookup.flight)

    @staticmethod
    def _in_thread(work: Callable[[], None]) -> None:
        context = copy_context()
        threading.Thread(target=context.run, args=(work,), name="langroute-cache-stream", daemon=True).start()

    async def _arest(self, live: Awaited, flight: InFlight) -> None:
        try:
            await acarry_out(self._rest(live, flight))
        except BaseException:
            # The event loop ends: no call may wait for an answer that will not come.
            self.cache.fail(self.lookup)
            raise

    def _rest(self, live: Any, flight: InFlight) -> Calls[None]:
        """Read on a stream whose caller left, for its listeners; store its answer, or end it when the last of them leaves."""
        cache, place = self.cache, 0
        try:
            while (yield live.at, live.aat, (place,)) is not END:
                place += 1
                if flight.given_up():
                    yield live.close, live.aclose, ()
                    yield cache.fail, cache.afail, (self.lookup,)
                    return
        except StreamLostError:
            yield cache.fail, cache.afail, (self.lookup,)
            return
        attempt = self._attempt(live)
        if attempt.error is not None:
            yield cache.fail, cache.afail, (self.lookup,)
        else:
            yield cache.keep, cache.akeep, (self.lookup, self.session.entry_of(self.lookup, attempt))

    def _abandoned(self) -> InFlight | None:
        """Take over the flight and its look-up if others still wait for it, and return it; else `None`."""
        flight, cached = self.lookup.flight, self.cached
        kept = self.session.result is not None and not cached.lost
        if flight is None or kept or flight.given_up():
            return None
        cached.pending, cached.handed_over = False, True
        return flight

    def _attempt(self, live: Live) -> Attempt:
        """Return the attempt of the complete stream."""
        if not live.chunks:
            error = AnswerCutOffError(live.route.name)
            return Attempt(live.selection, error=error, error_type=type(error).__name__)
        return self.session.router.accounts.attempt(live.route, live.selection, Reply(merged(live.chunks)), self.call.request)

    # Following ---------------------------------------------------------------------------------------------------------

    def follow(self, seat: Follower) -> Iterator[Any]:
        """Yield another call's stream as chunks of this call; nothing where it broke off before its first content."""
        flight, live = seat
        try:
            if live.error is not None or not live.speaks(self.cache.wait_seconds):
                flight.lost(live)
                return
            told = self._told(live)
            if self.session.is_heard:
                twin, call = self._listener(live, told)
                told = twin.stream(call)
            yield from told
        finally:
            flight.leave()

    async def afollow(self, seat: Follower) -> AsyncIterator[Any]:
        """Async version of `follow`."""
        flight, live = seat
        source: Any = None
        try:
            if live.error is not None or not await live.aspeaks(self.cache.wait_seconds):
                flight.lost(live)
                return
            source = self._atold(live)
            if self.session.is_heard:
                twin, call = self._listener(live, source)
                source = twin.astream(call)
            async for chunk in source:
                yield chunk
        finally:
            flight.leave()
            if source is not None:
                await source.aclose()

    def _listener(self, live: Live, told: Any) -> tuple[Any, RouteCall]:
        return self.session.listener(self.call, live.route, self.session.caching.replay(live.route).listening(told))

    def _told(self, live: Live) -> Iterator[Any]:
        following, place = _Following(live, self._heard), 0
        try:
            while (chunk := live.at(place, self.cache.wait_seconds)) is not END:
                place += 1
                yield following.told(chunk)
        except StreamLostError as error:
            raise AnswerCutOffError(live.route.name) from error
        yield from following.end()

    async def _atold(self, live: Live) -> AsyncIterator[Any]:
        following, place = _Following(live, self._heard), 0
        try:
            while (chunk := await live.aat(place, self.cache.wait_seconds)) is not END:
                place += 1
                yield following.told(chunk)
        except StreamLostError as error:
            raise AnswerCutOffError(live.route.name) from error
        for chunk in following.end():
            yield chunk

    def _heard(self, live: Live) -> None:
        """Record the saved call after the stream was read to its end, when its tokens and cost are known.

        Raises:
            AnswerCutOffError: The stream was cut off; the leader gets the same error.
        """
        attempt = self._attempt(live)
        if attempt.error is not None:
            raise attempt.error
        self.session.said(self.cached, Stored(live.route.name, attempt.usage, attempt.cost_usd), "hit", self.lookup.key)
        self.cache.shared(self.lookup, attempt.usage, attempt.cost_usd)


class _Leading:
    """A model's stream as its leader reads it; published to listeners when it begins."""

    def __init__(self, live: Live, flight: InFlight | None) -> None:
        self.live, self.flight = live, flight
        self.begun = False

    def shown(self, chunk: Any) -> Any:
        """Return a copy of a chunk for the leader's caller."""
        if not self.begun:
            self.begun = True
            if is_message(chunk) and self.flight is not None:
                self.flight.publish(self.live)
        return duplicate(chunk)

    def lost(self) -> BaseException:
        """Withdraw a stream that broke off; return its error."""
        if self.flight is not None:
            self.flight.lost(self.live)
        return self.live.error  # type: ignore[return-value]


class _Following:
    """Another call's stream as a listener reads it: its chunks as chunks of the listener's call.

    Args:
        live: The stream.
        heard: Called when the stream was read to its end, before its last chunk is passed on.
    """

    def __init__(self, live: Live, heard: Callable[[Live], None]) -> None:
        self.live, self.heard = live, heard
        self.retold = Retold(new_message_id())
        self.last = False

    def told(self, chunk: Any) -> Any:
        """Return a chunk as one of the listener's call."""
        self.last = chunk.chunk_position == "last"
        if self.last:
            self.heard(self.live)
        return self.retold.chunk(chunk)

    def end(self) -> Iterator[Any]:
        """Yield a last chunk where the stream had none."""
        if not self.last:
            self.heard(self.live)
            yield self.retold.end()


__all__ = ["SharedCall"]
