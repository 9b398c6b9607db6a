"""Closing model: a free chat model that answers with a fixed text when a budget is used up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

from langroute.core.records import CLOSING, Price, RouteInfo
from langroute.routes.route import BuiltRoute


class ClosingModel(BaseChatModel):
    """Chat model that answers with the text in its argument `closing`.

    It is a model rather than a ready-made message, so that streams, agents and callbacks see an ordinary call.

    Example:
        >>> ClosingModel().invoke("Go on.", closing="I have to stop here.").content
        'I have to stop here.'
    """

    @property
    def _llm_type(self) -> str:
        return "langroute-closing"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Return the model itself; it calls no tools."""
        return self.bind(**kwargs)

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        message = AIMessage(str(kwargs.get("closing", "")), response_metadata={"finish_reason": CLOSING})
        return ChatResult(generations=[ChatGeneration(message=message)])


def closing_route(text: str) -> BuiltRoute:
    """Return a route that answers with this text."""
    info = RouteInfo(CLOSING, tier="cheap", price=Price(0.0, 0.0), provider="langroute")
    return BuiltRoute(info, ClosingModel(), {"closing": text})
