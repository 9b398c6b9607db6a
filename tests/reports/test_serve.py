"""The dashboard answers nobody without its token, and nobody can keep it from answering."""

from __future__ import annotations

import http.client
import http.cookiejar
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from waiting import wait_until

from langroute.core.errors import ConfigurationError
from langroute.core.records import Decision, Step
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.reports import serve
from langroute.reports.serve import DashboardServer

NAME = "ticket-of-ada"
PROTECTED = ["", "data", f"task?id={NAME}", "nothing"]


@pytest.fixture
def ledger(tmp_path: Any) -> Iterator[Any]:
    with open_ledger(tmp_path / "ledger.db") as opened:
        with task(NAME, team="board"):
            opened.record(Decision("d1", Step("title"), "small", (), started_at=time.time()))
        opened.flush()
        yield opened


@pytest.fixture
def server(ledger: Any) -> Iterator[DashboardServer]:
    yield from served(ledger)


def served(ledger: Any, **options: Any) -> Iterator[DashboardServer]:
    with DashboardServer(ledger, since="all", **options) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(30)


def ask(server: DashboardServer, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


def bearer(server: DashboardServer) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}"}


# Who is answered -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PROTECTED)
def test_nobody_is_answered_without_the_token(server: DashboardServer, path: str) -> None:
    """Nor with another one, nor told whether there is something."""
    mark = "&" if "?" in path else "?"
    wrong = [
        ask(server, f"/{path}"),
        ask(server, f"/{path}{mark}token="),
        ask(server, f"/{path}{mark}token={server.token[:-1]}"),
        ask(server, f"/{path}{mark}token={server.session}"),
        ask(server, f"/{path}", Authorization="Bearer x"),
        ask(server, f"/{path}", Authorization="Bearer"),
        ask(server, f"/{path}", Cookie=f"{server.cookie}={server.token}"),
        ask(server, f"/{path}", Cookie=f"{server.cookie}=; x"),
        ask(server, f"/{path}", Cookie=f"other={server.session}"),
        ask(server, f"/{path}", Authorization="Bearer \u00e9"),
    ]
    assert {status for status, _, _ in wrong} == {403}
    assert [text for _, _, text in wrong if NAME in text] == []


def test_a_program_is_answered_with_the_token(server: DashboardServer) -> None:
    assert NAME in urllib.request.urlopen(server.link, timeout=30).read().decode()
    assert NAME in ask(server, "/", **bearer(server))[2]
    assert NAME in ask(server, f"/task?id={NAME}&token={server.token}")[2]


def test_a_browser_gets_a_cookie_and_an_address_without_the_token(server: DashboardServer) -> None:
    path = server.link.removeprefix(server.url[:-1])
    status, headers, text = ask(server, f"{path}&theme=dark", Accept="text/html,*/*")
    assert (status, headers["Location"], text) == (303, "/?theme=dark", "")
    assert server.token not in str(headers)
    assert headers["Set-Cookie"].endswith("; Path=/; HttpOnly; SameSite=Strict")

    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    opener.addheaders = [("Accept", "text/html")]
    answer = opener.open(server.link, timeout=30)
    assert answer.url == server.url
    assert NAME in answer.read().decode()
    assert NAME in opener.open(server.url + "data", timeout=30).read().decode()


@pytest.mark.parametrize("others", ["_xsrf=2|a|b", 'a="b; c=d', "=", "x", "langroute_1=y"])
def test_cookies_of_other_servers_of_this_machine_are_in_nobodys_way(server: DashboardServer, others: str) -> None:
    assert ask(server, "/data", Cookie=f"{others}; {server.cookie}={server.session}")[0] == 200


def test_every_server_has_a_token_of_its_own(ledger: Any, server: DashboardServer) -> None:
    with DashboardServer(ledger) as other:
        assert len({server.token, server.session, other.token, other.session}) == 4
        assert len(server.token) == 32
    with pytest.raises(ConfigurationError, match="16 characters"):
        DashboardServer(ledger, token="short")


def test_two_names_are_none(server: DashboardServer) -> None:
    """Whoever stands between may read another one of them."""
    with socket.create_connection(server.server_address, timeout=30) as connection:
        head = f"GET /data?token={server.token} HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n"
        connection.sendall(head.encode())
        assert b" 403 " in connection.recv(100)


# What is answered ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "<SCRIPT>"])
def test_it_can_only_be_read(server: DashboardServer, method: str) -> None:
    status, headers, text = ask(server, "/", method, **bearer(server))
    assert status == 405
    assert headers["Allow"] == "GET, HEAD"
    assert "<" not in text


def test_its_head_can_be_asked_for(server: DashboardServer) -> None:
    status, headers, text = ask(server, "/", "HEAD", **bearer(server))
    assert (status, text) == (200, "")
    assert int(headers["Content-Length"]) > 1000
    assert ask(server, "/", "HEAD")[0] == 403


@pytest.mark.parametrize("path", ["/", "/data", "/nothing", "/?token=wrong", "//x", "//[", "/?" + "a&" * 50, "/../../etc/passwd"])
def test_every_answer_forbids_framing_guessing_and_telling_where_one_came_from(server: DashboardServer, path: str) -> None:
    for headers in ({}, bearer(server)):
        for method in ("GET", "POST"):
            status, answered, text = ask(server, path, method, **headers)
            assert status in (200, 400, 403, 404, 405)
            assert "frame-ancestors 'none'" in answered["Content-Security-Policy"]
            assert answered["X-Frame-Options"] == "DENY"
            assert answered["X-Content-Type-Options"] == "nosniff"
            assert answered["Referrer-Policy"] == "no-referrer"
            assert answered["Cache-Control"] == "no-store"
            assert "Python" not in answered["Server"]
            assert "Traceback" not in text
            assert server.token not in str(answered) + text


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n",
        b"nonsense\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + b"x" * 70_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200,
    ],
    ids=["blank", "words", "address", "version", "long", "many"],
)
def test_what_is_no_request_is_refused(server: DashboardServer, head: bytes) -> None:
    with socket.create_connection(server.server_address, timeout=30) as connection:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        answered = connection.makefile("rb").read()
    assert b"Traceback" not in answered
    assert ask(server, "/data", **bearer(server))[0] == 200


def test_what_fails_in_the_server_is_told_in_its_terminal_only(
    ledger: Any, server: DashboardServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise KeyError("secret-of-the-inside")

    monkeypatch.setattr(serve, "page_data", fails)
    status, _, text = ask(server, "/data", **bearer(server))
    assert status == 500
    assert "secret-of-the-inside" not in text
    err = ""

    def is_told() -> bool:
        nonlocal err
        err += capfd.readouterr().err
        return "secret-of-the-inside" in err

    # It may be told after the client has its answer.
    wait_until(is_told)
    assert server.token not in err


def test_no_request_is_logged(server: DashboardServer, capfd: pytest.CaptureFixture[str]) -> None:
    """The first one holds the token."""
    urllib.request.urlopen(server.link, timeout=30).read()
    ask(server, "/?token=wrong")
    assert capfd.readouterr() == ("", "")


# Who keeps it busy -----------------------------------------------------------------------------------------------------


def closed_after(connection: socket.socket, drip: bytes = b"") -> float:
    """Seconds until the server hangs up on a client that sends a byte now and then."""
    begun = time.monotonic()
    connection.settimeout(0.05)
    while time.monotonic() - begun < 20:
        try:
            if drip:
                connection.sendall(drip)
            if connection.recv(1000) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - begun


@pytest.mark.parametrize(
    "head, drip",
    [(b"", b""), (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b""), (b"GET /", b"x"), (b"GET / HTTP/1.1\r\n", b"a: b\r\n")],
)
def test_a_client_that_is_slow_to_ask_is_given_up(
    server: DashboardServer, monkeypatch: pytest.MonkeyPatch, head: bytes, drip: bytes
) -> None:
    """However often it sends a byte."""
    monkeypatch.setattr(serve, "ASK_SECONDS", 0.5)
    with socket.create_connection(server.server_address) as connection:
        connection.sendall(head)
        assert closed_after(connection, drip) < 15


def test_a_client_that_is_slow_to_take_is_given_up(server: DashboardServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "TAKE_SECONDS", 0.5)
    monkeypatch.setattr(serve, "as_json", lambda _: "x" * 30_000_000)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(server.server_address)
        connection.sendall(f"GET /data HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n\r\n".encode())
        wait_until(lambda: server.open_connections == 0)


def test_there_is_an_end_to_its_threads(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """More are told at once to come again, and answered when there is room."""
    monkeypatch.setattr(serve, "MOST_CONNECTIONS", 4)
    before = threading.active_count()
    for server in served(ledger):
        idle = [socket.create_connection(server.server_address, timeout=30) for _ in range(30)]
        wait_until(lambda server=server: server.open_connections == serve.MOST_CONNECTIONS)
        assert threading.active_count() <= before + 1 + 4
        refused = socket.create_connection(server.server_address, timeout=30)
        assert b" 503 " in refused.recv(100)
        for one in (*idle, refused):
            one.close()

        def answers(server: DashboardServer = server) -> bool:
            with suppress(OSError):
                return bool(ask(server, "/data", **bearer(server))[0] == 200)
            return False

        wait_until(answers)
