"""The response cache of a gateway: a request that asks the same in the same protocol is sent the very bytes of the stored answer.

What may be looked up and stored is judged by the library's rules, on what is read from the bytes, each time that they are sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Container, Mapping
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from time import time
from typing import Any, cast

from langroute.cache.entries import CacheEntry
from langroute.cache.keys import HEADER_NOISE, UnkeyableError, canonical
from langroute.cache.namespaces import CALL_KEY, NoNamespaceError
from langroute.cache.requests import CacheRequest, Hit, Lookup
from langroute.cache.response import MAX_AGE_KEY, MODE_KEY, ResponseCache
from langroute.core.records import Attempt, Request, Stored
from langroute.engine.effects import Reply, RouteCall
from langroute.engine.router import Router
from langroute.gateway.answer import WireAnswer
from langroute.gateway.clients import Caller
from langroute.gateway.outlet import STREAM_HEADERS
from langroute.gateway.wire_host import WireHost, WireRoute
from langroute.hosts.cache_session import CacheSession
from langroute.hosts.cached_call import CachedCall
from langroute.hosts.caching_host import CachingHost
from langroute.providers.ends import finish_reason
from langroute.providers.registry import profile_of
from langroute.wire.answer_key import answer_digest, incomparable
from langroute.wire.answers import MAX_CALLS
from langroute.wire.headers import forward_headers
from langroute.wire.request import WireRequest
from langroute.wire.sessions import SESSION_HEADERS

CACHE_HEADER, AGE_HEADER = "x-langroute-cache", "x-langroute-cache-max-age"
"""Headers of a request by which a client has a say: `off`, `no_store` or `refresh`; the oldest answer in seconds. Of an answer the
first says `hit`, `miss` or `bypass`."""

_NOISE = HEADER_NOISE | {
    *SESSION_HEADERS, "accept", "accept-language", "content-type", "originator", "priority", "version", "x-app", "x-openai-subagent", "x-title",
}  # fmt: skip
_NOISY = ("x-stainless-", "x-claude-code-", "x-codex-", "x-session-")
_SECONDS = re.compile(r"[0-9]{1,9}")


class WireCaching:
    """The response cache of one configuration, and the requests that calls are to it.

    Args:
        cache: The cache.
        share: With whom a client shares answers; see `langroute.engine.cache_config.SHARES`.
    """

    def __init__(self, cache: ResponseCache, share: str = "user") -> None:
        self.cache, self.share = cache, share

    def request(self, session: WireCacheSession, call: RouteCall) -> CacheRequest:
        """Return the request that a call is to the cache.

        Raises:
            UnkeyableError: Its answer cannot be that of another request.
            NoNamespaceError: Answers are shared by teams, and the client has none.
        """
        wire, step, info = session.host.request, session.request, call.route.info
        if (why := incomparable(wire)) is not None:
            raise UnkeyableError(why)
        foreign = sorted(session.host.foreign(session.host.routes[info.name].model.model))
        return CacheRequest(
            messages=(),
            kind=step.step.kind,
            route=info.name,
            tier=info.tier,
            model_digest=_model_digest(session.host.routes[info.name]),
            parts=(b"wire", session.digest, canonical(foreign) if foreign else b""),
            settings={"temperature": wire.value("temperature"), "n": wire.value("n")},
            model=call.route.model,
            metadata={**step.metadata, **_wishes(wire), CALL_KEY: self._tenant(session.caller)},
            eligible=partial(_eligible, session.host.routes, step.route_names),
            decision_id=call.decision_id,
            task=step.step.task,
            tools_bound=wire.has_tools,
            may_be_silent=not profile_of(info.provider).always_gives_reason,
        )

    def _tenant(self, caller: Caller) -> dict[str, str]:
        """Return the namespace in which a caller's answers are."""
        if self.share == "everyone":
            return {}
        if self.share == "team":
            if not caller.team:
                raise NoNamespaceError("no team")
            return {"team": caller.team}
        named = {"user": caller.user, "team": caller.team}
        # Whoever calls without a name: the machine's own user, or anybody where no token is asked for.
        return {name: value for name, value in named.items() if value} or {"caller": "unnamed"}


def _wishes(wire: WireRequest) -> dict[str, Any]:
    """Return what a client's headers say of the cache."""
    found: dict[str, Any] = {}
    if said := wire.headers.get(CACHE_HEADER):
        found[MODE_KEY] = said.strip().lower()
    if said := wire.headers.get(AGE_HEADER):
        found[MAX_AGE_KEY] = float(said) if _SECONDS.fullmatch(said) else "no number"
    return found


def _model_digest(route: WireRoute) -> bytes:
    """Return a digest of all of a route that can change an answer, or how a request is changed for it."""
    model = route.model
    facts = [model.model, model.provider, model.host, model.max_output, route.target.url, route.speaks.name]
    return blake2b(canonical(facts), digest_size=16).digest()


def _eligible(routes: Mapping[str, WireRoute], names: Container[str], name: str) -> bytes | None:
    return _model_digest(routes[name]) if name in names and name in routes else None


class WireCacheSession(CacheSession):
    """The calls of one step of a client, and what becomes of each.

    Args:
        caching: The cache.
        host: Calls the routes.
        caller: Whose step it is.
        request: The step.
        router: The router.
    """

    host: WireHost

    def __init__(self, caching: WireCaching, host: WireHost, caller: Caller, request: Request, router: Router) -> None:
        super().__init__(cast("Any", caching), host, request, router, races=False)
        self.caller = caller
        self._digest: bytes | None = None

    def go_on(self, host: WireHost) -> CachedWireHost:
        """Return the host of the step for a request of its client: the first one, or a resend after a stream that broke."""
        self.host, self._digest = host, None
        return CachedWireHost(self)

    @property
    def digest(self) -> bytes:
        """Digest of all that the client sent and that can change its answer."""
        if self._digest is None:
            self._digest = _digest_of(self.host)
        return self._digest

    def fail(self, cached: CachedCall) -> None:
        """End a look-up without an answer, so that calls that wait for it may try. A store is not waited for."""
        cached.pending, lookup = False, cached.lookup
        if lookup is None:
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.cache.fail(lookup)
            return
        if lookup.owner is None:
            self.cache.fail(lookup)
        else:
            self.cache.later(self.cache.afail(lookup))

    # Answers -----------------------------------------------------------------------------------------------------------

    def replayed(self, cached: CachedCall, hit: Hit) -> Reply | None:
        """Return the reply of a stored answer; `None` where its bytes may not be sent."""
        lookup, entry, call = cast("Lookup", cached.lookup), hit.entry, cached.call
        answer = self._read(call, entry.route, dict(entry.wire))
        why = "a stored answer is of another form" if answer is None else self._unfit(lookup, answer)
        if answer is None or why is not None:
            self.cache.refuse(lookup, hit)
            self.cache.note("refused", f"a stored answer may not be given: {why}")
            return None
        told = {} if self.host.told is None else dict(self.host.told(call))
        form = STREAM_HEADERS if answer.streams else {"content-type": "application/json"}
        age = {"age": str(max(0, int(time() - entry.created)))}
        answer.headers = {**form, **told, "x-langroute-route": entry.route, CACHE_HEADER: "hit", **age}
        message = answer.message()
        # The tokens that it tells are those of the call that it repeats.
        message.response_metadata.pop("usage", None)
        message.usage_metadata = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        self.said(cached, Stored(entry.route, entry.usage, entry.cost_usd, entry.score), hit.how, entry.key, message)
        self.host.answer = answer
        return Reply(message, output=answer)

    def kept(self, cached: CachedCall, message: Any, attempt: Attempt, parsed: Any) -> CacheEntry | None:
        """Return the entry to store of an answer, with its bytes; `None` where it may not be stored."""
        lookup, sent = cast("Lookup", cached.lookup), cached.reply.output if cached.reply is not None else None
        if not isinstance(sent, WireAnswer) or (body := sent.kept) is None:
            self.cache.note("not_stored", "it is too large")
            return None
        try:
            text = body.decode()
        except UnicodeDecodeError:
            self.cache.note("not_stored", "it is no text")
            return None
        wire = {"protocol": self.host.protocol.name, "form": "stream" if sent.streams else "plain", "body": text}
        answer = self._read(cached.call, sent.route, wire)
        if answer is None or (why := self._unfit(lookup, answer)) is not None:
            self.cache.note("not_stored", "it has another form than was asked for" if answer is None else str(why))
            return None
        end = finish_reason(message.response_metadata)
        entry = self.cache.entry(
            lookup, message, finish_reason=end, usage=attempt.usage, cost_usd=attempt.cost_usd, score=attempt.score
        )
        return None if entry is None else replace(entry, wire=wire)

    def _read(self, call: RouteCall, route: str, wire: Mapping[str, str]) -> WireAnswer | None:
        """Return an answer as its client reads it from the bytes; `None` where they are not what this client asks for."""
        asked, body = self.host.request, wire.get("body")
        if body is None or wire.get("protocol") != asked.protocol.name or (wire.get("form") == "stream") is not asked.stream:
            return None
        answer = WireAnswer(route, (), call.request.step.signals.tokens)
        answer.streams = asked.stream
        answer.reader = asked.protocol.answer_reader(stream=asked.stream, provider=call.route.info.provider)
        answer.held = [answer.take(body.encode("utf-8", "replace"))]
        answer.end()
        return answer

    def _unfit(self, lookup: Lookup, answer: WireAnswer) -> str | None:
        """Return why an answer's bytes may not be sent again; `None` if they may."""
        reader, message = answer.reader, answer.message()
        assert reader is not None  # noqa: S101 - set where it was read
        if reader.error is not None or not reader.complete:
            return "it is not whole"
        if reader.refused:
            return "it is a refusal"
        if reader.blocks:
            return f"it has a part of the kind {str(reader.blocks[0]['type'])[:40]}"
        if len(reader.calls) >= MAX_CALLS:
            return "it calls too many tools"
        end = finish_reason(message.response_metadata)
        return self.cache.policy.rejects(message, end, may_be_silent=lookup.ask.may_be_silent)


def _digest_of(host: WireHost) -> bytes:
    """Return a digest of all that a client sent and that can change its answer."""
    request = host.request
    headers = {
        name: value
        for name, value in forward_headers(request.headers, {}).items()
        if name not in _NOISE and not name.startswith(_NOISY)
    }
    sent = canonical([host.query, headers, request.stream])
    return blake2b(sent + answer_digest(request), digest_size=16).digest()


class CachedWireHost(CachingHost):
    """A `WireHost` whose calls may be answered from the cache.

    Args:
        session: The step.
    """

    session: WireCacheSession

    def __init__(self, session: WireCacheSession) -> None:
        super().__init__(session)

    @property
    def keeps_broken(self) -> bool:
        """Whether a step whose stream broke waits for the client's resend."""
        return self.session.host.keeps_broken

    def failed(self, call: RouteCall, error: Exception) -> Reply:
        """Return the reply for an error of a call."""
        return self.session.host.failed(call, error)

    async def acall(self, call: RouteCall) -> Reply:
        """Answer from the cache, or make the call."""
        session, host = self.session, self.session.host
        cached = session.open(call)
        host.marks = {CACHE_HEADER: (cached.status or "").partition(":")[0]}
        if cached.lookup is None:
            host.most_kept = 0
            return await host.acall(call)
        host.most_kept = self.cache.policy.max_bytes
        try:
            hit = await self.cache.arecall(cached.lookup)
            if hit is not None and (reply := session.replayed(cached, hit)) is not None:
                return reply
            return await host.acall(call)
        except BaseException:
            session.fail(cached)
            raise


__all__ = ["AGE_HEADER", "CACHE_HEADER", "CachedWireHost", "WireCacheSession", "WireCaching"]
