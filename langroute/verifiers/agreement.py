"""Did two routes give the same answer?"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from langroute.records import Attempt, Request, Verdict
from langroute.verifiers.base import text_of


class Agreement:
    """An answer is good when an earlier attempt of another route gave the same: tool calls, structured output or short answer.

    Put it behind a `Cascade` of at least three routes: the first answer is never enough alone, the second is where it agrees
    with the first. No judge and no labels are needed.

    Source: Wang et al., Self-Consistency (2023); Yue et al., Mixture-of-thought cascades (2024), section 3.

    Args:
        max_chars: Longest plain-text answer that is compared; longer ones never agree word for word.
        alone: Score of an answer that has nothing to be compared with.

    Example:
        >>> from langroute.records import Selection
        >>> first = Attempt(Selection("a"), "The answer is 42.")
        >>> Agreement().verify(Request("6 * 7?"), Attempt(Selection("b"), "42"), [first]).score
        1.0
    """

    name = "agreement"
    compares = True

    def __init__(self, *, max_chars: int = 400, alone: float = 0.0) -> None:
        self.max_chars, self.alone = max_chars, alone

    def verify(self, request: Request, attempt: Attempt, earlier: Sequence[Attempt] = ()) -> Verdict:
        """Compare with the earlier answers of other routes."""
        others = [other for other in earlier if other.ok and other.route != attempt.route]
        if not others:
            return Verdict(self.name, self.alone, "nothing to compare with")
        mine = canonical(attempt, self.max_chars)
        agreeing = [other.route for other in others if mine is not None and canonical(other, self.max_chars) == mine]
        return Verdict(self.name, 1.0 if agreeing else 0.0, f"agrees with {', '.join(agreeing)}" if agreeing else "no agreement")


_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_FINAL = re.compile(r"(?:####|\\boxed\{|(?:final )?answer(?: is)?\s*:?)\s*\$?(.+?)\}?\.?\s*$", re.IGNORECASE | re.MULTILINE)


def canonical(attempt: Attempt, max_chars: int = 400) -> str | None:
    """What an attempt answers, in a form that can be compared; `None` where there is none.

    Tool calls and structured output are compared without regard to order; a final answer that is marked as such stands for the
    whole text; numbers are compared by value.

    Example:
        >>> from langroute.records import Selection
        >>> canonical(Attempt(Selection("a"), "So the final answer is: 1,200.0"))
        'text:1200'
    """
    calls = getattr(attempt.answer, "tool_calls", None)
    if calls:
        return "calls:" + "|".join(sorted(f"{call['name']}{_json(call['args'])}" for call in calls))
    if attempt.parsed is not None:
        dump = getattr(attempt.parsed, "model_dump", None)
        return "parsed:" + _json(dump() if callable(dump) else attempt.parsed)
    text = text_of(attempt.answer).strip()
    if not text:
        return None
    marked = _FINAL.findall(text)
    if marked:
        text = marked[-1]
    elif len(text) > max_chars:
        return None
    return "text:" + _plain(text)


def _plain(text: str) -> str:
    text = text.strip().strip("`*_\"' .!").lower()
    number = text.replace(",", "").replace("$", "").rstrip("%").strip()
    try:
        return f"{float(number):g}"
    except ValueError:
        pass
    found = _NUMBER.findall(text)
    if len(found) == 1 and len(text) < 80:
        return f"{float(found[0].replace(',', '')):g}"
    return " ".join(re.findall(r"[\w.-]+", text))


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
