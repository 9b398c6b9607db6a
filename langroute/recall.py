"""How does a stored answer take the place of a call?

Between a host and its plan: the host's calls are looked up before they are made, and when the plan has ended, the answer that was kept
is offered to the cache. A router without a cache has none of this in its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import replace
from typing import Any, cast
from weakref import WeakKeyDictionary

from langroute.accounts import ALWAYS_SAY_WHY
from langroute.binding import BoundTools
from langroute.cache.asks import Ask, Ticket
from langroute.cache.entries import Entry
from langroute.cache.flights import Seat
from langroute.cache.keys import UnkeyableError, model_digest, settings_digest, tools_digest
from langroute.cache.replay import Heard, Replay, is_message, listened_to
from langroute.cache.response import ResponseCache
from langroute.calling import GenerateHost, ModelHost, Models
from langroute.effects import Call, Effect, Reply, Settle
from langroute.gate import shows_tokens
from langroute.records import Attempt, Request, Stored
from langroute.retelling import Replaying, Retelling
from langroute.router import Result, Router
from langroute.routes import BuiltRoute
from langroute.runs import Run
from langroute.settling import Settling
from langroute.sharing import Sharing
from langroute.structured import StructuredHost
from langroute.tally import merged
from langroute.tooling import tool_name


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


class CachingHost:
    """A host whose calls may be answered from the cache."""

    heard: Heard | None = None
    """Hears what an agent's model is asked in the end."""

    served: Any = None
    """The message that was said last, where it came from the cache."""

    twin: Any = None
    streaming = ""
    """How the latest call's chunks are handed on, if they are: the plan then ends before the last of them is out, and asks for nothing more."""

    first: Ticket | None = None
    result: Result | None = None
    over = False
    """The plan has ended."""

    def __init__(self, recall: Recall, host: Any, request: Request, run: Run | None, router: Router) -> None:
        self.recall, self.cache, self.host, self.request, self.run, self.router = recall, recall.cache, host, request, run, router
        self.streams = getattr(host, "streams", "messages")
        self.given = host.config
        """The host's config as it was given."""

        self.tickets: dict[int, Ticket] = {}
        """Attempt → its request, while an answer to it is awaited or may still be kept."""

        self.out: set[int] = set()
        """Calls that are being carried out, perhaps in a thread that nobody waits for any more."""

        self.lost: set[int] = set()
        """Calls that lost a race: the plan goes on without them."""

        self.left: set[int] = set()
        """Calls that were left to others who listen to them: theirs to end."""

        self.replies: dict[int, Reply] = {}
        self.places: dict[int, int] = {}
        """Call → its place among the attempts: one that won a race stands behind those that lost it."""

        self.parts: dict[int, list[Any]] = {}
        self.notes: dict[int, tuple[str, Stored | None, str | None]] = {}
        """Attempt → what the cache said, the stored answer, the key."""

        self.asked: set[str] = set()
        """Keys that were looked up in this step."""

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
            self.result, self.over = stop.value, True
        except BaseException:
            self.over = True
            self._abandon()
            raise
        if self.tickets:
            if self.streaming == "":
                yield Settle(Settling(self))
            elif self.streaming == "awaited" and self.cache.store.shared:
                # The last chunk is on its way and nobody may ever ask for more, so this does not wait for it.
                self.cache.later(Settling(self).asettle())
            else:
                Settling(self).settle()
        return self.result

    def _annotate(self, call: Call, reply: Reply) -> None:
        for lost, _ in reply.also:
            self.lost.add(lost.index)
            if (ticket := self.tickets.pop(lost.index, None)) is not None and lost.index not in self.out:
                self.cache.fail(ticket)
        index = call.index if reply.call is None else reply.call.index
        reply.cache, reply.stored, reply.cache_key = self.notes.get(index, (None, None, None))
        self.replies[index], self.places[index] = reply, call.index + len(reply.also)

    # Asking ------------------------------------------------------------------------------------------------------------

    def _open(self, call: Call) -> Ticket | None:
        if self.asked:
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
        if not self.asked:
            self.asked.add(ticket.key)
            return
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
            eligible=self._eligible,
            decision_id=call.decision_id,
            task=request.step.task,
            tools_bound=bool(request.tools) or bound is not None,
            structured=structured,
            tools=None if request.response_schema is None else frozenset(map(tool_name, request.tools)),
            may_be_silent=info.api not in ALWAYS_SAY_WHY,
        )

    def _eligible(self, name: str) -> bytes | None:
        if name not in self.request.route_names:
            return None
        return self.recall.made_by(self.router.routes[name])

    # Calling -----------------------------------------------------------------------------------------------------------

    def call(self, call: Call) -> Reply:
        """Answer from the cache, or call."""
        ticket, self.streaming = self._open(call), ""
        if ticket is None:
            return self.host.call(call)  # type: ignore[no-any-return]
        self.out.add(call.index)
        try:
            return self._looked_up(call, ticket)
        except BaseException:
            self._failed(call, ticket)
            raise
        finally:
            self._ended(call, ticket)

    def _looked_up(self, call: Call, ticket: Ticket) -> Reply:
        if self._is_shown and (sharing := Sharing(self, call, ticket)).listens:
            return self._shown(sharing)
        if (hit := self.cache.recall(ticket)) is not None and (reply := Retelling(self, call, hit).reply()) is not None:
            return reply
        if not isinstance(self.host, ModelHost):
            self._listen()
        return self._called(call, ticket)

    def _called(self, call: Call, ticket: Ticket) -> Reply:
        reply = cast("Reply", self.host.call(call))
        if call.gate is not None and call.gate.closed:
            self._late(call, ticket, reply)
        return reply

    @property
    def _is_shown(self) -> bool:
        """A plain call whose tokens somebody is shown as they come, such as LangGraph's stream of messages: it is a stream as any other."""
        return type(self.host) is ModelHost and shows_tokens(self.host.config)

    def _shown(self, sharing: Sharing) -> Reply:
        call, ticket = sharing.call, sharing.ticket
        found = self.cache.listen(ticket)
        while isinstance(found, Seat):
            if chunks := list(sharing.follow(found)):
                return Reply(merged(chunks))
            ticket.failures += 1
            found = self.cache.listen(ticket)
        if found is not None and (reply := Retelling(self, call, found).reply()) is not None:
            return reply
        return Reply(merged(list(sharing.lead()))) if sharing.leads else self._called(call, ticket)

    async def _ashown(self, sharing: Sharing) -> Reply:
        call, ticket = sharing.call, sharing.ticket
        found = await self.cache.alisten(ticket)
        while isinstance(found, Seat):
            if chunks := [chunk async for chunk in sharing.afollow(found)]:
                return Reply(merged(chunks))
            ticket.failures += 1
            found = await self.cache.alisten(ticket)
        if found is not None and (reply := await Retelling(self, call, found).areply()) is not None:
            return reply
        return Reply(merged([chunk async for chunk in sharing.alead()])) if sharing.leads else await self._acalled(call, ticket)

    def _listen(self) -> None:
        """Hear what the model is asked in the end: an agent's middleware further in may still change it."""
        self.heard = Heard(self.cache.keys)
        self.host.config = self.heard.under(self.given)

    def _failed(self, call: Call, ticket: Ticket) -> None:
        """A call failed. While another races it, the plan hears of neither, and two plans could wait for each other's failed calls."""
        if len(self.out) > 1 and call.index not in self.left:
            self.tickets.pop(call.index, None)
            self.cache.fail(ticket)

    def _ended(self, call: Call, ticket: Ticket) -> None:
        """A call is carried out. If the plan went on or ended without it, nobody else lets those know who wait for its answer."""
        index = call.index
        self.out.discard(index)
        if index not in self.left and (index in self.lost or (self.over and index not in self.replies)):
            self.tickets.pop(index, None)
            self.cache.fail(ticket)

    def _late(self, call: Call, ticket: Ticket, reply: Reply) -> None:
        """The answer of a call that was given up meanwhile: it is paid for, and others may have asked the same."""
        attempt = self.router.accounts.attempt(call.route, call.selection, reply)
        if type(self) is not RacingHost or attempt.error is not None or call.selection.tentative or not is_message(attempt.answer):
            self.cache.fail(ticket)
        else:
            self.cache.keep(ticket, self.entry_of(ticket, attempt))

    def entry_of(self, ticket: Ticket, attempt: Attempt) -> Entry | None:
        """What is kept of a call that ended by itself, when the plan had gone on or was over."""
        message = attempt.answer
        if not is_message(message):
            return None
        return self.cache.entry(
            ticket, message, finish_reason=attempt.finish_reason, usage=attempt.usage, cost_usd=attempt.cost_usd
        )

    async def acall(self, call: Call) -> Reply:
        """The same, awaited."""
        ticket, self.streaming = self._open(call), ""
        if ticket is None:
            return await self.host.acall(call)  # type: ignore[no-any-return]
        self.out.add(call.index)
        try:
            return await self._alooked_up(call, ticket)
        except BaseException:
            self._failed(call, ticket)
            raise
        finally:
            self._ended(call, ticket)

    async def _alooked_up(self, call: Call, ticket: Ticket) -> Reply:
        if self._is_shown and (sharing := Sharing(self, call, ticket)).listens:
            return await self._ashown(sharing)
        if (hit := await self.cache.arecall(ticket)) is not None and (
            reply := await Retelling(self, call, hit).areply()
        ) is not None:
            return reply
        if not isinstance(self.host, ModelHost):
            self._listen()
        return await self._acalled(call, ticket)

    async def _acalled(self, call: Call, ticket: Ticket) -> Reply:
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
        self.out.add(call.index)
        try:
            yield from self._streamed(call, ticket)
        except BaseException:
            self._failed(call, ticket)
            raise
        finally:
            self._ended(call, ticket)

    def _streamed(self, call: Call, ticket: Ticket) -> Iterator[Any]:
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
        if found is not None and (retelling := Retelling(self, call, found)).fits():
            yield from retelling.chunks()
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
                self.out.add(call.index)
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
                if found is not None and (retelling := Retelling(self, call, found)).fits():
                    source = retelling.achunks()
                elif sharing.leads:
                    source = sharing.alead()
                else:
                    source, self.parts[call.index] = self.host.astream(call), parts
            async for chunk in source:
                parts.append(chunk)
                yield chunk
        except BaseException:
            if ticket is not None:
                self._failed(call, ticket)
            raise
        finally:
            if (close := getattr(source, "aclose", None)) is not None:
                await close()
            if ticket is not None:
                self._ended(call, ticket)

    def said(self, call: Call, stored: Stored, how: str, key: str, message: Any = None) -> None:
        """The call was answered without a model."""
        self.notes[call.index] = (how, stored, key)
        self.tickets.pop(call.index, None)
        self.served = message

    def listener(self, call: Call, route: BuiltRoute, replay: Replay) -> tuple[Any, Call]:
        """A host of the same kind whose model says what is known already, and the call as that model's own."""
        host = self.host
        kind = ModelHost if isinstance(host, StructuredHost) else type(host)
        self.twin = kind(cast("Models", Replaying(self.recall.models, replay)), host.config, {}, None, host.own, None)
        return self.twin, replace(call, route=route)

    @property
    def is_heard(self) -> bool:
        """Somebody listens to runs of this call."""
        return bool(self.host.own) or listened_to(self.host.config)

    def _abandon(self) -> None:
        tickets, self.tickets = self.tickets, {}
        for ticket in tickets.values():
            self.cache.fail(ticket)


class RacingHost(CachingHost):
    """One that may have several calls out at once, as the host it stands for."""

    races = True


__all__ = ["CachingHost", "Recall"]
