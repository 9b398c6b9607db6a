"""Replay of a stored answer for a host's call: as a message, in a schema, as a stream or through an agent's middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from langchain_core.outputs import ChatGeneration, LLMResult, RunInfo

from langroute.cache.entries import chunks, fresh
from langroute.cache.keys import copied
from langroute.cache.replay import Mismatch, Replay
from langroute.cache.requests import Hit, Lookup
from langroute.core.records import Stored
from langroute.engine.effects import Reply, RouteCall
from langroute.hosts.cached_call import CachedCall
from langroute.hosts.calling import GenerateHost, ModelHost, Models
from langroute.hosts.sync_async import Calls
from langroute.routes.route import BuiltRoute

if TYPE_CHECKING:
    from langroute.hosts.cache_session import CacheSession


class ReplayHost:
    """The models of a replaying host: for every route, the model that returns the stored answer."""

    def __init__(self, models: Models, replay: Replay) -> None:
        self._models, self._replay = models, replay

    def __getattr__(self, name: str) -> Any:
        return getattr(self._models, name)

    def of(self, route: BuiltRoute, *, without_thinking: bool = False) -> Replay:
        """Return the model that returns the stored answer."""
        return self._replay


class CachedReplay:
    """Replay of one stored answer for one call.

    Args:
        session: The step.
        cached: The call.
        hit: The stored answer.
    """

    __slots__ = ("cached", "call", "entry", "hit", "message", "session")

    def __init__(self, session: CacheSession, cached: CachedCall, hit: Hit) -> None:
        self.session, self.cached, self.call, self.hit, self.entry = session, cached, cached.call, hit, hit.entry
        self.message: Any = None
        """The answer as a new message, once it is known to fit."""

    def fits(self) -> bool:
        """Return whether the stored answer fits the call; where it does not, the model has to be called."""
        entry = self.entry
        try:
            if entry.structured:
                self._parsed()
            self.message = fresh(entry.message)
        except Exception:  # noqa: BLE001 - a schema may raise anything; what does not fit is asked again
            self._refuse()
            return False
        self._said()
        return True

    def _refuse(self) -> None:
        self.session.cache.refuse(cast("Lookup", self.cached.lookup), self.hit)

    def _said(self) -> None:
        entry = self.entry
        stored = Stored(entry.route, entry.usage, entry.cost_usd, entry.score)
        self.session.said(self.cached, stored, self.hit.how, entry.key, self.message)

    def _parsed(self) -> Any:
        schema, value = self.session.host.structured.schema_, copied(self.entry.parsed)
        if isinstance(schema, type) and hasattr(schema, "model_validate"):
            return schema.model_validate(value)
        return value

    def _structured(self) -> Reply:
        parsed = self._parsed()
        raw = self.session.host.structured.so_kwargs.get("include_raw")
        output = {"raw": self.message, "parsed": parsed, "parsing_error": None} if raw else parsed
        return Reply(self.message, parsed=parsed, output=output)

    def _listener(self) -> tuple[Any, RouteCall]:
        session = self.session
        route = session.router.routes[self.entry.route]
        return session.listener(self.call, route, session.caching.replay(route).saying(self.message))

    # As a message --------------------------------------------------------------------------------------------------------

    def reply(self) -> Calls[Reply | None]:
        """Return the answer; `None` where it does not fit."""
        session = self.session
        if not isinstance(session.host, ModelHost):
            return (yield from self._agents())
        if not self.fits():
            return None
        if session.is_heard:
            twin, call = self._listener()
            reply = yield twin.call, twin.acall, (call,)
        else:
            reply = self._unheard()
        return self._structured() if self.entry.structured else reply

    def _unheard(self) -> Reply:
        reply = Reply(self.message)
        if isinstance(self.session.host, GenerateHost):
            reply.output = LLMResult(
                generations=[[ChatGeneration(message=self.message)]], llm_output={}, run=[RunInfo(run_id=uuid4())]
            )
        return reply

    # As a stream ---------------------------------------------------------------------------------------------------------

    def chunks(self) -> Iterator[Any]:
        """Yield the answer in chunks, once it is known to fit."""
        session, structured = self.session, self.entry.structured
        if session.streams == "events" or session.is_heard:
            twin, call = self._listener()
            for chunk in twin.stream(call):
                if not structured:
                    yield chunk
        elif not structured:
            yield from chunks(self.message)
        if structured:
            yield self._structured().output

    async def achunks(self) -> AsyncIterator[Any]:
        """Async version of `chunks`."""
        session, structured = self.session, self.entry.structured
        if session.streams == "events" or session.is_heard:
            twin, call = self._listener()
            async for chunk in twin.astream(call):
                if not structured:
                    yield chunk
        elif not structured:
            for chunk in chunks(self.message):
                yield chunk
        if structured:
            yield self._structured().output

    # Through an agent's middleware ---------------------------------------------------------------------------------------

    def _agents_twin(self) -> tuple[Any, RouteCall]:
        """Return a host and call that run the agent's handler with a model that returns the answer if it gets the same messages."""
        session, entry = self.session, self.entry
        route, self.message = session.router.routes[entry.route], fresh(entry.message)
        replay = session.caching.replay(route).saying(self.message, expects=entry.sent, digest=session.cache.keys.digest)
        twin = copy(session.host)
        twin.models, twin.config = ReplayHost(session.host.models, replay), session.given
        return twin, replace(self.call, route=route)

    def _agents(self) -> Calls[Reply | None]:
        try:
            twin, call = self._agents_twin()
        except Exception:  # noqa: BLE001 - an answer that cannot be told is asked again
            self._refuse()
            return None
        try:
            reply: Reply = yield twin.call, twin.acall, (call,)
        except Mismatch:
            self._refuse()
            return None
        self._said()
        return reply
