"""Google's protocol as bytes: requests, changes for other models, and answers, whatever is in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

pytest.importorskip("msgspec")

from wire_shapes import GEMINI_ADDRESS, compact, gemini_cli

from langroute.wire.edits import WireTarget, reasoning_digest
from langroute.wire.memo import HistoryMemo
from langroute.wire.protocols import PROTOCOLS

GEMINI = PROTOCOLS["gemini"]
FOREIGN = frozenset({reasoning_digest(f"c2lnbmF0dXJl{turn}") for turn in range(9)})
TARGETS = [
    WireTarget("gemini-3-flash", "google_genai", max_output=8000, foreign=FOREIGN),
    WireTarget("gemini-2.5-flash", "google_genai", foreign=FOREIGN),
    WireTarget("gemini-2.0-flash", "google_genai", max_output=100, foreign=FOREIGN),
]
ODD = st.sampled_from([None, True, -1, 1e300, "", "x", [], {}, [[]], ["a", 1, None], {"a": {"b": [1]}}, {"text": {}}])


def request_of(body: bytes, address: str = GEMINI_ADDRESS) -> Any:
    return GEMINI.read_request(body, {"x-goog-api-key": "mine"}, address, "alt=sse")


def test_a_request_is_read_as_the_conversation_that_it_is() -> None:
    request = request_of(gemini_cli(2))
    assert (request.problem, request.model, request.stream, request.max_tokens) == (None, "gemini-3-pro", True, 64000)
    assert request.tool_names == ("run_shell_command",)
    kinds = [SystemMessage, HumanMessage, HumanMessage, AIMessage, ToolMessage, AIMessage, ToolMessage]
    messages = request.messages()
    assert [type(one) for one in messages] == kinds
    assert messages[3].tool_calls[0]["args"] == {"command": "ls", "turn": 0}
    assert (messages[4].text, messages[4].tool_call_id, messages[4].status) == ("a.py\n" * 30, "run_shell_command", "success")
    assert request.thread == request_of(gemini_cli(5)).thread
    assert HistoryMemo().messages(request) == messages


def test_results_that_failed_thoughts_and_media_are_told_as_such() -> None:
    contents = [
        {"role": "user", "parts": [{"text": "What is this?"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
        {"role": "model", "parts": [{"text": "I think.", "thought": True}, {"text": "Let me see."}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "run", "response": {"error": "No such file."}}}]},
    ]
    picture, answer, result = request_of(compact({"contents": contents})).messages()
    assert picture.content[1]["type"] == "image"
    assert answer.text == "Let me see."
    assert (result.status, result.text, result.tool_call_id) == ("error", "No such file.", "c1")


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.model)
def test_the_same_beginning_is_changed_alike_on_every_turn(target: WireTarget) -> None:
    def sent(turns: int) -> bytes:
        request = request_of(gemini_cli(turns))
        return GEMINI.splice(request, model=target.model, edits=GEMINI.edits(request, target))

    before: list[Any] = []
    for turns in range(4):
        told = json.loads(sent(turns))
        assert told["contents"][: len(before)] == before
        before = told["contents"]
    signed = [part.get("thoughtSignature") for entry in before for part in entry["parts"] if "functionCall" in part]
    assert signed == ["skip_thought_signature_validator" if target.model.startswith("gemini-3") else None] * 3


def test_nothing_changes_for_the_model_that_the_client_asked_for() -> None:
    request = request_of(gemini_cli(3))
    assert GEMINI.edits(request, WireTarget("gemini-3-pro", "google_genai", max_output=10)) == ()
    assert GEMINI.splice(request, model="gemini-3-pro") == request.body


@pytest.mark.parametrize(
    ("model", "thinking"),
    [("gemini-3-flash", {"includeThoughts": True, "thinkingLevel": "HIGH"}), ("gemini-2.5-flash", {"includeThoughts": True}), ("gemini-2.0-flash", None)],
)  # fmt: skip
def test_thinking_is_asked_for_as_the_model_takes_it(model: str, thinking: Any) -> None:
    request = request_of(gemini_cli(0))
    told = json.loads(GEMINI.splice(request, edits=GEMINI.edits(request, WireTarget(model, "google_genai"))))
    assert told["generationConfig"].get("thinkingConfig") == thinking


def places(value: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in pairs for place in ((*so_far, key), *places(inner, (*so_far, key)))]


@given(data=st.data())
def test_odd_values_anywhere_raise_nothing(data: st.DataObject) -> None:
    body = json.loads(gemini_cli(2))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from(places(body)))
        inner = body
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = json.loads(json.dumps(data.draw(ODD)))
    request = request_of(json.dumps(body).encode())
    assert HistoryMemo().messages(request) == request.messages()
    assert isinstance(request.thread, str)
    assert isinstance(request.resend_key, str)
    assert json.loads(GEMINI.count_tokens(request))["totalTokens"] >= 0
    for target in TARGETS:
        json.loads(GEMINI.splice(request, model="zz", edits=GEMINI.edits(request, target)))


def chunk(**more: Any) -> bytes:
    return b"data: " + compact({"modelVersion": "gemini-3-pro", "responseId": "r1", **more}) + b"\r\n\r\n"


def candidate(*parts: Any, **more: Any) -> list[Any]:
    return [{"content": {"role": "model", "parts": list(parts)}, "index": 0, **more}]


STREAM = [
    chunk(candidates=candidate({"text": "Hm.", "thought": True})),
    chunk(candidates=candidate({"text": "Let "}), usageMetadata={"promptTokenCount": 100}),
    chunk(candidates=candidate({"text": "me."}, {"functionCall": {"name": "run", "args": {"a": 1}}, "thoughtSignature": "c2ln"})),
    chunk(
        candidates=candidate({"text": ""}, finishReason="STOP"),
        usageMetadata={"promptTokenCount": 100, "candidatesTokenCount": 7, "thoughtsTokenCount": 3, "cachedContentTokenCount": 60},
    ),
]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_stream_is_read_wherever_its_chunks_end(size: int) -> None:
    reader, raw = GEMINI.answer_reader(stream=True, provider="google_genai"), b"".join(STREAM)
    for place in range(0, len(raw), size):
        reader.feed(raw[place : place + size])
    assert not reader.complete
    reader.finish()
    assert (reader.complete, reader.end, reader.text, reader.model, reader.id) == (True, "stop", "Let me.", "gemini-3-pro", "r1")
    (call,) = reader.tool_calls
    assert (call.name, json.loads(call.text)) == ("run", {"a": 1})
    assert reader.reasoning == [reasoning_digest("c2ln")]
    usage = reader.usage
    assert usage is not None
    assert (usage.input_tokens, usage.cache_read, usage.output_tokens, usage.reasoning) == (100, 60, 10, 3)


@pytest.mark.parametrize(
    "last", [STREAM[:-1], [*STREAM[:-1], GEMINI.error_event("upstream_broken", "It broke off.")], [*STREAM[:-1], STREAM[-1][:-9]]]
)
def test_a_broken_stream_is_not_whole(last: list[bytes]) -> None:
    reader = GEMINI.answer_reader(stream=True, provider="google_genai")
    for one in last:
        reader.feed(one)
    assert not reader.finish().complete


def test_a_prompt_that_is_blocked_and_an_error_are_told() -> None:
    blocked = GEMINI.answer_reader(stream=False, provider="google_genai")
    blocked.feed(compact({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 9}}))
    assert (blocked.finish().complete, blocked.end) == (True, "content_filter")
    failed = GEMINI.answer_reader(stream=True, provider="google_genai")
    failed.feed(chunk(error={"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}))
    assert failed.error is not None
    assert (failed.error.status, failed.error.type, failed.error.message) == (503, "UNAVAILABLE", "Overloaded.")
