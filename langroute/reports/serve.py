"""How is the page served live? On loopback only, to whoever sits at this machine."""

from __future__ import annotations

import json
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy.exc import SQLAlchemyError

from langroute.errors import ConfigurationError, LangrouteError
from langroute.ledger.reaching import said_by
from langroute.reports.page import write_page
from langroute.reports.pagedata import page_data
from langroute.reports.stats import Range
from langroute.reports.timeline import timeline_of
from langroute.reports.window import Window

HOSTS = ("127.0.0.1", "localhost")
"""Names by which a browser may ask; another one is a page elsewhere that points its name here."""


class DashboardServer(ThreadingHTTPServer):
    """Serves the page, its data anew with every request, and any task's timeline.

    Args:
        ledger: A `SqlLedger`.
        since: Which time the page covers, as `Window.since` reads it; moves on with the clock.
        port: Where; 0 takes any free one.
        hourly_usd: What an hour of a person's time is worth, for the return.

    Raises:
        ConfigurationError: The port is taken.

    Example:
        >>> import pathlib, tempfile
        >>> from langroute.ledger import open_ledger
        >>> with open_ledger(pathlib.Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
        ...     with DashboardServer(ledger, port=0) as server:
        ...         server.url.startswith("http://127.0.0.1:")
        True
    """

    daemon_threads = True

    def __init__(self, ledger: Any, *, since: str = "30d", port: int = 0, hourly_usd: Range | None = None) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} cannot be served on: {error.strerror}. Take another one, or 0 for any."
            ) from error
        self.ledger, self.since, self.hourly_usd = ledger, since, hourly_usd
        self._one_at_a_time = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A window that was closed in the middle of an answer is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def data(self) -> dict[str, Any]:
        """The page's data as of now."""
        # Several open windows ask at once; the ledger is asked by one after the other.
        with self._one_at_a_time:
            return page_data(self.ledger, Window.since(self.since), hourly_usd=self.hourly_usd, live=True)


class _Handler(BaseHTTPRequestHandler):
    server: DashboardServer
    server_version = "langroute"
    sys_version = ""

    def do_GET(self) -> None:
        # Without a port where it is 80.
        if self.headers.get("Host", "").partition(":")[0].lower() not in HOSTS:
            self._send(HTTPStatus.FORBIDDEN, "text/plain", "This page is served to this machine only.")
            return
        try:
            self._answer()
        except (SQLAlchemyError, LangrouteError) as error:
            said = said_by(error) if isinstance(error, SQLAlchemyError) else str(error)
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"The ledger cannot be read: {said}")

    def _answer(self) -> None:
        asked = urlsplit(self.path)
        if asked.path == "/":
            self._send(HTTPStatus.OK, "text/html", write_page(self.server.data()))
        elif asked.path == "/data":
            self._send(HTTPStatus.OK, "application/json", json.dumps(self.server.data()))
        elif asked.path == "/task":
            found = timeline_of(self.server.ledger, parse_qs(asked.query).get("id", [""])[0])
            status = HTTPStatus.NOT_FOUND if found is None else HTTPStatus.OK
            self._send(status, "application/json", json.dumps(found))
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "There is nothing here.")

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are nobody's news."""
