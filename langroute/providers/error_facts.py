"""Facts of a provider's error: status, codes, message and delay, read from any package's exception."""

from __future__ import annotations

import contextlib
import email.utils
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

MAX_TEXT = 4000
"""Number of characters of a message that are examined."""

_DELAY = re.compile(
    r"(?:retry|try again)[^.\d]{0,20}?(?:in|after)\s+(?:(\d{1,6})m)?(\d{1,9}(?:\.\d{1,9})?)\s*(ms|milliseconds?|s\b|seconds?)",
    re.IGNORECASE,
)
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


@dataclass(frozen=True)
class ErrorFacts:
    """Facts of an error and of the SDK's error behind it.

    Example:
        >>> ErrorFacts(TimeoutError()).status is None
        True
    """

    error: BaseException

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the error's classes."""
        return frozenset(base.__name__ for base in type(self.error).__mro__)

    @cached_property
    def sources(self) -> tuple[BaseException, ...]:
        """The error, followed by the SDK's own error that caused it."""
        cause = self.error.__cause__
        return (self.error,) if cause is None or cause is self.error else (self.error, cause)

    @cached_property
    def status(self) -> int | None:
        """HTTP status; `None` where there is none."""
        for source in self.sources:
            found = _status(source)
            if found is not None:
                return found
        return None

    @cached_property
    def bodies(self) -> tuple[Mapping[str, Any], ...]:
        """Error bodies that the provider sent, as far as packages keep them."""
        return tuple(body for source in self.sources for body in _bodies(source))

    @cached_property
    def codes(self) -> frozenset[str]:
        """Codes, types, states and reasons of the bodies, in lower case."""
        found = {str(code).lower() for body in self.bodies for code in _codes(body)}
        found.update(str(code).lower() for source in self.sources if isinstance(code := getattr(source, "code", None), str))
        return frozenset(found)

    @cached_property
    def text(self) -> str:
        """The message in lower case, cut to `MAX_TEXT` characters."""
        said = [str(body.get("message") or "")[:MAX_TEXT] for body in self.bodies]
        with contextlib.suppress(Exception):
            # A foreign error's `__str__` may raise.
            said.append(str(self.error)[:MAX_TEXT])
        return "\n".join(said)[: 2 * MAX_TEXT].lower()

    @cached_property
    def retry_after_s(self) -> float | None:
        """Seconds the provider asked to wait, from a header, the body or the message; `None` where there is no such request."""
        for source in self.sources:
            headers = getattr(getattr(source, "response", None), "headers", None)
            if headers is not None and (found := _from_headers(headers)) is not None:
                return found
        for detail in self._details("RetryInfo"):
            if (delay := _DURATION.fullmatch(str(detail.get("retryDelay"))[:40])) is not None:
                return float(delay[1])
        said = _DELAY.search(self.text)
        if said is None:
            return None
        seconds = float(said[2]) / (1000 if said[3].lower().startswith("m") else 1)
        return seconds + 60 * int(said[1] or 0)

    @cached_property
    def spent_for_today(self) -> bool:
        """Whether the exhausted quota is a daily one, or there is no quota at all."""
        ids = [
            str(violation.get("quotaId"))
            for detail in self._details("QuotaFailure")
            for violation in _mappings(detail.get("violations"))
        ]
        return any("perday" in quota.lower() for quota in ids)

    def _details(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of Google's error details of a given kind."""
        for body in self.bodies:
            for detail in _mappings(body.get("details")):
                if str(detail.get("@type", "")).endswith(kind):
                    yield detail


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, (list, tuple)):
        yield from (one for one in value[:50] if isinstance(one, Mapping))


def _status(source: BaseException) -> int | None:
    response = getattr(source, "response", None)
    if isinstance(response, Mapping):
        # botocore's way.
        metadata = response.get("ResponseMetadata")
        value = metadata.get("HTTPStatusCode") if isinstance(metadata, Mapping) else None
        return _http(value)
    for place in (source, response):
        for name in ("status_code", "http_status", "code", "status"):
            if (found := _http(getattr(place, name, None))) is not None:
                return found
    return None


def _http(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600 else None


def _bodies(source: BaseException) -> Iterator[Mapping[str, Any]]:
    response = getattr(source, "response", None)
    for body in (getattr(source, "body", None), getattr(source, "details", None), response):
        if isinstance(body, list) and body:
            # Google's stream of errors.
            body = body[0]
        if isinstance(body, Mapping):
            inner = body.get("error") or body.get("Error")
            yield _plain(inner) if isinstance(inner, Mapping) else body


def _plain(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return botocore's error body with the field names that other providers use."""
    return {"code": body.get("Code"), "message": body.get("Message")} if "Code" in body else body


def _codes(body: Mapping[str, Any]) -> Iterator[Any]:
    for name in ("code", "type", "status", "reason"):
        value = body.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            yield value
    inner = body.get("innererror")
    if isinstance(inner, Mapping):
        # Azure's way.
        yield from _codes(inner)
    details = body.get("details")
    for detail in _mappings(details):
        if isinstance(reason := detail.get("reason"), str):
            yield reason
    # What Anthropic, OpenRouter and MiniMax say beside the type.
    for record, names in (
        (details, ("error_code",)),
        (body.get("metadata"), ("error_type", "limit_source")),
        (body.get("base_resp"), ("status_code",)),
        (body, ("error_type",)),
    ):
        if isinstance(record, Mapping):
            yield from (value for name in names if isinstance(value := record.get(name), (str, int)))


def _from_headers(headers: Any) -> float | None:
    """Return the seconds of `retry-after-ms`, or of `Retry-After` in seconds or as a date."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(milliseconds) / 1000)
    except (TypeError, ValueError):
        pass
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(str(value)[:100]).timestamp() - time.time())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
