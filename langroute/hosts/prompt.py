"""Messages in the form in which a chat model takes them without another look at each of them.

LangChain converts and validates every message of a list. A router has done so already, when it was called itself; a prompt is taken as
it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
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
    while _inherits(called.__class__, RunnableBindingBase, methods):
        called = called.bound
    if not _inherits(called.__class__, BaseChatModel, ("_convert_input", *methods)):
        return messages
    return ChatPromptValue.model_construct(messages=messages)


@lru_cache(maxsize=256)
def _inherits(kind: Any, base: Any, methods: tuple[str, ...]) -> bool:
    """Return whether a class extends another one and has these methods from it."""
    return issubclass(kind, base) and all(getattr(kind, name) is getattr(base, name) for name in methods)


__all__ = ["prompt_for"]
