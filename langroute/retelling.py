"""How is a stored answer given to whoever asked? As a message, in a schema, as a stream or through an agent's middleware, like a call's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.outputs import ChatGeneration, LLMResult, RunInfo

from langroute.cache.asks import Hit
from langroute.cache.entries import chunks, fresh
from langroute.cache.keys import copied
from langroute.cache.replay import Mismatch, Replay
from langroute.calling import GenerateHost, ModelHost, Models
from langroute.effects import Call, Reply
from langroute.records import Stored
from langroute.routes import BuiltRoute

if TYPE_CHECKING:
    from langroute.recall import CachingHost


class Replaying:
    """The models of a host that replays: every route's is the one that says the stored answer."""

    def __init__(self, models: Models, replay: Replay) -> None:
        self._models, self._replay = models, replay

    def __getattr__(self, name: str) -> Any:
        return getattr(self._models, name)

    def of(self, route: BuiltRoute, *, without_thinking: bool = False) -> Replay:
        """The model that says the stored answer."""
        return self._replay


class Retelling:
    """One stored answer for one call.

    Args:
        session: The host that was called.
        call: The call.
        hit: The stored answer.
    """

    __slots__ = ("call", "entry", "hit", "message", "session")

    def __init__(self, session: CachingHost, call: Call, hit: Hit) -> None:
        self.session, self.call, self.hit, self.entry = session, call, hit, hit.entry
        self.message: Any = None
        """The answer as a new message, once it is known to fit."""

    def fits(self) -> bool:
        """The answer is one to what was asked; if it is not, the model is asked."""
        entry = self.entry
        if entry.structured:
            try:
                self._parsed()
            except Exception:  # noqa: BLE001 - a schema may raise anything; what does not fit is asked again
                self._refuse()
                return False
        self.message = fresh(entry.message)
        self._said()
        return True

    def _refuse(self) -> None:
        self.session.cache.refuse(self.session.tickets[self.call.index], self.hit)

    def _said(self) -> None:
        entry = self.entry
        stored = Stored(entry.route, entry.usage, entry.cost_usd, entry.score)
        self.session.said(self.call, stored, self.hit.how, entry.key, self.message)

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

    def _listener(self) -> tuple[Any, Call]:
        session = self.session
        route = session.router.routes[self.entry.route]
        return session.listener(self.call, route, session.recall.replay(route).saying(self.message))

    # As a message --------------------------------------------------------------------------------------------------------

    def reply(self) -> Reply | None:
        """The answer; `None` where it does not fit."""
        session = self.session
        if not isinstance(session.host, ModelHost):
            return self._agents()
        if not self.fits():
            return None
        if session.is_heard:
            twin, call = self._listener()
            reply = twin.call(call)
        else:
            reply = self._unheard()
        return self._structured() if self.entry.structured else reply

    async def areply(self) -> Reply | None:
        """`reply`, awaited."""
        session = self.session
        if not isinstance(session.host, ModelHost):
            return await self._aagents()
        if not self.fits():
            return None
        if session.is_heard:
            twin, call = self._listener()
            reply = await twin.acall(call)
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
        """The answer in chunks, once it is known to fit."""
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
        """`chunks`, awaited."""
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

    def _agents_twin(self) -> tuple[Any, Call]:
        """The agent's own handler with a model that says the answer, if it is told what the answer was given to."""
        session, entry = self.session, self.entry
        route, self.message = session.router.routes[entry.route], fresh(entry.message)
        replay = session.recall.replay(route).saying(self.message, expects=entry.sent, digest=session.cache.keys.digest)
        twin = copy(session.host)
        twin.models, twin.config = Replaying(session.host.models, replay), session.given
        return twin, replace(self.call, route=route)

    def _agents(self) -> Reply | None:
        twin, call = self._agents_twin()
        try:
            reply: Reply = twin.call(call)
        except Mismatch:
            self._refuse()
            return None
        self._said()
        return reply

    async def _aagents(self) -> Reply | None:
        twin, call = self._agents_twin()
        try:
            reply: Reply = await twin.acall(call)
        except Mismatch:
            self._refuse()
            return None
        self._said()
        return reply
