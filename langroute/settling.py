"""A plan has ended: which of its answers is kept, and under which requests?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langroute.answers import finish_reason
from langroute.cache.asks import Ticket
from langroute.cache.replay import is_message
from langroute.calling import ModelHost
from langroute.effects import Reply
from langroute.pricing import usage_of
from langroute.router import Result
from langroute.tally import merged

if TYPE_CHECKING:
    from langroute.recall import CachingHost


class Settling:
    """The end of a plan whose calls were looked up.

    Args:
        session: The host that carried them out.
    """

    def __init__(self, session: CachingHost) -> None:
        self.session = session

    def settle(self) -> None:
        """Keep the accepted answer; let others try what was not answered."""
        for ticket, kept in self._ends():
            if kept is None:
                self.session.cache.fail(ticket)
            else:
                self.session.cache.keep(ticket, kept[0])
                if kept[0] is not None and (alias := self._alias(ticket, kept[0])) is not None:
                    self.session.cache.keep(alias[0], alias[1])

    async def asettle(self) -> None:
        """The same, awaited."""
        ends = self._ends()
        try:
            for ticket, kept in ends:
                if kept is None:
                    await self.session.cache.afail(ticket)
                else:
                    await self.session.cache.akeep(ticket, kept[0])
                    if kept[0] is not None and (alias := self._alias(ticket, kept[0])) is not None:
                        await self.session.cache.akeep(alias[0], alias[1])
        except BaseException:
            # Cancelled in between: nobody may wait for what will not come.
            for ticket, _ in ends:
                self.session.cache.fail(ticket)
            raise

    def _ends(self) -> list[tuple[Ticket, tuple[Any] | None]]:
        """Every request of the plan with the entry to keep of it: `(None,)` where the answer may not be kept, `None` without one."""
        session = self.session
        tickets, session.tickets = session.tickets, {}
        result = self.session.result
        ends: list[tuple[Ticket, tuple[Any] | None]] = []
        for index, ticket in tickets.items():
            reply = self.session.replies.get(index)
            if reply is None or reply.error is not None or result is None:
                ends.append((ticket, None))
            elif result.index != self.session.places[index]:
                # Another answer was kept, so this one was rejected.
                ends.append((ticket, (None,)))
            else:
                ends.append((ticket, (self._entry(index, ticket, reply, result),)))
        # What is kept last may stand in for what was rejected before it.
        return sorted(ends, key=lambda end: end[1] is not None and end[1][0] is not None)

    def _entry(self, index: int, ticket: Ticket, reply: Reply, result: Result) -> Any:
        message, parsed = reply.message, reply.parsed
        parts = self.session.parts.get(index)
        if parts and is_message(parts[0]):
            message = merged(parts)
        if message is None or not hasattr(message, "response_metadata"):
            return None
        if ticket.ask.structured:
            if isinstance(parsed, Mapping) and self.session.host.structured.so_kwargs.get("include_raw") and "parsed" in parsed:
                parsed = parsed["parsed"]
            if parsed is None:
                return None
            parsed = parsed.model_dump(mode="json") if hasattr(parsed, "model_dump") else parsed
        attempt = result.decision.attempts[self.session.places[index]]
        if attempt is not result.decision.attempts[-1]:
            # The policy went on and came back to it: it was not what was hoped for.
            return None
        sent = None
        if not isinstance(self.session.host, ModelHost):
            sent = self.session.heard.digest() if self.session.heard is not None else None
            if sent is None:
                return None
        return self.session.cache.entry(
            ticket,
            message,
            sent=sent,
            finish_reason=finish_reason(message.response_metadata),
            usage=usage_of(message),
            cost_usd=attempt.cost_usd,
            score=attempt.score,
            parsed=parsed if ticket.ask.structured else None,
        )

    def _alias(self, ticket: Ticket, entry: Any) -> tuple[Ticket, Any] | None:
        """The answer under the first route's key too, where that route's own answer was rejected: next time nobody asks it in vain."""
        first = self.session.first
        if first is None or first is ticket or (reply := self.session.replies.get(0)) is None or reply.error is not None:
            return None
        alias = replace(first, flight=None, owner=None)
        return alias, replace(entry, key=first.key)
