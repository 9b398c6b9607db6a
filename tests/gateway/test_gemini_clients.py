"""Clients of Google's protocol, whose address holds the model: passed through, booked, failed over, and changed for another model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from gateways import KEY, TOKEN
from provider import GEMINI, USAGE_OUT, Fault, Provider, answer_bytes, plain_events, waited

CONFIG = """
policy = {{ name = "fixed", route = "large" }}

[routes.small]
provider = "google_genai"
model = "gemini-2.5-flash"
key_env = "KEY"
base_url = "{url}"
protocols = ["gemini"]
max_output_tokens = 8000
price = {{ input = 1, output = 2 }}

[routes.large]
provider = "google_genai"
model = "gemini-3-pro"
key_env = "KEY"
base_url = "{url}"
protocols = ["gemini"]
price = {{ input = 10, output = 20 }}

[serve]
port = 0
resend_seconds = 0.2
"""
JSON = {"content-type": "application/json"}
STREAM, PLAIN = "streamGenerateContent?alt=sse", "generateContent"


def asked(**more: Any) -> bytes:
    body = {
        "systemInstruction": {"parts": [{"text": "You are a coding agent."}]},
        "contents": [{"role": "user", "parts": [{"text": "Fix the failing test."}]}],
        "tools": [{"functionDeclarations": [{"name": "run", "parametersJsonSchema": {"type": "object"}}]}],
        "generationConfig": {"maxOutputTokens": 64000, "temperature": 1},
        **more,
    }
    return json.dumps(body, indent=1).encode()


@pytest.fixture
def running(provider: Provider, gateway: Callable[..., Any]) -> Any:
    return gateway(text=CONFIG.format(url=provider.url))


def post(client: Any, method: str, body: bytes, model: str = "gemini-3-pro") -> Any:
    return client.post(f"{GEMINI}/{model}:{method}", content=body, headers=JSON)


def test_a_stream_passes_through_and_is_booked(provider: Provider, running: Any) -> None:
    body = asked()
    with running.client(headers={"authorization": "", "x-goog-api-key": TOKEN}) as client:
        answer = post(client, f"{STREAM}&key=mine", body)
    assert answer.status_code == 200, answer.text
    assert answer.content == answer_bytes(provider, GEMINI, "gemini-3-pro")
    (seen,) = provider.seen
    assert (seen.raw, seen.address, seen.query) == (body, f"{GEMINI}/gemini-3-pro:streamGenerateContent", "alt=sse")
    assert seen.headers["x-goog-api-key"] == KEY
    assert TOKEN not in json.dumps(seen.headers)
    (decision,) = waited(lambda: running.decisions)
    usage = decision.kept.usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning) == (1000, USAGE_OUT, 5)
    assert decision.cost_usd == pytest.approx((1000 * 10 + USAGE_OUT * 20) / 1e6)
    assert decision.step.signals.turn == 1


def test_another_model_is_called_under_its_own_address_with_what_it_takes(provider: Provider, running: Any) -> None:
    thinking = {"maxOutputTokens": 64000, "thinkingConfig": {"thinkingLevel": "high", "includeThoughts": True}}
    with running.client() as client:
        answer = post(client, PLAIN, asked(generationConfig=thinking), "langroute/small")
    assert answer.status_code == 200, answer.text
    (seen,) = provider.seen
    assert seen.address == f"{GEMINI}/gemini-2.5-flash:generateContent"
    assert seen.body["generationConfig"] == {"maxOutputTokens": 8000, "thinkingConfig": {"includeThoughts": True}}
    assert answer.headers["x-langroute-edits"] == 'cap-max-tokens;what="8000", drop-thinking;what="thinkingLevel"'
    assert waited(lambda: running.decisions)[0].route == "small"


def test_an_error_fails_over_and_a_broken_stream_is_never_ended_tidily(provider: Provider, running: Any) -> None:
    unavailable = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    provider.faults = [Fault(status=503, body=unavailable)] * 2
    with running.client() as client:
        answer = post(client, STREAM, asked())
        assert answer.status_code == 200, answer.text
        assert provider.seen[-1].address.endswith("gemini-2.5-flash:streamGenerateContent")
        provider.faults = [Fault(how="eof", after=2)]
        cut = post(client, STREAM, asked(contents=[{"role": "user", "parts": [{"text": "Another one."}]}]))
    last = json.loads(cut.content.decode().strip().rpartition("data: ")[2])
    assert (last["error"]["code"], last["error"]["status"]) == (500, "INTERNAL")


def test_a_stream_that_broke_while_it_thought_is_billed(provider: Provider, running: Any) -> None:
    (_, told) = plain_events(GEMINI, "gemini-3-pro", ["Hm."], provider.prompt)[0]
    thought = {
        **told,
        "candidates": [{**told["candidates"][0], "content": {"role": "model", "parts": [{"text": "Hm.", "thought": True}]}}],
    }
    provider.script = lambda path, model, body: [("", thought)] * 5
    provider.faults = [Fault(how="drop", after=4)]
    try:
        with running.client() as client:
            post(client, STREAM, asked())
        (decision,) = waited(lambda: running.decisions)
    finally:
        provider.script = None
    assert decision.attempts[0].error_type is not None
    assert decision.attempts[0].cost_usd > 0


def test_signatures_of_another_models_thoughts_are_replaced_as_google_says(provider: Provider, running: Any) -> None:
    def signed(model: str) -> list[Any]:
        return [{"functionCall": {"name": "run", "args": {}}, "thoughtSignature": f"signature-of-{model}"}]

    def script(path: str, model: str, body: Any) -> list[tuple[str, Any]]:
        (_, told) = plain_events(GEMINI, model, [], provider.prompt)[-1]
        return [("", {**told, "candidates": [{**told["candidates"][0], "content": {"role": "model", "parts": signed(model)}}]})]

    provider.script = script
    first = {"role": "user", "parts": [{"text": "Run it."}]}
    results = {"role": "user", "parts": [{"functionResponse": {"name": "run", "response": {"output": "ok"}}}]}
    try:
        with running.client() as client:
            assert post(client, STREAM, asked(contents=[first]), "small").status_code == 200
            waited(lambda: running.decisions)
            history = [first, {"role": "model", "parts": signed("gemini-2.5-flash")}, results]
            for model, signature in (("large", "skip_thought_signature_validator"), ("small", "signature-of-gemini-2.5-flash")):
                assert post(client, STREAM, asked(contents=history), model).status_code == 200
                (part,) = provider.seen[-1].body["contents"][1]["parts"]
                assert part["thoughtSignature"] == signature, model
    finally:
        provider.script = None


def test_pings_are_nothing_to_googles_own_reader(provider: Provider, gateway: Callable[..., Any]) -> None:
    """Google's SDK for JavaScript takes events from the front of what came, and knows no comments."""
    running = gateway(text=CONFIG.format(url=provider.url).replace("port = 0", "port = 0\nping_seconds = 0.1"))
    provider.faults = [Fault(how="stall", after=2, seconds=1.0)]
    whole = answer_bytes(provider, GEMINI, "gemini-3-pro")
    with running.client() as client:
        answer = post(client, STREAM, asked())
    assert len(answer.content) > len(whole)
    rest, events = answer.text, []
    while found := re.match(r"\s*data: (.*)(?:\n\n|\r\r|\r\n\r\n)", rest):
        events.append(json.loads(found[1]))
        rest = rest[found.end() :]
    assert not rest.strip()
    assert events == [data for _, data in plain_events(GEMINI, "gemini-3-pro", provider.words, provider.prompt)]


def test_an_address_that_is_none_says_how_one_is_written(provider: Provider, running: Any) -> None:
    with running.client() as client:
        wrong = {"gemini-3-pro": "MODEL:generateContent", "gemini-3-pro:streamGenerateContent": "?alt=sse", ":x": "MODEL:"}
        for address, hint in wrong.items():
            answer = client.post(f"{GEMINI}/{address}", content=asked(), headers=JSON)
            assert answer.status_code == 400
            assert hint in answer.json()["error"]["message"], answer.text
            assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
        unknown = post(client, PLAIN, asked(), "langroute/nonsense")
        assert (unknown.status_code, unknown.json()["error"]["status"]) == (404, "NOT_FOUND")
        counted = post(client, "countTokens", asked())
    assert counted.json()["totalTokens"] > 5
    assert not provider.seen


def test_no_other_clients_are_answered_by_a_route_that_speaks_gemini_alone(provider: Provider, running: Any) -> None:
    with running.client() as client:
        body = json.dumps({"model": "large", "messages": [{"role": "user", "content": "Hi."}]}).encode()
        answer = client.post("/v1/chat/completions", content=body, headers=JSON)
    assert answer.status_code == 404
