"""How do many callers get one stream? The one who asked first leads, the others listen while it comes.

What they are shown is the same: a stream that breaks off before there was something to read is begun again by one of those who listen,
and one that breaks off later has broken off for everybody. A leader who goes away leaves the stream to those who stay.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from langroute.cache.asks import Ticket
from langroute.cache.entries import new_message_id
from langroute.cache.flights import Flight, Seat
from langroute.cache.live import END, Awaited, Live, Plain, Retold, StreamLostError, duplicate
from langroute.cache.replay import is_message
from langroute.calling import ModelHost
from langroute.effects import Call, Reply
from langroute.errors import AnswerCutOffError
from langroute.records import Attempt, Stored
from langroute.tally import merged
from langroute.tooling import tool_name

if TYPE_CHECKING:
    from langroute.recall import CachingHost


class Sharing:
    """One streamed call of a host with a cache.

    Args:
        session: The host.
        call: The call.
        ticket: Its request.
    """

    def __init__(self, session: CachingHost, call: Call, ticket: Ticket) -> None:
        self.session, self.cache, self.call, self.ticket = session, session.cache, call, ticket

    @property
    def listens(self) -> bool:
        """This call can listen to another's stream: of messages, and with no tool that may do more than read.

        What a tool call may do is known only when it is whole, and by then it is said.
        """
        session = self.session
        if session.streams != "messages" or not isinstance(session.host, ModelHost):
            return False
        return self.cache.policy.shares_streams(map(tool_name, session.request.tools))

    @property
    def leads(self) -> bool:
        """Others may listen: what is streamed reaches the caller at once, and is not rejected any more."""
        return self.ticket.flight is not None and not self.call.selection.tentative and self.listens

    # Leading -----------------------------------------------------------------------------------------------------------

    def lead(self) -> Iterator[Any]:
        """The model's stream, for this caller and whoever listens."""
        session, call = self.session, self.call
        live = Plain(iter(session.host.stream(call)), call.route, call.selection)
        session.parts[call.index] = live.chunks
        place, flight = 0, self.ticket.flight
        try:
            while (chunk := live.at(place)) is not END:
                if not place and is_message(chunk) and flight is not None:
                    flight.air(live)
                place += 1
                yield duplicate(chunk)
        except StreamLostError:
            if flight is not None:
                flight.lost(live)
            raise live.error from None  # type: ignore[misc]
        finally:
            if not live.ended:
                self._left(live)

    async def alead(self) -> AsyncIterator[Any]:
        """The same, awaited."""
        session, call = self.session, self.call
        live = Awaited(session.host.astream(call), call.route, call.selection)
        session.parts[call.index] = live.chunks
        place, flight = 0, self.ticket.flight
        try:
            while (chunk := await live.aat(place)) is not END:
                if not place and is_message(chunk) and flight is not None:
                    flight.air(live)
                place += 1
                yield duplicate(chunk)
        except StreamLostError:
            if flight is not None:
                flight.lost(live)
            raise live.error from None  # type: ignore[misc]
        finally:
            if not live.ended:
                await self._aleft(live)

    def _left(self, live: Plain) -> None:
        """The caller went before the end: whoever else wants the answer gets it all the same."""
        flight = self._abandoned()
        if flight is None:
            live.close()
            return
        context = copy_context()
        threading.Thread(target=context.run, args=(self._go_on, live, flight), name="langroute-cache-stream", daemon=True).start()

    def _go_on(self, live: Plain, flight: Flight) -> None:
        place = 0
        try:
            while live.at(place) is not END:
                place += 1
                if flight.given_up():
                    live.close()
                    self.cache.fail(self.ticket)
                    return
        except StreamLostError:
            self.cache.fail(self.ticket)
            return
        attempt = self._attempt(live)
        if attempt.error is not None:
            self.cache.fail(self.ticket)
        else:
            self.cache.keep(self.ticket, self.session.entry_of(self.ticket, attempt))

    async def _aleft(self, live: Awaited) -> None:
        flight = self._abandoned()
        if flight is None:
            await live.aclose()
        else:
            self.cache.later(self._ago_on(live, flight))

    async def _ago_on(self, live: Awaited, flight: Flight) -> None:
        place = 0
        try:
            while await live.aat(place) is not END:
                place += 1
                if flight.given_up():
                    await live.aclose()
                    await self.cache.afail(self.ticket)
                    return
        except StreamLostError:
            await self.cache.afail(self.ticket)
            return
        except BaseException:
            # The event loop ends: nobody may wait for what will not come.
            self.cache.fail(self.ticket)
            raise
        attempt = self._attempt(live)
        if attempt.error is not None:
            await self.cache.afail(self.ticket)
        else:
            await self.cache.akeep(self.ticket, self.session.entry_of(self.ticket, attempt))

    def _abandoned(self) -> Flight | None:
        """The flight that others still wait for, whose ticket is then nobody's to end but ours; `None` if there is none."""
        session, index = self.session, self.call.index
        flight = self.ticket.flight
        kept = session.result is not None and index not in session.lost
        if flight is None or kept or flight.given_up():
            return None
        session.tickets.pop(index, None)
        session.left.add(index)
        return flight

    def _attempt(self, live: Live) -> Attempt:
        """What the whole stream came to."""
        if not live.chunks:
            error = AnswerCutOffError(live.route.name)
            return Attempt(live.selection, error=error, error_type=type(error).__name__)
        return self.session.router.accounts.attempt(live.route, live.selection, Reply(merged(live.chunks)))

    # Following ---------------------------------------------------------------------------------------------------------

    def follow(self, seat: Seat) -> Iterator[Any]:
        """Another's stream, as chunks of this call; nothing where it broke off before there was something to read."""
        flight, live = seat
        try:
            if live.error is not None or not live.speaks(self.cache.wait_seconds):
                flight.lost(live)
                return
            session, told = self.session, self._told(live)
            if session.is_heard:
                twin, call = session.listener(self.call, live.route, session.recall.replay(live.route).listening(told))
                told = twin.stream(call)
            yield from told
        finally:
            flight.leave()

    async def afollow(self, seat: Seat) -> AsyncIterator[Any]:
        """The same, awaited."""
        flight, live = seat
        source: Any = None
        try:
            if live.error is not None or not await live.aspeaks(self.cache.wait_seconds):
                flight.lost(live)
                return
            session, source = self.session, self._atold(live)
            if session.is_heard:
                twin, call = session.listener(self.call, live.route, session.recall.replay(live.route).listening(source))
                source = twin.astream(call)
            async for chunk in source:
                yield chunk
        finally:
            flight.leave()
            if source is not None:
                await source.aclose()

    def _told(self, live: Live) -> Iterator[Any]:
        retold, place, last = Retold(new_message_id()), 0, False
        try:
            while (chunk := live.at(place, self.cache.wait_seconds)) is not END:
                place, last = place + 1, chunk.chunk_position == "last"
                if last:
                    self._heard(live)
                yield retold.chunk(chunk)
        except StreamLostError as error:
            raise AnswerCutOffError(live.route.name) from error
        if not last:
            self._heard(live)
            yield retold.end()

    async def _atold(self, live: Live) -> AsyncIterator[Any]:
        retold, place, last = Retold(new_message_id()), 0, False
        try:
            while (chunk := await live.aat(place, self.cache.wait_seconds)) is not END:
                place, last = place + 1, chunk.chunk_position == "last"
                if last:
                    self._heard(live)
                yield retold.chunk(chunk)
        except StreamLostError as error:
            raise AnswerCutOffError(live.route.name) from error
        if not last:
            self._heard(live)
            yield retold.end()

    def _heard(self, live: Live) -> None:
        """It was listened to until its end: what the call that was saved took is known now.

        Raises:
            AnswerCutOffError: The end is none; the leader is told the same.
        """
        attempt = self._attempt(live)
        if attempt.error is not None:
            raise attempt.error
        ticket = self.ticket
        self.session.said(self.call, Stored(live.route.name, attempt.usage, attempt.cost_usd), "hit", ticket.key)
        self.cache.shared(ticket, attempt.usage, attempt.cost_usd)


__all__ = ["Sharing"]
