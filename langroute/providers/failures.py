"""Classification of errors: whether a retry or another route may help.

Errors are classified by type, status code, error code and the providers' own words (`ErrorRule`). LangChain's typed `ModelError`s are
supported if the installed version has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from langroute.core.records import Failure
from langroute.providers.error_facts import ErrorFacts
from langroute.providers.profile import ErrorRule
from langroute.providers.registry import ON_CHANGE, profile_of, profiles

FAILURES: Mapping[str, Failure] = {
    "rate_limited": Failure("rate_limited", retry_same=True, cool_down=True),
    "overloaded": Failure("overloaded", retry_same=True, cool_down=True),
    "server_error": Failure("server_error", retry_same=True),
    "timeout": Failure("timeout", retry_same=True),
    "connection": Failure("connection", retry_same=True, cool_down=True),
    "broken_stream": Failure("broken_stream", retry_same=True),
    "context_overflow": Failure("context_overflow"),
    "auth": Failure("auth", cool_down=True),
    "quota": Failure("quota", cool_down=True),
    "content_filter": Failure("content_filter"),
    "model_unavailable": Failure("model_unavailable", cool_down=True),
    "unsupported": Failure("unsupported"),
    "bad_request": Failure("bad_request", retry_elsewhere=False),
    "parsing": Failure("parsing"),
    "given_up": Failure("given_up"),
    "unknown": Failure("unknown"),
}
"""Failure kind → what to do about it."""

_BY_STATUS = {
    400: "bad_request",
    401: "auth",
    402: "quota",
    403: "auth",
    404: "model_unavailable",
    408: "timeout",
    409: "server_error",
    413: "context_overflow",
    422: "bad_request",
    429: "rate_limited",
    503: "overloaded",
    529: "overloaded",
}
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
"""Error code of an event in the middle of a stream, which has no status → the equivalent HTTP status."""

_BY_TYPE = {
    "ModelAuthenticationError": 401,
    "ModelPermissionDeniedError": 403,
    "ModelNotFoundError": 404,
    "ModelRateLimitError": 429,
    "ModelTimeoutError": 408,
    "ModelAPIError": 500,
    "ModelInvalidRequestError": 400,
}
"""LangChain's own error classes → the equivalent HTTP status."""

_NAMED = {
    "ModelRefusalError": "content_filter",
    "ModelConnectionError": "connection",
    **dict.fromkeys(
        (
            "Timeout", "TimeoutError", "APITimeoutError", "TimeoutException", "ReadTimeout", "ConnectTimeout", "PoolTimeout",
            "ReadTimeoutError", "ConnectTimeoutError",
        ),
        "timeout",
    ),
    **dict.fromkeys(
        (
            "AnswerCutOffError", "RemoteProtocolError", "IncompleteRead", "ChunkedEncodingError", "StreamError",
            "APIResponseValidationError", "JSONDecodeError", "ResponseStreamingError", "EventStreamError",
        ),
        "broken_stream",
    ),
    **dict.fromkeys(
        (
            "APIConnectionError", "ConnectError", "ConnectionError", "NetworkError", "ReadError", "WriteError", "TransportError",
            "EndpointConnectionError", "ConnectionClosedError", "HTTPClientError",
        ),
        "connection",
    ),
    **dict.fromkeys(
        (
            "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError", "SSOTokenLoadError",
            "DefaultCredentialsError", "RefreshError",
        ),
        "auth",
    ),
    **dict.fromkeys(
        ("OutputParserException", "ValidationError", "LengthFinishReasonError", "StructuredOutputError"), "parsing"
    ),
}  # fmt: skip
"""Class name of an error without a status → failure kind. The first match counts."""

_WORDS_WITH = (*range(400, 500), 500)
"""Statuses for which the message is examined: only a refused request is classified by its words."""


def classify(error: BaseException, provider: str | None = None) -> Failure:
    """Return the failure that an error amounts to.

    Args:
        error: The error that a call of a model raised.
        provider: LangChain's `ls_provider`: its own rules are tried before those of all others.

    Example:
        >>> classify(TimeoutError()).kind, classify(TypeError("bug")).retry_same
        ('timeout', False)
    """
    facts = ErrorFacts(error)
    failure = FAILURES[_kind(facts, provider)]
    if (
        failure.kind == "unknown"
        and "ModelError" in facts.names
        and isinstance(retryable := getattr(error, "is_retryable", None), bool)
    ):
        failure = FAILURES["server_error" if retryable else "bad_request"]
    if not (failure.retry_same or failure.cool_down) or failure.kind in ("connection", "broken_stream"):
        return failure
    wait = facts.retry_after_s
    return failure if wait is None else replace(failure, retry_after_s=wait)


def retry_after(error: BaseException) -> float | None:
    """Return the seconds the provider asked to wait; `None` where it did not ask."""
    return ErrorFacts(error).retry_after_s


def _kind(facts: ErrorFacts, provider: str | None) -> str:
    if "RaceLostError" in facts.names:
        return "given_up"
    if "ContextOverflowError" in facts.names:
        return "context_overflow"
    named = next((kind for name, kind in _NAMED.items() if name in facts.names), None)
    status = facts.status
    if status is None:
        status = next((code for name, code in _BY_TYPE.items() if name in facts.names), None)
    from_provider = status is not None or bool(facts.bodies) or bool(facts.names & {"APIError", "ModelError"})
    if from_provider and (told := _told(facts, status, provider)) is not None:
        return told
    if status is None and named is None:
        status = next((_BY_CODE[code] for code in facts.codes if code in _BY_CODE), None)
    if status is not None:
        return _BY_STATUS.get(status) or ("server_error" if status >= 500 else "bad_request")
    # An error event in the middle of a stream has no status of its own.
    return named or ("server_error" if "APIError" in facts.names else "unknown")


def _told(facts: ErrorFacts, status: int | None, provider: str | None) -> str | None:
    """Return the failure kind by the provider's codes and words; `None` where nothing known is found."""
    if facts.spent_for_today:
        return "quota"
    for rules in ((*profile_of(provider).errors,) if provider is not None else (), _all_rules()):
        codes, words, phrases = _compiled(rules)
        # Several codes of one error are taken in the order of the rules.
        by_code = next((rule.kind for code, rule in codes.items() if code in facts.codes), None)
        if by_code is not None and by_code != "rate_limited":
            return by_code
        if words is not None and (status is None or status in _WORDS_WITH):
            for found in words.finditer(facts.text):
                rule = phrases[found.group()]
                # The code of a rate limit may stand for a spent day or an empty account, which only the words tell.
                if _counts(rule, status) and (by_code is None or rule.kind == "quota"):
                    return rule.kind
        if by_code is not None:
            return by_code
    return None


def _counts(rule: ErrorRule, status: int | None) -> bool:
    return not rule.statuses or status is None or status in rule.statuses


@lru_cache(maxsize=1)
def _all_rules() -> tuple[ErrorRule, ...]:
    return tuple(rule for profile in profiles() for rule in profile.errors)


@lru_cache(maxsize=256)
def _compiled(rules: tuple[ErrorRule, ...]) -> tuple[Mapping[str, ErrorRule], re.Pattern[str] | None, Mapping[str, ErrorRule]]:
    """Return lookup tables for the codes and phrases of rules; of several rules with the same one, the first counts.

    A numeric code that two rules give different kinds is left out.
    """
    codes: dict[str, ErrorRule] = {}
    phrases: dict[str, ErrorRule] = {}
    ambiguous: set[str] = set()
    for rule in rules:
        for code in rule.codes:
            if codes.setdefault(code, rule).kind != rule.kind and code.isdigit():
                ambiguous.add(code)
        for phrase in rule.words:
            phrases.setdefault(phrase, rule)
    for code in ambiguous:
        del codes[code]
    pattern = re.compile("|".join(map(re.escape, sorted(phrases, key=len, reverse=True)))) if phrases else None
    return codes, pattern, phrases


def maybe_billed(kind: str, provider: str | None = None) -> bool:
    """Return whether a failed call of this kind may have been billed.

    A provider does not bill a request that it refused; for one that was abandoned, broke off half-way or could not be parsed it is unknown.

    Example:
        >>> maybe_billed("timeout"), maybe_billed("auth")
        (True, False)
    """
    return kind in profile_of(provider).maybe_billed


ON_CHANGE.extend((_all_rules.cache_clear, _compiled.cache_clear))
