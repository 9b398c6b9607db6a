"""What must change in a history before another model can read it?

Nothing, where the history is the target's own. Otherwise a copy is made of the messages that need it; the stored history stays as
it is, so that going back to the first model finds its own blocks untouched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langroute.records import RouteInfo

_TOOL_ID = re.compile(r"[a-zA-Z0-9_-]{1,40}")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Target:
    """What has to be known of a route to write for it.

    Example:
        >>> Target("anthropic", "anthropic").thinking
        False
    """

    api: str | None
    """`RouteInfo.api`."""

    provider: str | None
    model: str | None = None
    thinking: bool = False
    """The model is set to think before it answers."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """A history that its target can read."""

    messages: Sequence[BaseMessage]
    disable_thinking: bool = False
    """The open tool loop was begun without thinking, so this call must go on without."""


def target_for(info: RouteInfo, model: Any) -> Target:
    """What there is to know of a route.

    Example:
        >>> target_for(RouteInfo("large", api="anthropic", provider="anthropic"), None).api
        'anthropic'
    """
    thinking = getattr(model, "thinking", None)
    on = isinstance(thinking, Mapping) and thinking.get("type") in ("enabled", "adaptive")
    return Target(info.api, info.provider, info.model, on)


def adapt(messages: Sequence[BaseMessage], target: Target) -> Adapted:
    """Make a history fit for a target.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> history = [HumanMessage("Hello.")]
        >>> adapt(history, Target("openai-chat", "openai")).messages is history
        True
    """
    if target.api is None:
        return Adapted(messages)
    changed = [_message(message, target) for message in messages]
    same = all(new is old for new, old in zip(changed, messages, strict=True))
    kept = messages if same else [message for message in changed if message is not None]
    return Adapted(kept, target.thinking and _loop_without_thinking(kept))


def _message(message: BaseMessage, target: Target) -> Any:
    if isinstance(message, AIMessage):
        return _answer(message, target)
    update: dict[str, Any] = {}
    if isinstance(message, ToolMessage) and (new := _tool_id(message.tool_call_id)) != message.tool_call_id:
        update["tool_call_id"] = new
    if target.api != "anthropic" and isinstance(message.content, list):
        plain = [_unmarked(block) for block in message.content]
        if any(new is not old for new, old in zip(plain, message.content, strict=True)):
            update["content"] = plain
    return message.model_copy(update=update) if update else message


def _answer(message: AIMessage, target: Target) -> Any:
    own = message.response_metadata.get("model_provider") == target.provider
    if own and target.api == "openai-chat" and isinstance(message.content, list):
        own = False
    calls = [*message.tool_calls, *message.invalid_tool_calls]
    if any(_tool_id(call["id"]) != call["id"] for call in calls):
        own = False
    if not own and (isinstance(message.content, list) or calls or message.additional_kwargs):
        message = _portable(message)
    if not message.content and not message.tool_calls and not message.invalid_tool_calls:
        return None
    if message.name and not _NAME.fullmatch(message.name):
        message = message.model_copy(update={"name": re.sub(r"[^a-zA-Z0-9_-]", "_", message.name)[:64]})
    return message


def _portable(message: AIMessage) -> AIMessage:
    parts: list[str] = []
    for block in message.content if isinstance(message.content, list) else [message.content]:
        if isinstance(block, str):
            parts.append(block)
        elif block.get("type") == "text":
            parts.append(block.get("text") or "")
        elif block.get("type") == "refusal":
            parts.append(block.get("refusal") or "")
    text = "".join(parts) or message.additional_kwargs.get("refusal") or ""
    return AIMessage(
        text,
        tool_calls=[{**call, "id": _tool_id(call["id"])} for call in message.tool_calls],
        invalid_tool_calls=[{**call, "id": _tool_id(call["id"])} for call in message.invalid_tool_calls],
        id=message.id,
        name=message.name,
    )


def _tool_id(given: str | None) -> str:
    if given and _TOOL_ID.fullmatch(given):
        return given
    return "call_" + blake2b((given or "").encode(), digest_size=12).hexdigest()


def _unmarked(block: Any) -> Any:
    if isinstance(block, dict) and "cache_control" in block:
        return {key: value for key, value in block.items() if key != "cache_control"}
    return block


def _loop_without_thinking(messages: Sequence[BaseMessage]) -> bool:
    if not messages or not isinstance(messages[-1], ToolMessage):
        return False
    answer = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
    first = answer.content[0] if answer is not None and isinstance(answer.content, list) and answer.content else None
    return not (isinstance(first, dict) and first.get("type") in ("thinking", "redacted_thinking", "reasoning"))


_FORCED = ("any", "required", True)


def adapt_kwargs(kwargs: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Call arguments in the target's spelling.

    Example:
        >>> adapt_kwargs({"tool_choice": "required"}, Target("anthropic", "anthropic"))
        {'tool_choice': 'any'}
    """
    found = dict(kwargs)
    if "tool_choice" in found and target.api is not None:
        choice = found["tool_choice"]
        if isinstance(choice, (str, bool)) and choice in _FORCED:
            found["tool_choice"] = "any" if target.api in ("anthropic", "gemini") else "required"
    return found
