"""What is still to be yielded of a stream when its answer was accepted."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from langroute.core.decision_metadata import METADATA_KEY
from langroute.core.records import Attempt, Decision, Request, Selection, Step
from langroute.engine.effects import RouteCall
from langroute.engine.step_execution import StepResult
from langroute.engine.stream_attempt import StepStream
from langroute.routes.route import build_routes
from langroute.testing import ScriptedModel

ROUTE = build_routes({"small": ScriptedModel("Hi.")})["small"]
EMPTY, HELLO, END = AIMessageChunk("", id="1"), AIMessageChunk("Hello", id="1"), AIMessageChunk(".", id="1", chunk_position="last")


def streamed(kind: str, chunks: list[Any], *, provisional: bool) -> tuple[list[Any], list[Any]]:
    """What is shown while the chunks come, and what afterwards; of messages without their metadata."""
    stage, selection = StepStream(kind), Selection("small", provisional=provisional)
    attempt = stage.begin(RouteCall(ROUTE, selection, Request((), Step("chat")), "d1", 0))
    shown = []
    for chunk in chunks:
        attempt.add(chunk)
        shown += attempt.rule.release(chunk)
    decision = Decision("d1", Step("chat"), "small", (Attempt(selection, answer="x"),))
    return shown, list(stage.rest(StepResult(decision, index=0)))


def test_an_answer_that_was_held_back_comes_whole_and_its_last_chunk_carries_the_decision() -> None:
    shown, rest = streamed("messages", [EMPTY, HELLO, END], provisional=True)
    assert shown == []
    assert [chunk.content for chunk in rest] == ["", "Hello", "."]
    assert [METADATA_KEY in chunk.response_metadata for chunk in rest] == [False, False, True]
    assert METADATA_KEY not in END.response_metadata


def test_after_a_stream_without_an_end_an_empty_last_chunk_carries_the_decision() -> None:
    shown, rest = streamed("messages", [EMPTY, HELLO], provisional=False)
    assert shown == [EMPTY, HELLO]
    assert [(chunk.content, chunk.id, chunk.chunk_position) for chunk in rest] == [("", "1", "last")]
    assert METADATA_KEY in rest[0].response_metadata


def test_silence_is_yielded_in_the_end() -> None:
    shown, rest = streamed("messages", [EMPTY, EMPTY], provisional=False)
    assert shown == []
    assert [chunk.content for chunk in rest] == ["", "", ""]


@pytest.mark.parametrize("provisional", [True, False])
def test_structured_output_carries_no_decision(provisional: bool) -> None:
    parts = [{"a": 1}, {"a": 1, "b": 2}]
    shown, rest = streamed("outputs", parts, provisional=provisional)
    assert shown + rest == parts
    assert bool(rest) is provisional


def test_the_last_of_the_events_that_were_held_back_carries_the_decision() -> None:
    events = [{"event": "message-start"}, {"event": "content-block-delta"}, {"event": "message-finish"}]
    shown, rest = streamed("events", events, provisional=True)
    assert shown == []
    assert [event["event"] for event in rest] == [event["event"] for event in events]
    assert METADATA_KEY in rest[-1]["metadata"]
    assert all("metadata" not in event for event in rest[:-1])
