"""Errors of a step that no route answered."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core import exceptions

from langroute.core.errors import NoEligibleRouteError, RaceLostError
from langroute.core.records import Attempt
from langroute.core.typed_errors import common_types, typed_error
from langroute.providers.failures import classify

_TYPES = {
    "context_overflow": "ContextOverflowError",
    "rate_limited": "ModelRateLimitError",
    "auth": "ModelAuthenticationError",
    "model_unavailable": "ModelNotFoundError",
    "timeout": "ModelTimeoutError",
    "connection": "ModelConnectionError",
    "server_error": "ModelAPIError",
    "overloaded": "ModelAPIError",
    "content_filter": "ModelRefusalError",
}
"""Kind of failure → LangChain's own type of error. Some came with newer versions of langchain-core."""


class PromptTooLongError(NoEligibleRouteError, exceptions.ContextOverflowError):
    """No route's window holds the prompt, by so much that no estimate is needed. A shorter history would be taken."""


def route_failure(attempts: Sequence[Attempt]) -> BaseException:
    """Return the error of a step without an answer.

    Where one route was tried it is the model's own, so that the caller's handlers work. Of several routes it is a
    `RouteFailedError` with all failures; where they are of one kind, it is an instance of their common type as well.
    """
    failures = [(attempt.route, attempt.error) for attempt in attempts if attempt.error is not None]
    if len({route for route, _ in failures}) == 1:
        return failures[-1][1]
    # What a route came to is its last failure, as if it were alone; a call that was given up came to nothing.
    last = {attempt.route: attempt for attempt in attempts if attempt.error is not None}
    ends = [attempt for attempt in last.values() if not isinstance(attempt.error, RaceLostError)] or list(last.values())
    errors = [attempt.error for attempt in ends if attempt.error is not None]
    error = typed_error(failures, _types(ends, errors), like=errors[-1])
    error.is_retryable = any(_retryable(attempt) for attempt in ends)
    error.__cause__ = failures[-1][1]
    return error


def _types(ends: Sequence[Attempt], errors: Sequence[BaseException]) -> tuple[type[Exception], ...]:
    """Return what failures are in common; nothing where they are of several kinds."""
    shared = common_types(errors)
    kinds = {(attempt.failure or classify(error)).kind for attempt, error in zip(ends, errors, strict=True)}
    if len(kinds) > 1:
        # Only where it is one failure's own type: a base of two kinds, such as an SDK's root, says too little.
        return shared if any(type(error) in shared for error in errors) else ()
    kind = kinds.pop()
    typed = getattr(exceptions, _TYPES.get(kind, ""), None)
    # An overflow is what callers recover from, so it is told whoever noticed it; the other types where LangChain gave one of them.
    told = typed is not None and (kind == "context_overflow" or any(isinstance(error, typed) for error in errors))
    if typed is None or not told or any(issubclass(base, typed) for base in shared):
        return shared
    return (typed, *(base for base in shared if not issubclass(typed, base)))


def _retryable(attempt: Attempt) -> bool:
    own = getattr(attempt.error, "is_retryable", None)
    if isinstance(own, bool):
        return own
    failure = attempt.failure or (classify(attempt.error) if attempt.error is not None else None)
    return failure is not None and failure.retry_same
