"""Cheap features read from a text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langroute.steps.texts import intent_of, job_of

EDITED = "function|method|class|code|script|program|module|bug|tests?|unit tests?|endpoint|query|regex|component|sql"
ENDINGS = "py|js|ts|tsx|go|rs|java|c|cpp|rb|php|sh|sql"
ASKED = {
    "title": r"\b(?:title|headline|name) (?:for|of) (?:this|the|our) (?:conversation|chat|thread|session|discussion)\b"
    r"|\b(?:generate|write|create|give|suggest)\b.{0,40}\b(?:title|headline)\b",
    "summarize": r"\b(?:summari[sz]e|sum up|summary of|tl;?dr|condense|recap|compact)\b",
    "classify": r"\b(?:classify|categori[sz]e|which (?:category|label|class)|label (?:the|this|each)|sentiment of"
    r"|is this (?:spam|toxic|positive|negative)|answer (?:only )?(?:with )?(?:yes or no|true or false))\b",
    "extract": r"\b(?:extract|pull out|parse out|list all (?:the )?(?:names|dates|numbers|emails|entities)"
    r"|return (?:only )?(?:a |the )?json)\b",
    "review": r"\b(?:review (?:the|this|my|our|that|these)|critique|find (?:the )?(?:bugs?|mistakes|errors|problems) in"
    r"|proofread|grade (?:the|this)|evaluate (?:the|this) (?:answer|response|code|output))\b",
    "plan": r"\b(?:make|write|create|draft|propose|outline|devise|come up with)\b.{0,24}\bplan\b"
    r"|\bplan (?:the|out|how|for|this)\b|\bbreak (?:it|this|the task) down into (?:steps|subtasks)\b|\bstep[- ]by[- ]step plan\b",
    "edit": r"\b(?:write|implement|fix|refactor|rewrite|complete|debug|port|optimi[sz]e|add|change|rename|patch)\b.{0,60}"
    rf"\b(?:{EDITED}|\w+\.(?:{ENDINGS}))\b",
}
"""Step kind → how people ask for it. Where two kinds are asked for at once, the first of this table is meant."""


@pytest.mark.parametrize("kind", ASKED)
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_no_request_is_missed_because_its_words_were_looked_for_first(kind: str, data: st.DataObject) -> None:
    """Single words are looked for first, which saves time; whoever asks in one of these ways is understood all the same."""
    said = data.draw(st.from_regex(ASKED[kind], fullmatch=True))
    asked = [one for one, pattern in ASKED.items() if re.search(pattern, said.lower())]

    # The beginning and the end of longer texts are read, and their middle is not.
    if len(said) <= 700:
        assert intent_of(said) == (asked[0] if asked else None)


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


CONTRACT = "The lessee shall pay in advance. The lessor keeps the roof in order and extracts no other fee. " * 40
PASTED = (
    "\n\nBelow is a summary of the meeting.",
    "\n--\nTitle for this conversation",
    "\nClassify: confidential",
    "\nextract",
    "\nSummarize the text above.",
    "\n\nPlease summarize the text above in two sentences.",
    "\n\nGenerate a short title for this conversation.\nThanks.",
    "\n\nExtract the names, and return only JSON.",
    "\n</document>\nReview the code.",
)
ORDERS = (
    "Is the following contract legally sound, and what would a court in Oslo say about clause 4? Think hard.\n\n",
    "Is this contract sound?\n",
    "Tell me whether this contract is sound.\n\n",
    "Check this lease for traps:\n\n",
    "Hello!\n\nWould a court in Oslo uphold clause 4\n\n",
    "Hi there,\n\nI rented a flat in Oslo and my landlord sent the lease below.\n\n",
    "Legal question\n\nIs clause 4 void?\n\n",
    "Scrutinise this lease for traps.\n\n",
    "Prüfe diesen Vertrag bitte gründlich.\n\n",
    "Tolong jelaskan kontrak ini\n\n",
    "请告诉我这份合同是否有效。\n\n",
    "What about clause 4?\n<document>\n",
)


@pytest.mark.parametrize("asked", ORDERS)
@pytest.mark.parametrize("body", [CONTRACT, "The lessee shall pay in advance."], ids=["long", "short"])
def test_the_last_lines_of_a_document_are_no_order(asked: str, body: str) -> None:
    """Somebody asked before the material, in words that are understood here or not: what is pasted does not choose the kind of step."""
    assert {intent_of(asked + body + end) for end in ("", *PASTED)} == {None}


@pytest.mark.parametrize(
    "pasted", ["Below is a summary of the meeting.", "Title for this conversation", "Summarize the text above."]
)
def test_nor_are_its_first_lines(pasted: str) -> None:
    """The material begins right behind the question."""
    assert intent_of(f"Is this contract sound?\n{pasted}\n{CONTRACT}") is None
    assert intent_of(f"Is this contract sound?\n\n{pasted}\n\n{CONTRACT}") is None


def test_what_was_asked_first_is_asked_whatever_the_material_ends_with() -> None:
    for end in ("", *PASTED):
        assert intent_of(f"Please extract all dates from this contract:\n\n{CONTRACT}{end}") == "extract"


@pytest.mark.parametrize(
    "material",
    [
        f"<document>\n{CONTRACT}\n</document>",
        f"Lease Agreement\n\n{CONTRACT}",
        f"# Lease\n\n{CONTRACT}",
        f"This agreement is made between A and B.\n\n{CONTRACT}",
        f"Here is the contract:\n\n{CONTRACT}",
        f"From: Anna\nTo: Ben\n\nHi Ben, can you come?\n{CONTRACT}",
        f"Conversation so far:\nUser: hi\nAssistant: hello\n{CONTRACT}",
        "def f(x):\n    return x + 1",
        CONTRACT,
    ],
)
@pytest.mark.parametrize(
    "asked", ["Summarize the text above.", "Can you please summarize this?", "Now sum up the text.\nUse three sentences."]
)
def test_an_order_behind_material_that_asks_for_nothing_is_an_order(material: str, asked: str) -> None:
    """What stands before it begins like a document and speaks to nobody."""
    assert intent_of(f"{material}\n\n{asked}") == "summarize"


@pytest.mark.parametrize(
    "prompt, kind",
    [
        (f"Write a concise summary of the following:\n\n{CONTRACT}\n\nCONCISE SUMMARY:", "summarize"),
        (f"Given the conversation below, generate a short title for it.\n\n{CONTRACT}", "title"),
        (f"You are given a conversation. Write a short\ntitle for this conversation.\n\nUser: {CONTRACT}", "title"),
        (f"### Instruction:\nSummarize the following text\n\n{CONTRACT}", "summarize"),
        (f"I have this article.\nSummarize it in three sentences.\n\n{CONTRACT}", "summarize"),
        (f"Hi,\nplease summarize this:\n{CONTRACT}", "summarize"),
    ],
)
def test_prompts_of_programs_are_told_by_what_stands_before_their_material(prompt: str, kind: str) -> None:
    assert intent_of(prompt) == kind


def test_a_system_prompt_is_told_by_what_stands_before_its_material() -> None:
    """What was retrieved into it is no job."""
    assert job_of("You are a clerk. Extract the invoice number.") == "extract"
    assert job_of("You are a tutor. Answer from this.\n<context>\nSummarize the lesson.\n</context>") is None
