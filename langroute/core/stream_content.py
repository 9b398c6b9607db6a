"""Detection of readable content in stream chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessageChunk

_SILENT = frozenset({"type", "id", "index", "phase", "status", "annotations", "citations", "signature"})
"""Keys of a content block that hold nothing readable."""


def has_content(chunk: Any) -> bool:
    """Return whether a chunk has readable content.

    Providers send empty chunks first, and a call that has sent only those can still be replaced without the user noticing.

    Example:
        >>> from langchain_core.messages import AIMessageChunk
        >>> has_content(AIMessageChunk("")), has_content(AIMessageChunk("Hello"))
        (False, True)
    """
    if not isinstance(chunk, AIMessageChunk):
        return not (isinstance(chunk, Mapping) and chunk.get("event") == "message-start")
    content = chunk.content
    if chunk.tool_call_chunks or chunk.chunk_position == "last" or chunk.additional_kwargs:
        return True
    if isinstance(content, str):
        return bool(content)
    return any(isinstance(block, str) or any(block[key] for key in block.keys() - _SILENT) for block in content)
