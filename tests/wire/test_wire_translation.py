"""Translation between protocols: what all of them can say arrives, what is lost is told, and a broken answer never ends tidily."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("msgspec")

from wire_shapes import BODIES, REQUESTS, STREAMS, claude_code, codex, compact, cut, opencode

from langroute.wire.answers import AnswerReader
from langroute.wire.edits import WireTarget
from langroute.wire.plain_request import LOSSES, Call, MediaPart, PlainRequest, PlainTurn, ResultPart, Text, Tool
from langroute.wire.protocols import PROTOCOLS
from langroute.wire.translation import TRANSLATORS, AnswerTranslator, TranslatedRequest, translated, translated_error

TARGETS = {
    "messages": WireTarget("claude-opus-4-8", "anthropic", max_output=64000),
    "chat": WireTarget("gpt-4.1", "openai", max_output=32768),
    "responses": WireTarget("gpt-4.1", "openai", max_output=32768),
}
PAIRS = [(source, target) for source in TRANSLATORS for target in TRANSLATORS if source != target]
PROVIDERS = {"messages": "anthropic", "chat": "openai", "responses": "openai"}

TEXTS = st.text(min_size=1, max_size=12).filter(str.strip)
NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,9}", fullmatch=True)
ARGUMENTS = st.dictionaries(st.text(max_size=5), TEXTS | st.integers(-99, 99) | st.lists(st.booleans(), max_size=2), max_size=3)
IMAGES = st.sampled_from([MediaPart("image", "image/png", "iVBORw0KGgo="), MediaPart("image", url="https://example.org/a.png")])
TOOLS = st.builds(Tool, NAMES, TEXTS, st.builds(lambda name: {"type": "object", "properties": {name: {"type": "string"}}}, NAMES))


@st.composite
def conversations(draw: st.DrawFn) -> PlainRequest:
    """What all three protocols can say."""
    plain = PlainRequest(
        system=draw(st.lists(TEXTS, max_size=1)),
        tools=draw(st.lists(TOOLS, max_size=3, unique_by=lambda one: one.name)),
        max_tokens=draw(st.integers(16, 30000)),
        temperature=draw(st.none() | st.floats(0, 1)),
        parallel_calls=draw(st.sampled_from([None, False])),
        stream=draw(st.booleans()),
        schema=draw(st.sampled_from([None, {"type": "object", "properties": {"a": {"type": "string"}}}])),
    )
    if plain.tools:
        plain.tool_choice = draw(st.sampled_from(["auto", "none", "required", f"tool:{plain.tools[0].name}"]))
    if plain.tool_choice in ("none", None):
        plain.parallel_calls = None
    number = 0
    for _ in range(draw(st.integers(1, 4))):
        plain.turns.append(PlainTurn("user", draw(st.lists(st.builds(Text, TEXTS) | IMAGES, min_size=1, max_size=3))))
        for _ in range(draw(st.integers(0, 2))):
            calls = [
                Call(f"call_{number + at}", draw(NAMES), compact(draw(ARGUMENTS)).decode()) for at in range(draw(st.integers(1, 2)))
            ]
            number += len(calls)
            plain.turns.append(PlainTurn("assistant", [*draw(st.lists(st.builds(Text, TEXTS), max_size=1)), *calls]))
            plain.turns.append(PlainTurn("tool", [ResultPart(one.id, [Text(draw(TEXTS))]) for one in calls]))
        plain.turns.append(PlainTurn("assistant", [Text(draw(TEXTS))]))
    plain.turns.append(PlainTurn("user", [Text(draw(TEXTS))]))
    return plain


def said(plain: PlainRequest) -> dict[str, Any]:
    """All that a request says, for comparison."""
    names = ("system", "turns", "tools", "tool_choice", "parallel_calls", "max_tokens", "temperature", "schema", "stream")
    return {name: getattr(plain, name) for name in names}


@pytest.mark.parametrize("source, target", PAIRS)
@settings(max_examples=50)
@given(plain=conversations())
def test_what_all_protocols_can_say_arrives(source: str, target: str, plain: PlainRequest) -> None:
    """Written in one protocol, translated into another and read there, a request says the same, and nothing was lost."""
    rules = TARGETS[source].rules(PROTOCOLS[source].api)
    body = compact(TRANSLATORS[source].write(plain, TARGETS[source], rules))
    request = PROTOCOLS[source].read_request(body, {})
    there = translated(request, PROTOCOLS[target], TARGETS[target])
    back = TRANSLATORS[target].read(PROTOCOLS[target].read_request(there.body, {}))
    expected = said(plain) | {"parallel_calls": back.parallel_calls if plain.parallel_calls is None else False}
    assert said(back) == expected
    assert {one.name for one in there.edits} <= {"lose-cache-marks", "lose-fields"}
    assert there.problem is None


@pytest.mark.parametrize("source, target", PAIRS)
@pytest.mark.parametrize("turns", [0, 1, 5])
def test_requests_of_real_shapes_keep_their_texts_and_calls(source: str, target: str, turns: int) -> None:
    request = PROTOCOLS[source].read_request(REQUESTS[source](turns), {})
    there = translated(request, PROTOCOLS[target], TARGETS[target])
    now = PROTOCOLS[target].read_request(there.body, {})
    assert now.model == TARGETS[target].model
    assert now.stream is request.stream
    calls = [
        [(call["name"], call["args"]) for one in each.messages() if one.type == "ai" for call in one.tool_calls]
        for each in (request, now)
    ]
    assert calls[0] == calls[1]
    assert len(calls[0]) == turns
    results = [[(one.tool_call_id, one.text) for one in each.messages() if one.type == "tool"] for each in (request, now)]
    assert results[0] == results[1]
    for text in ("Fix the test.", "You are an agent."):
        assert there.body.count(text.encode()) == request.body.count(text.encode())
    assert now.tool_names == request.tool_names
    assert {one.name for one in there.edits} <= LOSSES.keys()


@pytest.mark.parametrize("source, target", PAIRS)
def test_what_is_lost_is_told(source: str, target: str) -> None:
    request = PROTOCOLS[source].read_request(REQUESTS[source](3), {})
    lost = {one.name: one.count for one in translated(request, PROTOCOLS[target], TARGETS[target]).edits}
    if source == "messages":
        assert (lost["lose-thinking"], lost["lose-cache-marks"]) == (3, 3)
        assert "metadata" in next(
            one.what for one in translated(request, PROTOCOLS[target], TARGETS[target]).edits if one.name == "lose-fields"
        )
    if source == "responses":
        assert (lost["lose-thinking"], lost["lose-tools"]) == (3, 1)
    if source == "chat":
        assert set(lost) <= {"lose-fields"}


@pytest.mark.parametrize("source, target", PAIRS)
def test_a_growing_history_is_translated_alike_on_every_turn(source: str, target: str) -> None:
    field = PROTOCOLS[target].entries_field
    before: list[Any] = []
    for turns in range(5):
        there = translated(PROTOCOLS[source].read_request(REQUESTS[source](turns), {}), PROTOCOLS[target], TARGETS[target])
        now = [compact(_unmarked(one)) for one in json.loads(there.body)[field]]
        assert now[: len(before)] == before
        before = now


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unmarked(inner) for key, inner in value.items() if key != "cache_control"}
    return [_unmarked(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("source, target", PAIRS)
@settings(max_examples=50)
@given(body=BODIES)
def test_any_json_is_translated_without_an_error(source: str, target: str, body: dict[str, Any]) -> None:
    request = PROTOCOLS[source].read_request(json.dumps(body).encode(), {})
    there = translated(request, PROTOCOLS[target], TARGETS[target])
    assert json.loads(there.body)["model"] == TARGETS[target].model
    PROTOCOLS[target].read_request(there.body, {}).messages()


def test_a_history_with_holes_gets_what_providers_demand() -> None:
    """A call without a result, a result without a call, an id that is used twice."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    entries = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "one"},
        {"role": "assistant", "content": "", "tool_calls": [call, {**call, "id": "d|1"}]},
        {"role": "user", "content": "Wait."},
        {"role": "tool", "tool_call_id": "c", "content": "two"},
        {"role": "tool", "tool_call_id": "lost", "content": "three"},
    ]
    request = PROTOCOLS["chat"].read_request(compact({"model": "m", "messages": entries}), {})
    there = translated(request, PROTOCOLS["messages"], TARGETS["messages"])
    messages = json.loads(there.body)["messages"]
    assert messages[0]["role"] == "user"
    used = [[block["id"] for block in one["content"] if block["type"] == "tool_use"] for one in messages]
    answered = [[block["tool_use_id"] for block in one["content"] if block["type"] == "tool_result"] for one in messages]
    assert [ids for ids in used if ids] == [["c"], ["c_2", used[3][1]]]
    assert [answered[at + 1] for at, ids in enumerate(used) if ids] == [ids for ids in used if ids]
    assert {one.name: one.count for one in there.edits} == {"add-user": 1, "add-max-tokens": 1, "repair-calls": 2}


def test_a_tool_that_takes_free_text_comes_back_as_one() -> None:
    body = json.loads(codex(0))
    body["tools"].append({"type": "custom", "name": "apply_patch", "description": "Edits files.", "format": {"type": "grammar"}})
    body["input"] += [
        {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": '*** Begin\n"a"'},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
    ]
    request = PROTOCOLS["responses"].read_request(compact(body), {})
    for target, stream in (("messages", STREAMS["messages"]), ("chat", STREAMS["chat"])):
        there = translated(request, PROTOCOLS[target], TARGETS[target])
        now = PROTOCOLS[target].read_request(there.body, {})
        assert [call["args"] for one in now.messages() for call in getattr(one, "tool_calls", ())] == [{"input": '*** Begin\n"a"'}]
        asked = stream("", call={"input": "*** New\n'ü'"}).replace(b'"Bash"', b'"apply_patch"').replace(b'"bash"', b'"apply_patch"')
        events = back(there, asked)
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert [(one["type"], one["input"]) for one in done] == [("custom_tool_call", "*** New\n'ü'")]


def back(there: TranslatedRequest, stream: bytes) -> list[dict[str, Any]]:
    translator = AnswerTranslator(there, model="m", stream=True, provider=PROVIDERS[there.target.name])
    out = translator.feed(stream) + translator.finish()
    return [json.loads(event.partition(b"data: ")[2]) for event in out.split(b"\n\n") if event and b"[DONE]" not in event]


CALL = {"command": "printf 'ümlaut 机\\n' && python3 -c \"print('✓')\""}
PLAIN = {
    "messages": lambda text, call: {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use" if call else "end_turn",
        "content": [*([{"type": "text", "text": text}] if text else []), *([{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": call}] if call else [])],
        "usage": {"input_tokens": 12, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 400, "output_tokens": 20},
    },
    "chat": lambda text, call: {
        "id": "c", "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls" if call else "stop", "message": {"role": "assistant", "content": text, **({"tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": json.dumps(call)}}]} if call else {})}}],
        "usage": {"prompt_tokens": 442, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 400}},
    },
    "responses": lambda text, call: {
        "id": "r", "object": "response", "status": "completed", "model": "m", "error": None,
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]},
                   *([{"type": "function_call", "call_id": "call_1", "name": "exec_command", "arguments": json.dumps(call)}] if call else [])],
        "usage": {"input_tokens": 442, "output_tokens": 20, "input_tokens_details": {"cached_tokens": 400}},
    },
}  # fmt: skip


def asked(source: str, target: str, *, stream: bool) -> TranslatedRequest:
    body = json.loads(REQUESTS[source](1)) | {"stream": stream}
    return translated(PROTOCOLS[source].read_request(compact(body), {}), PROTOCOLS[target], TARGETS[target])


def read(name: str, data: bytes, *, stream: bool) -> AnswerReader:
    reader = PROTOCOLS[name].answer_reader(stream=stream, provider=PROVIDERS[name])
    reader.feed(data)
    return reader.finish()


@pytest.mark.parametrize("source, target", PAIRS)
@settings(max_examples=50)
@given(
    text=st.text(max_size=30),
    calls=st.booleans(),
    places=st.lists(st.integers(0, 10**6), max_size=20),
    asks=st.booleans(),
    gets=st.booleans(),
)
def test_answers_come_back_whole(
    source: str, target: str, text: str, calls: bool, places: list[int], asks: bool, gets: bool
) -> None:
    """As a stream or not, on either side, whatever the chunks cut: text, calls, tokens and the kind of the end are the provider's."""
    call = CALL if calls else None
    there = asked(source, target, stream=asks)
    answer = STREAMS[target](text, call=call) if gets else compact(PLAIN[target](text, call))
    translator = AnswerTranslator(there, model="shown", stream=gets, provider=PROVIDERS[target])
    out = b"".join([translator.feed(chunk) for chunk in cut(answer, places)]) + translator.finish()
    seen, heard = read(source, out, stream=asks), translator.reader
    assert seen.complete
    assert translator.whole
    assert translator.ended
    assert seen.error is None
    assert (seen.text, seen.model) == (text, "shown")
    assert [(one.id, one.name, json.loads(one.text)) for one in seen.tool_calls] == [
        (one.id, one.name, json.loads(one.text)) for one in heard.tool_calls
    ]
    assert len(seen.tool_calls) == calls
    assert seen.end == ("tool_calls" if calls and source != "responses" else "stop")
    for name in ("input_tokens", "output_tokens", "cache_read"):
        assert getattr(seen.usage, name) == getattr(heard.usage, name) > 0


@pytest.mark.parametrize("source, target", PAIRS)
@settings(max_examples=50)
@given(at=st.integers(0, 10**6), asks=st.booleans(), gets=st.booleans(), error=st.booleans())
def test_a_broken_answer_never_ends_tidily(source: str, target: str, at: int, asks: bool, gets: bool, error: bool) -> None:
    """A client that took a half command for a whole one has executed it."""
    answer = STREAMS[target]("Look.", call=CALL) if gets else compact(PLAIN[target]("Look.", CALL))
    end = {"messages": b"event: message_stop", "chat": b"data: [DONE]", "responses": b"event: response.completed"}[target]
    # An answer of the chat protocol is whole with its finish reason.
    last = (
        answer.index(b'"finish_reason":"tool_calls"')
        if target == "chat" and gets
        else answer.index(end)
        if gets
        else len(answer) - 1
    )
    broken = answer[: at % last]
    if error:
        broken = broken[: broken.rfind(b"\n\n") + 2] if gets and b"\n\n" in broken else b""
        broken += (
            PROTOCOLS[target].error_event("overloaded", "Overloaded.")
            if gets
            else PROTOCOLS[target].error_body(529, "overloaded", "Overloaded.")
        )
    translator = AnswerTranslator(asked(source, target, stream=asks), model="m", stream=gets, provider=PROVIDERS[target])
    out = translator.feed(broken) + translator.finish()
    seen = read(source, out, stream=asks)
    assert not seen.complete
    assert seen.error is not None
    assert not translator.whole
    assert translator.finish() == b""
    for sign in (b"message_stop", b"[DONE]", b"response.completed", b'"finish_reason":"', b'"stop_reason":"'):
        assert sign not in out


def test_parallel_calls_that_come_mixed_are_put_in_order() -> None:
    base = {"id": "c", "object": "chat.completion.chunk", "model": "m"}

    def chunk(calls: list[dict[str, Any]] | None, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": {"tool_calls": calls} if calls else {}, "finish_reason": reason}
        return b"data: %s\n\n" % compact({**base, "choices": [choice]})

    def part(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        return {"index": index, **more, "function": {"arguments": arguments, **({"name": f"f{index}"} if more else {})}}

    stream = b"".join(
        [
            chunk([part(0, "", id="a"), part(1, "", id="b")]),
            chunk([part(1, '{"x":')]),
            chunk([part(0, '{"y":1')]),
            chunk([part(1, "2}"), part(0, "}")]),
            chunk(None, "tool_calls"),
            b"data: [DONE]\n\n",
        ]
    )
    for source in ("messages", "responses"):
        translator = AnswerTranslator(asked(source, "chat", stream=True), model="m", stream=True, provider="openai")
        seen = read(source, translator.feed(stream) + translator.finish(), stream=True)
        assert [(one.id, one.name, one.text) for one in seen.tool_calls] == [("a", "f0", '{"y":1}'), ("b", "f1", '{"x":2}')]


def test_text_is_shown_while_it_comes() -> None:
    """Not only at the end: a person waits for it."""
    translator = AnswerTranslator(asked("messages", "chat", stream=True), model="m", stream=True, provider="openai")
    stream = STREAMS["chat"]("Hello there.")
    seen = [read("messages", translator.feed(event + b"\n\n"), stream=True).text for event in stream.split(b"\n\n")[:-1]]
    assert [text for text in seen if text] == ["Hello ", "there."]


def test_a_request_that_needs_what_its_provider_stored_says_so() -> None:
    body = json.loads(codex(0)) | {"previous_response_id": "resp_1"}
    there = translated(PROTOCOLS["responses"].read_request(compact(body), {}), PROTOCOLS["chat"], TARGETS["chat"])
    assert there.problem is not None
    assert "stored" in there.problem
    assert PROTOCOLS["responses"].read_request(compact(body), {}).bound_by == there.problem
    assert PROTOCOLS["responses"].read_request(codex(0), {}).bound_by is None


@pytest.mark.parametrize("source, target", PAIRS)
def test_an_error_keeps_its_text_and_says_that_the_context_is_too_long(source: str, target: str) -> None:
    code = "invalid_request_error" if target == "messages" else "context_length_exceeded"
    text = (
        "prompt is too long: 9 tokens > 8 maximum" if target == "messages" else "This model's maximum context length is 8 tokens."
    )
    body = PROTOCOLS[target].error_body(400, code, text)
    error = json.loads(translated_error(400, body, PROTOCOLS[source], PROTOCOLS[target], PROVIDERS[target]))["error"]
    assert text in error["message"]
    if source == "messages":
        assert error["message"].startswith("prompt is too long")
    else:
        assert error["code"] == "context_length_exceeded"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"no"}', b'{"error":{"message":7}}', b'{"detail":"x"}'])
@pytest.mark.parametrize("source, target", PAIRS)
def test_any_error_body_is_translated(source: str, target: str, body: bytes) -> None:
    error = json.loads(translated_error(503, body, PROTOCOLS[source], PROTOCOLS[target]))["error"]
    assert isinstance(error["message"], str)
    assert error["message"]


@pytest.mark.parametrize("target", ["chat", "responses"])
def test_a_tool_that_failed_is_said_to_have_failed(target: str) -> None:
    body = json.loads(claude_code(1))
    body["messages"][-1]["content"][0]["is_error"] = True
    request = PROTOCOLS["messages"].read_request(compact(body), {})
    there = translated(request, PROTOCOLS[target], TARGETS[target])
    assert PROTOCOLS[target].read_request(there.body, {}).messages()[-1].text.startswith("Error: a.py")
    assert "lose-failed-mark" in {one.name for one in there.edits}
    plain = TRANSLATORS["messages"].read(request)
    (result,) = plain.turns[-1].parts
    assert result.failed
    written = TRANSLATORS["messages"].write(plain, TARGETS["messages"], TARGETS["messages"].rules("anthropic"))
    assert written["messages"][-1]["content"][0]["is_error"] is True


@pytest.mark.parametrize("source, target", PAIRS)
def test_an_error_is_told_when_it_comes(source: str, target: str) -> None:
    """Not when the provider closes the connection, which may be much later."""
    translator = AnswerTranslator(asked(source, target, stream=True), model="m", stream=True, provider=PROVIDERS[target])
    assert b"Overloaded." in translator.feed(PROTOCOLS[target].error_event("overloaded", "Overloaded."))


def test_images_of_results_reach_a_model_that_takes_none_there() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    body = json.loads(claude_code(1))
    body["messages"][-1]["content"][0]["content"] = [{"type": "text", "text": "shot"}, image]
    there = translated(PROTOCOLS["messages"].read_request(compact(body), {}), PROTOCOLS["chat"], TARGETS["chat"])
    last = json.loads(there.body)["messages"][-2:]
    assert (last[0]["role"], last[0]["content"]) == ("tool", "shot")
    assert last[1]["content"][-1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    assert "lose-result-media" in {one.name for one in there.edits}


def test_a_server_of_the_chat_protocol_gets_no_field_of_openais_own() -> None:
    there = translated(
        PROTOCOLS["responses"].read_request(codex(1), {}), PROTOCOLS["chat"], WireTarget("deepseek-chat", "deepseek")
    )
    assert "prompt_cache_key" not in json.loads(there.body)
    there = translated(
        PROTOCOLS["messages"].read_request(opencode(1), {}), PROTOCOLS["chat"], WireTarget("deepseek-chat", "deepseek")
    )
    assert json.loads(there.body)["messages"][0]["role"] != "developer"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (None, 502),
        ({"type": "overloaded_error", "message": "Overloaded"}, 529),
        ({"type": "authentication_error", "message": "invalid x-api-key"}, "authentication_error"),
    ],
)
def test_a_translated_stream_that_breaks_says_whether_to_ask_again(said: dict[str, str] | None, code: Any) -> None:
    """By the status, which is where clients of Chat Completions look that see a stream break."""
    chat, messages = PROTOCOLS["chat"], PROTOCOLS["messages"]
    asked = chat.read_request(b'{"model":"a","stream":true,"messages":[{"role":"user","content":"Hi."}]}', {})
    back = AnswerTranslator(
        translated(asked, messages, WireTarget("claude-haiku-4-5", "anthropic")), model="m", stream=True, provider="anthropic"
    )
    begun = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "c",
        "usage": {"input_tokens": 5, "output_tokens": 1},
    }
    events = [{"type": "message_start", "message": begun}, *([{"type": "error", "error": said}] if said else [])]
    out = b"".join(back.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()) for event in events) + back.finish()
    last = json.loads(out.decode().strip().split("\n\n")[-1].removeprefix("data: "))
    assert last["error"]["code"] == code


def test_an_error_of_no_credit_keeps_its_word_in_a_stream() -> None:
    """A client that reads 429 there asks again."""
    chat = PROTOCOLS["chat"]
    assert b'"code":"insufficient_quota"' in chat.error_event("insufficient_quota", "No credit.", 429)
    assert b'"code":429' in chat.error_event("rate_limit_exceeded", "Slow down.", 429)
