"""Text of messages as people read them; nothing raises, whatever the message holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langroute.core.message_text import LEFT_OUT, content_text, text_with_calls


@pytest.mark.parametrize(
    "content, text",
    [
        ("plain", "plain"),
        (["a", {"type": "text", "text": "b"}, {"type": "thinking", "thinking": "no"}, {"type": "image"}, 7], "a\nb"),
        ([{"text": None}, {"text": 5}], ""),
        (None, ""),
        ({"text": "no list"}, ""),
    ],
)
def test_a_contents_text_is_its_texts(content: Any, text: str) -> None:
    assert content_text(content) == text


def deep() -> Any:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "calls, text",
    [
        ([{"name": "add", "args": {"a": 1}}], "calls add with {'a': 1}"),
        ([{"name": None, "args": {}}], "calls a tool with {}"),
        ([{"args": deep()}], "calls a tool with what cannot be shown"),
        (["no mapping"], "calls a tool with no mapping"),
    ],
)
def test_calls_of_any_form_are_shown(calls: list[Any], text: str) -> None:
    message = SimpleNamespace(content="", tool_calls=calls)
    assert text_with_calls(message, 1000) == text


@pytest.mark.parametrize("length", [10, 11, 12, 1000])
def test_a_long_answer_shows_both_ends(length: int) -> None:
    shown = text_with_calls(AIMessage("b" * (length // 2) + "e" * (length - length // 2)), 10)
    if length <= 10:
        assert LEFT_OUT not in shown
    else:
        assert shown == f"bbbbb\n{LEFT_OUT}\neeeee"


def test_no_more_calls_are_written_than_are_shown() -> None:
    class Counted(dict[str, Any]):
        asked = 0

        def __str__(self) -> str:
            Counted.asked += 1
            return "x" * 100

    message = SimpleNamespace(content="", tool_calls=[{"name": "f", "args": Counted()} for _ in range(1000)])
    assert len(text_with_calls(message, 300)) < 400
    assert Counted.asked < 10
