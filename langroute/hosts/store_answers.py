"""`StoreAnswers`: stores the accepted answer of a plan in the cache, and ends its other look-ups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from langroute.cache.replay import is_message
from langroute.cache.requests import Lookup
from langroute.engine.effects import Reply
from langroute.engine.step_execution import StepResult
from langroute.engine.stream_attempt import merged
from langroute.hosts.cached_call import CachedCall
from langroute.hosts.sync_async import Calls, acarry_out, carry_out

if TYPE_CHECKING:
    from langroute.hosts.cache_session import CacheSession


class StoreAnswers:
    """Stores the answers of a plan whose calls were looked up in the cache.

    Args:
        session: The calls.
    """

    def __init__(self, session: CacheSession) -> None:
        self.session = session

    def settle(self) -> None:
        """Store the accepted answer, and end the look-ups that got none, so that waiting calls may try."""
        carry_out(self._settled())

    async def asettle(self) -> None:
        """Async version of `settle`."""
        await acarry_out(self._settled())

    def _settled(self) -> Calls[None]:
        cache, ends = self.session.cache, self._ends()
        try:
            for lookup, kept in ends:
                if kept is None:
                    yield cache.fail, cache.afail, (lookup,)
                    continue
                yield cache.keep, cache.akeep, (lookup, kept[0])
                if kept[0] is not None and (alias := self._alias(lookup, kept[0])) is not None:
                    yield cache.keep, cache.akeep, alias
        except BaseException:
            # Cancelled in between: end all look-ups, so that no call waits for an answer that will not come.
            for lookup, _ in ends:
                cache.fail(lookup)
            raise

    def _ends(self) -> list[tuple[Lookup, tuple[Any] | None]]:
        """Return every look-up with its entry to store: `(None,)` where the answer may not be stored, `None` without an answer."""
        result = self.session.result
        ends: list[tuple[Lookup, tuple[Any] | None]] = []
        for cached in self.session.pending:
            cached.pending, lookup, reply = False, cast("Lookup", cached.lookup), cached.reply
            if reply is None or reply.error is not None or result is None:
                ends.append((lookup, None))
            elif result.index != cached.place:
                # Another answer was accepted, so this one was rejected.
                ends.append((lookup, (None,)))
            else:
                ends.append((lookup, (self._kept(cached, lookup, reply, result),)))
        # The accepted answer comes last, as it may also be stored for a look-up that was rejected before it.
        return sorted(ends, key=lambda end: end[1] is not None and end[1][0] is not None)

    def _kept(self, cached: CachedCall, lookup: Lookup, reply: Reply, result: StepResult) -> Any:
        try:
            return self._entry(cached, lookup, reply, result)
        except Exception as error:  # noqa: BLE001 - an answer may hold any object; it is given, and not kept
            self.session.cache.note("not_stored", f"what is to be kept of it could not be told: {type(error).__name__}")
            return None

    def _entry(self, cached: CachedCall, lookup: Lookup, reply: Reply, result: StepResult) -> Any:
        message, parsed = reply.message, reply.parsed
        if cached.chunks and is_message(cached.chunks[0]):
            message = merged(cached.chunks)
        if message is None or not hasattr(message, "response_metadata"):
            return None
        if lookup.ask.structured:
            if isinstance(parsed, Mapping) and self.session.host.structured.so_kwargs.get("include_raw") and "parsed" in parsed:
                parsed = parsed["parsed"]
            if parsed is None:
                return None
            parsed = parsed.model_dump(mode="json") if hasattr(parsed, "model_dump") else parsed
        attempt = result.decision.attempts[cached.place]
        if attempt is not result.decision.attempts[-1]:
            # The policy went on and came back to this answer, so it was not good enough to be stored.
            return None
        return self.session.kept(cached, message, attempt, parsed if lookup.ask.structured else None)

    def _alias(self, lookup: Lookup, entry: Any) -> tuple[Lookup, Any] | None:
        """Return the entry under the first route's key too, where its own answer was rejected, to save that call next time."""
        first = self.session.first
        if first is None or first is lookup or (reply := self._first_reply()) is None or reply.error is not None:
            return None
        alias = replace(first, flight=None, owner=None)
        return alias, replace(entry, key=first.key)

    def _first_reply(self) -> Reply | None:
        first = self.session.calls.get(0)
        return None if first is None else first.reply
