"""Local web server of the dashboard: binds to loopback only and requires a token."""

from __future__ import annotations

import hmac
import io
import re
import secrets
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from sqlalchemy.exc import SQLAlchemyError

from langroute.core.errors import ConfigurationError, LangrouteError
from langroute.core.locks import new_lock
from langroute.ledger.connection import said_by
from langroute.reports.page import as_json, write_page
from langroute.reports.pagedata import page_data
from langroute.reports.stats import Range
from langroute.reports.timeline import timeline_of
from langroute.reports.window import Window

_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
"""Accepted values of the Host header, with any port; other values indicate DNS rebinding by a foreign page."""

MOST_CONNECTIONS = 32
"""Most concurrent requests."""

ASK_SECONDS = 10.0
"""Time limit for receiving a request."""

TAKE_SECONDS = 30.0
"""Time limit for sending an answer."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer; the page has a stricter policy of its own in its head."""


class DashboardServer(ThreadingHTTPServer):
    """Serve the page, its data (computed for every request) and task timelines to clients that have the token.

    Args:
        ledger: A `SqlLedger`.
        since: Time window of the page, as for `Window.since`; moves with the clock.
        port: TCP port; 0 takes any free one.
        hourly_usd: Value of an hour of a person's time, for the return on spend.
        token: Token that requests must carry; by default a new random one.

    Raises:
        ConfigurationError: The port is taken, or the token is shorter than 16 characters.

    Example:
        >>> import pathlib, tempfile
        >>> from langroute.ledger import open_ledger
        >>> with open_ledger(pathlib.Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
        ...     with DashboardServer(ledger, port=0) as server:
        ...         server.link.startswith(server.url + "?token=")
        True
    """

    daemon_threads = True

    def __init__(
        self, ledger: Any, *, since: str = "30d", port: int = 0, hourly_usd: Range | None = None, token: str | None = None
    ) -> None:
        if token is not None and len(token) < 16:
            raise ConfigurationError(
                "A dashboard's token has at least 16 characters: others on this machine may try all shorter ones."
            )
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} cannot be served on: {error.strerror}. Take another one, or 0 for any."
            ) from error
        self.ledger, self.since, self.hourly_usd = ledger, since, hourly_usd
        self.token = token or secrets.token_urlsafe(24)
        # Not the token itself, so that a stolen cookie cannot be turned into a link.
        self.session = secrets.token_urlsafe(24)
        self._one_at_a_time = new_lock()
        self._open = 0
        self._counting = new_lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a request in a thread of its own; beyond the connection limit answer 503."""
        if not self._takes_one_more():
            with suppress(OSError):
                request.settimeout(0.1)
                request.sendall(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._one_less()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle a request, then free its place in the connection limit."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._one_less()

    @property
    def open_connections(self) -> int:
        """Number of requests being handled."""
        return self._open

    def _takes_one_more(self) -> bool:
        with self._counting:
            if self._open >= MOST_CONNECTIONS:
                return False
            self._open += 1
            return True

    def _one_less(self) -> None:
        with self._counting:
            self._open -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of clients that disconnect in the middle of an answer or are too slow."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """URL of the page, without the token."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    @property
    def link(self) -> str:
        """URL to open in a browser, with the token."""
        return f"{self.url}?{urlencode({'token': self.token})}"

    @property
    def cookie(self) -> str:
        """Name of the cookie. It contains the port, because browsers share cookies between the ports of a host."""
        return f"langroute_{self.server_address[1]}"

    def data(self) -> dict[str, Any]:
        """Return the page's data as of now."""
        # Several open windows send requests at once; the ledger is read by one at a time.
        with self._one_at_a_time:
            return page_data(self.ledger, Window.since(self.since), hourly_usd=self.hourly_usd, live=True)


class _Arriving(io.RawIOBase):
    """Input stream with one deadline for the whole request, so that a client that sends slowly does not hold a thread."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._until = connection, time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    server: DashboardServer
    server_version = "langroute"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Arriving(self.connection, ASK_SECONDS))

    def do_GET(self) -> None:
        # Timeout for the whole answer.
        self.connection.settimeout(TAKE_SECONDS)
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0].strip()):
            return self._say(HTTPStatus.FORBIDDEN, "This page is served to this machine only.")
        try:
            asked = urlsplit(self.path)
            given = dict(parse_qsl(asked.query, keep_blank_values=True, max_num_fields=20))
        except ValueError:
            return self._say(HTTPStatus.BAD_REQUEST, "This is no address.")
        if not self._may_ask(given):
            return self._say(HTTPStatus.FORBIDDEN, "Open the link that `langroute dashboard` printed: it ends in a token.")
        try:
            self._answer(asked.path, given)
        except (SQLAlchemyError, LangrouteError) as error:
            said = said_by(error) if isinstance(error, SQLAlchemyError) else str(error)
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, f"The ledger cannot be read: {said}")
        except OSError:
            raise
        except Exception:
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, "The page could not be made; the terminal of the server says why.")
            raise

    do_HEAD = do_GET  # noqa: N815 - the name that the base class calls

    def _may_ask(self, given: Mapping[str, str]) -> bool:
        server = self.server
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return _same(given.get("token"), server.token) or _same(bearer, server.token) or _same(self._cookie(), server.session)

    def _cookie(self) -> str | None:
        # The header also contains cookies of other servers on this machine, which may be malformed.
        for part in self.headers.get("Cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.server.cookie:
                return value
        return None

    def _answer(self, path: str, given: Mapping[str, str]) -> None:
        if path == "/" and "token" in given and "text/html" in self.headers.get("Accept", ""):
            # A browser is redirected; a program, which may not store cookies, gets the page.
            self._enter({name: value for name, value in given.items() if name != "token"})
        elif path == "/":
            self._send(HTTPStatus.OK, "text/html", write_page(self.server.data()))
        elif path == "/data":
            self._send(HTTPStatus.OK, "application/json", as_json(self.server.data()))
        elif path == "/task":
            found = timeline_of(self.server.ledger, given.get("id", ""))
            self._send(HTTPStatus.NOT_FOUND if found is None else HTTPStatus.OK, "application/json", as_json(found))
        else:
            self._say(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def _enter(self, given: Mapping[str, str]) -> None:
        """Set the cookie, and redirect so that the token leaves the browser's address bar, history and bookmarks."""
        cookie = f"{self.server.cookie}={self.server.session}; Path=/; HttpOnly; SameSite=Strict"
        where = f"/?{urlencode(given)}" if given else "/"
        self._send(HTTPStatus.SEE_OTHER, "text/plain", "", {"Set-Cookie": cookie, "Location": where})

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._send(status, "text/plain", text)

    def _send(self, status: HTTPStatus, kind: str, text: str, more: Mapping[str, str] | None = None) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        headers = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body)), **HEADERS, **(more or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Reject an invalid request with a short message of our own."""
        self.connection.settimeout(TAKE_SECONDS)
        self.close_connection = True
        if code == HTTPStatus.NOT_IMPLEMENTED:
            # The method is not supported.
            return self._send(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", "This page can only be read.", {"Allow": "GET, HEAD"})
        return self._say(HTTPStatus(code), HTTPStatus(code).phrase)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: requests are not worth a log line."""


def _same(given: str | None, wanted: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest((given or "").encode("utf-8", "replace"), wanted.encode())
