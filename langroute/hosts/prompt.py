"""Messages in the form in which a chat model takes them without another look at each of them.

LangChain converts and validates every message of a list. A router has done so already, when it was called itself; a prompt is taken as
it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import ChatPromptValue
from langchain_core.runnables.base import RunnableBindingBase


def prompt_for(model: Any, messages: Sequence[BaseMessage], *methods: str) -> Any:
    """Return messages as a prompt for LangChain's own methods of a chat model, with tools or without; a list for all others.

    Args:
        model: What will be called.
        messages: LangChain messages.
        methods: Names of the methods that may be called. A model may have one of its own, written for lists.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> from langroute.testing import ScriptedModel
        >>> type(prompt_for(ScriptedModel("Hi."), [HumanMessage("Hello?")], "invoke")).__name__
        'ChatPromptValue'
    """
    called = model
    while _has_own(called, RunnableBindingBase, methods):
        called = called.bound
    if not _has_own(called, BaseChatModel, ("_convert_input", *methods)):
        return messages
    return ChatPromptValue.model_construct(messages=messages)


_METHODS = ("invoke", "ainvoke", "stream", "astream")

_OWN: dict[Any, dict[str, Any]] = {
    BaseChatModel: {name: getattr(BaseChatModel, name) for name in (*_METHODS, "_convert_input")},
    RunnableBindingBase: {name: getattr(RunnableBindingBase, name) for name in _METHODS},
}
"""LangChain's own methods, as they were at import: programs that watch calls put theirs in these places later."""


def _has_own(model: Any, base: Any, methods: Sequence[str]) -> bool:
    """Return whether a model has these methods from a class of LangChain's, and none in their place."""
    if not isinstance(model, base):
        return False
    kind, own = model.__class__, _OWN[base]
    return all(getattr(kind, name) is own[name] and name not in model.__dict__ for name in methods)


__all__ = ["prompt_for"]
