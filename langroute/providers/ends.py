"""Finish reasons: reading them from metadata and mapping them to one vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from langroute.core.bounded import as_text
from langroute.providers.registry import ON_CHANGE, profile_of, shared_finish_reasons

GOOD_ENDS = frozenset({"stop", "tool_calls"})
"""Kinds of ends of a complete answer. Answers with any other end, unknown words included, may not be stored."""

_KEYS = ("finish_reason", "stop_reason", "done_reason", "stopReason")
"""Keys of the finish reason in `response_metadata` of LangChain's packages."""


def finish_reason(metadata: Mapping[str, Any]) -> str | None:
    """Return the finish reason in the provider's own word; `None` where there is none.

    Example:
        >>> finish_reason({"stop_reason": "end_turn"}), finish_reason({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}})
        ('end_turn', 'max_output_tokens')
        >>> finish_reason({"prompt_feedback": {"block_reason": "PROHIBITED_CONTENT"}})
        'PROHIBITED_CONTENT'
    """
    for key in _KEYS:
        if reason := metadata.get(key):
            return reason if type(reason) is str else as_text(reason)
    if "status" in metadata:
        details = metadata.get("incomplete_details")
        return as_text((details.get("reason") if isinstance(details, Mapping) else None) or metadata["status"])
    feedback = metadata.get("prompt_feedback")
    return None if feedback is None else _blocked(feedback)


def _blocked(feedback: Any) -> str | None:
    """Return Gemini's reason for blocking a prompt."""
    reason = feedback.get("block_reason") if isinstance(feedback, Mapping) else getattr(feedback, "block_reason", None)
    name = as_text(getattr(reason, "name", reason) or None)
    return name if name and not name.endswith("UNSPECIFIED") else None


def end_of(reason: str | None, provider: str | None = None) -> str | None:
    """Return one of `END_KINDS` for a provider's finish reason; `None` where there is no reason.

    Args:
        reason: The finish reason, as `finish_reason` returns it.
        provider: LangChain's `ls_provider`. The words of all providers apply if it is unknown or does not define this one.

    Example:
        >>> end_of("MAX_TOKENS", "google_genai"), end_of("guardrail_intervened"), end_of("whatever"), end_of(None)
        ('length', 'content_filter', 'unknown', None)
    """
    if reason is None:
        return None
    word = reason.lower()
    own = profile_of(provider).finish_reasons.get(word) if provider is not None else None
    return own or shared_finish_reasons().get(word, "unknown")


@lru_cache(maxsize=1024)
def broke_off(reason: str | None, provider: str | None) -> bool:
    """Return whether an answer is incomplete.

    It is where the provider ended it with an error of its own, and where the provider always gives a finish reason and there is none.

    Example:
        >>> broke_off(None, "anthropic"), broke_off(None, "my_own"), broke_off("in_progress", "openai")
        (True, False, True)
        >>> broke_off("insufficient_system_resource", "deepseek"), broke_off("length", "deepseek")
        (True, False)
    """
    if reason is None:
        return profile_of(provider).always_gives_reason
    return end_of(reason, provider) == "error"


ON_CHANGE.append(broke_off.cache_clear)
