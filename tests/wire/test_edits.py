"""Changes for another model of the same protocol: only what it does not take, each recorded, alike on every turn."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("msgspec")

from wire_shapes import CLAUDE_CODE_HEADERS, REQUESTS, claude_code, codex, compact, opencode

from langroute.wire.edits import EDITS, WireTarget, edit_words, reasoning_digest
from langroute.wire.protocols import PROTOCOLS
from langroute.wire.request import WireRequest
from langroute.wire.translation import TRANSLATORS

MESSAGES, CHAT, RESPONSES = PROTOCOLS["messages"], PROTOCOLS["chat"], PROTOCOLS["responses"]
TARGETS = [
    WireTarget("claude-haiku-4-5", "anthropic", max_output=64000),
    WireTarget("claude-3-haiku-20240307", "anthropic", max_output=4096),
    WireTarget("claude-opus-4-5", "anthropic"),
    WireTarget("claude-opus-4-7", "anthropic"),
    WireTarget("kimi-k2.6", "moonshot"),
    WireTarget("gpt-4.1-mini", "openai", max_output=32768),
    WireTarget("gpt-5-nano", "openai"),
    WireTarget("deepseek-chat", "deepseek", max_output=8192),
    WireTarget("llama", None),
]


def sent(request: WireRequest, target: WireTarget) -> tuple[dict[str, int], dict[str, Any]]:
    edits = request.protocol.edits(request, target)
    body = json.loads(request.protocol.splice(request, model=target.model, edits=edits))
    return {one.name: one.count for one in edits}, body


def test_a_request_of_claude_code_for_a_smaller_model() -> None:
    request = MESSAGES.read_request(claude_code(2), CLAUDE_CODE_HEADERS)
    target = WireTarget("claude-haiku-4-5-20251001", "anthropic", max_output=64000)
    names, body = sent(request, target)
    assert names == {"system-to-user": 1, "drop-thinking": 1, "drop-context-edits": 1, "drop-effort": 1, "drop-betas": 1}
    original = json.loads(request.body)
    for field in ("thinking", "context_management", "output_config"):
        del original[field]
    original["messages"][1]["role"] = "user"
    original["model"] = target.model
    assert body == original
    assert list(body) == list(original)
    headers = MESSAGES.forward_headers(CLAUDE_CODE_HEADERS, credentials={}, edits=MESSAGES.edits(request, target))
    assert headers["anthropic-beta"] == "claude-code-20250219,interleaved-thinking-2025-05-14"


def test_the_model_that_the_client_wrote_for_gets_every_byte() -> None:
    for name, shape in REQUESTS.items():
        request = PROTOCOLS[name].read_request(shape(3), CLAUDE_CODE_HEADERS)
        assert PROTOCOLS[name].edits(request, WireTarget(request.model)) == ()
        assert PROTOCOLS[name].edits(request, WireTarget("alias", same_model=True)) == ()


@pytest.mark.parametrize(
    "model, names",
    [
        ("claude-opus-4-8", {}),
        ("claude-opus-5-5", {}),
        ("claude-opus-4-7", {"system-to-user": 1}),
        ("claude-sonnet-4-6", {"system-to-user": 1, "change-effort": 1}),
        (
            "claude-opus-4-5",
            {"system-to-user": 1, "drop-thinking": 1, "drop-context-edits": 1, "change-effort": 1, "drop-betas": 1},
        ),
    ],
)
def test_what_each_model_of_claude_takes(model: str, names: dict[str, int]) -> None:
    request = MESSAGES.read_request(claude_code(1, model="claude-fable-5"), CLAUDE_CODE_HEADERS)
    assert sent(request, WireTarget(model, "anthropic"))[0] == names


def test_a_budget_of_thinking_for_models_that_decide_it_themselves() -> None:
    body = json.loads(claude_code(1, model="claude-sonnet-4-5"))
    body["thinking"] = {"type": "enabled", "budget_tokens": 31999}
    request = MESSAGES.read_request(compact(body), {})
    assert sent(request, WireTarget("claude-opus-4-8", "anthropic"))[1]["thinking"] == {"type": "adaptive"}
    names, now = sent(request, WireTarget("claude-haiku-4-5", "anthropic", max_output=20000))
    assert now["thinking"]["budget_tokens"] < now["max_tokens"] == 20000
    assert names["cap-thinking"] == names["cap-max-tokens"] == 1


def test_signed_thinking_of_other_models_goes_and_ones_own_stays() -> None:
    request = MESSAGES.read_request(claude_code(3), {})
    foreign = frozenset({reasoning_digest("c2lnbmF0dXJl0"), reasoning_digest("c2lnbmF0dXJl2")})
    names, body = sent(request, WireTarget("claude-opus-4-8", "anthropic", foreign=foreign))
    kinds = [[block["type"] for block in one["content"]] for one in body["messages"] if one["role"] == "assistant"]
    assert kinds == [["text", "tool_use"], ["thinking", "text", "tool_use"], ["text", "tool_use"]]
    assert names == {"drop-foreign-reasoning": 2}


def test_an_answer_of_nothing_but_foreign_thinking_goes_as_a_whole() -> None:
    said = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]},
        {"role": "user", "content": "On."},
    ]
    request = MESSAGES.read_request(compact({"model": "m", "messages": said}), {})
    _, body = sent(request, WireTarget("m", foreign=frozenset({reasoning_digest("x")})))
    assert [one["content"] for one in body["messages"]] == ["Go.", "On."]


def test_encrypted_reasoning_of_other_accounts_goes() -> None:
    request = RESPONSES.read_request(codex(2), {})
    names, body = sent(request, WireTarget("gpt-5.2", "openai", foreign=frozenset({reasoning_digest("gAAAA0")})))
    assert [one["encrypted_content"] for one in body["input"] if one["type"] == "reasoning"] == ["gAAAA1"]
    assert names == {"drop-foreign-reasoning": 1}


def test_a_model_that_does_not_reason_is_asked_for_no_reasoning() -> None:
    names, body = sent(RESPONSES.read_request(codex(1), {}), WireTarget("gpt-4.1-mini", "openai"))
    assert "reasoning" not in body
    assert "include" not in body
    assert names == {"drop-effort": 2}


def test_efforts_become_those_that_the_model_knows() -> None:
    assert sent(RESPONSES.read_request(codex(1), {}), WireTarget("gpt-5-mini", "openai"))[1]["reasoning"]["effort"] == "high"
    body = json.loads(opencode(1)) | {"reasoning_effort": "minimal"}
    assert sent(CHAT.read_request(compact(body), {}), WireTarget("o3", "openai"))[1]["reasoning_effort"] == "low"


def test_what_other_servers_of_the_chat_protocol_take() -> None:
    body = json.loads(opencode(1)) | {
        "store": False,
        "verbosity": "low",
        "prompt_cache_key": "k",
        "temperature": 1.9,
        "stop": ["a"] * 20,
    }
    body["messages"][0]["role"] = "developer"
    body["messages"][1]["content"][0]["cache_control"] = {"type": "ephemeral"}
    request = CHAT.read_request(compact(body), {})
    names, now = sent(request, WireTarget("deepseek-chat", "deepseek", max_output=8192))
    assert now["messages"][0]["role"] == "system"
    assert "cache_control" not in now["messages"][1]["content"][0]
    assert not {"store", "verbosity", "prompt_cache_key"} & now.keys()
    assert (now["max_tokens"], len(now["stop"]), now["temperature"]) == (8192, 16, 1.9)
    assert names["drop-fields"] == 3
    assert sent(request, WireTarget("kimi-k2.6", "moonshot"))[1]["temperature"] == 1


def test_a_reasoning_model_takes_the_length_under_its_own_name() -> None:
    names, now = sent(CHAT.read_request(opencode(1, model="deepseek-chat"), {}), WireTarget("gpt-5.2", "openai", max_output=1000))
    assert now["max_completion_tokens"] == 1000
    assert "max_tokens" not in now
    assert "temperature" not in now
    assert set(names) == {"rename-max-tokens", "cap-max-tokens", "drop-sampling"}


@pytest.mark.parametrize("target", TARGETS, ids=lambda one: one.model)
@pytest.mark.parametrize("name", TRANSLATORS)
def test_the_same_beginning_is_changed_alike_on_every_turn(name: str, target: WireTarget) -> None:
    """What the provider has cached of a conversation must be what the next request begins with."""
    field = "input" if name == "responses" else "messages"
    before: list[Any] = []
    for turns in range(4):
        body = json.loads(REQUESTS[name](turns))
        _, now = sent(PROTOCOLS[name].read_request(compact(_unmarked(body)), CLAUDE_CODE_HEADERS), target)
        assert now[field][: len(before)] == before
        before = now[field]


def _unmarked(value: Any) -> Any:
    """Marks of the prompt cache move; the provider does not count them."""
    if isinstance(value, dict):
        return {key: _unmarked(inner) for key, inner in value.items() if key != "cache_control"}
    return [_unmarked(one) for one in value] if isinstance(value, list) else value


EDITED = st.sampled_from(
    ["thinking", "output_config", "context_management", "max_tokens", "temperature", "top_p", "stop", "store", "reasoning", "x"]
)
VALUES = st.sampled_from(
    [None, 1, 99999, 1.5, "high", "xhigh", [], ["a", "b"], {}, {"type": "adaptive"},
        {"type": ["adaptive"]},
        {"type": {}, "budget_tokens": "many"},
        {"effort": [], "edits": {}}, {"type": "enabled", "budget_tokens": 5000},
     {"effort": "max"}, {"effort": "max", "format": {}}, {"edits": [{"type": "clear_thinking_1"}, {"type": "other"}]}]
)  # fmt: skip


@pytest.mark.parametrize("name", TRANSLATORS)
@given(
    fields=st.lists(st.tuples(EDITED, VALUES), max_size=6, unique_by=lambda one: one[0]),
    target=st.sampled_from(TARGETS),
    way=st.sampled_from([None, 1]),
)
def test_whatever_is_changed_the_rest_stays_as_it_was(
    name: str, fields: list[tuple[str, Any]], target: WireTarget, way: int | None
) -> None:
    """The bytes stay JSON, unknown fields and texts stay, no field comes to it, and every change has a name."""
    body = json.loads(REQUESTS[name](1))
    for field in ("thinking", "output_config", "context_management", "temperature", "reasoning"):
        body.pop(field, None)
    pairs = [*fields, *body.items()] if len(fields) % 2 else [*body.items(), *fields]
    raw = json.dumps(dict(pairs), indent=way, ensure_ascii=False).encode()
    request = PROTOCOLS[name].read_request(raw, CLAUDE_CODE_HEADERS)
    edits = PROTOCOLS[name].edits(request, target)
    now = json.loads(PROTOCOLS[name].splice(request, model=target.model, edits=edits))
    was = json.loads(raw)
    assert {one.name for one in edits} <= EDITS.keys()
    assert now.keys() <= was.keys() | {"max_completion_tokens"}
    assert now["model"] == target.model
    for field in ("x", "tools", "system", "metadata", "stream", "client_metadata"):
        assert now.get(field) == was.get(field)
    assert edits or now == {**was, "model": target.model}
    assert "\n" not in "".join(edit_words(edits))
