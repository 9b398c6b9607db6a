"""Can another route, or another try, help after this error?

Told by types, status codes and error codes; words of a message are looked at only for context overflow, which providers report in
no other way. LangChain's typed `ModelError`s are understood where the installed version has them.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from collections.abc import Mapping
from typing import Any

from langroute.records import Failure

_PASSING = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)

_BY_STATUS = {
    400: Failure("bad_request", retry_elsewhere=False),
    401: Failure("auth", cool_down=True),
    402: Failure("quota", cool_down=True),
    403: Failure("auth", cool_down=True),
    404: Failure("unsupported"),
    408: Failure("timeout", retry_same=True),
    409: Failure("server_error", retry_same=True),
    413: Failure("context_overflow"),
    422: Failure("bad_request", retry_elsewhere=False),
    429: Failure("rate_limited", retry_same=True, cool_down=True),
    503: Failure("overloaded", retry_same=True, cool_down=True),
    529: Failure("overloaded", retry_same=True, cool_down=True),
}

_OVERFLOW_CODES = {"context_length_exceeded", "string_above_max_length", "context_window_exceeded"}
_OVERFLOW_WORDS = (
    "prompt is too long",
    "maximum context length",
    "context_length_exceeded",
    "exceeds the context window",
    "exceed context limit",
    "exceeds the available context size",
    "input token count exceeds",
    "exceeds the maximum number of tokens",
    "too many input tokens",
)
_TIMEOUTS = ("Timeout", "TimeoutError", "APITimeoutError", "TimeoutException", "ReadTimeout", "ConnectTimeout", "PoolTimeout")
_CONNECTIONS = (
    "APIConnectionError",
    "ConnectError",
    "ConnectionError",
    "NetworkError",
    "ReadError",
    "WriteError",
    "TransportError",
)
_BROKEN = (
    "AnswerCutOffError",
    "RemoteProtocolError",
    "IncompleteRead",
    "ChunkedEncodingError",
    "StreamError",
    "APIResponseValidationError",
)
_BY_CODE = {
    "overloaded_error": 529,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "timeout_error": 408,
    "api_error": 500,
    "server_error": 500,
}
"""What an error event in the middle of a stream says, which has no status of its own → the status it would have had."""

_TYPED = {
    "ModelAuthenticationError": 401,
    "ModelPermissionDeniedError": 403,
    "ModelNotFoundError": 404,
    "ModelRateLimitError": 429,
    "ModelTimeoutError": 408,
    "ModelAPIError": 500,
    "ModelInvalidRequestError": 400,
}
"""LangChain's own kinds of errors → the status they stand for."""

_ELSEWHERE = ("unsupported_parameter", "unsupported_value", "model_not_found", "unsupported_country_region_territory")
"""What is wrong with a request for this one model only."""

_PARSING = ("OutputParserException", "ValidationError", "LengthFinishReasonError", "StructuredOutputError")


def passes_through(error: BaseException) -> bool:
    """The error is no failure of a model: a cancellation, the user's interrupt, or LangGraph bubbling up.

    Example:
        >>> passes_through(KeyboardInterrupt()), passes_through(ValueError())
        (True, False)
    """
    if isinstance(error, _PASSING) or not isinstance(error, Exception):
        return True
    return any(base.__name__ == "GraphBubbleUp" for base in type(error).__mro__)


def classify(error: BaseException) -> Failure:
    """What an error means for what to do next.

    Example:
        >>> classify(TimeoutError()).kind, classify(TypeError("bug")).retry_same
        ('timeout', False)
    """
    names = {base.__name__ for base in type(error).__mro__}
    if "RaceLostError" in names:
        return Failure("given_up")
    if _overflows(error, names):
        return Failure("context_overflow")
    wait = retry_after(error)
    status = _status(error)
    if status is None:
        status = next((code for name, code in _TYPED.items() if name in names), None)
    if status is None and "APIError" in names and not names & {*_TIMEOUTS, *_CONNECTIONS}:
        status = _BY_CODE.get(str(_body(error).get("type")), _BY_CODE.get(str(_body(error).get("code"))))
    if status is not None:
        return _by_status(error, status, wait)
    if "ModelRefusalError" in names:
        return Failure("content_filter")
    if "ModelConnectionError" in names:
        return Failure("connection", retry_same=True, cool_down=True)
    if names & set(_TIMEOUTS):
        return Failure("timeout", retry_same=True, retry_after_s=wait)
    if names & set(_BROKEN) or isinstance(error, json.JSONDecodeError):
        return Failure("broken_stream", retry_same=True)
    if names & set(_CONNECTIONS):
        return Failure("connection", retry_same=True, cool_down=True)
    if names & set(_PARSING):
        return Failure("parsing", retry_same=False)
    retryable = getattr(error, "is_retryable", None)
    if isinstance(retryable, bool) and "ModelError" in names:
        return Failure(
            "server_error" if retryable else "bad_request", retry_same=retryable, retry_elsewhere=retryable, retry_after_s=wait
        )
    if "APIError" in names:
        # An error event in the middle of a stream has no status of its own.
        return Failure("server_error", retry_same=True)
    return Failure("unknown")


def _by_status(error: BaseException, status: int, wait: float | None) -> Failure:
    body = _body(error)
    code = str(body.get("code") or body.get("type") or "")
    if code in ("insufficient_quota", "billing_error"):
        return Failure("quota", cool_down=True)
    if code in ("content_filter", "content_policy_violation"):
        return Failure("content_filter")
    if code in _ELSEWHERE:
        return Failure("unsupported")
    found = _BY_STATUS.get(status)
    if found is None:
        found = Failure("server_error", retry_same=True) if status >= 500 else Failure("bad_request", retry_elsewhere=False)
    return found if wait is None else Failure(found.kind, found.retry_same, found.retry_elsewhere, found.cool_down, wait)


def _overflows(error: BaseException, names: set[str]) -> bool:
    if "ContextOverflowError" in names:
        return True
    if str(_body(error).get("code") or getattr(error, "code", "")) in _OVERFLOW_CODES:
        return True
    # Only a refused request can overflow; a message about something else may quote these words.
    if _status(error) in (400, 413, 422) or (_status(error) is None and "APIError" in names):
        text = str(error).lower()
        return any(words in text for words in _OVERFLOW_WORDS)
    return False


def _status(error: BaseException) -> int | None:
    cause = error.__cause__ if isinstance(getattr(error.__cause__, "code", None), int) else None
    for source in (error, getattr(error, "response", None), cause):
        for name in ("status_code", "http_status", "code", "status"):
            value = getattr(source, name, None)
            if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
                return int(value)
    return None


def _body(error: BaseException) -> Mapping[str, Any]:
    body = getattr(error, "body", None)
    if isinstance(body, Mapping):
        inner = body.get("error")
        return inner if isinstance(inner, Mapping) else body
    return {}


def retry_after(error: BaseException) -> float | None:
    """Seconds the provider asked to wait, from `retry-after-ms` or `Retry-After` (seconds or a date)."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    if headers is None:
        cause = error.__cause__
        # Some integrations raise an error of their own from the SDK's.
        return retry_after(cause) if cause is not None and hasattr(cause, "response") else None
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(milliseconds) / 1000)
    except ValueError:
        pass
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
