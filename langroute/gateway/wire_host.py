"""`WireHost`: carries out a router's plan for one request of a client. What is decided on is the messages, what is sent are bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Protocol

from langroute._version import __version__
from langroute.core.errors import AnswerCutOffError, LangrouteError, RouteTimeoutError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.engine.drivers import Plan, avalue, resume
from langroute.engine.effects import Effect, Reply, RouteCall
from langroute.engine.release import may_be_rejected
from langroute.engine.step_execution import StepResult
from langroute.gateway.answer import WireAnswer
from langroute.gateway.outlet import STREAM_HEADERS, ClientLeftError, Outlet, limited, time_limit
from langroute.gateway.upstream import UpstreamError, Upstreams, UpstreamTarget, UpstreamTimeoutError
from langroute.wire.chat_usage import UsageFilter
from langroute.wire.edits import WireEdit, WireTarget, edit_words
from langroute.wire.protocol import WireProtocol
from langroute.wire.request import WireRequest
from langroute.wire.translation import AnswerTranslator, TranslatedRequest, translated

MOST_ANSWER_BYTES = 64 * 2**20
"""Longest answer that is held back or read as a whole."""

ANTHROPIC_VERSION = "2023-06-01"
"""Version of Anthropic's protocol that translations are written for."""

_OF_ANY_PROTOCOL = frozenset({"request-id", "x-request-id", "retry-after"})
"""Headers of an answer that mean the same in each protocol."""

DRAIN_SECONDS = 2.0
"""How long a finished stream is read on to its end, so that its connection can be used again."""


@fast_dataclass
class WireRoute:
    """How a route is called for the clients of one protocol."""

    name: str
    target: UpstreamTarget
    model: WireTarget
    speaks: WireProtocol
    """The protocol that it is called by; where it is not the client's, requests and answers are translated."""


@fast_dataclass
class SentRequest:
    """A request as a route gets it."""

    body: bytes
    headers: Mapping[str, str]
    edits: tuple[WireEdit, ...]
    there: TranslatedRequest | None = None
    """The translation; `None` where the bytes pass as they are."""

    url: str | None = None
    """The address, where the request says more of it than the route."""

    hides_usage: bool = False
    """Whether the usage was asked for in the client's place, so that it is kept from it."""

    @property
    def translation(self) -> str:
        """The protocols of client and route, where they differ; else empty."""
        return "" if self.there is None else f"{self.there.source.name} to {self.there.target.name}"

    @property
    def told(self) -> tuple[str, ...]:
        """What was changed and lost, in words, for the decision."""
        words = edit_words(self.edits)
        return words if self.there is None else (f'translate;what="{self.translation}"', *words)


class UntranslatableError(LangrouteError, ValueError):
    """A request cannot be said in a route's protocol."""


def sent_request(request: WireRequest, route: WireRoute, foreign: frozenset[str] = frozenset()) -> SentRequest:
    """Return a request as a route gets it.

    Args:
        request: The client's request.
        route: The route.
        foreign: Digests of the reasoning in the history that other models wrote.

    Raises:
        UntranslatableError: It cannot be said in the route's protocol.
    """
    protocol, credentials = request.protocol, route.target.credentials
    model = replace(route.model, foreign=foreign) if foreign else route.model
    if route.speaks is protocol:
        usage = protocol.usage_edits(request, model)
        edits = (*protocol.edits(request, model), *usage)
        body = protocol.splice(request, model=route.model.model, edits=edits)
        headers = protocol.forward_headers(request.headers, credentials=credentials, edits=edits)
        headers["content-type"] = "application/json"
        url = protocol.address_of(route.target.url, route.model.model, request)
        return SentRequest(body, headers, edits, url=None if url == route.target.url else url, hides_usage=bool(usage))
    there = translated(request, route.speaks, model)
    if there.problem is not None:
        raise UntranslatableError(f"Route {route.name!r} speaks another protocol: {there.problem}")
    headers = {"content-type": "application/json", "user-agent": f"langroute/{__version__}", **credentials}
    if route.speaks.name == "messages":
        headers["anthropic-version"] = ANTHROPIC_VERSION
    return SentRequest(there.body, headers, there.edits, there)


@dataclass(slots=True)
class WireLimits:
    """Time limits of one request, in seconds; `None` for none."""

    first_token: float | None = None
    total: float | None = None


class BrokenStepError(Exception):
    """A stream broke after a part of it was sent: the plan waits for the client's resend. Does not leave the gateway."""

    def __init__(self, plan: Plan, call: RouteCall, reply: Reply) -> None:
        self.plan, self.call, self.reply = plan, call, reply
        super().__init__("a stream broke")


class Drivable(Protocol):
    """What `drive_wire` needs of a host."""

    @property
    def keeps_broken(self) -> bool:
        """Whether a step whose stream broke waits for the client's resend."""
        ...

    async def acall(self, call: RouteCall) -> Reply:
        """Call the route."""
        ...

    def failed(self, call: RouteCall, error: Exception) -> Reply:
        """Return the reply for an error of a call."""
        ...


async def drive_wire(plan: Plan, host: Drivable, effect: Effect | None = None) -> StepResult:
    """Carry out a plan for a client of the gateway.

    Args:
        plan: The router's plan.
        host: Calls the routes.
        effect: The effect that a plan which was begun before waits with.

    Raises:
        BrokenStepError: A stream broke after a part of it was sent. The plan is left open.
        ClientLeftError: The client has left; what was heard is booked.
        CancelledError: Likewise.
    """
    keep, reply = False, None
    try:
        if effect is None:
            effect = next(plan)
        while True:
            if type(effect) is not RouteCall:
                effect = resume(plan, await avalue(plan, effect))
                continue
            begun = perf_counter()
            try:
                reply = await host.acall(effect)
            except ClientLeftError as error:
                plan.throw(error)
                raise
            except Exception as error:  # noqa: BLE001 - whatever a route raises, the plan decides what becomes of it
                reply = host.failed(effect, error)
            except BaseException as error:
                plan.throw(error)
                raise
            reply.latency_s = perf_counter() - begun
            if reply.error is not None and reply.streamed and host.keeps_broken:
                keep = True
                raise BrokenStepError(plan, effect, reply)
            effect = plan.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        # An error's traceback leads here, and from here the reply would lead to the error: with it, the request would stay.
        reply = effect = None
        if not keep:
            plan.close()


class WireHost:
    """Calls routes with one client's request, and sends the client what may be shown.

    Args:
        request: The client's request.
        routes: Name of each eligible route → how it is called.
        upstreams: The connections.
        outlet: What the client is sent.
        query: The client's query.
        told: Returns further response headers for a call and the edits of its request.
        limits: Time limits.
        keeps_broken: Whether a step whose stream broke waits for the client's resend.
        foreign: Returns the digests of the reasoning in the history that other models than this one wrote.
    """

    def __init__(
        self,
        request: WireRequest,
        routes: Mapping[str, WireRoute],
        upstreams: Upstreams,
        outlet: Outlet,
        *,
        query: str = "",
        told: Callable[[RouteCall], Mapping[str, str]] | None = None,
        limits: WireLimits | None = None,
        keeps_broken: bool = True,
        foreign: Callable[[str], frozenset[str]] = lambda _: frozenset(),
    ) -> None:
        self.request, self.protocol, self.routes, self.upstreams, self.outlet = request, request.protocol, routes, upstreams, outlet
        self.query, self.told, self.limits, self.keeps_broken = query, told, limits or WireLimits(), keeps_broken
        self.foreign = foreign
        self.answer: WireAnswer | None = None
        """The answer of the latest call."""
        self.marks: Mapping[str, str] = {}
        """Further response headers of the next call."""
        self.most_kept = 0
        """Most bytes of the next call's answer that are kept for the response cache; 0 for none."""

    @property
    def complete(self) -> bool:
        """Whether the latest answer came to its end: whoever leaves now has all of it."""
        return self.answer is not None and self.answer.reader is not None and self.answer.reader.complete

    async def acall(self, call: RouteCall) -> Reply:
        """Call the route; forward its answer as far as it can no longer be rejected.

        Raises:
            UpstreamError: The provider refused.
            ConnectionError: There was no connection, or the answer broke off.
            RouteTimeoutError: A time limit is over.
            UntranslatableError: The request cannot be said in the route's protocol.
            ClientLeftError: The client takes nothing.
        """
        route = self.routes[call.route.name]
        sent = sent_request(self.request, route, self.foreign(route.model.model))
        answer = self.answer = call.heard = WireAnswer(route.name, sent.told, call.request.step.signals.tokens)
        if self.most_kept:
            answer.keep(self.most_kept)
        seconds = self.limits.first_token
        try:
            async with (
                limited(self.limits.total),
                limited(seconds) as first,
                self.upstreams.post(
                    route.name,
                    route.target if sent.url is None else replace(route.target, url=sent.url),
                    sent.body,
                    sent.headers,
                    self.protocol.query_of(self.query) if sent.there is None else "",
                ) as response,
            ):
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                self._open(answer, sent, call, response, streams=kind == "text/event-stream")
                if answer.streams:
                    await self._streamed(call, answer, response, first)
                else:
                    await self._whole(answer, response)
        except UpstreamError as error:
            error.protocol, error.provider = route.speaks.name, call.route.info.provider
            raise
        except (UpstreamTimeoutError, ClientLeftError):
            raise
        except asyncio.TimeoutError as error:
            what, limit = ("token", seconds) if answer.first is None and seconds is not None else ("answer", self.limits.total)
            raise RouteTimeoutError(route.name, limit or 0.0, what) from error
        return answer.reply()

    def _open(self, answer: WireAnswer, sent: SentRequest, call: RouteCall, response: Any, *, streams: bool) -> None:
        """Begin to read an answer, whose status is known."""
        provider = call.route.info.provider
        headers = self.protocol.answer_headers(response.headers.items())
        answer.status, answer.streams = response.status, streams
        if sent.there is None:
            answer.reader = self.protocol.answer_reader(stream=streams, provider=provider)
            if sent.hides_usage and streams:
                answer.filter = UsageFilter()
        else:
            model = self.routes[answer.route].model.model
            answer.translator = AnswerTranslator(sent.there, model=model, stream=streams, provider=provider)
            answer.reader, answer.streams = answer.translator.reader, self.request.stream
            kept = {name: value for name, value in headers.items() if name in _OF_ANY_PROTOCOL}
            headers = {**(STREAM_HEADERS if answer.streams else {"content-type": "application/json"}), **kept}
            headers["x-langroute-translated"] = sent.translation
        if self.told is not None:
            headers.update(self.told(call))
        headers.update(self.marks)
        if sent.edits:
            headers["x-langroute-edits"] = ", ".join(edit_words(sent.edits))
        answer.headers = headers

    # Streams ---------------------------------------------------------------------------------------------------------

    async def _streamed(self, call: RouteCall, answer: WireAnswer, response: Any, first: Any) -> None:
        reader, held_whole = answer.reader, may_be_rejected(call.selection)
        assert reader is not None  # noqa: S101
        size = 0
        async for chunk in response:
            out = answer.take(chunk)
            if reader.error is not None and not answer.shown:
                raise _event_error(answer)
            if answer.shown:
                if out:
                    await self.outlet.write(out)
            else:
                answer.held.append(out)
                size += len(out)
                if (reader.started or reader.complete) and not held_whole:
                    first.reschedule(None)
                    await self.show(answer)
                elif size > MOST_ANSWER_BYTES:
                    raise AnswerCutOffError(answer.route, "too long")
            if reader.complete or reader.error is not None:
                break
        if reader.stream or reader.error is not None:
            self._check(answer)
        # A stream that is made of a plain answer, or whose end is told behind its last event.
        rest = answer.end()
        self._check(answer)
        if rest:
            await self._pass_on(answer, rest)
        await self._drained(answer, response)

    @staticmethod
    def _check(answer: WireAnswer) -> None:
        """Raise where an answer is an error, or is not whole."""
        if answer.reader is not None and answer.reader.stream:
            answer.reader.finish()
        if answer.reader is not None and answer.reader.error is not None:
            raise _event_error(answer)
        if not answer.whole:
            raise AnswerCutOffError(answer.route)

    async def _pass_on(self, answer: WireAnswer, out: bytes) -> None:
        if answer.shown:
            await self.outlet.write(out)
        else:
            answer.held.append(out)

    async def _drained(self, answer: WireAnswer, response: Any) -> None:
        """Read what comes after the end of an answer, which is next to nothing."""
        if response.at_end():
            return
        try:
            async with time_limit(DRAIN_SECONDS):
                async for chunk in response:
                    if answer.translator is None and (out := chunk if answer.filter is None else answer.filter.feed(chunk)):
                        await self._pass_on(answer, answer.note(out))
        except ClientLeftError:
            return
        except Exception:  # noqa: BLE001 - the answer is complete, whatever becomes of the connection
            response.close()

    async def show(self, answer: WireAnswer) -> None:
        """Send what was held back of an answer; what comes of it from now on goes straight through."""
        answer.shown = True
        self.outlet.cut_by(lambda: answer.between_events)
        await self.outlet.begin(answer.status, answer.headers)
        held, answer.held = b"".join(answer.held), []
        await self.outlet.write(held)

    # Plain answers ---------------------------------------------------------------------------------------------------

    async def _whole(self, answer: WireAnswer, response: Any) -> None:
        size = 0
        async for chunk in response:
            answer.held.append(answer.take(chunk))
            size += len(chunk)
            if size > MOST_ANSWER_BYTES:
                raise AnswerCutOffError(answer.route, "too long")
        answer.held.append(answer.end())
        if answer.reader is not None and answer.reader.error is not None:
            raise _event_error(answer)
        if not answer.whole:
            raise AnswerCutOffError(answer.route)

    # Errors ----------------------------------------------------------------------------------------------------------

    def failed(self, call: RouteCall, error: Exception) -> Reply:
        """Return the reply for an error of a call, which no longer says where it was raised."""
        _forget_frames(error)
        answer = call.heard
        return answer.reply(error) if isinstance(answer, WireAnswer) else Reply(None, error)

    async def deliver(self, result: StepResult) -> None:
        """Send the rest of the answer that was kept."""
        answer = result.output
        if not isinstance(answer, WireAnswer):
            raise TypeError(f"the plan kept no answer of a route, but {type(answer).__name__}")
        if not answer.streams:
            held = b"".join(answer.held)
            if self.outlet.started:
                # A client that asked for a stream and has had pings; its provider answered with a body all the same.
                await self.outlet.finish(self.protocol.error_event("bad_gateway", "The provider answered without a stream.", 502))
                return
            await self.outlet.begin(answer.status, {**answer.headers, "content-length": str(len(held))})
            await self.outlet.finish(held)
            return
        if not answer.shown:
            await self.show(answer)
        await self.outlet.finish()


def _forget_frames(error: BaseException) -> None:
    """Take the tracebacks off an error and those that it came of: what their frames hold, the request's body too, lived as long as it.

    aiohttp keeps the error of a connection in its stream, to which the frames lead: only a search for cycles would end that.
    """
    left, seen = [error], {id(error)}
    while left:
        one = left.pop()
        one.__traceback__ = None
        for before in (one.__cause__, one.__context__):
            if before is not None and id(before) not in seen:
                seen.add(id(before))
                left.append(before)


def _event_error(answer: WireAnswer) -> UpstreamError:
    """Return the error that a provider sent in a stream or a plain answer."""
    said = answer.reader.error if answer.reader is not None else None
    assert said is not None  # noqa: S101
    error = UpstreamError(answer.route, said.status if said.status and 400 <= said.status < 600 else None, b"", answer.headers)
    error.body = {"message": said.message, "type": said.type or None, "code": said.code or said.type or None}
    error.in_stream = True
    return error


__all__ = [
    "BrokenStepError",
    "SentRequest",
    "UntranslatableError",
    "WireHost",
    "WireLimits",
    "WireRoute",
    "drive_wire",
    "sent_request",
]
