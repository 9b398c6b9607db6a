"""What of a stream may be shown when."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from langroute.core.records import Selection
from langroute.engine.release import ReleaseRule, may_be_rejected
from langroute.engine.token_gate import TokenGate

EMPTY, HELLO, REST = AIMessageChunk(""), AIMessageChunk("Hello"), AIMessageChunk(", you.")
CALL = AIMessageChunk("", tool_call_chunks=[{"name": "add", "args": "", "id": "1", "index": 0}])


def released(selection: Selection, *chunks: Any) -> tuple[list[list[Any]], ReleaseRule]:
    rule = ReleaseRule(selection)
    return [rule.release(chunk) for chunk in chunks], rule


@pytest.mark.parametrize(
    "first", [HELLO, CALL, AIMessageChunk("", chunk_position="last"), {"event": "content-block-start"}, "partial"]
)
def test_a_final_answer_passes_from_its_first_content_on(first: Any) -> None:
    """A tool call, an end, an event or a part of structured output are content too; what came before them is not lost."""
    shown, rule = released(Selection("a"), EMPTY, first, EMPTY, REST)
    assert shown == [[], [EMPTY, first], [EMPTY], [REST]]
    assert (rule.shown, rule.held, rule.until_verified) == (True, [], False)


def test_silence_is_held_back() -> None:
    shown, rule = released(Selection("a"), EMPTY, {"event": "message-start"})
    assert shown == [[], []]
    assert (rule.shown, rule.held) == (False, [EMPTY, {"event": "message-start"}])


def test_an_answer_that_may_be_rejected_is_held_back_whole() -> None:
    shown, rule = released(Selection("a", provisional=True), EMPTY, HELLO, REST)
    assert shown == [[], [], []]
    assert (rule.shown, rule.held, rule.until_verified) == (False, [EMPTY, HELLO, REST], True)


@pytest.mark.parametrize("provisional", [True, False])
@pytest.mark.parametrize("tokens", [[], [""], ["Hi"]])
def test_tokens_that_only_listeners_saw_count_as_shown(provisional: bool, tokens: list[str]) -> None:
    """Unless they may not have been shown: a provisional attempt's run is tagged so that nobody shows them."""
    gate = TokenGate("a")
    for token in tokens:
        gate.on_llm_new_token(token)
    rule = ReleaseRule(Selection("a", provisional=provisional))
    rule.seen_by(gate)
    assert rule.shown is (bool("".join(tokens)) and not provisional)
    rule.seen_by(None)


def test_what_may_be_rejected() -> None:
    assert may_be_rejected(Selection("a", provisional=True))
    assert not may_be_rejected(Selection("a"))
