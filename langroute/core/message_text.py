"""Text of messages as people read them: without media and thinking, with tool calls where they are part of what is judged.

Messages are untrusted: nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langroute.core.answers import text_of
from langroute.core.bounded import as_text

LEFT_OUT = "[… the middle of the answer is left out …]"


def content_text(content: Any) -> str:
    r"""Return the text of a message's content, its blocks on lines of their own.

    Example:
        >>> content_text(["Look:", {"type": "image", "url": "u"}, {"type": "text", "text": "a cat"}])
        'Look:\na cat'
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, (str, dict))]
    return "\n".join(part for part in parts if isinstance(part, str))


def text_with_calls(message: Any, max_chars: int) -> str:
    r"""Return the text of an answer with its tool calls; of more than `max_chars` characters, both ends.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> call = {"name": "add", "args": {"a": 1}, "id": "c1"}
        >>> text_with_calls(AIMessage("Let me see.", tool_calls=[call]), 100)
        "Let me see.\ncalls add with {'a': 1}"
        >>> text_with_calls("a" * 100, 4)
        'aa\n[… the middle of the answer is left out …]\naa'
    """
    text = text_of(message)
    for call in getattr(message, "tool_calls", None) or ():
        name, arguments = (call.get("name"), call.get("args")) if isinstance(call, Mapping) else (None, call)
        text += f"{text and chr(10)}calls {as_text(name) or 'a tool'} with {_written(arguments)}"
        if len(text) > 2 * max_chars:
            break
    return text if len(text) <= max_chars else f"{text[: max_chars // 2]}\n{LEFT_OUT}\n{text[-max_chars // 2 :]}"


def _written(arguments: Any) -> str:
    try:
        return str(arguments)
    except Exception:  # noqa: BLE001 - arguments may be of any depth and type
        return "what cannot be shown"
