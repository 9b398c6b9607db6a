"""Errors as servers of OpenAI's protocols send them."""

from __future__ import annotations

from typing import Any

from langroute.providers.profile import ProtocolWords


def error_of(words: ProtocolWords, status: int, kind: str, message: str) -> dict[str, Any]:
    """Return the body of an error.

    Example:
        >>> from langroute.providers.wire import WORDS
        >>> error_of(WORDS["openai-chat"], 400, "budget_exceeded", "Spent.")["error"]["type"]
        'invalid_request_error'
    """
    return {"error": {"message": message, "type": words.error_type(status), "param": None, "code": kind}}


__all__ = ["error_of"]
