"""Clients of one protocol are answered by routes that speak another one, where the file says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from provider import CHAT, MESSAGES, RESPONSES, USAGE_OUT, Fault, Provider, events_of, waited
from requests_of_agents import JSON, PATHS, request_of, written

NAMES = {CHAT: "chat", RESPONSES: "responses", MESSAGES: "messages"}
OTHERS = [(client, spoken) for client in PATHS for spoken in PATHS if client != spoken]


def text_of(provider: Provider, spoken: str, more: str = "translate = true") -> str:
    return (
        f'max_retries = 0\n[routes.only]\nprovider = "openai"\nmodel = "only-1"\nkey_env = "KEY"\nbase_url = "{provider.url}"\n'
        f'protocols = ["{NAMES[spoken]}"]\nprice = {{ input = 10, output = 20 }}\n{more}\n[serve]\nport = 0\nresend_seconds = 0.2\n'
    )


@pytest.mark.parametrize("path, spoken", OTHERS)
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_gets_its_own_protocol_and_the_step_is_booked(
    path: str, spoken: str, stream: bool, provider: Provider, gateway: Callable[..., Any]
) -> None:
    running = gateway(text=text_of(provider, spoken))
    with running.client() as client:
        answer = client.post(path, content=written(request_of(path, stream=stream)), headers={**JSON, "anthropic-beta": "x-1"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-langroute-translated"] == f"{NAMES[path]} to {NAMES[spoken]}"
    assert answer.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    assert "Hello from the provider." in (_text(answer.content, path) if stream else answer.text)
    (seen,) = provider.seen
    assert (seen.path, seen.body["model"]) == (spoken, "only-1")
    assert "anthropic-beta" not in seen.headers
    (decision,) = waited(lambda: running.decisions)
    assert decision.cost_usd == pytest.approx((1000 * 10 + USAGE_OUT * 20) / 1e6)


def _text(raw: bytes, path: str) -> str:
    """The text of a stream, as its client puts it together."""
    said = ""
    for _, data in events_of(raw):
        if data == "[DONE]":
            continue
        one = json.loads(data)
        if path == MESSAGES:
            said += one.get("delta", {}).get("text", "")
        elif path == RESPONSES:
            said += one["delta"] if one["type"] == "response.output_text.delta" else ""
        else:
            said += "".join(choice["delta"].get("content") or "" for choice in one["choices"])
    return said


@pytest.mark.parametrize("path, spoken", OTHERS)
@pytest.mark.parametrize("how", ["error", "drop", "eof"])
def test_a_broken_stream_ends_as_an_error_of_the_clients_protocol(
    path: str, spoken: str, how: str, provider: Provider, gateway: Callable[..., Any]
) -> None:
    provider.faults, provider.pause = [Fault(how=how, after=4)], 0.02
    running = gateway(text=text_of(provider, spoken))
    with running.client() as client:
        answer = client.post(path, content=written(request_of(path)), headers=JSON)
    name, data = list(events_of(answer.content))[-1]
    assert "error" in json.loads(data) if path == CHAT else name == "error"
    assert answer.text.count("event: error") == (path != CHAT)
    (decision,) = waited(lambda: running.decisions)
    assert decision.attempts[0].cost_usd > 0


@pytest.mark.parametrize("path, spoken", OTHERS)
def test_an_error_is_told_in_the_clients_protocol(path: str, spoken: str, provider: Provider, gateway: Callable[..., Any]) -> None:
    said = {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}}
    provider.faults = [Fault(status=400, body=said)]
    running = gateway(text=text_of(provider, spoken))
    with running.client() as client:
        answer = client.post(path, content=written(request_of(path)), headers=JSON)
    assert answer.status_code == 400
    assert "prompt is too long" in answer.json()["error"]["message"]
    if path != MESSAGES:
        assert answer.json()["error"]["code"] == "context_length_exceeded"
    delays = {"retry-after": "3", "retry-after-ms": "2600", "x-should-retry": "true"}
    provider.faults = [Fault(status=429, headers={**delays, "x-other": "theirs"})]
    with running.client() as client:
        limited = client.post(path, content=written(request_of(path, "Another.")), headers=JSON)
    assert limited.status_code == 429
    assert {name: limited.headers.get(name) for name in (*delays, "x-other")} == {**delays, "x-other": None}


def test_without_leave_nothing_is_translated(provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway(text=text_of(provider, CHAT, more=""))
    with running.client() as client:
        refused = client.post(MESSAGES, content=written(request_of(MESSAGES)), headers=JSON)
    assert refused.status_code == 404
    assert not provider.seen
