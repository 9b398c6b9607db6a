"""Reading of what a tool that runs things printed: exit codes, time-outs, counts of failures, and the formats of programs."""

from __future__ import annotations

import re
from functools import lru_cache

from langroute.steps.result_formats import FORMATS

CLIP = 3000
"""Most characters that are read at either end of a result."""

CODE, TOLD, COUNTED, FINE = 0.9, 0.8, 0.7, 0.0
"""Failure degrees: by an exit code, by what a program says of itself, by a count of failures; and none."""

_EXIT = re.compile(
    r"\b(?:exit(?:ed)?(?: with)?(?: code| status)?|return ?code|exit_code|returncode)\W{1,4}(-?[0-9]+)\b", re.IGNORECASE
)
_COUNTED = re.compile(r"(?<![\w.-])([0-9]+) (?:tests? )?(?:failed|failures?|errors?|failing)\b", re.IGNORECASE)
_NAMED = re.compile(
    r"(?<!expected )(?<!known )\b(?:failed|failures|failed tests|errors|failing|unreachable)\s{0,12}[=:]\s{0,12}([0-9]+)\b",
    re.IGNORECASE,
)
_WORDS = re.compile(
    r"^(?:[\w.]{0,200}\.)?(?-i:[A-Z]\w{0,100}(?:Error|Exception))(?=: )|^(?:[A-Za-z]:)?error(?:\[\w{1,20}\])?:(?! *(?:0|no|none)\b)|^fatal(?: error)?:",
    re.IGNORECASE | re.MULTILINE,
)
"""Words that begin a line of a failure, whatever the program."""

_LAST_WORD = re.compile(r"(?:[\w.]{0,200}\.)?[A-Z]\w{0,100}(?:Error|Exception)")
_TIMED_OUT = re.compile(
    r"(?<![^0-9]0 )(?<!not )(?<!never )(?<!no )\btimed[ -]?out\b|\btime-?out (?:of [^\n]{1,40} )?(?:exceeded|expired|reached|after|occurred|waiting)\b|\btime limit (?:was )?(?:exceeded|reached)"
    r"|\bexceeded (?:the |its )?(?:\w+ )?time(?:out| limit)|\bdeadline exceeded\b|\b(?:killed|terminated|aborted|cancelled|stopped) after [0-9.]+ ?(?:s|ms|m|min|seconds?|minutes?)\b"
    r"|\bTimeoutExpired\b|\bETIMEDOUT\b",
    re.IGNORECASE,
)
"""A limit of time that was passed. Read in the first and the last line, where the tool speaks and not what it ran."""


_FAILING = re.compile(r"\bFAIL|\bfail [1-9]")
"""What a summary of tests without counts says of failures."""

_Pattern = re.Pattern[str] | None


@lru_cache(maxsize=1)
def _formats() -> tuple[tuple[tuple[str, ...], _Pattern, _Pattern, _Pattern], ...]:
    # Compiled when a result first needs them, so that importing costs nothing.
    def compiled(text: str | None) -> re.Pattern[str] | None:
        return None if text is None else re.compile(text, re.MULTILINE)

    return tuple((one.marks, compiled(one.failed), compiled(one.passed), compiled(one.ran)) for one in FORMATS)


def _ends(text: str) -> tuple[str, str]:
    """Return what is read of a result, and the same in lower case."""
    seen = text if len(text) <= 2 * CLIP else f"{text[:CLIP]}\n{text[-CLIP:]}"
    return seen, f"\n{seen.lower()}"


def ran_badly(text: str) -> float:
    r"""Return how much the output of a tool that runs things tells of a failure: 0 fine, 1 failed.

    What stands higher decides: an exit code, a time-out, a program's own failure, a count that is not zero, a program's own summary of a good
    run, and last the word "error" at the beginning of a line.

    Example:
        >>> ran_badly("0 errors, 3 warnings"), ran_badly("src/a.ts(3,4): error TS2304: Cannot find name 'x'.")
        (0.0, 0.8)
        >>> ran_badly("error: deprecated flag\nexit code: 0"), ran_badly("Command timed out after 60s")
        (0.0, 0.8)
    """
    seen, low = _ends(text)
    if ("exit" in low or "return" in low) and (codes := _EXIT.findall(seen)):
        # What the program said of itself stands above the words it printed.
        return CODE if _is_count(codes[-1]) else FINE
    if _timed_out(seen, low):
        return TOLD
    told, rest = _by_format(seen, low)
    if told == TOLD:
        return TOLD
    if any(_counts(rest, low)):
        return COUNTED
    if told == FINE or ("error" not in low and "exception" not in low and "fatal" not in low):
        return FINE
    return TOLD if _WORDS.search(seen) or _LAST_WORD.fullmatch(seen.rstrip().rpartition("\n")[2]) else FINE


def passed_tests(text: str) -> bool | None:
    r"""Return whether the tests that a command ran have passed; `None` where it shows no summary of tests, or where something else failed.

    A failed test is told by the summary, whatever the exit code says: that of a pipe is the one of its last command.

    Example:
        >>> passed_tests("==== 12 passed in 0.31s ===="), passed_tests("1 failed, 2 passed in 0.02s\nexit code: 0")
        (True, False)
        >>> passed_tests("All checks passed!"), passed_tests("3 passed in 0.10s\nFAIL Required test coverage of 90% not reached\nexit code: 1")
        (None, None)
    """
    seen, low = _ends(text)
    summaries = [
        found.group()
        for marks, _, _, ran in _formats()
        if ran is not None and any(mark in low for mark in marks)
        for found in ran.finditer(seen)
    ]
    if any(_FAILING.search(one) or any(_counts(one, one.lower())) for one in summaries):
        return False
    return True if summaries and ran_badly(text) == FINE else None


def _timed_out(seen: str, low: str) -> bool:
    if "time" not in low and "deadline" not in low and " after " not in low:
        return False
    stripped = seen.strip()
    return any(_TIMED_OUT.search(f" {line[:300]}") for line in (stripped.partition("\n")[0], stripped.rpartition("\n")[2]))


def _by_format(seen: str, low: str) -> tuple[float | None, str]:
    """Return what the formats of programs tell, `None` where none is known, and the text without summaries of good runs."""
    told = None
    for marks, failed, passed, _ in _formats():
        if not any(mark in low for mark in marks):
            continue
        if failed is not None and failed.search(seen) is not None:
            return TOLD, seen
        if passed is not None and passed.search(seen) is not None:
            told, seen = FINE, passed.sub("", seen)
    return told, seen


def _counts(seen: str, low: str) -> list[bool]:
    if "fail" not in low and "error" not in low and "unreachable" not in low:
        return []
    return [_is_count(count) for count in (*_COUNTED.findall(seen), *_NAMED.findall(seen))]


def _is_count(digits: str) -> bool:
    """Return whether a number of any length is not zero."""
    return bool(digits.strip("-0"))
