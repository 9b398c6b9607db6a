"""What a provider, or whoever stands in its place, may send without harm to the client or the gateway."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from gateways import KEY, TOKEN
from provider import CHAT, MESSAGES, Fault, Provider
from requests_of_agents import JSON, request_of, written
from test_failing import text_of

from langroute.wire.chat_usage import UsageFilter

BODY = written(request_of(CHAT, stream=False))


@contextmanager
def answering(said: bytes) -> Iterator[str]:
    """A server that answers every request with these bytes and closes the connection."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(2**20)
                connection.sendall(said)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.close()


def asked(running: Any, **options: Any) -> httpx.Response:
    with running.client() as client:
        return client.post(CHAT, content=BODY, headers=JSON, **options)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://evil.example/v1/chat/completions\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 999 Request Denied\r\ncontent-length: 2\r\n\r\n{}",
        b"\0\xff no HTTP at all\r\n\r\n",
    ],
    ids=["redirect", "not-modified", "switch", "no-status", "no-http"],
)
def test_an_answer_as_no_provider_gives_it_is_a_route_that_fails(
    said: bytes, gateway: Callable[..., Any], provider: Provider
) -> None:
    with answering(said) as elsewhere:
        strange = f'[routes.strange]\nprovider = "openai"\nmodel = "m"\nkey_env = "KEY"\nbase_url = "{elsewhere}"\nprotocols = ["chat", "responses", "messages"]\n'
        alone = asked(gateway(text=f"max_retries = 0\n{strange}[serve]\nport = 0\n"))
        both = asked(gateway(text=text_of(provider, strange, policy='policy = { name = "fixed", route = "strange" }')))
    assert alone.status_code == 502, alone.text
    assert "location" not in alone.headers
    assert both.status_code == 200, both.text
    assert both.headers["x-langroute-route"] in ("small", "large")


def test_a_provider_that_repeats_the_key_in_an_error_shows_it_to_nobody(gateway: Callable[..., Any], provider: Provider) -> None:
    body = {"error": {"message": f"Incorrect API key provided: {KEY}", "type": "invalid_request_error"}}
    provider.faults = [Fault(status=401, body=body, headers={"x-key": f"Bearer {KEY}"}) for _ in range(4)]
    answer = asked(gateway())
    assert answer.status_code == 401
    assert "Incorrect API key provided: [key]" in answer.json()["error"]["message"]
    assert KEY not in f"{answer.headers} {answer.text}"


def test_what_a_provider_permits_web_pages_is_not_passed_on(gateway: Callable[..., Any], provider: Provider) -> None:
    provider.faults = [Fault(status=400, headers={"access-control-allow-origin": "*", "x-kept": "1"})]
    answer = asked(gateway())
    assert answer.headers["x-kept"] == "1"
    assert "access-control-allow-origin" not in answer.headers


def test_what_only_the_gateway_says_is_not_taken_from_a_provider(gateway: Callable[..., Any], provider: Provider) -> None:
    """Neither in an answer nor in a refusal, of a model's answer or of counted tokens."""
    theirs = {"X-Langroute-Route": "theirs", "x-langroute-edits": "theirs", "x-langroute-anything": "theirs", "x-kept": "1"}
    provider.faults = [Fault(status=status, headers=theirs) for status in (400, 200, 400)]
    running = gateway()
    refused, answered = asked(running), asked(running)
    with running.client() as client:
        counted = client.post(f"{MESSAGES}/count_tokens", content=written(request_of(MESSAGES)), headers=JSON)
    assert (refused.status_code, refused.headers["x-kept"]) == (400, "1")
    assert "theirs" not in [*refused.headers.values(), *answered.headers.values(), *counted.headers.values()]
    assert refused.headers["x-langroute-decision"]


def test_a_refused_request_whose_body_still_comes_does_not_spoil_the_connection(gateway: Callable[..., Any]) -> None:
    running = gateway()
    host = b"Host: 127.0.0.1:%d\r\n" % running.port
    head = b"POST /v1/chat/completions HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\nContent-Length: 300000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as connection:
        connection.sendall(head)
        assert b" 401 " in connection.recv(65536)
        for _ in range(30):
            connection.sendall(b"x" * 10_000)
            time.sleep(0.005)
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + host + b"\r\n")
        assert b" 200 " in connection.recv(65536).split(b"\r\n")[0]


def test_the_rest_of_a_refused_body_is_not_taken_forever(gateway: Callable[..., Any]) -> None:
    running = gateway(serve="header_seconds = 0.3")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: 300000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as connection:
        connection.sendall(head % running.port)
        assert b" 401 " in connection.recv(65536)
        for _ in range(400):
            try:
                connection.sendall(b"x" * 10)
            except OSError:
                return
            time.sleep(0.05)
    raise AssertionError("the connection is still open")


def test_a_long_event_costs_what_it_is_long() -> None:
    """In small chunks, too: what waits for its end is not searched again with each of them."""
    one, begun = UsageFilter(), time.perf_counter()
    for _ in range(5000):
        one.feed(b"x" * 100)
    # Searched again each time it takes half a minute.
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize("edge", range(1, 60))
def test_the_usage_is_found_wherever_a_chunk_ends(edge: int) -> None:
    kept, usage = b'data: {"choices":[1]}', b'data: {"choices":[],"usage":{"a":1}}'
    for end in (b"\n\n", b"\r\n\r\n", b"\r\r"):
        text = kept + end + usage + end + b"data: [DONE]" + end
        one = UsageFilter()
        out = one.feed(text[:edge]) + b"".join(one.feed(bytes([byte])) for byte in text[edge:]) + one.finish()
        assert out == kept + end + b"data: [DONE]" + end


def test_the_token_of_a_client_is_never_sent_to_a_provider(gateway: Callable[..., Any], provider: Provider) -> None:
    asked(gateway())
    assert TOKEN not in repr(provider.seen)
