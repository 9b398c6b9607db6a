"""Failing over unseen, errors as they came, broken streams that never end tidily, clients that leave, and what is booked of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from gateways import KEY, TOKEN
from provider import CHAT, MESSAGES, RESPONSES, Fault, Provider, answer_bytes, events_of, waited
from requests_of_agents import JSON, PATHS, request_of, written
from waiting import until

ONE_TRY = "max_retries = 0\n"


def text_of(
    provider: Provider,
    more: str = "",
    policy: str = 'policy = { name = "fixed", route = "large" }',
    resend: float = 0.2,
    ping: float = 15,
) -> str:
    """A configuration with two routes and no retries of the same one."""
    routes = "".join(
        f'[routes.{name}]\nprovider = "openai"\nmodel = "{name}-1"\nkey_env = "KEY"\nbase_url = "{provider.url}"\n'
        f'protocols = ["chat", "responses", "messages"]\nprice = {{ input = {price}, output = {2 * price} }}\n'
        for name, price in (("small", 1), ("large", 10))
    )
    return f"{policy}\n{ONE_TRY}{routes}{more}\n[serve]\nport = 0\nresend_seconds = {resend}\nping_seconds = {ping}\n"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "fault",
    [Fault(status=503), Fault(status=529), Fault(how="error", after=1), Fault(how="drop", after=1), Fault(how="eof", after=1)],
)
def test_before_the_first_content_another_route_answers_unseen(
    path: str, fault: Fault, provider: Provider, gateway: Callable[..., Any]
) -> None:
    provider.faults = [Fault(**{**vars(fault), "model": "large-1"})]
    running = gateway(text=text_of(provider))
    with running.client() as client:
        answer = client.post(path, content=written(request_of(path)), headers=JSON)
    assert answer.content == answer_bytes(provider, path, "small-1")
    (decision,) = waited(lambda: running.decisions)
    assert [attempt.route for attempt in decision.attempts] == ["large", "small"]
    assert decision.route == "small"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("how", ["error", "drop", "eof"])
def test_a_stream_that_breaks_ends_as_an_error_of_the_protocol(
    path: str, how: str, provider: Provider, gateway: Callable[..., Any]
) -> None:
    provider.faults, provider.pause = [Fault(how=how, after=4)], 0.02
    running = gateway(text=text_of(provider))
    with running.client() as client:
        answer = client.post(path, content=written(request_of(path)), headers=JSON)
    events = list(events_of(answer.content))
    name, data = events[-1]
    if path == CHAT:
        # A number, by which clients that retry by statuses know that they may; the provider's own error is passed on.
        assert json.loads(data)["error"]["code"] == (529 if how == "error" else 502)
    else:
        assert name == "error"
        assert json.loads(data)["type"] == "error"
    assert "[DONE]" not in answer.text
    assert not any("message_stop" in one or "response.completed" in one for one, _ in events)
    (decision,) = waited(lambda: running.decisions)
    assert decision.route is None
    (attempt,) = decision.attempts
    assert attempt.cost_usd is not None
    assert attempt.cost_usd > 0, "what was heard is paid for"


@pytest.mark.parametrize("path", PATHS)
def test_an_error_in_the_place_of_a_whole_answer_is_a_refusal_and_costs_nothing(
    path: str, provider: Provider, gateway: Callable[..., Any]
) -> None:
    provider.faults = [Fault(how="error")]
    running = gateway(text=text_of(provider))
    with running.client() as client:
        answer = client.post(path, content=written(request_of(path, stream=False)), headers=JSON)
    assert answer.status_code == 200
    (decision,) = waited(lambda: running.decisions)
    assert [(one.route, one.error_type) for one in decision.attempts] == [("large", "UpstreamError"), ("small", None)]
    assert decision.attempts[0].cost_usd == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [True, False])
def test_a_resend_after_a_broken_stream_is_the_same_step(
    path: str, stream: bool, provider: Provider, gateway: Callable[..., Any]
) -> None:
    """Claude Code sends again without streaming."""
    provider.faults, provider.pause = [Fault(how="drop", after=4)], 0.02
    running = gateway(text=text_of(provider, resend=30))
    with running.client() as client:
        broken = client.post(path, content=written(request_of(path)), headers=JSON)
        assert broken.content != answer_bytes(provider, path, "large-1")
        assert not running.decisions
        whole = client.post(path, content=written(request_of(path, stream=stream)), headers=JSON)
    assert whole.status_code == 200
    (decision,) = waited(lambda: running.decisions)
    assert [attempt.error_type for attempt in decision.attempts] == ["AnswerCutOffError", None]
    assert decision.attempts[0].cost_usd > 0
    assert decision.cost_usd == pytest.approx(sum(attempt.cost_usd for attempt in decision.attempts))


def test_a_step_that_is_not_sent_again_is_booked_when_the_gateway_ends(provider: Provider, gateway: Callable[..., Any]) -> None:
    provider.faults, provider.pause = [Fault(how="drop", after=4)], 0.02
    running = gateway(text=text_of(provider, resend=600))
    with running.client() as client:
        client.post(CHAT, content=written(request_of(CHAT)), headers=JSON)
    assert not running.decisions
    running.end()
    assert len(running.decisions) == 1


ONE_ROUTE = 'policy = "balanced"\nmax_retries = 0\n'


def one_route(provider: Provider, more: str = "") -> str:
    route = (
        f'[routes.only]\nprovider = "anthropic"\nmodel = "only-1"\nkey_env = "KEY"\nbase_url = "{provider.url}"\n'
        'protocols = ["chat", "responses", "messages"]\nprice = { input = 10, output = 20 }\n'
    )
    return f"{ONE_ROUTE}{route}{more}\n[serve]\nport = 0\nresend_seconds = 0.2\n"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 429, 500, 503, 529])
def test_the_last_error_is_sent_as_it_came(path: str, status: int, provider: Provider, gateway: Callable[..., Any]) -> None:
    body = {"type": "error", "error": {"type": "some_error", "message": "prompt is too long: 5 > 4", "code": "x"}, "odd": [1]}
    provider.faults = [Fault(status=status, headers={"retry-after": "7", "x-should-retry": "false", "request-id": "r1"}, body=body)]
    running = gateway(text=one_route(provider))
    with running.client() as client:
        answer = client.post(path, content=written(request_of(path)), headers=JSON)
    assert answer.status_code == status
    assert answer.json() == body
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["request-id"] == "r1"
    assert KEY not in str(answer.headers)


def test_a_context_error_of_one_of_two_routes_is_what_the_client_is_told(provider: Provider, gateway: Callable[..., Any]) -> None:
    said = {
        "error": {
            "message": "maximum context length is 10 tokens",
            "code": "context_length_exceeded",
            "type": "invalid_request_error",
        }
    }
    provider.faults = [Fault(status=400, body=said, model="large-1"), Fault(status=503, model="small-1")]
    running = gateway(text=text_of(provider))
    with running.client() as client:
        answer = client.post(CHAT, content=written(request_of(CHAT)), headers=JSON)
    assert (answer.status_code, answer.json()) == (400, said)


@pytest.mark.parametrize("path", PATHS)
def test_a_used_up_budget_stops_an_agent(path: str, provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway(text=one_route(provider, "[[budgets]]\nusd = 0.01\nper = 'all'\n"))
    with running.client() as client:
        statuses = []
        for step in range(4):
            answer = client.post(path, content=written(request_of(path, f"Task {step}.", max_tokens=100)), headers=JSON)
            statuses.append(answer.status_code)
            if answer.status_code != 200:
                break
    assert statuses[-1] == 400
    assert "budget_exceeded" in answer.text
    if path != MESSAGES:
        assert answer.json()["error"]["code"] == "budget_exceeded"
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_leaves_a_stream_stops_the_provider_and_pays_for_what_was_heard(
    path: str, provider: Provider, gateway: Callable[..., Any]
) -> None:
    provider.words, provider.pause = ["word "] * 500, 0.02
    running = gateway(text=text_of(provider))
    with running.client() as client, client.stream("POST", path, content=written(request_of(path)), headers=JSON) as answer:
        for place, _ in enumerate(answer.iter_raw()):
            if place > 5:
                break
    waited(lambda: provider.seen[0].ended == "left")
    (decision,) = waited(lambda: running.decisions)
    (attempt,) = decision.attempts
    assert attempt.cost_usd > 0
    assert 3 <= attempt.usage.output_tokens < 400


async def left(running: Any, body: bytes, when: Callable[[], Any]) -> None:
    """Ask, and hang up without an answer as soon as something is true."""
    headers = {**JSON, "authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=30, trust_env=False) as client:
        asking = asyncio.create_task(client.post(CHAT, content=body))
        await until(when)
        assert not asking.done()
        asking.cancel()
        await asyncio.wait([asking])


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_before_the_first_byte_stops_the_provider(
    stream: bool, provider: Provider, gateway: Callable[..., Any]
) -> None:
    provider.faults = [Fault(seconds=30) if stream else Fault(how="stall", seconds=30)]
    running = gateway(text=text_of(provider))
    asyncio.run(left(running, written(request_of(CHAT, stream=stream)), lambda: provider.seen))
    waited(lambda: provider.seen[0].ended == "left")
    assert len(provider.seen) == 1
    (decision,) = waited(lambda: running.decisions)
    assert decision.attempts[0].error_type == "CancelledError"


@pytest.mark.parametrize("path", PATHS)
def test_pings_keep_a_silent_stream_alive(path: str, provider: Provider, gateway: Callable[..., Any]) -> None:
    """Before the first token, and between two; the provider's bytes stay whole."""
    provider.faults = [Fault(seconds=1.5)]
    running = gateway(text=text_of(provider, ping=0.1))
    with running.client() as client:
        answer = client.post(path, content=written(request_of(path)), headers=JSON)
        ping = b'event: ping\ndata: {"type": "ping"}\n\n' if path == MESSAGES else b": ping\n\n"
        assert answer.content.startswith(ping * 2)
        whole = answer_bytes(provider, path, "large-1")
        assert answer.content.replace(ping, b"") == whole.replace(ping, b"")
        provider.faults = [Fault(how="stall", after=4, seconds=1.5)]
        answer = client.post(path, content=written(request_of(path, "Another task.")), headers=JSON)
    assert answer.content.count(b"ping") - whole.count(b"ping") >= 2 * ping.count(b"ping")
    assert answer.content.replace(b": ping\n\n" if path != MESSAGES else ping, b"") == whole.replace(ping, b"")


def test_an_error_after_a_ping_is_an_event(provider: Provider, gateway: Callable[..., Any]) -> None:
    provider.faults = [Fault(seconds=0.6, how=None, after=0)]
    text = one_route(provider).replace("port = 0", "port = 0\nping_seconds = 0.2")
    running = gateway(text=text)
    provider.faults = [Fault(how="drop", after=0, seconds=0)]
    provider.pause = 0
    with running.client() as client:
        answer = client.post(MESSAGES, content=written(request_of(MESSAGES)), headers=JSON)
    assert answer.status_code == 502, "nothing was sent yet, so that it is a status"
    assert answer.json()["type"] == "error"


def test_an_unreachable_provider_is_told_without_its_key(gateway: Callable[..., Any]) -> None:
    text = (
        'max_retries = 0\n[routes.only]\nprovider = "openai"\nmodel = "m"\nkey_env = "KEY"\nbase_url = "http://127.0.0.1:9/v1"\n'
        "[serve]\nport = 0\n"
    )
    running = gateway(text=text)
    with running.client() as client:
        answer = client.post(RESPONSES, content=written(request_of(RESPONSES)), headers=JSON)
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "connection"
    assert KEY not in answer.text


def test_a_gateway_that_ends_lets_running_answers_finish(provider: Provider, gateway: Callable[..., Any]) -> None:
    provider.words, provider.pause = ["word "] * 20, 0.05
    running = gateway(text=text_of(provider))
    with running.client() as client, client.stream("POST", CHAT, content=written(request_of(CHAT)), headers=JSON) as answer:
        chunks = answer.iter_raw()
        first = next(chunks)
        running.server.handle_exit(15, None)
        assert not running.state.ready()
        rest = b"".join(chunks)
    assert first + rest == answer_bytes(provider, CHAT, "large-1")
    running.end()
    assert running.decisions[0].route == "large"


def test_a_gateway_that_may_not_wait_longer_ends_its_streams_as_errors(provider: Provider, gateway: Callable[..., Any]) -> None:
    provider.words, provider.pause = ["word "] * 400, 0.05
    running = gateway(text=text_of(provider).replace("port = 0", "port = 0\ndrain_seconds = 1"))
    with running.client() as client, client.stream("POST", CHAT, content=written(request_of(CHAT)), headers=JSON) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        running.server.handle_exit(15, None)
        begun = time.monotonic()
        rest = b"".join(chunks)
        assert time.monotonic() - begun < 10
    assert b'"error"' in rest.split(b"\n\n")[-2]
    running.end()
    assert running.decisions[0].attempts[0].cost_usd > 0


def test_a_reload_keeps_running_answers_and_changes_new_ones(provider: Provider, gateway: Callable[..., Any]) -> None:
    provider.words, provider.pause = ["word "] * 20, 0.05
    running = gateway(text=text_of(provider))
    with running.client() as client, client.stream("POST", CHAT, content=written(request_of(CHAT)), headers=JSON) as answer:
        chunks = answer.iter_raw()
        first = next(chunks)
        running.text = text_of(provider, policy='policy = { name = "fixed", route = "small" }')
        running.reload()
        with running.client() as other:
            provider.pause = 0
            other.post(CHAT, content=written(request_of(CHAT, "Another task.")), headers=JSON)
        rest = b"".join(chunks)
    assert first + rest == answer_bytes(provider, CHAT, "large-1")
    assert [seen.body["model"] for seen in provider.seen] == ["large-1", "small-1"]
    running.text = text_of(provider, policy="policy = 3")
    assert "line 1: policy: this is a text or a table, not 3" in running.state.read_anew()
