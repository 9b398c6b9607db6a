"""How does a stored answer take the place of a call?

Between a host and its plan: the host's calls are looked up before they are made, and when the plan has ended, the answer that was kept
is offered to the cache. A router without a cache has none of this in its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from copy import copy
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4
from weakref import WeakKeyDictionary

from langchain_core.outputs import ChatGeneration, LLMResult, RunInfo

from langroute.answers import finish_reason
from langroute.binding import BoundTools
from langroute.cache.asks import Ask, Hit, Ticket
from langroute.cache.entries import chunks, fresh
from langroute.cache.flights import Seat
from langroute.cache.keys import UnkeyableError, model_digest, settings_digest, tools_digest
from langroute.cache.replay import Heard, Mismatch, Replay, is_message, listened_to
from langroute.cache.response import ResponseCache
from langroute.calling import GenerateHost, ModelHost, Models
from langroute.drivers import merged
from langroute.effects import Call, Effect, Reply, Settle
from langroute.pricing import usage_of
from langroute.records import Request, Stored
from langroute.router import Result, Router
from langroute.routes import BuiltRoute
from langroute.runs import Run
from langroute.sharing import Sharing
from langroute.structured import StructuredHost

SAYS_WHY = frozenset({"anthropic", "openai-chat", "openai-responses", "gemini", "openai-compatible"})
"""Wire formats whose answers always say why they ended."""


class Recall:
    """A response cache at work for one chat router.

    Args:
        cache: The cache.
        models: The routes' models as the router calls them.
    """

    def __init__(self, cache: ResponseCache, models: Models) -> None:
        self.cache, self.models = cache, models
        self._made_by: dict[str, bytes] = {}
        self._tools: WeakKeyDictionary[Any, bytes] = WeakKeyDictionary()
        self._replays: dict[str, Replay] = {}

    def around(
        self, plan: Generator[Effect, Any, Result], host: Any, request: Request, run: Run | None, router: Router
    ) -> tuple[Generator[Effect, Any, Result], Any]:
        """The same plan and host, with the cache between them."""
        kind = RacingHost if type(host) in (ModelHost, GenerateHost) else CachingHost
        session = kind(self, host, request, run, router)
        return session.keeping(plan), session

    def made_by(self, route: BuiltRoute) -> bytes:
        """What decides an answer in the route itself."""
        found = self._made_by.get(route.name)
        if found is None:
            digest = model_digest(self.models.of(route), route.info.provider, route.info.model)
            found = self._made_by[route.name] = digest + settings_digest({**route.kwargs, "\0style": self.models.style})
        return found

    def tools(self, bound: BoundTools | None, request: Request) -> bytes:
        """What is asked for beside messages and settings."""
        if bound is None:
            return tools_digest(request.tools, request.tool_choice, request.response_schema)
        found = self._tools.get(bound)
        if found is None:
            kwargs = {key: value for key, value in bound.kwargs.items() if key != "tool_choice"}
            found = self._tools[bound] = tools_digest(bound.shown, bound.kwargs.get("tool_choice")) + settings_digest(kwargs)
        schema = request.response_schema
        return found if schema is None else found + tools_digest((), None, schema)

    def replay(self, route: BuiltRoute) -> Replay:
        """A model that says stored answers under the route's name."""
        found = self._replays.get(route.name)
        if found is None:
            found = self._replays[route.name] = Replay(stands_for=self.models.of(route), stored=None)
        return found


class _Replaying:
    """The models of a host that replays: every route's is the one that says the stored answer."""

    def __init__(self, models: Models, replay: Replay) -> None:
        self._models, self._replay = models, replay

    def __getattr__(self, name: str) -> Any:
        return getattr(self._models, name)

    def of(self, route: BuiltRoute, *, without_thinking: bool = False) -> Replay:
        return self._replay


class CachingHost:
    """A host whose calls may be answered from the cache."""

    def __init__(self, recall: Recall, host: Any, request: Request, run: Run | None, router: Router) -> None:
        self.recall, self.cache, self.host, self.request, self.run, self.router = recall, recall.cache, host, request, run, router
        self.streams = getattr(host, "streams", "messages")
        self.given = host.config
        """The host's config as it was given."""

        self.heard: Heard | None = None
        self.tickets: dict[int, Ticket] = {}
        """Attempt → its request, while an answer to it is awaited or may still be kept."""

        self.out: set[int] = set()
        """Calls that a model is out for."""

        self.lost: dict[int, Ticket] = {}
        """Calls that lost a race, with their requests: the plan goes on without them. One that is out is ended by whoever carries it out."""

        self.replies: dict[int, Reply] = {}
        self.places: dict[int, int] = {}
        """Call → its place among the attempts: one that won a race stands behind those that lost it."""

        self.parts: dict[int, list[Any]] = {}
        self.notes: dict[int, tuple[str, Stored | None, str | None]] = {}
        """Attempt → what the cache said, the stored answer, the key."""

        self.served: Any = None
        """The message that was said last, where it came from the cache."""

        self.twin: Any = None
        self.asked: set[str] = set()
        """Keys that were looked up in this step."""

        self.streaming = ""
        """How the latest call's chunks are handed on, if they are: the plan then ends before the last of them is out, and asks for nothing
        more."""

        self.first: Ticket | None = None
        self.result: Result | None = None

    # The host's own attributes -----------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name == "caught_message":
            inner = getattr(self.host, name)
            return lambda: self._caught(inner)
        if name == "inner":
            return getattr(self.twin or self.host, name)
        return getattr(self.host, name)

    @property
    def structured(self) -> Any:
        """The structured output that is asked for, of a host that does that."""
        return self.host.structured

    @structured.setter
    def structured(self, value: Any) -> None:
        self.host.structured = value

    def _caught(self, inner: Any) -> Any:
        if self.served is not None:
            return self.served
        try:
            return inner()
        except AttributeError:
            return None

    # The plan ----------------------------------------------------------------------------------------------------------

    def keeping(self, plan: Generator[Effect, Any, Result]) -> Generator[Effect, Any, Result]:
        """The plan, whose replies say what the cache said, and whose answer is offered to the cache at the end."""
        try:
            effect = next(plan)
            while True:
                try:
                    value = yield effect
                except BaseException as error:  # noqa: BLE001 - handed on to the plan, which decides
                    effect = plan.throw(error)
                    continue
                if type(effect) is Call:
                    self._annotate(effect, value)
                effect = plan.send(value)
        except StopIteration as stop:
            self.result = stop.value
        except BaseException:
            self._abandon()
            raise
        if self.tickets:
            if self.streaming == "":
                yield Settle(self)
            elif self.streaming == "awaited" and self.cache.store.shared:
                # The last chunk is on its way and nobody may ever ask for more, so this does not wait for it.
                self.cache.later(self.asettle())
            else:
                self.settle()
        return self.result

    def _annotate(self, call: Call, reply: Reply) -> None:
        for lost, _ in reply.also:
            if (ticket := self.tickets.pop(lost.index, None)) is not None:
                self.lost[lost.index] = ticket
                if lost.index not in self.out:
                    self.cache.fail(ticket)
        index = call.index if reply.call is None else reply.call.index
        reply.cache, reply.stored, reply.cache_key = self.notes.get(index, (None, None, None))
        self.replies[index], self.places[index] = reply, call.index + len(reply.also)

    # Asking ------------------------------------------------------------------------------------------------------------

    def _open(self, call: Call) -> Ticket | None:
        self.served = self.twin = None
        if call.route.name not in self.router.routes:
            # The last words of a budget that is used up are nobody's answer.
            self.notes[call.index] = ("bypass: no route was called", None, None)
            return None
        ticket: Ticket | str
        try:
            ticket = self.cache.open(self._ask(call))
        except UnkeyableError as error:
            ticket = str(error)
        if isinstance(ticket, str):
            self.notes[call.index] = (f"bypass: {ticket}", None, None)
            return None
        self.notes[call.index] = ("miss", None, ticket.key)
        self._take_over(ticket)
        self.tickets[call.index] = ticket
        if self.first is None:
            self.first = ticket
        return ticket

    def _take_over(self, ticket: Ticket) -> None:
        """The same request a second time within one step: the answer that was there did not do, and whoever waits goes on waiting."""
        if ticket.key in self.asked:
            ticket.may_read = False
        self.asked.add(ticket.key)
        for index, earlier in list(self.tickets.items()):
            if earlier.key == ticket.key:
                ticket.flight, ticket.owner, earlier.flight, earlier.owner = earlier.flight, earlier.owner, None, None
            elif (reply := self.replies.get(index)) is not None and reply.error is not None:
                # Another route is tried; those who wait for this one may try it themselves.
                self.cache.fail(self.tickets.pop(index))

    def _ask(self, call: Call) -> Ask:
        request, route, host = self.request, call.route, self.host
        bound = getattr(host, "bound", None)
        structured = isinstance(host, StructuredHost)
        if isinstance(host, ModelHost):
            settings: dict[str, Any] = {**route.kwargs, **host.kwargs}
            parts = [self.recall.tools(bound, request), settings_digest(settings)]
            if self.streams == "events":
                # These answers consist of LangChain's standard blocks, and others need not.
                parts.append(b"events")
        else:
            asked = host.request
            settings = {**host.router.settings, **route.kwargs, **asked.model_settings}
            own = [tool for tool in asked.tools if isinstance(tool, dict)]
            form = asked.response_format
            parts = [self.recall.tools(None, request), settings_digest(settings), tools_digest(own), type(form).__name__.encode()]
        if (style := self.recall.models.style) is not None:
            # What a route is told beside the history makes another answer.
            parts.append(b"style" + style.told(route.info).encode("utf-8", "replace"))
        if structured:
            method = {key: value for key, value in host.structured.so_kwargs.items() if key != "include_raw"}
            parts.append(b"structured" + settings_digest(method))
        if self.recall.models.style is not None:
            # The same words as a title and as a reply are spoken in different voices.
            parts.append(request.step.kind.encode())
        info = route.info
        return Ask(
            messages=request.messages,
            kind=request.step.kind,
            route=info.name,
            tier=info.tier,
            made_by=self.recall.made_by(route),
            parts=parts,
            settings=settings,
            model=route.model,
            metadata=request.metadata,
            configurable=host.config.get("configurable") or {},
            eligible=_Eligible(self.recall, self.router, request),
            decision_id=call.decision_id,
            task=request.step.task,
            tools_bound=bool(request.tools) or bound is not None,
            structured=structured,
            tools=None if request.response_schema is None else _names(request.tools),
            may_be_silent=info.api not in SAYS_WHY,
        )

    # Calling -----------------------------------------------------------------------------------------------------------

    def call(self, call: Call) -> Reply:
        """Answer from the cache, or call."""
        ticket, self.streaming = self._open(call), ""
        if ticket is None:
            return self.host.call(call)  # type: ignore[no-any-return]
        if (hit := self.cache.recall(ticket)) is not None and (reply := self._serve(call, hit)) is not None:
            return reply
        if not isinstance(self.host, ModelHost):
            self._listen()
        self.out.add(call.index)
        try:
            reply = cast("Reply", self.host.call(call))
            if call.gate is not None and call.gate.closed:
                self._late(call, ticket, reply)
            return reply
        finally:
            self.ended(call)

    def ended(self, call: Call) -> None:
        """A model is no longer out for a call: if that lost a race, nobody waits for its answer any more."""
        self.out.discard(call.index)
        if (ticket := self.lost.get(call.index)) is not None:
            self.cache.fail(ticket)

    def _late(self, call: Call, ticket: Ticket, reply: Reply) -> None:
        """The answer of a call that was given up meanwhile: it is paid for, and others may have asked the same."""
        attempt = self.router.accounts.attempt(call.route, call.selection, reply)
        if type(self) is not RacingHost or attempt.error is not None or call.selection.tentative:
            self.cache.fail(ticket)
            return
        said = attempt.answer.response_metadata
        self.cache.keep(
            ticket,
            self.cache.entry(
                ticket, attempt.answer, finish_reason=finish_reason(said), usage=attempt.usage, cost_usd=attempt.cost_usd
            ),
        )

    async def acall(self, call: Call) -> Reply:
        """The same, awaited."""
        ticket, self.streaming = self._open(call), ""
        if ticket is None:
            return await self.host.acall(call)  # type: ignore[no-any-return]
        if (hit := await self.cache.arecall(ticket)) is not None and (reply := await self._aserve(call, hit)) is not None:
            return reply
        if not isinstance(self.host, ModelHost):
            self._listen()
        try:
            return await self.host.acall(call)  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            # The caller went, or another route was faster.
            self.cache.fail(ticket)
            raise

    def stream(self, call: Call) -> Iterator[Any]:
        """Stream a stored answer, one that is under way, or the model."""
        ticket = self._open(call)
        self.streaming = "plain"
        if ticket is None:
            yield from self.host.stream(call)
            return
        sharing = Sharing(self, call, ticket)
        found, shown = self.cache.listen(ticket, live=sharing.listens), False
        while isinstance(found, Seat):
            for chunk in sharing.follow(found):
                shown = True
                yield chunk
            if shown:
                return
            ticket.failures += 1
            found = self.cache.listen(ticket)
        if found is not None and (message := self._fresh(call, found)) is not None:
            yield from self._chunks(call, message, found)
        elif sharing.leads:
            yield from sharing.lead()
        else:
            parts = self.parts[call.index] = []
            for chunk in self.host.stream(call):
                parts.append(chunk)
                yield chunk

    async def astream(self, call: Call) -> AsyncIterator[Any]:
        """The same, awaited."""
        ticket = self._open(call)
        self.streaming = "awaited"
        source: Any = None
        try:
            parts: list[Any] = []
            if ticket is None:
                source = self.host.astream(call)
            else:
                sharing = Sharing(self, call, ticket)
                found, shown = await self.cache.alisten(ticket, live=sharing.listens), False
                while isinstance(found, Seat):
                    source = sharing.afollow(found)
                    async for chunk in source:
                        shown = True
                        yield chunk
                    if shown:
                        return
                    ticket.failures += 1
                    found = await self.cache.alisten(ticket)
                if found is not None and (message := self._fresh(call, found)) is not None:
                    source = self._achunks(call, message, found)
                elif sharing.leads:
                    source = sharing.alead()
                else:
                    source, self.parts[call.index] = self.host.astream(call), parts
            async for chunk in source:
                parts.append(chunk)
                yield chunk
        finally:
            if (close := getattr(source, "aclose", None)) is not None:
                await close()

    # A stored answer -----------------------------------------------------------------------------------------------------

    def _fresh(self, call: Call, hit: Hit) -> Any:
        """The stored answer as a new message; `None` where it does not fit what was asked."""
        entry = hit.entry
        if entry.structured:
            try:
                self._parsed(entry.parsed)
            except Exception:  # noqa: BLE001 - a schema may raise anything; what does not fit is asked again
                self.cache.refuse(self.tickets[call.index], hit)
                return None
        self._said(call, hit, fresh(entry.message))
        return self.served

    def _parsed(self, value: Any) -> Any:
        schema = self.host.structured.schema_
        if isinstance(schema, type) and hasattr(schema, "model_validate"):
            return schema.model_validate(value)
        return value

    def _structured(self, message: Any, hit: Hit) -> Reply:
        parsed = self._parsed(hit.entry.parsed)
        raw = self.host.structured.so_kwargs.get("include_raw")
        output = {"raw": message, "parsed": parsed, "parsing_error": None} if raw else parsed
        return Reply(message, parsed=parsed, output=output)

    def _twin(self, call: Call, message: Any) -> tuple[Any, Call]:
        """A host of the same kind that says the stored answer, where somebody listens."""
        route = self.router.routes[self.notes[call.index][1].route]  # type: ignore[union-attr]
        host, replay = self.host, self.recall.replay(route).saying(message)
        kind = ModelHost if isinstance(host, StructuredHost) else type(host)
        self.twin = kind(cast("Models", _Replaying(self.recall.models, replay)), host.config, {}, None, host.own, None)
        return self.twin, replace(call, route=route)

    def twin_listening(self, call: Call, route: BuiltRoute, told: Iterator[Any]) -> Iterator[Any]:
        """Another's stream as a run of this call, where somebody listens."""
        return cast("Iterator[Any]", self._listener(route, told).stream(replace(call, route=route)))

    def atwin_listening(self, call: Call, route: BuiltRoute, told: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The same, awaited."""
        return cast("AsyncIterator[Any]", self._listener(route, told).astream(replace(call, route=route)))

    def _listener(self, route: BuiltRoute, told: Any) -> Any:
        host, replay = self.host, self.recall.replay(route).listening(told)
        self.twin = type(host)(cast("Models", _Replaying(self.recall.models, replay)), host.config, {}, None, host.own, None)
        return self.twin

    def _serve(self, call: Call, hit: Hit) -> Reply | None:
        if not isinstance(self.host, ModelHost):
            return self._serve_agent(call, hit)
        message = self._fresh(call, hit)
        if message is None:
            return None
        reply = Reply(message)
        if listened_to(self.host.config) or self.host.own:
            twin, call = self._twin(call, message)
            reply = twin.call(call)
        elif isinstance(self.host, GenerateHost):
            reply.output = _result(message)
        return self._structured(message, hit) if hit.entry.structured else reply

    async def _aserve(self, call: Call, hit: Hit) -> Reply | None:
        if not isinstance(self.host, ModelHost):
            return await self._aserve_agent(call, hit)
        message = self._fresh(call, hit)
        if message is None:
            return None
        reply = Reply(message)
        if listened_to(self.host.config) or self.host.own:
            twin, call = self._twin(call, message)
            reply = await twin.acall(call)
        elif isinstance(self.host, GenerateHost):
            reply.output = _result(message)
        return self._structured(message, hit) if hit.entry.structured else reply

    def _chunks(self, call: Call, message: Any, hit: Hit) -> Iterator[Any]:
        structured = hit.entry.structured
        if self.streams == "events" or listened_to(self.host.config) or self.host.own:
            twin, call = self._twin(call, message)
            for chunk in twin.stream(call):
                if not structured:
                    yield chunk
        elif not structured:
            yield from chunks(message)
        if structured:
            yield self._structured(message, hit).output

    async def _achunks(self, call: Call, message: Any, hit: Hit) -> AsyncIterator[Any]:
        structured = hit.entry.structured
        if self.streams == "events" or listened_to(self.host.config) or self.host.own:
            twin, call = self._twin(call, message)
            async for chunk in twin.astream(call):
                if not structured:
                    yield chunk
        elif not structured:
            for chunk in chunks(message):
                yield chunk
        if structured:
            yield self._structured(message, hit).output

    # An agent's middleware -----------------------------------------------------------------------------------------------

    def _listen(self) -> Heard:
        """Hear what the model is asked in the end: middleware further in may still change it."""
        heard = Heard(self.cache.keys)
        self.host.config = heard.under(self.given)
        self.heard = heard
        return heard

    def _agent_twin(self, call: Call, hit: Hit) -> tuple[Any, Call, Any]:
        entry = hit.entry
        route, message = self.router.routes[entry.route], fresh(entry.message)
        replay = self.recall.replay(route).saying(message, expects=entry.sent, digest=self.cache.keys.digest)
        host = self.host
        twin = copy(host)
        twin.models, twin.config = _Replaying(host.models, replay), self.given
        return twin, replace(call, route=route), message

    def _said(self, call: Call, hit: Hit, message: Any) -> None:
        entry = hit.entry
        self.notes[call.index] = (hit.how, Stored(entry.route, entry.usage, entry.cost_usd, entry.score), entry.key)
        del self.tickets[call.index]
        self.served = message

    def _serve_agent(self, call: Call, hit: Hit) -> Reply | None:
        twin, replayed, message = self._agent_twin(call, hit)
        try:
            reply = twin.call(replayed)
        except Mismatch:
            self.cache.refuse(self.tickets[call.index], hit)
            return None
        self._said(call, hit, message)
        return reply  # type: ignore[no-any-return]

    async def _aserve_agent(self, call: Call, hit: Hit) -> Reply | None:
        twin, replayed, message = self._agent_twin(call, hit)
        try:
            reply = await twin.acall(replayed)
        except Mismatch:
            self.cache.refuse(self.tickets[call.index], hit)
            return None
        self._said(call, hit, message)
        return reply  # type: ignore[no-any-return]

    # The end -------------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Keep the accepted answer; let others try what was not answered."""
        for ticket, kept in self._ends():
            if kept is None:
                self.cache.fail(ticket)
            else:
                self.cache.keep(ticket, kept[0])
                if kept[0] is not None and (alias := self._alias(ticket, kept[0])) is not None:
                    self.cache.keep(alias[0], alias[1])

    async def asettle(self) -> None:
        """The same, awaited."""
        ends = self._ends()
        try:
            for ticket, kept in ends:
                if kept is None:
                    await self.cache.afail(ticket)
                else:
                    await self.cache.akeep(ticket, kept[0])
                    if kept[0] is not None and (alias := self._alias(ticket, kept[0])) is not None:
                        await self.cache.akeep(alias[0], alias[1])
        except BaseException:
            # Cancelled in between: nobody may wait for what will not come.
            for ticket, _ in ends:
                self.cache.fail(ticket)
            raise

    def _ends(self) -> list[tuple[Ticket, tuple[Any] | None]]:
        """Every request of the plan with the entry to keep of it: `(None,)` where the answer may not be kept, `None` without one."""
        tickets, self.tickets = self.tickets, {}
        result = self.result
        ends: list[tuple[Ticket, tuple[Any] | None]] = []
        for index, ticket in tickets.items():
            reply = self.replies.get(index)
            if reply is None or reply.error is not None or result is None:
                ends.append((ticket, None))
            elif result.index != self.places[index]:
                # Another answer was kept, so this one was rejected.
                ends.append((ticket, (None,)))
            else:
                ends.append((ticket, (self._entry(index, ticket, reply, result),)))
        # What is kept last may stand in for what was rejected before it.
        return sorted(ends, key=lambda end: end[1] is not None and end[1][0] is not None)

    def _entry(self, index: int, ticket: Ticket, reply: Reply, result: Result) -> Any:
        message, parsed = reply.message, reply.parsed
        parts = self.parts.get(index)
        if parts and is_message(parts[0]):
            message = merged(parts)
        if message is None or not hasattr(message, "response_metadata"):
            return None
        if ticket.ask.structured:
            if isinstance(parsed, Mapping) and self.host.structured.so_kwargs.get("include_raw") and "parsed" in parsed:
                parsed = parsed["parsed"]
            if parsed is None:
                return None
            parsed = parsed.model_dump(mode="json") if hasattr(parsed, "model_dump") else parsed
        attempt = result.decision.attempts[self.places[index]]
        if attempt is not result.decision.attempts[-1]:
            # The policy went on and came back to it: it was not what was hoped for.
            return None
        sent = None
        if not isinstance(self.host, ModelHost):
            sent = self.heard.digest() if self.heard is not None else None
            if sent is None:
                return None
        return self.cache.entry(
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
        first = self.first
        if first is None or first is ticket or (reply := self.replies.get(0)) is None or reply.error is not None:
            return None
        alias = replace(first, flight=None, owner=None)
        return alias, replace(entry, key=first.key)

    def _abandon(self) -> None:
        tickets, self.tickets = self.tickets, {}
        for ticket in tickets.values():
            self.cache.fail(ticket)


class RacingHost(CachingHost):
    """One that may have several calls out at once, as the host it stands for."""

    races = True


class _Eligible(Mapping[str, bytes]):
    """Routes that may answer a request, each with the digest of its model; worked out only where it is asked for."""

    def __init__(self, recall: Recall, router: Router, request: Request) -> None:
        self._recall, self._router, self._request = recall, router, request

    def __getitem__(self, name: str) -> bytes:
        if name not in self._request.route_names:
            raise KeyError(name)
        return self._recall.made_by(self._router.routes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._request.route_names)

    def __len__(self) -> int:
        return len(self._request.routes)


def _names(tools: Any) -> frozenset[str]:
    return frozenset(str((tool.get("function") or tool).get("name")) for tool in tools)


def _result(message: Any) -> LLMResult:
    return LLMResult(generations=[[ChatGeneration(message=message)]], llm_output={}, run=[RunInfo(run_id=uuid4())])


__all__ = ["CachingHost", "Recall"]
