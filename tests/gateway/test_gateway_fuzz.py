"""Anything may come from a client and from a provider: each request is answered by its protocol, no key is shown, and the books are the provider's.

More examples: `LANGROUTE_FUZZ=2000 pytest tests/gateway/test_gateway_fuzz.py`.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from gateways import KEY, TOKEN, Running
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from odd_requests import chunked, coded, odd_bodies, odd_headers, odd_refusals, odd_streams, queries
from provider import CHAT, MESSAGES, RESPONSES, events_of, waited
from raw_provider import RawProvider, Said, good_answer
from requests_of_agents import JSON
from wire_shapes import REQUESTS, STREAMS, cut

from langroute.gateway.upstream import HiddenKeys
from langroute.ledger import open_ledger
from langroute.ledger.memory import MemoryLedger

PATHS = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}
PAIRS = [(client, spoken) for client in PATHS for spoken in PATHS]
EXAMPLES = int(os.environ.get("LANGROUTE_FUZZ", "0"))


def few(count: int) -> Any:
    """Settings of a test with this many examples, or as many as the environment says."""
    return settings(
        max_examples=EXAMPLES or count,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


CONFIG = 'max_retries = 0\n{routes}[[budgets]]\nusd = 1e6\nper = "all"\n[serve]\nport = 0\nresend_seconds = 0.01\n'


class Log(logging.Handler):
    """All that is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool


class Bench:
    """A gateway with a route of each protocol, before one provider."""

    def __init__(self) -> None:
        self.provider = RawProvider()
        routes = "".join(
            f'[routes.{name}]\nprovider = "{"anthropic" if name == "messages" else "openai"}"\nmodel = "{name}-1"\nkey_env = "KEY"\n'
            f'base_url = "{self.provider.url}"\nprotocols = ["{name}"]\ntranslate = true\nprice = {{ input = 10, output = 20 }}\n'
            for name in PATHS
        )
        # Whose decisions are counted, of as many examples as are asked for.
        self.running = Running(CONFIG.format(routes=routes), ledger=MemoryLedger(max_decisions=10**7))
        self.log = Log()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=20)
        self.booked = 0
        self.calls = 0

    def post(self, path: str, body: bytes, headers: list[tuple[str, str]]) -> Answer:
        """Send a request as it is."""
        self.attempts()
        self.log.said.clear()
        own = [*JSON.items(), ("authorization", f"Bearer {TOKEN}"), ("content-length", str(len(body)))]
        try:
            self.connection.putrequest("POST", path, skip_accept_encoding=True)
            for name, value in [*own, *headers]:
                self.connection.putheader(name, value.encode("latin-1"))
            self.connection.endheaders(body)
            response = self.connection.getresponse()
            try:
                said, whole = response.read(), True
            except (http.client.IncompleteRead, ConnectionError) as error:
                said, whole = getattr(error, "partial", b""), False
                self.connection.close()
        except BaseException:
            self.connection.close()
            raise
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, said, whole)

    def attempts(self) -> list[Any]:
        """The calls of this example that are in the books, once all are."""
        calls = len(self.provider.log)

        def new() -> list[Any]:
            booked = [attempt for decision in self.running.decisions for attempt in decision.attempts]
            # What cannot be said in a route's protocol is not sent.
            booked = [attempt for attempt in booked if attempt.error_type != "UntranslatableError"]
            return booked[self.calls :] if len(booked) >= calls else []

        found = waited(new, 30) if calls > self.calls else []
        assert len(found) == calls - self.calls
        self.calls = calls
        return found

    def shows_no_secret(self, answer: Answer) -> None:
        told = f"{answer.headers} {answer.body.decode('latin-1')} {' '.join(self.log.said)}"
        assert KEY not in told
        assert TOKEN not in told
        assert "Traceback" not in told
        # That a route keeps failing is told to whoever runs the gateway.
        failures = [line for line in self.log.said if not line.startswith("langroute WARNING")]
        assert not failures, failures[-3:]

    def close(self) -> None:
        self.connection.close()
        self.running.end()
        self.provider.close()


@pytest.fixture(scope="module")
def one_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()
    # Whatever was in a request or an answer, its record can be written to a database.
    decisions = bench.running.decisions[-100:]
    with open_ledger(tmp_path_factory.mktemp("books") / "ledger.db") as ledger:
        for decision in decisions:
            ledger.record(decision)
        ledger.flush()
        with ledger.reading() as connection:
            ((count,),) = connection.exec_driver_sql("select count(*) from decisions")
    assert count == len(decisions)


@pytest.fixture
def bench(one_bench: Bench) -> Iterator[Bench]:
    root = logging.getLogger()
    root.addHandler(one_bench.log)
    one_bench.log.said.clear()
    yield one_bench
    root.removeHandler(one_bench.log)


def is_error(client: str, answer: Answer) -> bool:
    """Whether an answer is an error in the client's protocol."""
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return False
    error = said.get("error") if isinstance(said, dict) else None
    shaped = isinstance(error, dict) and isinstance(error.get("message"), str) and isinstance(error.get("type"), str)
    return shaped and bool(error["message"]) and (client != "messages" or said.get("type") == "error")


def ends(client: str, raw: bytes) -> str:
    """How a stream ends for its client: `whole`, `error`, or what it is otherwise."""
    events = list(events_of(raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").decode("utf-8", "replace").encode()))
    if not events:
        return "nothing"
    name, data = events[-1]
    said = object_of(data)
    kind = said.get("type") or name
    if "error" in said or kind in ("error", "response.failed"):
        return "error"
    if client == "messages":
        return "whole" if kind == "message_stop" else "open"
    if client == "responses":
        return "whole" if kind in ("response.completed", "response.incomplete") else "open"
    # Some servers leave out what should end the stream.
    choices = [one for _, told in events if isinstance(found := object_of(told).get("choices"), list) for one in found]
    return "whole" if any(isinstance(one, dict) and isinstance(one.get("finish_reason"), str) for one in choices) else "open"


def object_of(data: str) -> dict[str, Any]:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def is_answered(client: str, answer: Answer, statuses: frozenset[int]) -> None:
    """An answer, or an error, of the client's protocol."""
    assert answer.whole or answer.headers["content-type"].startswith("text/event-stream")
    if answer.status != 200:
        assert answer.status in statuses, (answer.status, answer.body[:300])
        assert is_error(client, answer), answer.body[:300]
    elif answer.headers["content-type"].startswith("text/event-stream"):
        assert ends(client, answer.body) in ("whole", "error"), answer.body[-300:]
    else:
        assert isinstance(json.loads(answer.body), dict)


OF_BODIES = frozenset({400, 404, 413, 415})


@pytest.mark.parametrize("client, spoken", PAIRS)
def test_any_request_is_answered_by_its_protocol_and_booked(client: str, spoken: str, bench: Bench) -> None:
    count = iter(range(100, 10**9))

    @few(14)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        tokens = (next(count), next(count) % 50 + 1)
        bench.provider.answer = lambda path, body: good_answer(path, body, tokens, ["Hel", "lo."])
        body, coding = data.draw(odd_bodies(client, spoken).flatmap(coded))
        headers = [*data.draw(odd_headers), *([("content-encoding", coding)] if coding is not None else [])]
        # Any of these would be another kind of request.
        headers = [(name, value) for name, value in headers if name not in ("connection", "upgrade", "expect", "te")]
        begun = len(bench.provider.log)
        answer = bench.post(PATHS[client] + data.draw(queries), body, headers)
        bench.shows_no_secret(answer)
        is_answered(client, answer, OF_BODIES)
        attempts = bench.attempts()
        if answer.status == 200:
            (attempt,) = attempts
            assert (attempt.usage.input_tokens, attempt.usage.output_tokens) == tokens
            assert attempt.cost_usd == pytest.approx((tokens[0] * 10 + tokens[1] * 20) / 1e6)
        for asked in bench.provider.log[begun:]:
            assert TOKEN not in f"{asked.headers} {asked.body!r}"
            json.loads(asked.body.decode("utf-8", "replace")) if client != spoken else None

    check()


OF_PROVIDERS = frozenset({400, 401, 404, 408, 413, 429, 500, 502, 503, 504, 529})


@pytest.mark.parametrize("client, spoken", PAIRS)
def test_any_answer_of_a_provider_is_one_to_the_client_or_an_error(client: str, spoken: str, bench: Bench) -> None:
    @few(14)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        stream, same = data.draw(odd_streams(spoken))
        how = data.draw(st.sampled_from(["whole", "whole", "drop"]))
        said = Said(data.draw(chunked(stream)), headers=[("content-type", "text/event-stream")], how=how, pause=0.001)
        bench.provider.answer = lambda path, body: said
        answer = bench.post(PATHS[client], REQUESTS[client](1, model=spoken), [])
        bench.shows_no_secret(answer)
        is_answered(client, answer, OF_PROVIDERS)
        (attempt,) = bench.attempts()
        if same:
            assert ends(client, answer.body) == "whole"
            assert (attempt.usage.input_tokens, attempt.usage.output_tokens) == (442, 20)
            assert attempt.error_type is None
        elif answer.status == 200 and ends(client, answer.body) == "error":
            assert attempt.error_type is not None

    check()


@pytest.mark.parametrize("client, spoken", PAIRS)
def test_any_refusal_of_a_provider_is_told_without_the_key(client: str, spoken: str, bench: Bench) -> None:
    """With any status, headers and body, as an event of a stream, or as a body that says it is fine."""

    @few(14)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        bench.provider.answer = lambda path, body: said
        said = data.draw(odd_refusals(spoken, KEY))
        body = REQUESTS[client](1, model=spoken).replace(
            b'"stream":true', b'"stream":%s' % data.draw(st.sampled_from([b"true", b"false"]))
        )
        answer = bench.post(PATHS[client], body, [])
        bench.shows_no_secret(answer)
        assert answer.whole or answer.status == 200
        assert answer.status == 200 or 400 <= answer.status < 600
        if answer.status != 200 and (client != spoken or said.status == 200):
            assert is_error(client, answer), (answer.status, answer.body[:300])
        (attempt,) = bench.attempts()
        if answer.status != 200:
            assert attempt.error_type is not None

    check()


HEADS = (
    "Host: 127.0.0.1:{port}", "Authorization: Bearer {token}", "Content-Type: application/json", "Content-Length: {length}",
    "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Content-Length: 1", "Content-Length: -1", "Content-Length: 9e9",
    "Content-Length: 99999999999999999999999", "Content-Length:", "Host: evil.example", "Host:", "Origin: null", "Content-Type: text/plain",
    "Connection: close", "Connection: upgrade", "Upgrade: websocket", "Upgrade: h2c", "HTTP2-Settings: AAAA", "Expect: 100-continue",
    "X-Odd: \xe9\xff\x01", "X Odd: 1", ": none", "X-Folded: a\r\n b", "X-Null: \0", "X: " + "y" * 70_000, "TE: trailers", "X-Y: \n", "\r",
)  # fmt: skip


def test_any_head_is_answered_or_the_connection_is_closed(bench: Bench) -> None:
    bench.provider.answer = lambda path, body: good_answer(path, body, (100, 20), ["Hello."])
    good = [HEADS[place] for place in range(4)]
    targets = [
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/responses",
        "/v1/outcomes",
        "/v1/models",
        "/",
        "*",
        "/\xe9",
        "/%ff",
        "//",
        "/a" * 9000,
    ]

    @few(60)
    @given(
        st.sampled_from(["POST", "GET", "HEAD", "OPTIONS", "PUT", "CONNECT", "TRACE", "PRI", "post", "P\xd6ST"]),
        st.sampled_from(targets),
        st.permutations(good),
        st.lists(st.sampled_from(HEADS), max_size=3),
        st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9", ""]),
        st.integers(0, 4),
    )
    @example("POST", "/v1/messages", good, [f"X-{place}: y" for place in range(500)], "HTTP/1.1", 1)
    def check(method: str, target: str, kept: list[str], more: list[str], version: str, left_out: int) -> None:
        bench.log.said.clear()
        body = REQUESTS["chat"](1, model="chat")
        lines = [f"{method} {target} {version}", *kept[min(left_out, 1) :], *more]
        head = (
            "\r\n".join(lines)
            .replace("{port}", str(bench.running.port))
            .replace("{token}", TOKEN)
            .replace("{length}", str(len(body)))
        )
        with socket.create_connection(("127.0.0.1", bench.running.port), timeout=5) as connection:
            said = b""
            # Where a body that is longer than ours is told, the gateway waits for the rest of it.
            connection.settimeout(0.1 if more else 5)
            with suppress(ConnectionError, TimeoutError):
                connection.sendall(head.encode("latin-1") + b"\r\nConnection: close\r\n\r\n" + body)
                while chunk := connection.recv(65536):
                    said += chunk
        assert KEY.encode() not in said
        assert TOKEN.encode() not in said
        if said:
            assert said.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4", b"HTTP/1.1 100")), said[:200]
        logged = [line for line in bench.log.said if "Invalid HTTP request received." not in line]
        assert not logged
        assert TOKEN not in f"{bench.provider.log[-1:]}"

    check()


@pytest.mark.parametrize("client, spoken", PAIRS)
def test_edges_of_chunks_change_neither_text_nor_usage(client: str, spoken: str, bench: Bench) -> None:
    body = REQUESTS[client](1, model=spoken)
    if client == "chat":
        # The usage is asked for in the client's place, and kept from it.
        body = body.replace(b',"stream_options":{"include_usage":true}', b"")
    stream = STREAMS[spoken]("D\xf6n\u0435 \u2713.", call={"command": "ls"}, model="given-1")

    def asked(chunks: list[bytes]) -> bytes:
        said = Said(chunks, headers=[("content-type", "text/event-stream")], pause=0.001 if len(chunks) > 1 else 0)
        bench.provider.answer = lambda path, body: said
        answer = bench.post(PATHS[client], body, [])
        assert answer.status == 200, answer.body
        (attempt,) = bench.attempts()
        assert (attempt.usage.input_tokens, attempt.usage.cache_read, attempt.usage.output_tokens) == (442, 400, 20)
        return answer.body

    def told(raw: bytes) -> Any:
        reader = _protocol(client).answer_reader(stream=True)
        reader.feed(raw)
        reader.finish()
        calls = [(call.name, call.text) for call in reader.tool_calls]
        return reader.text, calls, reader.complete, reader.finish_reason, reader.usage

    whole = asked([stream])
    text, calls, complete, _, usage = told(whole)
    assert (text, complete) == ("D\xf6n\u0435 \u2713.", True)
    assert [json.loads(given) for _, given in calls] == [{"command": "ls"}]
    assert (usage is None) == (client == "chat")

    @few(8)
    @given(places=st.lists(st.integers(0, 10**5), min_size=1, max_size=6))
    def check(places: list[int]) -> None:
        got = asked(cut(stream, places))
        if client == spoken:
            assert got == whole
        assert told(got) == told(whole)

    check()


@given(
    st.lists(st.sampled_from([b"sk-secret", b"sk-", b"s", b"sk-sk-secret", b"sk-secre", b"other-key", b" data\n\n"])),
    st.lists(st.integers(0, 200)),
)
def test_a_key_is_taken_out_wherever_a_chunk_ends(parts: list[bytes], places: list[int]) -> None:
    said = b"".join(parts)
    hidden = HiddenKeys([b"sk-secret", b"other-key"])
    got = b"".join(hidden.feed(chunk) for chunk in cut(said, places)) + hidden.rest()
    assert got == said.replace(b"sk-secret", b"[key]").replace(b"other-key", b"[key]")


def _protocol(name: str) -> Any:
    from langroute.wire.protocols import PROTOCOLS

    return PROTOCOLS[name]
