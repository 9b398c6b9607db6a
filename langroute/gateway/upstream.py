"""Calls of providers over HTTP: pooled connections, and errors that the engine classifies and the client can be sent as they came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
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

_HIDDEN = b"[key]"


@fast_dataclass
class UpstreamTarget:
    """Where a route's calls of one protocol go, and the credentials for it. Its text form shows no secret."""

    url: str
    credentials: Mapping[str, str]

    def __repr__(self) -> str:
        return f"UpstreamTarget({self.url!r})"

    @property
    def keys(self) -> list[bytes]:
        """The credentials that must not be shown."""
        found = [value.rpartition(" ")[2].encode("latin-1", "replace") for value in self.credentials.values()]
        return [key for key in found if len(key) >= _SHORTEST_KEY]

    def hidden(self, said: bytes) -> bytes:
        """Return what a provider said without the credentials, which some repeat."""
        for key in self.keys:
            said = said.replace(key, _HIDDEN)
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


class HiddenKeys:
    r"""Takes keys out of bytes that come in chunks, wherever those end; all else passes as it is.

    Args:
        keys: The keys.

    Example:
        >>> one = HiddenKeys([b"sk-secret"])
        >>> one.feed(b"no sk-sec"), one.feed(b"ret"), one.feed(b" here\n"), one.rest()
        (b'no ', b'[key]', b' here\n', b'')
    """

    __slots__ = ("_held", "_keys")

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys, self._held = keys, b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what can be shown; what may be the beginning of a key waits for the next chunk."""
        data = self._held + chunk if self._held else chunk
        held = 0
        for key in self._keys:
            if key in data:
                data = data.replace(key, _HIDDEN)
            held = max(held, _begun(data, key))
        if not held:
            self._held = b""
            return data
        self._held = data[-held:]
        return data[:-held]

    def rest(self) -> bytes:
        """Return what waits: the beginning of a key is none."""
        rest, self._held = self._held, b""
        return rest


def _begun(data: bytes, key: bytes) -> int:
    """Return how many bytes at the end are the beginning of a key."""
    if data[-1:] not in key:
        # The end of an event, as of most chunks.
        return 0
    place = data.find(key[:1], max(0, len(data) - len(key) + 1))
    while place >= 0 and not key.startswith(data[place:]):
        place = data.find(key[:1], place + 1)
    return len(data) - place if place >= 0 else 0


class UpstreamResponse:
    """A provider's answer whose status is a success, without the credentials that it may repeat.

    Args:
        response: aiohttp's response.
        target: Who was asked.
    """

    __slots__ = ("_content", "_keys", "_response", "headers", "status")

    def __init__(self, response: Any, target: UpstreamTarget) -> None:
        keys = target.keys
        self._response, self._content, self._keys = response, response.content, HiddenKeys(keys)
        self.status: int = response.status
        self.headers = _hidden_headers(response.headers, target, keys)

    def __aiter__(self) -> UpstreamResponse:
        """Iterate over the chunks as they come; whoever stops may go on later."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk."""
        while True:
            chunk = await self._content.readany()
            out = self._keys.feed(chunk) if chunk else self._keys.rest()
            if out:
                return out
            if not chunk:
                raise StopAsyncIteration

    def at_end(self) -> bool:
        """Return whether all of it has been read already."""
        return bool(self._content.at_eof())

    def close(self) -> None:
        """Close the connection."""
        self._response.close()


def _hidden_headers(headers: Any, target: UpstreamTarget, keys: Sequence[bytes]) -> Any:
    words = [key.decode("latin-1") for key in keys]
    if not any(word in value for value in headers.values() for word in words):
        return headers
    return {name.lower(): _hidden_text(target, value) for name, value in headers.items()}


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
    ) -> AsyncIterator[UpstreamResponse]:
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
                yield UpstreamResponse(response, target)
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


__all__ = [
    "HiddenKeys",
    "UpstreamError",
    "UpstreamResponse",
    "UpstreamTarget",
    "UpstreamTimeoutError",
    "UpstreamUnreachableError",
    "Upstreams",
    "checked_url",
]
