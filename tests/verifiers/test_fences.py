"""Fenced blocks: which are code, which are sessions, and which compile."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage

from langroute.core.records import Attempt, Request, Selection
from langroute.verifiers import CodeCompiles
from langroute.verifiers.fences import fenced

FENCE = "`" * 3


def score(answer: str, **options: bool) -> float:
    return CodeCompiles(**options).verify(Request("Write f."), Attempt(Selection("a"), AIMessage(answer))).score  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer",
    [
        f"{FENCE}\n$ ls -la\n{FENCE}",
        f"{FENCE}python\n>>> 1 + 1\n2\n{FENCE}",
        f"{FENCE}\nnpm install\n{FENCE}",
        f"{FENCE}python\n!pip install x\nimport x\n{FENCE}",
        f"{FENCE}python\nawait f()\n{FENCE}",
        f"{FENCE}python\n    return x\n{FENCE}",
        f"- a\n  {FENCE}python\n  x = 1\n  {FENCE}",
        f"{FENCE}bash\n$ ls\na b (\n{FENCE}",
        f"{FENCE}\nsrc/\n  a.py\n{FENCE}",
        f"{FENCE}\nC:\\Users> dir\n{FENCE}",
        f"{FENCE}\nError: no such file\n{FENCE}",
        f"{FENCE}`markdown\n{FENCE}python\nx = (\n{FENCE}\n{FENCE}`",
        f"{FENCE}\nif [ -f x ]; then\n echo\nfi\n{FENCE}",
        f"{FENCE}python\nreturn 1\n{FENCE}",
        f"{FENCE}\n>>> for x in y:\n...     print(x)\n1\n{FENCE}",
        f"{FENCE}\nname: x\non: push\n{FENCE}",
        "~~~python\nx = 1\n~~~",
        f"{FENCE}\n[user]\nname = Ada Lovelace\n{FENCE}",
    ],
)
def test_sessions_fragments_and_what_is_no_python_are_good_answers(answer: str) -> None:
    assert score(answer) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        f"{FENCE}python\n>>> 1 +\n{FENCE}",
        f"{FENCE}\ndef f(:\n{FENCE}",
        f"{FENCE} python\nx = (\n{FENCE}",
        "~~~python\nx = (\n~~~",
        f"{FENCE}\nx = \n{FENCE}",
        f"{FENCE}python\ndef f(x):\nreturn x\n{FENCE}",
        f"{FENCE}{{python}}\nx = (\n{FENCE}",
        f"{FENCE}\nfor x in y:\nprint(x)\n{FENCE}",
    ],
)
def test_code_that_does_not_compile_is_rejected_in_any_fence(answer: str) -> None:
    assert score(answer) == 0.0


def test_a_block_in_a_list_loses_the_indentation_of_its_fence() -> None:
    assert list(fenced(f"- a\n  {FENCE}py\n  x = 1\n    y\n  {FENCE}\n")) == [("py", "x = 1\n  y\n")]


def test_a_block_in_a_longer_fence_is_text_of_that_one() -> None:
    assert [language for language, _ in fenced(f"`{FENCE}md\n{FENCE}python\nx\n{FENCE}\n`{FENCE}")] == ["md"]


def test_backticks_in_a_line_are_no_fence() -> None:
    assert list(fenced(f"Write {FENCE}x{FENCE} here.\n{FENCE}x{FENCE}\n")) == []


def test_a_session_is_code_where_code_is_demanded() -> None:
    assert score(f"{FENCE}\n$ ls\n{FENCE}", required=True) == 1.0
