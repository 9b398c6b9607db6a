"""Classification of provider errors by types, statuses and codes, not by words that may occur in any message."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from langroute.core.control_flow import passes_through
from langroute.core.errors import AnswerCutOffError, RaceLostError, RouteTimeoutError
from langroute.providers.failures import classify, retry_after


class StatusError(Exception):
    """An SDK's error as the SDKs shape them."""

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None, message: str = "") -> None:
        super().__init__(message)
        self.status_code = status
        self.body = body
        self.response = SimpleNamespace(headers=headers or {}, status_code=status)


class APIError(Exception):
    """An error event in the middle of a stream: a body, but no status."""

    def __init__(self, body: Any) -> None:
        super().__init__(str(body))
        self.body = body


@pytest.mark.parametrize(
    ("error", "kind", "same", "elsewhere", "cool"),
    [
        (StatusError(400), "bad_request", False, False, False),
        (StatusError(401), "auth", False, True, True),
        (StatusError(403), "auth", False, True, True),
        (StatusError(404), "model_unavailable", False, True, True),
        (StatusError(408), "timeout", True, True, False),
        (StatusError(413), "context_overflow", False, True, False),
        (StatusError(422), "bad_request", False, False, False),
        (StatusError(429), "rate_limited", True, True, True),
        (StatusError(429, {"error": {"code": "insufficient_quota"}}), "quota", False, True, True),
        (StatusError(500), "server_error", True, True, False),
        (StatusError(503), "overloaded", True, True, True),
        (StatusError(529), "overloaded", True, True, True),
        (StatusError(400, {"error": {"code": "context_length_exceeded"}}), "context_overflow", False, True, False),
        (StatusError(400, message="prompt is too long: 210000 tokens"), "context_overflow", False, True, False),
        (StatusError(400, {"error": {"code": "content_filter"}}), "content_filter", False, True, False),
        (StatusError(400, {"error": {"code": "unsupported_parameter"}}), "unsupported", False, True, False),
        (APIError({"type": "overloaded_error"}), "overloaded", True, True, True),
        (APIError({"error": {"type": "rate_limit_error"}}), "rate_limited", True, True, True),
        (APIError({"type": "server_error", "code": None}), "server_error", True, True, False),
        (APIError({"type": "invalid_request_error"}), "bad_request", False, False, False),
        (APIError({}), "server_error", True, True, False),
        (TimeoutError(), "timeout", True, True, False),
        (asyncio.TimeoutError(), "timeout", True, True, False),
        (RouteTimeoutError("a", 1.0, "answer"), "timeout", True, True, False),
        (AnswerCutOffError("a"), "broken_stream", True, True, False),
        (RaceLostError("a"), "given_up", False, True, False),
        (ConnectionResetError(), "connection", True, True, True),
        (ValueError("a bug"), "unknown", False, True, False),
    ],
    ids=lambda value: (
        f"{type(value).__name__}-{getattr(value, 'status_code', '')}" if isinstance(value, BaseException) else str(value)
    ),
)
def test_an_error_is_told_by_what_it_is(error: BaseException, kind: str, same: bool, elsewhere: bool, cool: bool) -> None:
    """One row for each kind."""
    failure = classify(error)

    assert (failure.kind, failure.retry_same, failure.retry_elsewhere, failure.cool_down) == (kind, same, elsewhere, cool)


def test_words_in_a_message_do_not_make_a_rate_limit() -> None:
    """A router that looked for "rate" cooled a model down for "failed to generate"."""
    assert classify(ValueError("failed to generate: rate of 429 exceeds maximum context length")).kind == "unknown"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds, a date, and nonsense."""
    assert retry_after(StatusError(429, headers=headers)) == seconds


def test_what_an_integration_raised_from_the_sdks_error_counts() -> None:
    """Google's package raises an error of its own, with the SDK's as its cause."""

    class GoogleError(Exception):
        pass

    inner = StatusError(429, headers={"retry-after": "2"})
    inner.code = 429  # type: ignore[attr-defined]
    try:
        raise GoogleError("Error calling model") from inner
    except GoogleError as error:
        failure = classify(error)

    assert (failure.kind, failure.retry_after_s) == ("rate_limited", 2.0)


def test_langchains_own_kinds_of_errors_decide() -> None:
    """Core 1.8 has them; before that nothing raises them."""
    exceptions = pytest.importorskip("langchain_core.exceptions")
    if not hasattr(exceptions, "ModelError"):
        pytest.skip("this langchain-core has no ModelError")
    expected = {
        "ModelAuthenticationError": "auth",
        "ModelPermissionDeniedError": "auth",
        "ModelInvalidRequestError": "bad_request",
        "ModelNotFoundError": "model_unavailable",
        "ModelRateLimitError": "rate_limited",
        "ModelAPIError": "server_error",
        "ModelConnectionError": "connection",
        "ModelTimeoutError": "timeout",
        "ContextOverflowError": "context_overflow",
        "ModelRefusalError": "content_filter",
    }
    for name, kind in expected.items():
        found = getattr(exceptions, name)
        failure = classify(found("no"))
        assert failure.kind == kind
        assert failure.retry_same is found.is_retryable, name


def test_a_users_own_model_error_says_itself_whether_to_try_again() -> None:
    """`is_retryable` of a class that nobody knows."""
    exceptions = pytest.importorskip("langchain_core.exceptions")
    if not hasattr(exceptions, "ModelError"):
        pytest.skip("this langchain-core has no ModelError")

    class Busy(exceptions.ModelError):  # type: ignore[misc, name-defined]
        is_retryable = True

    class Broken(exceptions.ModelError):  # type: ignore[misc, name-defined]
        is_retryable = False

    assert classify(Busy("later")).retry_same
    assert not classify(Broken("never")).retry_elsewhere


def test_interrupts_and_cancellations_are_no_failures() -> None:
    """They pass at once, LangGraph's own among them."""
    errors = pytest.importorskip("langgraph.errors")

    assert passes_through(errors.GraphInterrupt(()))
    assert passes_through(errors.GraphBubbleUp())
    assert passes_through(asyncio.CancelledError())
    assert passes_through(KeyboardInterrupt())
    assert passes_through(SystemExit())
    assert passes_through(GeneratorExit())
    assert not passes_through(RuntimeError())
