"""Text and canonical form of a model's answer. Nothing here raises, whatever the model returned."""

from __future__ import annotations

from typing import Any

from langroute.core.bounded import canonical as in_one_form
from langroute.core.final_answer import final_answer, marked_answer
from langroute.core.records import Attempt


def text_of(answer: Any) -> str:
    """Return the text of an answer.

    Example:
        >>> text_of("plain")
        'plain'
    """
    if answer is None or isinstance(answer, str):
        return answer or ""
    content = getattr(answer, "content", None)
    if hasattr(answer, "content") and not isinstance(content, (str, list)):
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(map(_said, content))
    return str(answer)


def _said(part: Any) -> str:
    if isinstance(part, dict):
        part = part.get("text") or part.get("refusal")
    return part if isinstance(part, str) else ""


READ = 100_000
"""Longest answer, in characters, that is compared as a whole; of a longer one, so much of its end is searched for a marked answer."""

_UNSHOWN = (TypeError, ValueError, RecursionError, AttributeError, KeyError)
"""Errors of values that JSON cannot show: nested too deeply, numbers of too many digits, unsupported types."""


def canonical(attempt: Attempt, max_chars: int = 400) -> str | None:
    """Return an attempt's answer in a form that can be compared, or `None` where it has none.

    Tool calls and structured output are compared without regard to order, texts by their `final_answer`. What is longer than
    `max_chars` has no such form.

    Example:
        >>> from langroute.core.records import Selection
        >>> canonical(Attempt(Selection("a"), "So the final answer is: 1,200.0"))
        'text:1200'
    """
    calls = getattr(attempt.answer, "tool_calls", None)
    try:
        if calls:
            return "calls:" + "|".join(sorted(f"{call['name']}{_json(call['args'])}" for call in calls))
        if attempt.parsed is not None:
            dump = getattr(attempt.parsed, "model_dump", None)
            return "parsed:" + _json(dump() if callable(dump) else attempt.parsed)
    except _UNSHOWN:
        return None
    if _shows_more(attempt.answer):
        return None
    text = text_of(attempt.answer)
    found = final_answer(text) if len(text) <= READ else marked_answer(text[-READ:])
    return "text:" + found if found and len(found) <= max_chars else None


def _shows_more(answer: Any) -> bool:
    """Return whether an answer has content besides text, or calls that cannot be read: its text alone is not the answer."""
    if getattr(answer, "invalid_tool_calls", None):
        return True
    content = getattr(answer, "content", None)
    return isinstance(content, list) and any(
        isinstance(block, dict) and str(block.get("type", "text")) not in _READABLE for block in content
    )


_READABLE = frozenset({"text", "refusal", "thinking", "redacted_thinking", "reasoning", "reasoning_content"})
"""Types of content blocks whose text is the answer, or which are no part of it."""


def _json(value: Any) -> str:
    form = in_one_form(value)
    if form is None:
        raise ValueError("it has no form that can be compared")
    return form
