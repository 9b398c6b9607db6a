"""Verifier that rejects answers which are empty, refused or cut off."""

from __future__ import annotations

from typing import Any

from langroute.core.answers import text_of
from langroute.core.records import Attempt, Request, Verdict
from langroute.providers.ends import broke_off, end_of
from langroute.verifiers.refusals import is_refusal

FAULTS = {"length": "cut off", "refusal": "refused", "content_filter": "refused", "error": "failed", "paused": "unfinished"}
"""Kind of an answer's end → what is wrong with such an answer."""


class NotEmpty:
    """Accept an answer that has content or calls a tool, is not a refusal, and is complete.

    Args:
        refusals: Whether to reject short answers that refuse, in twenty languages; finish reasons and refusal blocks always count.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langroute.core.records import Selection
        >>> NotEmpty().verify(Request("Hi."), Attempt(Selection("small"), AIMessage(""))).reason
        'empty'
    """

    name = "not_empty"

    def __init__(self, *, refusals: bool = True) -> None:
        self.refusals = refusals

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Check the answer and its finish reason; an unknown finish reason scores 0.5."""
        reason = self._fault(attempt)
        if reason is not None:
            return Verdict(self.name, 0.0, reason)
        if end_of(attempt.finish_reason, attempt.provider) == "unknown":
            # Caches do not keep such an answer either: it is not known to be complete.
            return Verdict(self.name, 0.5, f"ended for a reason that nobody knows ({attempt.finish_reason})")
        return _GOOD

    def _fault(self, attempt: Attempt) -> str | None:
        answer, finish = attempt.answer, attempt.finish_reason
        if (fault := FAULTS.get(end_of(finish, attempt.provider) or "")) is not None:
            return f"{fault} ({finish})"
        if finish is None and attempt.first_token_s is not None and broke_off(None, attempt.provider):
            # A stream that breaks off looks like any other, except that its finish reason is missing. Many models never give one.
            return "cut off (a stream without a finish reason)"
        if _refusal_block(answer):
            return "refused"
        text = text_of(answer)
        if not text.strip():
            calls = getattr(answer, "tool_calls", None) or getattr(answer, "invalid_tool_calls", None)
            return None if calls or attempt.parsed is not None or _says_more(answer) else "empty"
        if self.refusals and not getattr(answer, "tool_calls", None) and is_refusal(text):
            return "refused"
        return None


_GOOD = Verdict(NotEmpty.name, 1.0)


def _refusal_block(answer: Any) -> bool:
    if (getattr(answer, "additional_kwargs", None) or {}).get("refusal"):
        return True
    content = getattr(answer, "content", None)
    return isinstance(content, list) and any(isinstance(block, dict) and block.get("type") == "refusal" for block in content)


def _says_more(answer: Any) -> bool:
    """Return whether an answer without text has other content: an image, audio or a file."""
    content = getattr(answer, "content", None)
    silent = ("text", "thinking", "redacted_thinking", "reasoning")
    return isinstance(content, list) and any(isinstance(block, dict) and block.get("type") not in silent for block in content)
