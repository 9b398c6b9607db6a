"""What a client is told when it gets no answer: the provider's own error as it came, or one of ours in the client's protocol."""

from __future__ import annotations

from typing import Any

from langroute.core.errors import (
    BudgetExceededError,
    BudgetStoreError,
    InputError,
    NoEligibleRouteError,
    RouteFailedError,
    RouteTimeoutError,
    UnknownRouteError,
)
from langroute.core.fast_dataclass import fast_dataclass
from langroute.engine.route_failure import PromptTooLongError
from langroute.gateway.upstream import UpstreamError
from langroute.gateway.wire_host import UntranslatableError
from langroute.providers.failures import classify, retry_after
from langroute.wire.protocol import WireProtocol
from langroute.wire.protocols import PROTOCOLS
from langroute.wire.translation import translated_error


@fast_dataclass
class Refusal:
    """Status, headers and body of an error, and the event that stands for it in a stream that has begun."""

    status: int
    body: bytes
    event: bytes
    headers: tuple[tuple[str, str], ...] = ()


def refusal_of(error: BaseException, protocol: WireProtocol) -> Refusal:
    """Return what a client is told of an error.

    Args:
        error: The error of the step, or of the request.
        protocol: The client's protocol.
    """
    if isinstance(error, RouteFailedError):
        error = _telling(error)
    if isinstance(error, UpstreamError) and error.status_code is not None and not error.in_stream:
        return _passed_on(error, protocol)
    status, kind, message = _told(error)
    headers: tuple[tuple[str, str], ...] = ()
    if (wait := retry_after(error)) is not None and status in (429, 503, 529):
        headers = (("retry-after", f"{wait:g}"),)
    if kind == "budget_exceeded":
        status, body = protocol.budget_exceeded(message)
    else:
        body = protocol.error_body(status, kind, message)
    return Refusal(status, body, protocol.error_event(kind, message, status), headers)


def _telling(error: RouteFailedError) -> BaseException:
    """Return the failure of several that helps a client most: one that it recovers from, else the last that a provider told."""
    errors = [failure for _, failure in error.failures]
    for one in errors:
        if classify(one).kind == "context_overflow":
            # Agents compact their history and go on.
            return one
    told = [one for one in errors if isinstance(one, UpstreamError)]
    waiting = [one for one in told if classify(one).retry_same]
    return (waiting or told or errors or [error])[-1]


_KEPT = ("retry-after", "retry-after-ms", "x-should-retry", "request-id", "x-request-id")
"""Headers of an error that mean the same in every protocol: the clients' packages of OpenAI and of Anthropic read each of them."""


def _passed_on(error: UpstreamError, protocol: WireProtocol) -> Refusal:
    """Return a provider's error as it came, or in the client's protocol where the provider speaks another one."""
    status = error.status_code or 502
    headers = protocol.answer_headers(error.headers)
    kind, message = _said(error)
    event = protocol.error_event(kind, message, status)
    if error.protocol in (None, protocol.name):
        return Refusal(status, error.raw, event, tuple(headers.items()))
    body = translated_error(status, error.raw, protocol, PROTOCOLS[error.protocol], error.provider)
    kept = tuple((name, headers[name]) for name in _KEPT if name in headers)
    return Refusal(status, body, event, kept)


def _said(error: UpstreamError) -> tuple[str, str]:
    """Return a word for a provider's error, and its text."""
    said: Any = error.body if isinstance(error.body, dict) else {}
    inner = found if isinstance(found := said.get("error"), dict) else said
    return str(inner.get("code") or inner.get("type") or "upstream_error")[:100], str(inner.get("message") or error)[:2000]


_OWN: tuple[tuple[type[BaseException], int, str], ...] = (
    (BudgetExceededError, 400, "budget_exceeded"),
    (BudgetStoreError, 503, "budget_store_unavailable"),
    (UnknownRouteError, 404, "model_not_found"),
    (InputError, 400, "invalid_request_error"),
    (UntranslatableError, 400, "invalid_request_error"),
    (RouteTimeoutError, 504, "timeout"),
)
"""Class of an error of ours → status and kind."""

_BY_KIND = {
    "rate_limited": 429,
    "overloaded": 503,
    "timeout": 504,
    "connection": 502,
    "broken_stream": 502,
    "context_overflow": 400,
    "bad_request": 400,
    "content_filter": 400,
}
"""Kind of a provider's failure → status of our own error, where the provider's has none that can be sent on."""


def _told(error: BaseException) -> tuple[int, str, str]:
    """Return status, kind and text of an error of our own. What is not ours is not quoted: it may hold anything."""
    if isinstance(error, PromptTooLongError):
        return 400, "context_length_exceeded", "prompt is too long: it exceeds the maximum context length of every route."
    if isinstance(error, NoEligibleRouteError):
        return 400, "invalid_request_error", str(error)
    for kind, status, word in _OWN:
        if isinstance(error, kind):
            return status, word, str(error)
    if isinstance(error, UpstreamError):
        return error.status_code or _BY_KIND.get(classify(error).kind, 502), *_said(error)
    failure = classify(error).kind
    if failure == "unknown":
        return 500, "internal_error", "The gateway failed; its log says why."
    return _BY_KIND.get(failure, 502), failure, str(error)[:500]


__all__ = ["Refusal", "refusal_of"]
