"""One step of a client: from its request to the router's plan, and from the plan's end to what the client is sent."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from time import time
from typing import Any

from langchain_core.messages import AIMessage

from langroute.core.errors import InputError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.plain_text import one_line
from langroute.core.records import Outcome, Request
from langroute.engine.call_config import Run
from langroute.engine.drivers import Plan
from langroute.engine.effects import Effect, RouteCall
from langroute.engine.router import CallOptions, Router, call_options
from langroute.engine.step_execution import StepResult
from langroute.gateway.answer import WireAnswer
from langroute.gateway.clients import Caller
from langroute.gateway.outlet import Outlet
from langroute.gateway.refusals import Refusal, refusal_of
from langroute.gateway.resends import Resends
from langroute.gateway.serving_state import Serving
from langroute.gateway.thread_records import ThreadRecord, ThreadRecords, thread_record_key
from langroute.gateway.upstream import Upstreams
from langroute.gateway.wire_cache import CachedWireHost, WireCacheSession
from langroute.gateway.wire_host import BrokenStepError, WireHost, drive_wire
from langroute.tracking.implicit_feedback import ImplicitFeedback
from langroute.wire.request import WireRequest

LABEL_HEADERS = {
    "x-langroute-project": "langroute_project",
    "x-langroute-task": "langroute_task",
    "x-langroute-task-kind": "langroute_task_kind",
}
"""Headers by which a client says what a call belongs to → the metadata of the call."""

MAX_LABEL = 200
_OPTIONS = ("tools", "tool_choice", "response_format", "text", "output_config", "output_format")
"""Fields that hold the options of a call."""


@fast_dataclass
class OpenStep:
    """A step that was begun: its plan, and the effect that the plan waits with where an earlier request began it."""

    plan: Plan
    router: Router
    effect: Effect | None = None
    session: WireCacheSession | None = None
    """Its calls to the response cache, if there is one."""

    begun: str = ""
    """What its first request had of an answer, for the model to go on from."""


class AskedOptions:
    """The options of calls, remembered by the bytes that they stand in: an agent sends the same tools with every step.

    Args:
        remembered: Most options that are kept.
    """

    def __init__(self, remembered: int = 512) -> None:
        self.remembered = remembered
        self._known: OrderedDict[tuple[Any, ...], CallOptions] = OrderedDict()

    def of(self, request: WireRequest) -> CallOptions:
        """Return the options of a request."""
        # Python's keyed hash of the tools' bytes: 64 kB are hashed with every step.
        key = (request.protocol.name, request.max_tokens, *(hash(request.raw(name)) for name in _OPTIONS))
        found = self._known.get(key)
        if found is None:
            found = call_options(request.tools, _choice(request.tool_choice), request.response_schema, request.max_tokens)
            self._known[key] = found
            if len(self._known) > self.remembered:
                self._known.popitem(last=False)
        return found


def _choice(given: Any) -> Any:
    """Return a tool choice, in one form for what demands nothing."""
    kind = given.get("type") if isinstance(given, Mapping) else given
    return None if kind in (None, "auto", "none") else given


def metadata_of(request: WireRequest, caller: Caller) -> dict[str, Any]:
    """Return the metadata of a call: its conversation, agent, task and labels, as policies, budgets and ledgers read them.

    Args:
        request: The request.
        caller: Whose it is.
    """
    thread, parent = request.thread, request.parent_thread
    session = thread if parent is None else parent.partition("/")[0]
    if caller.name is not None:
        # What is spent in a conversation, and what a policy knows of it, is no business of another client that uses its id.
        thread = thread_record_key(caller.name, thread)
    found: dict[str, Any] = {"thread_id": thread, "langroute_task": session, "langroute_protocol": request.protocol.name}
    if parent is not None:
        found["lc_agent_name"] = "sub-agent"
        found["checkpoint_ns"] = "agent|sub-agent"
    if (side := request.side_call) is not None:
        found["langroute_step_kind"] = side
    for name, key in LABEL_HEADERS.items():
        if value := request.headers.get(name):
            found[key] = one_line(value)[:MAX_LABEL]
    found.update(caller.metadata)
    return found


_FEEDBACK = ImplicitFeedback()


class WireStep:
    """Answers one request of a client.

    Args:
        serving: The configuration that holds for it.
        request: The request.
        caller: Whose it is.
        upstreams: The connections to providers.
        resends: Steps that wait for their resend.
        asked: Remembers the options of calls.
        threads: What is remembered of conversations.
        tell: Records what a person's message says of the answer before it.
    """

    def __init__(
        self,
        serving: Serving,
        request: WireRequest,
        caller: Caller,
        upstreams: Upstreams,
        resends: Resends,
        asked: AskedOptions,
        threads: ThreadRecords,
        tell: Callable[[Outcome], None],
    ) -> None:
        self.serving, self.request, self.caller, self.upstreams, self.resends = serving, request, caller, upstreams, resends
        self.asked, self.threads, self.tell = asked, threads, tell
        self.record = ThreadRecord()
        self.host: WireHost | None = None

    @property
    def complete(self) -> bool:
        """Whether the client has, or is being sent, a whole answer: leaving now breaks nothing off."""
        return self.host is not None and self.host.complete

    def opened(self, host: WireHost) -> OpenStep:
        """Return the step of the request: a new one, or the one that it sends again.

        Args:
            host: Calls the routes.

        Raises:
            InputError: The request holds no message.
            LangrouteError: No route may take it.
        """
        waiting = self.resends.take(self._key(), self.request.given_answer) if len(self.resends) else None
        if waiting is not None:
            return waiting
        wanted = self.serving.wanted(self.request.model, self.request.protocol.name)
        router = self.serving.router(self.request.protocol.name, wanted.policy)
        messages = self.request.messages()
        if not messages:
            raise InputError("There is no message to answer.")
        metadata = metadata_of(self.request, self.caller)
        if (
            "langroute_step_kind" not in metadata
            and (said := _FEEDBACK.heard(messages, metadata["langroute_task"], time())) is not None
        ):
            self.tell(said)
        run = Run(metadata, limits=wanted.limits, budget=self.caller.budget)
        request: Request = router.request(self.record.marked(messages), self.asked.of(self.request), run)
        plan = router.plan(request, run)
        if self.serving.caching is None:
            return OpenStep(plan, router)
        session = WireCacheSession(self.serving.caching, host, self.caller, request, router)
        return OpenStep(CachedWireHost(session).keeping(plan), router, session=session)

    def _key(self) -> str:
        return f"{self.caller.name or ''}\0{self.request.protocol.name}\0{self.request.resend_key}"

    async def answer(self, outlet: Outlet, query: str = "") -> StepResult | None:
        """Answer the client; return the result of the step, or `None` where it broke.

        Raises:
            ClientLeftError: The client has left; what was heard is booked.
        """
        key = thread_record_key(self.caller.name, self.request.thread)
        try:
            # Nothing of a history is known to us before its first answer.
            begun = any(isinstance(message, AIMessage) for message in self.request.messages())
            self.record = await self.threads.of(key, begun=begun)
            routes = self.serving.routes[self.request.protocol.name].wire
            host = WireHost(
                self.request, routes, self.upstreams, outlet, query=query, told=_told, limits=self.serving.limits,
                keeps_broken=self.resends.seconds > 0, foreign=self.record.foreign_to,
            )  # fmt: skip
            step = self.opened(host)
        except Exception as error:  # noqa: BLE001 - the client is told, whatever it is
            await self.refuse(outlet, error)
            return None
        self.host = host
        try:
            result = await drive_wire(step.plan, host if step.session is None else step.session.go_on(host), step.effect)
        except BrokenStepError as broken:
            given = self.request.given_answer
            first = given.text if step.effect is None else step.begun
            self.resends.put(self._key(), OpenStep(broken.plan, step.router, session=step.session, begun=first), broken, given)
            self._remember_broken(key, host)
            await self.broke(outlet, broken.reply.error)
            return None
        if result.error is not None:
            if outlet.sent:
                await self.broke(outlet, result.error)
            else:
                await self.refuse(outlet, result.error, {"x-langroute-decision": result.decision.id})
            return result
        self._remember(key, result, host)
        await host.deliver(result)
        return result

    def _remember(self, key: str, result: StepResult, host: WireHost) -> None:
        answer, route = result.output, result.decision.route
        if self.request.side_call is not None or not isinstance(answer, WireAnswer) or route is None or route not in host.routes:
            return
        written = () if answer.reader is None else answer.reader.reasoning
        self.record.note(self.request.messages(), result.decision, host.routes[route].model.model, written)
        self.threads.keep(key, self.record)

    def _remember_broken(self, key: str, host: WireHost) -> None:
        """Remember whose the signed thoughts of a broken answer are: a client may send them back with its resend, which goes elsewhere."""
        answer = host.answer
        if answer is not None and answer.reader is not None and answer.reader.reasoning and answer.route in host.routes:
            self.record.wrote(host.routes[answer.route].model.model, answer.reader.reasoning)
            self.threads.keep(key, self.record)

    async def broke(self, outlet: Outlet, error: BaseException | None) -> None:
        """End a stream of which a part was sent: by an error of the protocol, never tidily."""
        answer = self.host.answer if self.host is not None else None
        told = answer is not None and answer.reader is not None and answer.reader.error is not None
        if told or error is None:
            # The provider's own event has been passed on.
            await outlet.finish()
            return
        between = answer is None or answer.between_events
        event = refusal_of(error, self.request.protocol).event
        # Half an event must be ended first, or the client would read the error as a part of it.
        await outlet.finish(event if between else b"\n\n" + event)

    async def refuse(self, outlet: Outlet, error: BaseException, headers: Mapping[str, str] | None = None) -> None:
        """Tell the client why it gets no answer."""
        if isinstance(error, asyncio.CancelledError):
            raise error
        await send_refusal(outlet, refusal_of(error, self.request.protocol), headers)


async def send_refusal(outlet: Outlet, refusal: Refusal, headers: Mapping[str, str] | None = None) -> None:
    """Send an error: as a response, or as an event where a stream has begun."""
    if outlet.started:
        await outlet.finish(refusal.event)
        return
    told = {
        "content-type": "application/json",
        **dict(refusal.headers),
        **(headers or {}),
        "content-length": str(len(refusal.body)),
    }
    await outlet.begin(refusal.status, told)
    await outlet.finish(refusal.body)


def _told(call: RouteCall) -> dict[str, str]:
    """Return the response headers that tell of a decision."""
    reason = one_line(call.selection.reason)[:300].encode("ascii", "replace").decode("ascii")
    return {"x-langroute-decision": call.decision_id, "x-langroute-route": call.route.name, "x-langroute-reason": reason}


__all__ = ["AskedOptions", "OpenStep", "WireStep", "metadata_of", "send_refusal"]
