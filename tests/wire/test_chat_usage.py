"""The usage of a stream, asked for where the client did not, and kept from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("msgspec")

from wire_shapes import chat_stream, compact, cut, opencode

from langroute.wire.chat_usage import UsageFilter
from langroute.wire.edits import WireTarget
from langroute.wire.protocols import PROTOCOLS

CHAT, TARGET = PROTOCOLS["chat"], WireTarget("gpt-5.2", "openai")


@pytest.mark.parametrize("options", ["absent", {}, {"include_usage": False}, {"include_obfuscation": False}])
@pytest.mark.parametrize("way", [None, 2])
def test_usage_is_asked_for_where_the_client_does_not(options: Any, way: int | None) -> None:
    body = json.loads(opencode(1)) | {"stream_options": options}
    if options == "absent":
        del body["stream_options"]
    request = CHAT.read_request(json.dumps(body, indent=way).encode(), {})
    edits = CHAT.usage_edits(request, TARGET)
    assert [one.name for one in edits] == ["ask-usage"]
    now = json.loads(CHAT.splice(request, model="m", edits=edits))
    more = options if isinstance(options, dict) else {}
    assert now == body | {"model": "m", "stream_options": {**more, "include_usage": True}}


@pytest.mark.parametrize("last", [True, False])
def test_usage_is_asked_for_where_the_next_field_is_left_out(last: bool) -> None:
    body = {"model": "gpt-5.2", "messages": [], "stream": True, "store": False, **({} if last else {"user": "u"})}
    request = CHAT.read_request(compact(body), {})
    target = WireTarget("deepseek-chat", "deepseek")
    edits = CHAT.edits(request, target) + CHAT.usage_edits(request, target)
    now = json.loads(CHAT.splice(request, model="m", edits=edits))
    del body["store"]
    assert now == body | {"model": "m", "stream_options": {"include_usage": True}}


def test_nothing_is_asked_of_those_that_ask_or_do_not_stream() -> None:
    for body in (opencode(1), opencode(1, stream=False)):
        assert CHAT.usage_edits(CHAT.read_request(body, {}), TARGET) == ()
    assert PROTOCOLS["messages"].usage_edits(CHAT.read_request(opencode(1), {}), TARGET) == ()


@given(places=st.lists(st.integers(0, 10**6), max_size=20), ends=st.sampled_from([b"\n", b"\r\n"]), text=st.text(max_size=20))
def test_the_client_gets_every_byte_but_those_of_the_usage(places: list[int], ends: bytes, text: str) -> None:
    with_usage, without = (chat_stream(text, usage=usage).replace(b"\n", ends) for usage in (True, False))
    one = UsageFilter()
    assert b"".join([one.feed(chunk) for chunk in cut(with_usage, places)]) + one.finish() == without


@given(data=st.lists(st.binary(max_size=30) | st.sampled_from([b"\n\n", b"\r", b"data: "]), max_size=12))
def test_any_other_bytes_pass_as_they_are(data: list[bytes]) -> None:
    one = UsageFilter()
    assert b"".join([one.feed(chunk) for chunk in data]) + one.finish() == b"".join(data)


def test_a_usage_in_the_last_chunk_of_the_answer_stays() -> None:
    """Some servers put it beside the finish reason."""
    event = b"data: %s\n\n" % compact({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}})
    assert UsageFilter().feed(event) == event
    event = b"data: %s\n\n" % compact({"choices": [], "prompt_filter_results": [], "usage": None})
    assert UsageFilter().feed(event) == event
