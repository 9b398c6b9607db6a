"""The HTTP server of a gateway: uvicorn, with bounds on what a connection may send before it is a request."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import Any

from langroute.core.errors import ConfigurationError, MissingExtraError
from langroute.gateway.config import ServeConfig

try:
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError as error:
    raise MissingExtraError("uvicorn", "serve", "The gateway") from error

MOST_HEADER_BYTES = 64 * 1024
MOST_HEADERS = 200


class GatheredTransport:
    """A connection that sends together what is written within one turn of the event loop.

    A head and the first bytes of its answer, or an answer's last bytes and its end, are one packet: each costs a call of the system, and
    wakes the client.

    Args:
        transport: The connection.
        loop: The event loop.
    """

    __slots__ = ("_loop", "_transport", "_waiting")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._waiting: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send bytes at the end of this turn of the loop."""
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting.append(data)

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or is being closed."""
        return bool(self._transport.is_closing())

    def close(self) -> None:
        """Send what was written, and close the connection."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        waiting = self._waiting
        if not waiting:
            return
        self._waiting = []
        if not self._transport.is_closing():
            if len(waiting) == 1:
                self._transport.write(waiting[0])
            else:
                self._transport.writelines(waiting)


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounds: on the bytes and the time of a request's head, and on its headers."""

    header_seconds = 10.0
    _head = 0
    _deadline: asyncio.TimerHandle | None = None
    _in_body = False
    _refused = False

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a head."""
        super().connection_made(GatheredTransport(transport, self.loop))  # type: ignore[arg-type]
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head."""
        if self._refused:
            return
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            # The next request on a connection that is kept, or what is left of the body of one that was refused.
            self._wait()
        in_head = self._deadline is not None and not self._in_body
        super().data_received(data)
        if in_head and self._deadline is not None:
            self._head += len(data)
            if self._head > MOST_HEADER_BYTES:
                self._refuse(431, "The request's headers are too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the headers."""
        if len(self.headers) >= MOST_HEADERS or len(name) + len(value) > MOST_HEADER_BYTES:
            self._refuse(431, "The request has too many headers.")
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the wait for the head."""
        if self._refused:
            return
        self._stop_waiting()
        self._in_body = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a body."""
        self._in_body = False
        if self.cycle is not None and self.cycle.response_complete:
            self._stop_waiting()
        if not self._refused:
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: Codex asks for a websocket with each session, and is told there is none."""

    def _wait(self) -> None:
        self._stop_waiting()
        self._head = 0
        self._deadline = self.loop.call_later(self.header_seconds, self._refuse, 408, "The request's headers came too slowly.")

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int, text: str) -> None:
        self._stop_waiting()
        if self._refused or self.transport is None or self.transport.is_closing():
            return
        self._refused = True
        if self._in_body:
            # The request has its answer.
            self.transport.close()
            return
        said = text.encode()
        head = b"HTTP/1.1 %d Refused\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (
            status,
            len(said),
        )
        self.transport.write(head + said)
        self.transport.close()


def bound_socket(serve: ServeConfig) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in serve.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((serve.host.strip("[]"), serve.port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"{serve.host}:{serve.port} cannot be listened on: {error.strerror}. Give another host or port in [serve], or with --port."
        ) from error
    listening.set_inheritable(True)
    return listening


def uvicorn_config(app: Any, serve: ServeConfig) -> uvicorn.Config:
    """Return uvicorn's configuration for a gateway.

    Args:
        app: The ASGI application.
        serve: How it listens.
    """
    protocol = type("ConfiguredProtocol", (BoundedProtocol,), {"header_seconds": serve.header_seconds})
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=serve.most_connections,
        timeout_keep_alive=max(1, round(serve.idle_seconds)),
        timeout_graceful_shutdown=max(1, round(serve.drain_seconds)),
        ssl_certfile=serve.tls_cert,
        ssl_keyfile=serve.tls_key,
    )


class GatewayServer(uvicorn.Server):
    """A uvicorn server that reloads on SIGHUP and refuses new work while it ends.

    Args:
        config: uvicorn's configuration.
        gateway: The state of the worker.
    """

    def __init__(self, config: uvicorn.Config, gateway: Any) -> None:
        super().__init__(config)
        self.gateway = gateway

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to SIGHUP besides what uvicorn listens to."""
        import threading

        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGHUP"):
            with super().capture_signals():
                yield
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            with super().capture_signals():
                yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    def _reload(self) -> None:
        from langroute.gateway.gateway_state import LOG

        # Reading takes a while, and a router is made of it: running streams go on meanwhile.
        async def reload() -> None:
            found = await asyncio.to_thread(self.gateway.read_anew)
            if isinstance(found, str):
                LOG.warning("The configuration was not reloaded: %s", found)
                return
            self.gateway.take(found)
            LOG.warning("The configuration was reloaded.")

        self._reloading = asyncio.ensure_future(reload())

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Take no new work."""
        self.gateway.ending = True
        super().handle_exit(sig, frame)


__all__ = ["MOST_HEADERS", "MOST_HEADER_BYTES", "BoundedProtocol", "GatewayServer", "bound_socket", "uvicorn_config"]
