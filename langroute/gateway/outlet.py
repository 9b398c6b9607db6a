"""What one client is sent: status and headers once, bytes as they come, pings while nothing comes, and an error instead of a tidy end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from time import monotonic
from typing import Any

if sys.version_info >= (3, 11):
    from asyncio import timeout as time_limit
else:
    from async_timeout import timeout as time_limit


class _NoLimit:
    """Stands for a time limit where there is none."""

    async def __aenter__(self) -> _NoLimit:
        return self

    async def __aexit__(self, *error: object) -> None:
        return

    def reschedule(self, when: float | None) -> None:
        """Do nothing: the limit is taken off."""


_NO_LIMIT = _NoLimit()


def limited(seconds: float | None) -> Any:
    """Return a time limit, as `asyncio.timeout` makes it; `None` for no limit."""
    return _NO_LIMIT if seconds is None else time_limit(seconds)


Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


class ClientLeftError(ConnectionError):
    """The client has left, or took nothing for too long. Does not leave the gateway."""


class Outlet:
    """The answer of one request, as far as it was sent.

    Args:
        send: The ASGI application's `send`.
        ping: What keeps a silent stream alive; `None` for an answer that is no stream.
        ping_seconds: Silence after which it is sent.
        send_seconds: How long a client may take nothing.
    """

    __slots__ = ("_between", "_last", "_limit", "_ping", "_pinging", "_seconds", "_send", "_since", "_task", "_timer", "_watch", "ended", "sent", "started", "stuck")  # fmt: skip

    def __init__(self, send: Send, *, ping: bytes | None, ping_seconds: float = 15.0, send_seconds: float = 60.0) -> None:
        self._send, self._ping, self._seconds, self._limit = send, ping, ping_seconds, send_seconds
        self.started = False
        """Whether status and headers were sent."""
        self.sent = False
        """Whether a byte of an answer was sent; pings are none."""
        self.ended = False
        self.stuck = False
        """Whether the client has taken nothing for too long."""
        self._last = monotonic()
        self._since: float | None = None
        """When the client was sent what it has not taken yet."""
        self._between: Callable[[], bool] | None = None
        self._pinging: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer = None if ping is None else loop.call_later(ping_seconds, self._due)
        # One timer for the whole answer: a time limit for each chunk costs more than to send it.
        self._watch: asyncio.TimerHandle | None = loop.call_later(send_seconds, self._look)

    def cut_by(self, between: Callable[[], bool]) -> None:
        """Tell where pings may stand: a function that returns whether what was sent ends between two events."""
        self._between = between

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send status and headers, unless a ping had to go before them."""
        if self.started:
            return
        self.started = True
        raw = [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._out({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes) -> None:
        """Send bytes of an answer."""
        self.sent = True
        self._last = monotonic()
        await self._out({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Send the last bytes."""
        if self.ended:
            return
        await self._stop_pinging()
        self.ended = True
        await self._out({"type": "http.response.body", "body": data, "more_body": False})

    async def close(self) -> None:
        """Send no more pings, and watch the client no longer."""
        self.ended = True
        if self._watch is not None:
            self._watch.cancel()
        await self._stop_pinging()

    async def _stop_pinging(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pinging is not None and not self._pinging.done():
            # Half a ping must not stand before the end.
            await asyncio.wait((self._pinging,), timeout=1.0)

    async def _out(self, message: MutableMapping[str, Any]) -> None:
        self._since = monotonic()
        try:
            await self._send(message)
        except asyncio.CancelledError:
            if self.stuck:
                raise ClientLeftError("The client takes nothing.") from None
            raise
        self._since = None

    def _look(self) -> None:
        """Give the client up where it takes nothing, and look again later."""
        if self.ended and self._since is None:
            return
        waited = 0.0 if self._since is None else monotonic() - self._since
        if waited >= self._limit - 0.001 and self._task is not None:
            self.stuck = True
            self._task.cancel()
            return
        self._watch = asyncio.get_running_loop().call_later(self._limit - waited, self._look)

    def _due(self) -> None:
        """Send a ping where it is time for one, and look again later."""
        left = self._last + self._seconds - monotonic()
        if self.ended:
            return
        if left <= 0.001:
            left = self._seconds
            if self._between is None or self._between():
                self._last = monotonic()
                self._pinging = asyncio.ensure_future(self._sent_ping())
        self._timer = asyncio.get_running_loop().call_later(max(left, 0.001), self._due)

    async def _sent_ping(self) -> None:
        try:
            await self.begin(200, STREAM_HEADERS)
            if not self.ended:
                await self._out({"type": "http.response.body", "body": self._ping, "more_body": True})
        except Exception:  # noqa: BLE001 - the client has left; whoever writes the answer notices
            return


__all__ = ["STREAM_HEADERS", "ClientLeftError", "Outlet", "limited", "time_limit"]
