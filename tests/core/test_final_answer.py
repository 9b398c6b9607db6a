"""Final answers of texts: what carries no meaning is evened out, and nothing else."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage

from langroute.core.answers import READ, canonical
from langroute.core.final_answer import final_answer
from langroute.core.records import Attempt, Selection


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # The cases that were found, and their neighbours: words, operators, separators, capitals, zeros, units, signs, order.
        ("Refund approved for order 7731.", "Refund denied for order 7731."),
        ("Revenue rose 5% last year.", "Revenue fell 5% last year."),
        ("Ship it to gate 4.", "Do not ship it to gate 4."),
        ("x > 5", "x < 5"),
        ("x >= 5", "x > 5"),
        ("a != b", "a == b"),
        ("~5", "5"),
        ("10^5", "105"),
        ("1:2", "1/2"),
        ("a | b", "a || b"),
        ("4!", "4"),
        ("12,5", "125"),
        ("1.200", "1200"),
        ("12.5", "12,5"),
        ("C", "C++"),
        ("C#", "C"),
        ("Mb", "MB"),
        ("5 Mg", "5 mg"),
        ("US", "us"),
        ("-v", "-V"),
        ("007", "7"),
        ("3.10", "3.1"),
        ("1234567", "1234568"),
        ("5", "-5"),
        ("5%", "5"),
        ("$5", "€5"),
        ("5 km", "5 m"),
        ("A, B", "B, A"),
        ("[1,200]", "[1200]"),
        ("Maßen", "Massen"),
        ("दान", "दिन"),
        ("résumé", "resume"),
        ("if a:\n  b\n  c", "if a:\n  b\nc"),
        # A mark that is denied, taken back, a heading, or one of several.
        ("I do not think the answer is 42.", "The answer is 42."),
        ("The answer is not 42.", "The answer is 42."),
        ("The answer is 42.\nWait, it is 43.", "42"),
        ("Never answer yes.", "Yes."),
        ("#### Option A\nApproved.", "#### Option A\nDenied."),
        ("\\boxed{1} and \\boxed{2}", "\\boxed{3} and \\boxed{2}"),
        ("\\boxed{7} apples", "\\boxed{7} pears"),
    ],
)
def test_what_differs_may_be_the_whole_answer(one: str, other: str) -> None:
    assert final_answer(one) != final_answer(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("42", "The answer is 42."),
        ("1,200", "1200.0"),
        ("1,200 km", "1200 km"),
        ("\u22125", "-5"),
        ("Paris", "paris."),
        ("**Paris**", "Paris"),
        ("Yes!", "yes"),
        ("B.", "(B)"),
        ("`x`", "x"),
        ("It’s fine", "It's fine"),
        ("Six sevens make it.\nAnswer: **42**", "42"),
        ("**Answer:** 42", "Thus, the final answer is $42$."),
        ("So, the correct answer is B.", "B"),
        ("#### 7", "So 3 + 4 makes \\boxed{7}."),
        ("\\[\n\\boxed{\\frac{1}{2}}\n\\]", "$\\frac{1}{2}$"),
        ("  Oslo \r\n", "Oslo"),
    ],
)
def test_what_carries_no_meaning_makes_no_difference(one: str, other: str) -> None:
    assert final_answer(one) == final_answer(other)


def test_pictures_and_calls_that_cannot_be_read_are_not_compared_by_the_text_beside_them() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,xx"}}
    broken = AIMessage("Done.", invalid_tool_calls=[{"name": "pay", "args": "{", "id": "1", "error": None}])
    for message in (AIMessage([{"type": "text", "text": "Here:"}, picture]), broken):
        assert canonical(Attempt(Selection("a"), message)) is None
    assert canonical(Attempt(Selection("a"), AIMessage([{"type": "text", "text": "Here"}]))) == "text:here"


def test_a_marked_answer_stands_for_a_text_of_any_length_and_an_unmarked_end_does_not() -> None:
    long = "word " * READ
    assert canonical(Attempt(Selection("a"), AIMessage(f"{long}\nThe answer is 42."))) == "text:42"
    assert canonical(Attempt(Selection("a"), AIMessage(f"{long}\n42")), max_chars=10 * READ) is None
