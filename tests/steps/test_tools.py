"""Classification of tool results: what the tool did, and whether it failed."""

from __future__ import annotations

import pytest

from langroute.steps.tools import Vocabulary, failure_of


@pytest.mark.parametrize(
    "text, family",
    [
        ("12 passed, 0 failed, 0 errors in 0.31s", "run"),
        ("exit code: 0\nERROR level logs are written to error.log", "run"),
        ("class ParserError(Exception):\n    ...\nraise ParserError('x')", "read"),
        ("Traceback handling is described in chapter 4.", "read"),
        ("We failed to gene" + "rate interest.", None),
        ('{"error": null, "flights": 3}', None),
        ('{"success": true}', "run"),
        ("Error handling guide: catch what you can handle.", None),
        ("", "run"),
        ("The command was not found in the archive of great speeches.", "read"),
    ],
)
def test_a_result_that_only_mentions_failure_is_fine(text: str, family: str | None) -> None:
    """Words inside words, counts of zero, files that talk of errors."""
    assert failure_of("success", text, family) == 0.0


@pytest.mark.parametrize(
    "text, family",
    [
        ("bash: foo: command not found", "run"),
        ("2 failed, 10 passed in 1.2s", "run"),
        ("FAILED (failures=1)", "run"),
        ("Traceback (most recent call last):\n  File ...\nKeyError: 'a'", "run"),
        ("Traceback (most recent call last):\n  File ...\nKeyError: 'a'", None),
        ("Process exited with code 2", "run"),
        ("cat: missing.txt: No such file or directory", "run"),
        ("Error: reservation not found", None),
        ('{"error": "seat is taken"}', None),
        ('{"exit_code": 1, "output": ""}', "run"),
        ("collected 3 items\n" + "." * 9000 + "\n1 failed, 2 passed", "run"),
    ],
)
def test_a_result_that_failed_is_told(text: str, family: str | None) -> None:
    """Whatever the provider's shape: exit codes, counts, crashes, error objects."""
    assert failure_of("success", text, family) >= 0.5


def test_the_status_comes_first_and_words_last() -> None:
    """A tool that says it failed has failed, however friendly its text."""
    assert failure_of("error", "12 passed, 0 failed") == 1.0


def test_an_exit_code_stands_above_the_words_around_it() -> None:
    """A program that prints `error` and exits with 0 did what it should."""
    assert failure_of(None, "error: deprecated flag\nexit code: 0", "run") == 0.0


def test_unknown_tools_are_neither_coding_nor_failing() -> None:
    """A travel agent's tools say nothing about code."""
    words = Vocabulary()

    assert words.family("book_reservation") is None
    assert failure_of("success", "2 failed attempts to reach the customer were logged", words.family("log_contact")) == 0.0


def test_users_add_their_own_tools() -> None:
    """Names are compared without case and punctuation."""
    words = Vocabulary(edit={"PatchLedger"}, run=["db.query"])

    assert words.family("patch-ledger") == "edit"
    assert words.family("DbQuery") == "run"


def test_one_tool_that_views_and_edits_is_told_by_its_command() -> None:
    """`str_replace_editor` with `view` changes nothing."""
    words = Vocabulary()

    assert words.family("str_replace_editor", {"command": "view", "path": "a.py"}) == "read"
    assert words.family("str_replace_editor", {"command": "str_replace", "path": "a.py"}) == "edit"
