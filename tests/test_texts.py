"""What is told from a text at a glance?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langroute.texts import _INTENTS, _WORD, _pattern, intent_of


@pytest.mark.parametrize("intent", _INTENTS, ids=lambda intent: intent.kind)
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_no_request_is_missed_because_its_words_were_looked_for_first(intent: object, data: st.DataObject) -> None:
    """Looking for words is there to save time; whatever the pattern finds has one of them."""
    said = data.draw(st.from_regex(_pattern(intent.pattern)))  # type: ignore[attr-defined]
    low = said.lower()
    if _pattern(intent.pattern).search(low):  # type: ignore[attr-defined]
        words = set(_WORD.findall(low))
        assert words & intent.words  # type: ignore[attr-defined]
        assert intent.objects is None or words & intent.objects  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "said, kind",
    [
        ("TL;DR, please.", "summarize"),
        ("tldr", "summarize"),
        ("Suggest a headline for the article below.", "title"),
        ("Answer with yes or no: is it late?", "classify"),
        ("Return only JSON.", "extract"),
        ("List all the dates.", "extract"),
        ("Find bugs in this.", "review"),
        ("Come up with a plan.", "plan"),
        ("Break the task down into steps.", "plan"),
        ("Please fix lexer.c", "edit"),
        ("Add unit tests.", "edit"),
        ("Write a poem about code-named birds.", "edit"),
        ("Write a poem about birds.", None),
        ("What is a pattern?", None),
    ],
)
def test_what_is_asked_for_in_so_many_words(said: str, kind: str | None) -> None:
    """The step kind that a request names."""
    assert intent_of(said) == kind
    assert intent_of(f"{'material ' * 300}\n{said}") == kind
