"""Is there an answer at all: not empty, not refused, not cut off?"""

from __future__ import annotations

import re
from typing import Any

from langroute.answers import text_of
from langroute.records import Attempt, Request, Verdict

CUT_OFF = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_length", "MAX_TOKENS", "incomplete", "model_context_window_exceeded"}
)
REFUSED = frozenset({"refusal", "content_filter", "SAFETY", "PROHIBITED_CONTENT", "RECITATION", "BLOCKLIST"})

_REFUSAL = re.compile(
    r"^\W{0,3}(?:i['’]?m (?:very )?sorry,? (?:but )?(?:i|as an)"
    r"|i (?:can(?:no|['’])t|am (?:not able|unable) to|won['’]t) (?:help|assist|comply|do that|provide|answer)"
    r"|as an ai(?: language)? model,? i (?:can|do|am)|sorry,? (?:but )?i can(?:no|['’])t)",
    re.IGNORECASE,
)


class NotEmpty:
    """The answer says something or calls a tool, is no refusal, and came to its end.

    Args:
        refusals: Reject answers that begin like a refusal; finish reasons and refusal blocks are always heeded.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langroute.records import Selection
        >>> NotEmpty().verify(Request("Hi."), Attempt(Selection("small"), AIMessage(""))).reason
        'empty'
    """

    name = "not_empty"

    def __init__(self, *, refusals: bool = True) -> None:
        self.refusals = refusals

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Look at the answer and at why it ended."""
        reason = self._fault(attempt)
        return _GOOD if reason is None else Verdict(self.name, 0.0, reason)

    def _fault(self, attempt: Attempt) -> str | None:
        answer, finish = attempt.answer, attempt.finish_reason
        if finish in CUT_OFF:
            return f"cut off ({finish})"
        if finish in REFUSED:
            return f"refused ({finish})"
        if finish is None and attempt.first_token_s is not None:
            # A stream that breaks off ends like any other, but for the reason it never got to give.
            return "cut off (a stream without a finish reason)"
        if _refusal_block(answer):
            return "refused"
        text = text_of(answer)
        if not text.strip():
            calls = getattr(answer, "tool_calls", None) or getattr(answer, "invalid_tool_calls", None)
            return None if calls or attempt.parsed is not None or _says_more(answer) else "empty"
        if self.refusals and len(text) < 400 and _REFUSAL.match(text) and not getattr(answer, "tool_calls", None):
            return "refused"
        return None


_GOOD = Verdict(NotEmpty.name, 1.0)


def _refusal_block(answer: Any) -> bool:
    if (getattr(answer, "additional_kwargs", None) or {}).get("refusal"):
        return True
    content = getattr(answer, "content", None)
    return isinstance(content, list) and any(isinstance(block, dict) and block.get("type") == "refusal" for block in content)


def _says_more(answer: Any) -> bool:
    """An image, a sound or a file is an answer too."""
    content = getattr(answer, "content", None)
    silent = ("text", "thinking", "redacted_thinking", "reasoning")
    return isinstance(content, list) and any(isinstance(block, dict) and block.get("type") not in silent for block in content)
