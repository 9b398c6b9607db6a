"""What all subjects that are LangChain chat models share: models that answer at once, models of the provider, and calls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, convert_to_messages
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI

ADDRESS = "http://127.0.0.1:9/v1"
CONFIG = {"configurable": {"thread_id": "thread-1"}, "metadata": {"levrouter_thread": "thread-1"}}
"""The thread, in each of the forms in which some subject reads it."""


class InstantModel(ChatOpenAI):
    """A chat model that answers at once, the same for all subjects."""

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(
            generations=[ChatGeneration(message=AIMessage("A short answer.", response_metadata={"finish_reason": "stop"}))]
        )

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate()

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk("A short "))
        yield ChatGenerationChunk(message=AIMessageChunk("answer.", response_metadata={"finish_reason": "stop"}))

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream():
            yield chunk


def instant(model: str) -> Any:
    return InstantModel(model=model, api_key="none", base_url=ADDRESS, max_retries=0)


def served(model: str, url: str, protocol: str) -> Any:
    """Return a model of the provider."""
    if protocol == "anthropic":
        from langchain_anthropic import ChatAnthropic

        return ChatAnthropic(
            model=model, api_key="none", base_url=url.removesuffix("/v1"), max_retries=0, timeout=2, stream_usage=True
        )
    return ChatOpenAI(model=model, api_key="none", base_url=url, max_retries=0, timeout=2, stream_usage=True)


class Calls:
    """Calls of a chat model. `tell` reads model, reason and cost from an answer."""

    def __init__(self, model: Any, tell: Callable[[Any], dict[str, Any]]) -> None:
        self.model, self.tell = model, tell

    def ask(self, messages: list[Any], tools: list[Any] | None) -> dict[str, Any]:
        model = self.model.bind_tools(tools) if tools else self.model
        return self._answer(model.invoke(convert_to_messages(messages), CONFIG))

    def stream(self, messages: list[Any]) -> Iterator[str]:
        for chunk in self.model.stream(convert_to_messages(messages), CONFIG):
            yield str(chunk.text)

    def streamed(self, messages: list[Any]) -> dict[str, Any]:
        whole: Any = None
        for chunk in self.model.stream(convert_to_messages(messages), CONFIG):
            whole = chunk if whole is None else whole + chunk
        return self._answer(whole)

    def _answer(self, message: Any) -> dict[str, Any]:
        calls = [call["id"] for call in message.tool_calls]
        return {"text": str(message.text), "raw": message, "calls": calls, **self.tell(message)}


def given(messages: list[dict[str, Any]]) -> list[Any]:
    return convert_to_messages(json.loads(json.dumps(messages)))


def local_calls(bare: Any, routed: Any) -> dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]:
    """Return bare and routed callables for the timing."""
    return {
        "invoke": (bare.invoke, routed.invoke),
        "first": (lambda m: next(iter(bare.stream(m))), lambda m: next(iter(routed.stream(m)))),
        "ainvoke": (bare.ainvoke, routed.ainvoke),
    }


def answered(model: Any, asked: dict[str, Any]) -> Any:
    """Return the answer to a recorded question, which may have tools."""
    bound = model.bind_tools(asked["tools"]) if asked["tools"] else model
    return bound.invoke(convert_to_messages(asked["messages"]))


def plain_tell(message: Any) -> dict[str, Any]:
    """Return what LangChain itself says: the provider's name of the model."""
    return {"model": message.response_metadata.get("model_name"), "why": None, "cost": None}


@contextmanager
def calls(
    make: Callable[[dict[str, Any], bool], Any], tell: Any, urls: dict[str, str], judged: bool, protocol: str
) -> Iterator[Calls]:
    yield Calls(make({name: served(name, url, protocol) for name, url in urls.items()}, judged), tell)
