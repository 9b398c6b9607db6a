"""Anthropic's `count_tokens`: asked of the route that would answer, else estimated. It is no step, and costs nothing."""

from __future__ import annotations

from collections.abc import Mapping

from langroute.core.errors import LangrouteError
from langroute.gateway.refusals import refusal_of
from langroute.gateway.serving_state import Serving
from langroute.gateway.upstream import UpstreamError, Upstreams, UpstreamTarget
from langroute.gateway.wire_host import sent_request
from langroute.wire.request import WireRequest

MOST_BYTES = 100_000
_UNKNOWN = frozenset({404, 405, 501})
"""Statuses of servers that do not count."""


async def counted_tokens(
    serving: Serving, request: WireRequest, upstreams: Upstreams, query: str
) -> tuple[int, bytes, Mapping[str, str]]:
    """Return status, body and headers of the answer to a request that counts tokens.

    Args:
        serving: The configuration.
        request: The request.
        upstreams: The connections.
        query: The client's query.
    """
    protocol = request.protocol
    routes = serving.routes.get(protocol.name)
    if routes is None:
        return 200, protocol.count_tokens(request), {}
    try:
        wanted = serving.wanted(request.model, protocol.name)
    except LangrouteError as error:
        refusal = refusal_of(error, protocol)
        return refusal.status, refusal.body, dict(refusal.headers)
    name = wanted.limits.route or serving.router(protocol.name, wanted.policy).default
    route = routes.wire[name]
    if route.speaks is not protocol:
        return 200, protocol.count_tokens(request), {}
    sent = sent_request(request, route)
    target = UpstreamTarget(f"{route.target.url}/count_tokens", route.target.credentials)
    try:
        async with upstreams.post(name, target, sent.body, sent.headers, query) as response:
            said = b""
            async for chunk in response:
                said += chunk
                if len(said) > MOST_BYTES:
                    break
            return 200, said[:MOST_BYTES], {"x-langroute-route": name}
    except UpstreamError as error:
        if error.status_code in _UNKNOWN:
            return 200, protocol.count_tokens(request), {}
        refusal = refusal_of(error, protocol)
        return refusal.status, refusal.body, dict(refusal.headers)
    except LangrouteError:
        return 200, protocol.count_tokens(request), {}


__all__ = ["counted_tokens"]
