"""What does an answer say, what does it come to, and why did it end?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from langroute.records import Attempt


def text_of(answer: Any) -> str:
    """What an answer says, as text.

    Example:
        >>> text_of("plain")
        'plain'
    """
    if answer is None or isinstance(answer, str):
        return answer or ""
    content = getattr(answer, "content", None)
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else part.get("text") or part.get("refusal") or "" for part in content]
        return "".join(part for part in parts if isinstance(part, str))
    return str(answer)


def finish_reason(metadata: Mapping[str, Any]) -> str | None:
    """Why a model stopped, in whatever way its provider says so.

    Example:
        >>> finish_reason({"stop_reason": "end_turn"})
        'end_turn'
    """
    reason = metadata.get("finish_reason") or metadata.get("stop_reason") or metadata.get("done_reason")
    if reason is None and "status" in metadata:
        details = metadata.get("incomplete_details")
        reason = (details.get("reason") if isinstance(details, Mapping) else None) or metadata["status"]
    return str(reason) if reason is not None else None


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
