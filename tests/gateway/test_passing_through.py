"""Requests and answers pass through byte for byte, and each step is booked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from gateways import KEY, TOKEN
from provider import CHAT, MESSAGES, RESPONSES, USAGE_OUT, Provider, answer_bytes, waited
from requests_of_agents import JSON, PATHS, request_of, written


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_passes_through_and_is_booked(path: str, provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway()
    body = written(request_of(path))
    with running.client() as client:
        answer = client.post(path, content=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    assert answer.content == answer_bytes(provider, path, "large-1")
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["request-id"] == "req_1"
    (seen,) = provider.seen
    assert seen.raw == body.replace(b'"any-model"', b'"large-1"')
    (decision,) = waited(lambda: running.decisions)
    assert (decision.route, decision.kept.usage.input_tokens, decision.kept.usage.output_tokens) == ("large", 1000, USAGE_OUT)
    assert decision.cost_usd == pytest.approx((1000 * 10 + USAGE_OUT * 20) / 1e6)
    assert answer.headers["x-langroute-decision"] == decision.id
    assert answer.headers["x-langroute-route"] == "large"


@pytest.mark.parametrize("path", PATHS)
def test_a_plain_answer_passes_through_and_is_booked(path: str, provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway()
    with running.client() as client:
        answer = client.post(path, content=written(request_of(path, stream=False)), headers=JSON)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "large-1"
    (decision,) = waited(lambda: running.decisions)
    assert decision.cost_usd == pytest.approx((1000 * 10 + USAGE_OUT * 20) / 1e6)


@pytest.mark.parametrize("path", PATHS)
def test_credentials_are_swapped_and_all_else_is_forwarded(path: str, provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway()
    sent = {**JSON, "anthropic-beta": "a-2025-01-01,b-2025-02-02", "x-stainless-lang": "js", "user-agent": "agent/1"}
    with running.client() as client:
        client.post(f"{path}?beta=true", content=written(request_of(path, metadata={"unknown": [1, None]})), headers=sent)
    (seen,) = provider.seen
    assert seen.query == "beta=true"
    assert seen.headers["x-stainless-lang"] == "js"
    assert seen.headers["user-agent"] == "agent/1"
    assert seen.headers["anthropic-beta"] == "a-2025-01-01,b-2025-02-02"
    assert KEY in (seen.headers.get("x-api-key") or seen.headers["authorization"])
    assert TOKEN not in json.dumps(seen.headers)
    assert seen.body["metadata"] == {"unknown": [1, None]}


def test_a_client_may_ask_for_a_route_or_a_policy(provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway(more='[models]\n"claude-small" = "small"\n"*" = "langroute/auto"\n')
    wanted = {
        "small": "small-1",
        "langroute/small": "small-1",
        "claude-small": "small-1",
        "any": "large-1",
        "langroute/auto": "large-1",
    }
    with running.client() as client:
        for model, called in wanted.items():
            answer = client.post(CHAT, content=written(request_of(CHAT, model=model)), headers=JSON)
            assert answer.status_code == 200, answer.text
            assert provider.seen[-1].body["model"] == called, model
            # The configured policy is one for `large`: what the client asked for is not said to be its choice, nor its failure.
            route = called.removesuffix("-1")
            assert answer.headers["x-langroute-reason"] == ("the caller asked for 'small'" if route == "small" else "fixed"), model
        assert client.post(CHAT, content=written(request_of(CHAT, model="langroute/cost")), headers=JSON).status_code == 200
        refused = client.post(CHAT, content=written(request_of(CHAT, model="langroute/nonsense")), headers=JSON)
        assert refused.status_code == 404
        assert refused.json()["error"]["code"] == "model_not_found"
        listed = client.get("/v1/models").json()
    assert {"langroute/auto", "langroute/cost", "small", "large", "claude-small"} <= {one["id"] for one in listed["data"]}
    assert [problem for decision in running.decisions for problem in decision.problems] == []


def test_tokens_are_counted_by_the_provider(provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway()
    with running.client() as client:
        answer = client.post(f"{MESSAGES}/count_tokens?beta=true", content=written(request_of(MESSAGES)), headers=JSON)
    assert answer.json() == {"input_tokens": 4242}
    assert provider.seen[0].body["model"] == "large-1"
    assert not running.decisions


def test_the_endpoints_beside_the_models(gateway: Callable[..., Any]) -> None:
    running = gateway()
    with running.client() as client:
        assert client.head("/").status_code == 200
        assert client.get("/healthz").json() == {"ok": True}
        assert client.get("/readyz").json() == {"ready": True}
        probe = client.get(RESPONSES, headers={"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"})
        assert probe.status_code == 426
        assert client.get(CHAT).status_code == 405
        assert client.get("/nothing").status_code == 404
        client.post(CHAT, content=written(request_of(CHAT)), headers=JSON)
        waited(lambda: running.decisions)
        assert 'langroute_calls_total{error_type="",model="large-1",result="kept",route="large"} 1.0' in client.get("/metrics").text


def test_reasoning_that_another_model_signed_is_left_out_for_this_one(provider: Provider, gateway: Callable[..., Any]) -> None:
    """At a switch within a conversation; the model that wrote it gets it back as it was."""
    running = gateway(kind="anthropic")
    signed = {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVkIGJ5IGxhcmdl"}
    provider.thinking = signed["signature"]
    session = {**JSON, "x-claude-code-session-id": "s1"}
    with running.client() as client:
        client.post(MESSAGES, content=written(request_of(MESSAGES, model="large")), headers=session)
        grown = request_of(MESSAGES)
        answer = {"role": "assistant", "content": [signed, {"type": "text", "text": "Hello."}]}
        grown["messages"] += [answer, {"role": "user", "content": "And now?"}]
        for model in ("large", "small"):
            told = client.post(MESSAGES, content=written({**grown, "model": model}), headers=session)
            assert told.status_code == 200
    same, other = provider.seen[-2:]
    assert same.body["messages"][1]["content"][0] == signed
    assert other.body["messages"][1]["content"] == [answer["content"][1]]
    assert "drop-foreign-reasoning" in told.headers["x-langroute-edits"]


def test_a_conversation_keeps_its_route_in_another_worker(provider: Provider, gateway: Callable[..., Any], tmp_path: Any) -> None:
    """Workers share what a thread has to know through the ledger's database."""
    from langroute.ledger import open_ledger

    ledger = open_ledger(tmp_path / "ledger.db", flush_interval_s=0.05)
    first, second = (gateway(ledger=ledger) for _ in range(2))
    session = {**JSON, "x-session-id": "s1"}
    body = request_of(CHAT)
    with first.client() as client:
        client.post(CHAT, content=written(body), headers=session)
    body["messages"] += [{"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Go on."}]
    request = {}
    router = second.state.serving.router("chat", None)
    inner = router.policy.select
    router.guard.policy.select = lambda asked, attempts: (
        request.update(thread=list(asked.thread.latest())) or inner(asked, attempts)
    )
    waited(lambda: second.state.threads.store.read("gateway-threads", [_key("s1")])[0].value)
    with second.client() as client:
        client.post(CHAT, content=written(body), headers=session)
    assert [(ago, past.route) for ago, past in request["thread"]] == [(1, "large")]
    first.end()
    second.end()
    ledger.close()


def _key(thread: str) -> str:
    from langroute.gateway.thread_records import thread_record_key

    return thread_record_key(None, thread)


def test_the_usage_of_a_stream_is_asked_for_and_kept_from_a_client_that_did_not(
    provider: Provider, gateway: Callable[..., Any]
) -> None:
    running = gateway()
    body = request_of(CHAT)
    del body["stream_options"]
    with running.client() as client:
        answer = client.post(CHAT, content=written(body), headers=JSON)
    assert answer.headers["x-langroute-edits"] == "ask-usage"
    assert provider.seen[0].body["stream_options"] == {"include_usage": True}
    usage = next(event for event in answer_bytes(provider, CHAT, "large-1").split(b"\n\n") if b'"usage"' in event)
    assert answer.content == answer_bytes(provider, CHAT, "large-1").replace(usage + b"\n\n", b"")
    (decision,) = waited(lambda: running.decisions)
    assert decision.kept.usage.output_tokens == USAGE_OUT
