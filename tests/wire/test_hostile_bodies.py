"""Requests of real shapes in which anything stands in the place of any value: nothing raises, and what is sent on is JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("msgspec")

from wire_shapes import CLAUDE_CODE_HEADERS, REQUESTS

from langroute.wire.edits import WireTarget, reasoning_digest
from langroute.wire.memo import HistoryMemo
from langroute.wire.protocols import PROTOCOLS
from langroute.wire.translation import TRANSLATORS, translated

ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1e300,
        10**30,
        "",
        "x",
        [],
        {},
        [[]],
        {"type": []},
        {"type": {}},
        ["a", 1, None],
        {"a": {"b": [1]}},
        "\ufffd",
    ]
)
FOREIGN = frozenset({reasoning_digest("x"), reasoning_digest("c2lnbmF0dXJl0"), reasoning_digest("gAAAA1")})
TARGETS = [
    WireTarget("claude-haiku-4-5", "anthropic", max_output=4096, foreign=FOREIGN),
    WireTarget("gpt-5-mini", "openai", max_output=100, foreign=FOREIGN),
    WireTarget("deepseek-chat", "deepseek"),
]


def places(value: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where each value inside a value stands."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in pairs for place in ((*so_far, key), *places(inner, (*so_far, key)))]


@st.composite
def bodies(draw: st.DrawFn, name: str) -> bytes:
    """A client's request with up to four of its values replaced or left out."""
    body = json.loads(REQUESTS[name](2))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.sampled_from(places(body)))
        inner = body
        for key in place[:-1]:
            inner = inner[key]
        if isinstance(inner, dict) and draw(st.booleans()):
            del inner[place[-1]]
        else:
            inner[place[-1]] = json.loads(json.dumps(draw(ODD)))
    return json.dumps(body).encode()


@pytest.mark.parametrize("name", TRANSLATORS)
@given(data=st.data())
def test_odd_values_anywhere_raise_nothing(name: str, data: st.DataObject) -> None:
    protocol = PROTOCOLS[name]
    request = protocol.read_request(data.draw(bodies(name)), CLAUDE_CODE_HEADERS)
    assert HistoryMemo().messages(request) == request.messages()
    assert isinstance(request.thread, str)
    assert isinstance(request.resend_key, str)
    assert isinstance(request.given_answer.text, str)
    assert request.side_call in (None, "title", "summarize", "classify", "extract", "answer")
    assert json.loads(protocol.count_tokens(request))["input_tokens"] >= 0
    for target in TARGETS:
        edits = protocol.edits(request, target) + protocol.usage_edits(request, target)
        json.loads(protocol.splice(request, model="zz", edits=edits))
        for other in map(PROTOCOLS.get, TRANSLATORS):
            if other is not protocol and (there := translated(request, other, target)).problem is None:
                other.read_request(there.body, {}).messages()
