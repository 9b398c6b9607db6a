"""Usage of streams, whose chunks may tell it more than once: which of it counts."""

from __future__ import annotations

from typing import Any

from langchain_core.messages.ai import add_usage


def usage_with(known: Any, later: Any) -> Any:
    """Return the usage of a stream after another chunk that has some.

    Servers that repeat the usage with every chunk, or tell it twice, count the whole prompt again; LangChain would add it up.

    Example:
        >>> first = {"input_tokens": 1000, "output_tokens": 1, "total_tokens": 1001}
        >>> usage_with(first, {"input_tokens": 1000, "output_tokens": 4, "total_tokens": 1004})["total_tokens"]
        1004
        >>> usage_with(first, {"input_tokens": 0, "output_tokens": 4, "total_tokens": 4})["output_tokens"]
        5
    """
    if later.get("input_tokens", 0) >= known.get("input_tokens", 0) > 0:
        return later if later.get("output_tokens", 0) >= known.get("output_tokens", 0) else _largest(known, later)
    return add_usage(known, later)


def _largest(known: Any, later: Any) -> Any:
    """Return a usage with the larger of each two counts."""
    return {
        name: _largest(known.get(name) or {}, value) if isinstance(value, dict) else max(known.get(name) or 0, value or 0)
        for name, value in {**known, **later}.items()
    }


class StreamedUsage:
    """Usage that the chunks of a stream told, where LangChain made one message of them.

    Example:
        >>> from langchain_core.messages import AIMessage, AIMessageChunk
        >>> usage, chunk = StreamedUsage(), {"input_tokens": 1000, "output_tokens": 2, "total_tokens": 1002}
        >>> for _ in range(2):
        ...     usage.hear(AIMessageChunk("a", usage_metadata=chunk))
        >>> message = AIMessage("aa", usage_metadata={"input_tokens": 2000, "output_tokens": 4, "total_tokens": 2004})
        >>> usage.told_once(message)["input_tokens"]
        1000
    """

    __slots__ = ("_added", "_known")

    def __init__(self) -> None:
        self._known: Any = None
        self._added: Any = None

    def hear(self, chunk: Any) -> None:
        """Take a chunk into account, or a generation with one."""
        usage = getattr(getattr(chunk, "message", chunk), "usage_metadata", None)
        if not usage:
            return
        if self._known is None:
            self._known = self._added = usage
        else:
            self._known, self._added = usage_with(self._known, usage), add_usage(self._added, usage)

    def told_once(self, message: Any) -> Any:
        """Return the usage that counts for a message; `None` where its own does.

        Its own does unless it is the sum of what these chunks told.
        """
        if self._known == self._added or getattr(message, "usage_metadata", None) != self._added:
            return None
        return self._known


__all__ = ["StreamedUsage", "usage_with"]
