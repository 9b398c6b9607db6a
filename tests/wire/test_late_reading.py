"""A stream is read late where nothing in it can end the answer: what it says, and when it ends, is as if each chunk had been read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("msgspec")

from wire_shapes import STREAMS, cut

from langroute.gateway import answer as answers
from langroute.gateway.answer import WireAnswer
from langroute.wire.protocols import PROTOCOLS

CALL = {"command": "ls -l"}
FAILED = {
    "messages": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy."}}\n\n',
    "chat": b'data: {"error":{"message":"Busy.","code":529}}\n\n',
    "responses": b'event: response.failed\ndata: {"type":"response.failed","response":{"error":{"code":"busy","message":"Busy."}}}\n\n',
}


def both(name: str) -> tuple[WireAnswer, object]:
    answer = WireAnswer("small", (), 10)
    protocol = PROTOCOLS[name]
    answer.reader = protocol.answer_reader(stream=True)
    return answer, protocol.answer_reader(stream=True)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", STREAMS)
@given(places=st.lists(st.integers(0, 10**6), max_size=60), text=st.text(max_size=300), ends=st.sampled_from([b"\n", b"\r\n"]))
def test_an_answer_ends_with_the_chunk_in_which_it_ends(name: str, fails: bool, places: list[int], text: str, ends: bytes) -> None:
    stream = STREAMS[name](text, call=CALL)
    if fails:
        stream = stream[: stream.rindex(b"\n\n", 0, len(stream) // 2) + 2] + FAILED[name]
    answer, eager = both(name)
    late = answer.reader
    for chunk in cut(stream.replace(b"\n", ends), places):
        assert answer.take(chunk) == chunk
        eager.feed(chunk)
        # As a host sees it, which does not ask for more after each chunk.
        assert (late.complete, late.error, late.started) == (eager.complete, eager.error, eager.started)
    answer.end()
    eager.finish()
    assert (answer.reader.text, answer.reader.raw_usage, answer.whole) == (eager.text, eager.raw_usage, eager.complete)
    assert (answer.reader.error is not None) == fails


@pytest.mark.parametrize("name", STREAMS)
def test_one_byte_at_a_time_ends_with_the_last(name: str) -> None:
    stream = STREAMS[name](call=CALL)
    answer, eager = both(name)
    late = answer.reader
    for at in range(len(stream)):
        answer.take(stream[at : at + 1])
        eager.feed(stream[at : at + 1])
        assert late.complete == eager.complete
    assert late.complete


@pytest.mark.parametrize("name", STREAMS)
@given(at=st.integers(0, 10**6))
def test_who_asks_in_the_middle_is_told_all_that_came(name: str, at: int) -> None:
    stream = STREAMS[name]("A long answer. " * 20, call=CALL)
    answer, eager = both(name)
    for chunk in cut(stream[: at % len(stream)], list(range(0, len(stream), 50))):
        answer.take(chunk)
        eager.feed(chunk)
    assert answer.message().content == eager.text
    assert answer.between_events == eager.between_events


def test_a_long_stream_is_read_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_UNREAD", 1000)
    answer, _ = both("chat")
    late = answer.reader
    event = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
    for _ in range(100):
        answer.take(event)
    assert 80 < late.text.count("word") <= 100
    assert answer.reader.text.count("word") == 100
