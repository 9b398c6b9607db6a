"""Calls of providers over HTTP: pooled connections, and errors that the engine classifies and the client can be sent as they came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from langroute.core.errors import AnswerCutOffError, ConfigurationError, LangrouteError, MissingExtraError
from langroute.core.fast_dataclass import fast_dataclass

try:
    import aiohttp
except ImportError as error:
    raise MissingExtraError("aiohttp", "serve", "The gateway") from error

MOST_ERROR_BYTES = 1_000_000
"""Longest body of an error that is read and sent on."""


_SHORTEST_KEY = 8
"""Shorter ones are placeholders of local servers, and words of any text."""


@fast_dataclass
class UpstreamTarget:
    """Where a route's calls of one protocol go, and the credentials for it. Its text form shows no secret."""

    url: str
    credentials: Mapping[str, str]

    def __repr__(self) -> str:
        return f"UpstreamTarget({self.url!r})"

    def hidden(self, said: bytes) -> bytes:
        """Return what a provider said of a refused request without the credentials, which some repeat."""
        for value in self.credentials.values():
            key = value.rpartition(" ")[2].encode("latin-1", "replace")
            if len(key) >= _SHORTEST_KEY:
                said = said.replace(key, b"[key]")
        return said


class UpstreamError(LangrouteError, RuntimeError):
    """A provider answered with an error: by its status, or by an event in a stream."""

    protocol: str | None = None
    """The protocol in which it is written; `None` where nobody said it."""
    provider: str | None = None
    in_stream = False
    """Whether it came in the place of an answer's end."""

    def __init__(self, route: str, status: int | None, body: bytes, headers: Mapping[str, str]) -> None:
        self.route, self.status_code, self.raw, self.headers = route, status, body, dict(headers)
        self.response = SimpleNamespace(headers=self.headers)
        found = _mapping(body)
        self.body: Any = found if found is not None else {"message": body[:2000].decode("utf-8", "replace")}
        what = f"status {status}" if status is not None else "an error event"
        super().__init__(f"Route {route!r} answered with {what}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.route, self.status_code, self.raw, self.headers)


class UpstreamUnreachableError(LangrouteError, ConnectionError):
    """A provider could not be reached, or closed the connection without an answer."""


class UpstreamTimeoutError(LangrouteError, TimeoutError):
    """A provider was silent for too long."""


def _mapping(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body[:MOST_ERROR_BYTES])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def checked_url(url: str) -> str:
    """Return a base address without a slash at its end.

    Raises:
        ConfigurationError: It is no HTTP address, or holds a user name or password.

    Example:
        >>> checked_url("https://api.openai.com/v1/")
        'https://api.openai.com/v1'
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is None or parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ConfigurationError("base_url is an address such as 'https://api.openai.com/v1'.")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("base_url holds no user name or password; name the key's environment variable with key_env.")
    return url.rstrip("/")


class Upstreams:
    """The connections to all providers; one object for each worker.

    Args:
        connect_seconds: Longest wait for a connection.
        silent_seconds: Longest silence within an answer, and before it begins.
        most_connections: Most connections to one address.
    """

    def __init__(self, *, connect_seconds: float = 10.0, silent_seconds: float = 600.0, most_connections: int = 1000) -> None:
        self._limits = aiohttp.ClientTimeout(
            total=None, connect=connect_seconds, sock_connect=connect_seconds, sock_read=silent_seconds
        )
        self._most = most_connections
        self._session: aiohttp.ClientSession | None = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            pool = aiohttp.TCPConnector(limit=0, limit_per_host=self._most, keepalive_timeout=30.0)
            self._session = aiohttp.ClientSession(
                connector=pool, timeout=self._limits, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True, trust_env=False
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def post(
        self, route: str, target: UpstreamTarget, body: bytes, headers: Mapping[str, str], query: str = ""
    ) -> AsyncIterator[Any]:
        """Send a request; yield the response once its status is known to be a success.

        Args:
            route: Name of the route, for errors.
            target: Where to.
            body: The bytes to send.
            headers: The headers to send, credentials included.
            query: The client's query, without its question mark.

        Raises:
            UpstreamError: The provider refused or failed.
            UpstreamUnreachableError: There is no connection, or nobody behind it that answers as a provider does.
            UpstreamTimeoutError: The provider was silent for too long.
            AnswerCutOffError: The connection broke within the answer.
        """
        from yarl import URL

        url = URL(f"{target.url}?{query}" if query else target.url, encoded=True)
        begun = False
        try:
            async with self._opened().post(url, data=body, headers=headers, allow_redirects=False) as response:
                begun = True
                if not 200 <= response.status < 300 and not 400 <= response.status < 600:
                    # A redirect that is sent on would lead the client, its prompt and its token past the gateway.
                    raise UpstreamUnreachableError(
                        f"Route {route!r} answered with status {response.status}, as no model's provider does. Check its base_url."
                    )
                if response.status >= 400:
                    said = target.hidden(await _read_error(response))
                    told = {name.lower(): _hidden_text(target, value) for name, value in response.headers.items()}
                    raise UpstreamError(route, response.status, said, told)
                yield response
        except (asyncio.TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise UpstreamTimeoutError(f"Route {route!r} was silent for too long.") from error
        except aiohttp.ClientResponseError:
            # Its status is aiohttp's own: the provider has told none.
            raise UpstreamUnreachableError(f"Route {route!r} does not answer in HTTP.") from None
        except (aiohttp.ClientError, ConnectionError, OSError) as error:
            if isinstance(error, LangrouteError):
                raise
            if begun:
                raise AnswerCutOffError(route) from error
            raise UpstreamUnreachableError(f"Route {route!r} cannot be reached: {type(error).__name__}.") from error


def _hidden_text(target: UpstreamTarget, value: str) -> str:
    return target.hidden(value.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


async def _read_error(response: Any) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > MOST_ERROR_BYTES:
            break
    return b"".join(parts)[:MOST_ERROR_BYTES]


__all__ = ["UpstreamError", "UpstreamTarget", "UpstreamTimeoutError", "UpstreamUnreachableError", "Upstreams", "checked_url"]
