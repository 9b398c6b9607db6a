"""Who says the last words when the budget is used up? A model that costs nothing and repeats what it was told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

from langroute.records import Price, RouteInfo
from langroute.routes import BuiltRoute

CLOSING = "budget"
"""Name of the route in decisions that end with a closing text."""


class ClosingModel(BaseChatModel):
    """Answers with the text in its argument `closing`.

    A model rather than a made-up message, so that streams, agents and callbacks see what they always see.

    Example:
        >>> ClosingModel().invoke("Go on.", closing="I have to stop here.").content
        'I have to stop here.'
    """

    @property
    def _llm_type(self) -> str:
        return "langroute-closing"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Tools are of no use any more."""
        return self.bind(**kwargs)

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        message = AIMessage(str(kwargs.get("closing", "")), response_metadata={"finish_reason": "budget"})
        return ChatResult(generations=[ChatGeneration(message=message)])


def closing_route(text: str) -> BuiltRoute:
    """A route that answers with a text."""
    info = RouteInfo(CLOSING, tier="cheap", price=Price(0.0, 0.0), provider="langroute")
    return BuiltRoute(info, ClosingModel(), {"closing": text})
