"""What a request must be before anything of it is read: from this machine or a known host, not from a web page, with a token."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from langroute.core.fast_dataclass import fast_dataclass
from langroute.gateway.clients import Caller, Callers
from langroute.gateway.config import ServeConfig, is_loopback
from langroute.gateway.outlet import ClientLeftError, time_limit
from langroute.wire.sessions import client_key

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz"})
"""Paths that say nothing and need no token."""

LABEL = "application/json"


@fast_dataclass
class Rejected:
    """Why a request is refused: status, a word for it, and what a person reads."""

    status: int
    kind: str
    message: str


class RejectedError(Exception):
    """A body is refused. Does not leave the gateway."""

    def __init__(self, rejected: Rejected) -> None:
        self.rejected = rejected
        super().__init__(rejected.message)


def accepted_hosts(serve: ServeConfig, port: int) -> frozenset[str]:
    """Return the values of the `Host` header that are accepted, in lower case.

    Example:
        >>> sorted(accepted_hosts(ServeConfig(), 8900))
        ['127.0.0.1:8900', '[::1]:8900', 'localhost:8900']
    """
    names = ["127.0.0.1", "localhost", "[::1]"]
    if not is_loopback(serve.host) and serve.host not in ("0.0.0.0", "::"):  # noqa: S104 - a comparison
        names.append(f"[{serve.host}]" if ":" in serve.host else serve.host)
    standard = 443 if serve.tls_cert else 80
    hosts = {f"{name}:{port}" for name in names} | ({*names} if port == standard else set())
    return frozenset(host.lower() for host in (*hosts, *serve.hosts))


class Guard:
    """Checks the head of a request.

    Args:
        hosts: Accepted values of the `Host` header, in lower case.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self.hosts = frozenset(hosts)

    def check(self, scope: Mapping[str, Any], headers: Mapping[str, str], callers: Callers) -> Caller | Rejected:
        """Return whose request it is, or why it is refused.

        Args:
            scope: The ASGI scope.
            headers: The headers, with names in lower case.
            callers: Who may call.
        """
        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1 or named[0].decode("latin-1").strip().lower() not in self.hosts:
            return Rejected(403, "host_not_allowed", "This gateway is not known by that name. Add it to `hosts` in [serve].")
        if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
            return Rejected(403, "origin_not_allowed", "Web pages may not call this gateway.")
        if scope["method"] == "POST" and headers.get("content-type", "").partition(";")[0].strip().lower() != LABEL:
            return Rejected(415, "unsupported_media_type", "Send JSON, with the content type application/json.")
        caller = callers.of(client_key(headers))
        if caller is not None:
            return caller
        if scope["path"] in OPEN_PATHS:
            return Caller()
        return Rejected(401, "invalid_api_key", "The gateway's token is missing or wrong. Send it as the API key.")


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int, seconds: float) -> bytes:
    """Return the body of a request, uncompressed.

    Args:
        receive: The ASGI application's `receive`.
        headers: The headers.
        limit: Most bytes, uncompressed.
        seconds: Longest pause within the body.

    Raises:
        RejectedError: It is too long, too slow, or of an unknown coding.
        ClientLeftError: The client has left.
    """
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise RejectedError(_too_long(limit))
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        try:
            async with time_limit(seconds):
                message = await receive()
        except TimeoutError as error:
            raise RejectedError(Rejected(408, "request_timeout", "The body came too slowly.")) from error
        if message["type"] == "http.disconnect":
            raise ClientLeftError("The client left before its request was read.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise RejectedError(_too_long(limit))
        more = message.get("more_body", False)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    coding = headers.get("content-encoding", "identity").strip().lower()
    return body if coding in ("", "identity") else _inflated(body, coding, limit)


def _too_long(limit: int) -> Rejected:
    return Rejected(
        413, "request_too_large", f"The body is longer than this gateway takes: {limit // 2**20} MiB. See body_limit_mb in [serve]."
    )


def _inflated(body: bytes, coding: str, limit: int) -> bytes:
    try:
        if coding in ("gzip", "x-gzip", "deflate"):
            reader = zlib.decompressobj(zlib.MAX_WBITS | 32 if coding != "deflate" else zlib.MAX_WBITS)
            text = reader.decompress(body, limit + 1)
            if len(text) <= limit and not reader.eof:
                raise RejectedError(Rejected(400, "invalid_request_error", "The compressed body is cut off."))
        elif coding == "zstd":
            import zstandard

            with zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(body) as stream:
                text = stream.read(limit + 1)
        else:
            raise RejectedError(Rejected(415, "unsupported_media_type", "Send the body as it is, or with gzip, deflate or zstd."))
    except ImportError as error:
        raise RejectedError(Rejected(415, "unsupported_media_type", "Send the body as it is, or with gzip.")) from error
    except RejectedError:
        raise
    except Exception as error:
        raise RejectedError(Rejected(400, "invalid_request_error", "The compressed body cannot be read.")) from error
    if len(text) > limit:
        raise RejectedError(_too_long(limit))
    return text


__all__ = ["Guard", "Rejected", "RejectedError", "accepted_hosts", "read_body"]
