"""Repair of malformed messages, so that the rules of every target can read them.

Broken integrations and deserialisers produce blocks that are no dictionaries, calls without a name, values that contain themselves.
Only such histories are handled here; the stored one is not changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langroute.core.bounded import as_text, plain


def repaired(message: BaseMessage, *, words_only: bool = False) -> BaseMessage:
    """Return a copy of a message, reduced to the parts that can be understood.

    Args:
        message: A message in any form.
        words_only: Leave out whatever is neither text nor a tool call.

    Example:
        >>> repaired(AIMessage("").model_copy(update={"content": [7, {"type": None, "text": "Hi."}]})).content
        [{'type': 'text', 'text': 'Hi.'}]
    """
    content: Any = message.content
    if not isinstance(content, str):
        blocks = [block for part in content if (block := _block(part)) is not None] if isinstance(content, (list, tuple)) else []
        content = [block for block in blocks if isinstance(block, str) or block["type"] == "text"] if words_only else blocks
    update: dict[str, Any] = {"content": content, "name": message.name if isinstance(message.name, str) else None}
    update["additional_kwargs"] = {} if words_only else plain(message.additional_kwargs) or {}
    if isinstance(message, AIMessage):
        provider, model = (message.response_metadata.get(key) for key in ("model_provider", "model_name"))
        told = {"model_provider": provider, "model_name": model}
        update["response_metadata"] = {key: value for key, value in told.items() if isinstance(value, str)}
        update["tool_calls"] = [_call(call) for call in message.tool_calls if isinstance(call, Mapping)]
        broken = () if words_only else message.invalid_tool_calls
        update["invalid_tool_calls"] = [plain(call) for call in broken if isinstance(call, dict)]
    if isinstance(message, ToolMessage):
        update["tool_call_id"] = as_text(message.tool_call_id) or ""
    return message.model_copy(update=update)


def _block(part: Any) -> Any:
    """Return a well-formed block, with a type and with strings where text belongs; `None` for anything else."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return None
    block: dict[str, Any] = plain(part)
    kind, text = block.get("type"), block.get("text")
    if isinstance(kind, str) and (kind != "text" or isinstance(text, str)):
        return block
    return {"type": "text", "text": text} if isinstance(text, str) else None


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    args = plain(call.get("args"))
    return {
        "name": as_text(call.get("name")) or "unknown",
        "args": args if isinstance(args, dict) else {},
        "id": as_text(call.get("id")),
        "type": "tool_call",
    }
