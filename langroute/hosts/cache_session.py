"""`CacheSession`: the calls of one step that may be answered from the response cache, and what became of each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from langroute.cache.entries import CacheEntry
from langroute.cache.replay import Heard, Replay, is_message, listened_to
from langroute.cache.requests import Lookup
from langroute.core.records import Attempt, Request, Stored
from langroute.engine.effects import Reply, RouteCall
from langroute.engine.release import may_be_rejected
from langroute.engine.router import Router
from langroute.engine.step_execution import StepResult
from langroute.hosts.cached_call import CachedCall
from langroute.hosts.cached_replay import ReplayHost
from langroute.hosts.calling import ModelHost, Models
from langroute.hosts.structured import StructuredHost
from langroute.providers.ends import finish_reason
from langroute.providers.usage import usage_of
from langroute.routes.route import BuiltRoute

if TYPE_CHECKING:
    # It makes the sessions.
    from langroute.hosts.response_caching import ResponseCaching


class CacheSession:
    """State of one step between a router's plan and its response cache. It makes no calls of models.

    Args:
        caching: The router's response cache.
        host: The host that calls the models.
        request: The step.
        router: The router that the call was given to.
        races: Whether several of the host's calls may run at once.
    """

    heard: Heard | None = None
    """Records what an agent's model is sent in the end."""

    served: Any = None
    """The latest message, where it came from the cache."""

    twin: Any = None
    """Host that replays the latest answer for listeners."""

    first: Lookup | None = None
    result: StepResult | None = None
    over = False
    """Whether the plan has ended."""

    def __init__(self, caching: ResponseCaching, host: Any, request: Request, router: Router, *, races: bool) -> None:
        self.caching, self.cache, self.host, self.request, self.router = caching, caching.cache, host, request, router
        self.streams = getattr(host, "streams", "messages")
        self.races = races
        self.given = getattr(host, "config", None) or {}
        """The host's config as it was given."""

        self.calls: dict[int, CachedCall] = {}
        """Calls by their index."""

        self._keys: set[str] = set()
        """Keys that were looked up in this step."""

    @property
    def pending(self) -> list[CachedCall]:
        """The calls whose look-ups have not ended."""
        return [call for call in list(self.calls.values()) if call.pending]

    # Opening -----------------------------------------------------------------------------------------------------------

    def open(self, call: RouteCall) -> CachedCall:
        """Return the record of a new call, with its look-up unless the cache is bypassed."""
        if self._keys:
            self.served = self.twin = None
        cached = self._call(call)
        lookup = self._looked_up(cached)
        if lookup is not None:
            if self.first is None:
                self.first = lookup
            else:
                self._take_over(lookup)
            self._keys.add(lookup.key)
            cached.missed(lookup)
        return cached

    def _call(self, call: RouteCall) -> CachedCall:
        """Return the record of a call; a race may be over before the thread of a lost call begins."""
        found = self.calls.get(call.index)
        return self.calls.setdefault(call.index, CachedCall(call)) if found is None else found

    def _looked_up(self, cached: CachedCall) -> Lookup | None:
        if cached.call.route.name not in self.router.routes:
            # The closing text of a used-up budget is no model's answer.
            cached.bypassed("no route was called")
            return None
        try:
            lookup = self.cache.open(self.caching.request(self, cached.call))
        except Exception as error:  # noqa: BLE001 - what is bound or set for a call may be any object, and an object may raise anything
            lookup = self.cache.bypass(error)
        if isinstance(lookup, str):
            cached.bypassed(lookup)
            return None
        return lookup

    def _take_over(self, lookup: Lookup) -> None:
        """Take over the flight of an earlier look-up of the same request in the step, and do not read the stored answer again."""
        if lookup.key in self._keys:
            lookup.may_read = False
        for earlier in self.pending:
            other = cast("Lookup", earlier.lookup)
            if other.key == lookup.key:
                lookup.flight, lookup.owner, other.flight, other.owner = other.flight, other.owner, None, None
            elif earlier.reply is not None and earlier.reply.error is not None:
                # Another route is tried; calls that wait for this one may try it themselves.
                self.fail(earlier)

    # What became of a call ---------------------------------------------------------------------------------------------

    def fail(self, cached: CachedCall) -> None:
        """End a look-up without an answer, so that calls that wait for it may try."""
        cached.pending = False
        if cached.lookup is not None:
            self.cache.fail(cached.lookup)

    def failed(self, cached: CachedCall) -> None:
        """End a failed call at once while another one races it, because two plans could wait for each other's failed calls."""
        if cached.running and not cached.handed_over and sum(one.running for one in list(self.calls.values())) > 1:
            self.fail(cached)

    def ended(self, cached: CachedCall) -> None:
        """End a call that the plan went on or ended without, so that those who wait for its answer are told."""
        cached.running = False
        if not cached.handed_over and (cached.lost or (self.over and cached.reply is None)):
            self.fail(cached)

    def replied(self, call: RouteCall, reply: Reply) -> None:
        """Note the reply that the plan gets for a call, and which calls lost against it."""
        for other, _ in reply.also:
            lost = self._call(other)
            was_pending, lost.lost, lost.pending = lost.pending, True, False
            # One that is still running ends its look-up itself.
            if was_pending and not lost.running:
                self.fail(lost)
        answered = call if reply.call is None else reply.call
        self._call(answered).replied(reply, call.index + len(reply.also))

    def late(self, cached: CachedCall, reply: Reply) -> None:
        """Store the late answer of a call that was given up: it is paid for, and others may wait for it."""
        call, lookup = cached.call, cast("Lookup", cached.lookup)
        attempt = self.router.accounts.attempt(call.route, call.selection, reply, call.request)
        if not self.races or attempt.error is not None or may_be_rejected(call.selection) or not is_message(attempt.answer):
            self.cache.fail(lookup)
        else:
            self.cache.keep(lookup, self.entry_of(lookup, attempt))

    def entry_of(self, lookup: Lookup, attempt: Attempt) -> CacheEntry | None:
        """Return the entry to store of a call that ended after the plan went on or ended; `None` where nothing may be stored."""
        message = attempt.answer
        if not is_message(message):
            return None
        try:
            return self.cache.entry(
                lookup, message, finish_reason=attempt.finish_reason, usage=attempt.usage, cost_usd=attempt.cost_usd
            )
        except Exception as error:  # noqa: BLE001 - an answer may hold any object
            self.cache.note("not_stored", f"what is to be kept of it could not be told: {type(error).__name__}")
            return None

    def kept(self, cached: CachedCall, message: Any, attempt: Attempt, parsed: Any) -> CacheEntry | None:
        """Return the entry to store of the accepted answer; `None` where nothing may be stored.

        Args:
            cached: Its call.
            message: The answer.
            attempt: Its record.
            parsed: Its structured output, as JSON.
        """
        sent = None
        if not isinstance(self.host, ModelHost):
            sent = self.heard.digest() if self.heard is not None else None
            if sent is None:
                return None
        return self.cache.entry(
            cast("Lookup", cached.lookup),
            message,
            sent=sent,
            finish_reason=finish_reason(message.response_metadata),
            usage=usage_of(message),
            cost_usd=attempt.cost_usd,
            score=attempt.score,
            parsed=parsed,
        )

    def said(self, cached: CachedCall, stored: Stored, how: str, key: str, message: Any = None) -> None:
        """Note that a call was answered without a model."""
        cached.answered(stored, how, key)
        self.served = message

    def end(self, result: StepResult) -> None:
        """Note the result of the plan."""
        self.result, self.over = result, True

    def abandon(self) -> None:
        """End all look-ups of a plan that was cancelled or failed."""
        self.over = True
        for cached in self.pending:
            self.fail(cached)

    # Listeners ---------------------------------------------------------------------------------------------------------

    @property
    def is_heard(self) -> bool:
        """Whether there are listeners for runs of the step's calls."""
        return bool(self.host.own) or listened_to(self.host.config)

    def listener(self, call: RouteCall, route: BuiltRoute, replay: Replay) -> tuple[Any, RouteCall]:
        """Return a host of the same kind whose model replays an answer, and the call for that model."""
        host = self.host
        kind = ModelHost if isinstance(host, StructuredHost) else type(host)
        self.twin = kind(cast("Models", ReplayHost(self.caching.models, replay)), host.config, {}, None, host.own, None)
        return self.twin, replace(call, route=route)

    def record_messages(self) -> None:
        """Record what the model is sent in the end, since inner middleware of an agent may still change it."""
        self.heard = Heard(self.cache.keys)
        self.host.config = self.heard.under(self.given)
