"""Histories that grow are read where they grew, and come out as if they had been read as a whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("msgspec")

from wire_shapes import REQUESTS, compact

from langroute.steps.inspector import Inspector
from langroute.wire.memo import HistoryMemo
from langroute.wire.protocols import PROTOCOLS
from langroute.wire.translation import TRANSLATORS

SESSION = {"x-session-id": "s"}


@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_grown_history_is_the_same_as_one_read_at_once(name: str) -> None:
    memo, inspector = HistoryMemo(), Inspector()
    before: list[Any] = []
    for turns in (0, 1, 2, 5, 5, 3, 6):
        request = PROTOCOLS[name].read_request(REQUESTS[name](turns), SESSION)
        messages = memo.messages(request)
        assert messages == request.messages()
        assert inspector.inspect(messages).signals == Inspector().inspect(request.messages()).signals
        if len(messages) > len(before) and turns > 3:
            assert all(one is two for one, two in zip(before[:-1], messages, strict=False))
        before = messages


def test_a_call_beside_the_conversation_does_not_push_it_out() -> None:
    memo = HistoryMemo()
    first = memo.messages(PROTOCOLS["chat"].read_request(REQUESTS["chat"](2), SESSION))
    memo.messages(
        PROTOCOLS["chat"].read_request(compact({"model": "m", "messages": [{"role": "user", "content": "Title?"}]}), SESSION)
    )
    grown = memo.messages(PROTOCOLS["chat"].read_request(REQUESTS["chat"](3), SESSION))
    assert all(one is two for one, two in zip(first, grown, strict=False))


ENTRIES = st.lists(
    st.sampled_from(
        [
            {"role": "user", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "assistant", "content": "c"},
            {"role": "tool", "tool_call_id": "1", "content": 'say \\"cache_control\\": {"a": 1}'},
            {"type": "function_call", "call_id": "2", "name": "g", "arguments": "{}"},
            {"type": "reasoning", "summary": []},
            7,
        ]
    ),
    max_size=6,
)


@pytest.mark.parametrize("name", PROTOCOLS)
@given(histories=st.lists(ENTRIES, min_size=1, max_size=4), way=st.sampled_from([None, 1]))
def test_whatever_the_history_was_before_it_is_read_as_it_is(name: str, histories: list[list[Any]], way: int | None) -> None:
    memo = HistoryMemo()
    field = PROTOCOLS[name].entries_field
    grown: list[Any] = []
    for entries in histories:
        for said in (entries, grown := grown + entries):
            request = PROTOCOLS[name].read_request(json.dumps({"model": "m", field: said}, indent=way).encode(), SESSION)
            assert memo.messages(request) == request.messages()


def test_only_the_latest_are_kept() -> None:
    memo = HistoryMemo(remembered=3, max_bytes=10_000)
    for number in range(50):
        body = compact({"model": "m", "messages": [{"role": "user", "content": "a" * 100 * number}]})
        memo.messages(PROTOCOLS["chat"].read_request(body, {"x-session-id": str(number)}))
        assert len(memo) <= 3
        assert 0 <= memo.kept_bytes <= 10_000
    assert len(memo) == 2
