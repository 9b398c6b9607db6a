"""Answers read as they pass: whatever the chunks cut, whatever they hold, in bounded memory."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("msgspec")

from wire_shapes import STREAMS, chat_stream, compact, cut, messages_stream, responses_stream

from langroute.wire.answers import AnswerReader
from langroute.wire.edits import reasoning_digest
from langroute.wire.protocols import PROTOCOLS
from langroute.wire.sse import Event, EventReader

CALL = {"command": "printf 'ümlaut 机\\n' && python3 -c \"print('✓')\""}
PROVIDERS = {"messages": "anthropic", "chat": "openai", "responses": "openai"}


def read(name: str, chunks: list[bytes], *, stream: bool = True) -> AnswerReader:
    reader = PROTOCOLS[name].answer_reader(stream=stream, provider=PROVIDERS[name])
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish()


def told(reader: AnswerReader) -> tuple[Any, ...]:
    calls = [(one.id, one.name, one.text) for one in reader.tool_calls]
    return reader.text, calls, reader.usage, reader.end, reader.model, reader.complete, reader.error, reader.reasoning


@pytest.mark.parametrize("name", STREAMS)
@given(
    places=st.lists(st.integers(0, 10**6), max_size=40),
    ends=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    text=st.text(max_size=30),
    calls=st.booleans(),
)
def test_edges_of_chunks_say_nothing(name: str, places: list[int], ends: bytes, text: str, calls: bool) -> None:
    stream = STREAMS[name](text, call=CALL if calls else None)
    whole = read(name, [stream])
    assert told(read(name, cut(stream.replace(b"\n", ends), places))) == told(whole)
    assert whole.text == text
    assert whole.complete
    assert [json.loads(one.text) for one in whole.tool_calls] == ([CALL] if calls else [])


@pytest.mark.parametrize("name", STREAMS)
def test_one_byte_at_a_time(name: str) -> None:
    stream = STREAMS[name](call=CALL)
    reader = read(name, [stream[at : at + 1] for at in range(len(stream))])
    assert reader.complete
    assert reader.end == ("stop" if name == "responses" else "tool_calls")
    assert (reader.usage.input_tokens, reader.usage.output_tokens, reader.usage.cache_read) == (442, 20, 400)


def test_what_each_protocol_tells() -> None:
    reader = read("messages", [messages_stream()])
    assert (reader.usage.cache_write, reader.usage.cache_read, reader.model, reader.id) == (30, 400, "claude-haiku-4-5", "msg_1")
    assert reader.reasoning == [reasoning_digest("c2ln")]
    reader = read("responses", [responses_stream()])
    assert (reader.usage.reasoning, reader.reasoning) == (8, [reasoning_digest("gAAAAsealed")])
    reader = read("chat", [chat_stream(usage=False)])
    assert reader.usage is None
    assert reader.complete


@pytest.mark.parametrize("name", STREAMS)
@given(at=st.integers(0, 10**6))
def test_a_stream_that_breaks_off_is_never_complete(name: str, at: int) -> None:
    stream = STREAMS[name](call=CALL)
    end = {"messages": b"event: message_stop", "chat": b'"finish_reason":"tool_calls"', "responses": b"event: response.completed"}[
        name
    ]
    reader = read(name, [stream[: at % stream.index(end)]])
    assert not reader.complete
    assert reader.error is None


def test_a_stream_of_the_chat_protocol_is_whole_with_its_finish_reason() -> None:
    """Some servers close the connection without `[DONE]`."""
    stream = chat_stream(call=CALL)
    assert read("chat", [stream.replace(b"data: [DONE]\n\n", b"")]).complete
    assert read("chat", [stream.replace(b"\n\ndata: [DONE]\n\n", b"\n\ndata: [DONE]")]).complete
    assert not read("chat", [stream[: stream.index(b'"finish_reason":"tool_calls"') + 40]]).complete


@pytest.mark.parametrize(
    "name, event",
    [
        ("messages", b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'),
        ("chat", b'data: {"error":{"message":"Overloaded","type":"overloaded_error","code":529}}\n\n'),
        ("responses", b'event: error\ndata: {"type":"error","code":"server_error","message":"Overloaded","param":null}\n\n'),
        (
            "responses",
            b'data: {"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"Overloaded"}}}\n\n',
        ),
    ],
)
def test_an_error_in_the_middle_is_told(name: str, event: bytes) -> None:
    stream = STREAMS[name]()
    reader = read(name, [stream[:400].rpartition(b"\n\n")[0] + b"\n\n", event])
    assert reader.error is not None
    assert reader.error.message == "Overloaded"
    assert not reader.complete


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Overloaded", "code": "server_error"}},
        {"type": "error", "code": "server_error", "message": "Overloaded"},
        {"type": "error", "error": {"message": "Overloaded", "code": "server_error"}},
        {"object": "response", "status": "failed", "output": [], "error": {"message": "Overloaded", "code": "server_error"}},
    ],
)
def test_an_error_in_the_place_of_an_answer_is_told(body: dict[str, Any]) -> None:
    reader = read("responses", [json.dumps(body).encode()], stream=False)
    assert reader.error is not None
    assert (reader.error.message, reader.error.code) == ("Overloaded", "server_error")
    assert not reader.complete
    assert not reader.started


@pytest.mark.parametrize("name", STREAMS)
def test_our_own_error_ends_a_stream_as_an_error(name: str) -> None:
    """What we tell a client whose stream broke is read by it as an error, never as an end."""
    stream = STREAMS[name](call=CALL)
    cut_off = stream[: stream.index(b"python3")].rpartition(b"\n\n")[0] + b"\n\n"
    reader = read(name, [cut_off, PROTOCOLS[name].error_event("upstream_broken", "The provider's answer broke off.")])
    assert not reader.complete
    assert reader.error is not None
    assert reader.error.message == "The provider's answer broke off."


@pytest.mark.parametrize("name", STREAMS)
def test_pings_may_stand_between_any_two_events(name: str) -> None:
    stream, ping = STREAMS[name](call=CALL), PROTOCOLS[name].ping()
    pinged = ping + stream.replace(b"\n\n", b"\n\n" + ping)
    assert told(read(name, [pinged])) == told(read(name, [stream]))


@pytest.mark.parametrize("name", STREAMS)
def test_it_is_known_when_the_stream_stands_between_events(name: str) -> None:
    stream = STREAMS[name]()
    reader = PROTOCOLS[name].answer_reader(stream=True)
    for at in range(len(stream)):
        reader.feed(stream[at : at + 1])
        assert reader.between_events == stream[: at + 1].endswith(b"\n\n")


@pytest.mark.parametrize("name", STREAMS)
def test_it_is_known_when_the_answer_itself_has_begun(name: str) -> None:
    stream = STREAMS[name]()
    reader = PROTOCOLS[name].answer_reader(stream=True)
    begun = []
    for event in stream.split(b"\n\n")[:-1]:
        reader.feed(event + b"\n\n")
        begun.append(reader.started)
    assert begun[0] is False
    assert begun[-1] is True
    assert begun == sorted(begun)


@pytest.mark.parametrize("name", STREAMS)
@given(
    data=st.lists(
        st.binary(max_size=40)
        | st.sampled_from([b"data: ", b"\n\n", b"event: error\n", b'{"type":"message_start"}', b"\r", b"\xef\xbb\xbf", b"[DONE]"]),
        max_size=30,
    )
)
def test_any_bytes_are_read_without_an_error(name: str, data: list[bytes]) -> None:
    for stream in (True, False):
        reader = read(name, data, stream=stream)
        told(reader)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "index", "delta", "usage", "id", "item", "error"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("name", STREAMS)
@given(
    events=st.lists(
        st.dictionaries(
            st.sampled_from(["type", "delta", "choices", "usage", "response", "message", "index", "content", "output"]),
            VALUES,
            max_size=5,
        ),
        max_size=5,
    )
)
def test_any_events_are_read_without_an_error(name: str, events: list[dict[str, Any]]) -> None:
    stream = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
    told(read(name, [stream]))
    for event in events:
        told(read(name, [json.dumps(event).encode()], stream=False))


@pytest.mark.parametrize("name", STREAMS)
def test_memory_stays_bounded_whatever_comes(name: str) -> None:
    reader = PROTOCOLS[name].answer_reader(stream=True)
    piece = {
        "messages": {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 10_000}},
        "chat": {"choices": [{"index": 0, "delta": {"content": "x" * 10_000}}]},
        "responses": {"type": "response.output_text.delta", "delta": "x" * 10_000},
    }[name]
    event = b"data: %s\n\n" % compact(piece)
    tracemalloc.start()
    for _ in range(3000):
        reader.feed(event)
    for _ in range(2000):
        reader.feed(b"y" * 20_000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(reader.text) == 200_000
    assert most < 80 * 2**20


def test_an_event_that_is_too_long_is_left_out_and_the_next_is_read() -> None:
    reader = EventReader(max_event=100)
    assert list(reader.feed(b"data: " + b"x" * 500)) == []
    assert not reader.between_events
    assert [one.data for one in reader.feed(b"x\n\ndata: 1\n\ndata: " + b"y" * 200 + b"\n\ndata: 2\n\n")] == [b"1", b"2"]
    assert reader.left_out == 2
    assert reader.between_events


@pytest.mark.parametrize("name", STREAMS)
def test_plain_answers_tell_the_same(name: str) -> None:
    body = {
        "messages": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
            "content": [{"type": "text", "text": "Look."}, {"type": "tool_use", "id": "c", "name": "Bash", "input": CALL}],
            "usage": {"input_tokens": 12, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 400, "output_tokens": 20},
        },
        "chat": {
            "id": "c", "object": "chat.completion", "model": "m",
            "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "Look.", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "Bash", "arguments": json.dumps(CALL)}}]}}],
            "usage": {"prompt_tokens": 442, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 400}},
        },
        "responses": {
            "id": "r", "object": "response", "status": "completed", "model": "m", "error": None,
            "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Look."}]},
                       {"type": "function_call", "call_id": "c", "name": "Bash", "arguments": json.dumps(CALL)}],
            "usage": {"input_tokens": 442, "output_tokens": 20, "input_tokens_details": {"cached_tokens": 400}},
        },
    }[name]  # fmt: skip
    reader = read(name, cut(compact(body), [10, 77, 200]), stream=False)
    assert (reader.text, reader.model, reader.complete) == ("Look.", "m", True)
    assert [(one.id, one.name, json.loads(one.text)) for one in reader.tool_calls] == [("c", "Bash", CALL)]
    assert (reader.usage.input_tokens, reader.usage.cache_read) == (442, 400)
    broken = read(name, [compact(body)[:-30]], stream=False)
    assert not broken.complete


@pytest.mark.parametrize("name", STREAMS)
def test_a_budget_that_is_used_up_is_an_error_of_the_protocol(name: str) -> None:
    status, body = PROTOCOLS[name].budget_exceeded("The budget of 5 USD is used up.")
    error = json.loads(body)["error"]
    assert (status, error["type"], error["code"]) == (400, "invalid_request_error", "budget_exceeded")
    assert read(name, [body], stream=False).error.message == "The budget of 5 USD is used up."


def test_the_list_of_models_is_read_by_clients_of_all_protocols() -> None:
    listed = json.loads(PROTOCOLS["chat"].models_list(["langroute/auto", "small"]))
    assert listed["object"] == "list"
    assert [one["id"] for one in listed["data"]] == ["langroute/auto", "small"]
    assert all(one["object"] == one["type"] == "model" and one["display_name"] == one["id"] for one in listed["data"])
    assert json.loads(PROTOCOLS["chat"].models_list([]))["data"] == []


_SPEAKS = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a", "tool_calls": None}}]}


def _said(reader: AnswerReader) -> tuple[Any, ...]:
    calls = [(one.id, one.name, one.text) for one in reader.tool_calls]
    known = (reader.id, reader.model, reader.terms, reader.raw_usage, reader.text, reader.finish_reason)
    return (*known, reader.error, reader.started, reader.complete, calls)


MORE = pytest.mark.parametrize(
    "more",
    [
        {},
        {"service_tier": "flex", "usage": None, "error": None},
        {"usage": {"prompt_tokens": 3}},
        {"usage": {"prompt_tokens": 3, "completion_tokens": None}, "choices": []},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"error": {"message": "no"}},
        {"id": 7, "model": None},
        {"choices": [{"delta": {"content": "b", "refusal": "c"}}, {"delta": {"reasoning": "d"}}, {"delta": None}, 5]},
        {"choices": [{"delta": {"content": ["b"]}, "finish_reason": "stop"}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}}]}}]},
        {"choices": {}},
    ],
    ids=json.dumps,
)


@MORE
def test_chat_events_say_the_same_whether_they_are_read_the_quick_way_or_not(more: dict[str, Any]) -> None:
    event = Event("", json.dumps({**_SPEAKS, **more}).encode())
    quick, slow = (PROTOCOLS["chat"].answer_reader(stream=True) for _ in range(2))
    PROTOCOLS["chat"].read_event(quick, event)
    PROTOCOLS["chat"].read_any(slow, json.loads(event.data))  # type: ignore[attr-defined]
    assert _said(quick) == _said(slow)


@MORE
@pytest.mark.parametrize("rest", [(), (b"[DONE]",), (b" [DONE]",), (b"{", b"[DONE]"), (b'{"a":1},{"a":2}', b"[DONE]")], ids=str)
def test_chat_events_that_come_together_say_what_each_says(more: dict[str, Any], rest: tuple[bytes, ...]) -> None:
    data = [json.dumps(one).encode() for one in (_SPEAKS, {**_SPEAKS, **more}, _SPEAKS)]
    ends = {"choices": [{"delta": {"content": ""}, "finish_reason": "length"}]}
    events = [Event("", one) for one in (*data, json.dumps(ends).encode(), *rest)]
    together, apart = (PROTOCOLS["chat"].answer_reader(stream=True) for _ in range(2))
    together.feed(b"".join(b"data: %s\n\n" % event.data for event in events))
    for event in events:
        PROTOCOLS["chat"].read_event(apart, event)
    assert _said(together) == _said(apart)
