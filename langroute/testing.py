"""How can a router be tested without a provider?

`ScriptedModel` is a real chat model that says what it was told to: text, messages with tool calls, errors, or what a function
makes of the conversation. It streams, counts tokens and binds tools like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, SkipValidation


class ScriptedModel(BaseChatModel):
    """A chat model that says what it was told to, in order, the last reply for ever.

    Args:
        replies: Text, `AIMessage`s, exceptions to raise, or functions of the messages.
        model: The name it goes by.
        provider: What it says its provider is.

    Example:
        >>> model = ScriptedModel("Hm.", "42")
        >>> model.invoke("What is 6 * 7?").content, model.invoke("Sure?").content
        ('Hm.', '42')
        >>> len(model.calls)
        2
    """

    replies: SkipValidation[list[Any]] = Field(default_factory=lambda: ["ok"])
    model: str = "scripted"
    provider: str = "scripted"
    finish_reason: str | None = "stop"
    calls: SkipValidation[list[Any]] = Field(default_factory=list, repr=False)
    """Messages and arguments of every call so far; shared by copies of the model."""

    temperature: float | None = None
    max_tokens: int | None = None

    def __init__(self, *replies: Any, **kwargs: Any) -> None:
        if replies:
            kwargs["replies"] = list(replies)
        super().__init__(**kwargs)

    @property
    def _llm_type(self) -> str:
        return "langroute-scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "provider": self.provider, "replies": [repr(reply) for reply in self.replies]}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params.update(ls_provider=self.provider, ls_model_name=kwargs.get("model") or self.model)
        return params

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Bind tools in OpenAI's form."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _next(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> AIMessage:
        self.calls.append((list(messages), {**kwargs, **({"stop": stop} if stop else {})}))
        reply = self.replies[min(len(self.calls), len(self.replies)) - 1]
        if callable(reply):
            reply = reply(messages)
        if isinstance(reply, BaseException):
            raise reply
        message = reply.model_copy(deep=True) if isinstance(reply, AIMessage) else AIMessage(content=str(reply))
        for word in stop or ():
            if isinstance(message.content, str) and word in message.content:
                message.content = message.content.split(word)[0]
        tokens_in = sum(len(str(m.content)) // 4 + 4 for m in messages)
        tokens_out = max(1, len(str(message.content)) // 4 + 10 * len(message.tool_calls))
        if message.usage_metadata is None:
            message.usage_metadata = {
                "input_tokens": tokens_in,
                "output_tokens": tokens_out,
                "total_tokens": tokens_in + tokens_out,
            }
        known = {"model_name": kwargs.get("model") or self.model, "model_provider": self.provider}
        if self.finish_reason is not None:
            known["finish_reason"] = "tool_calls" if message.tool_calls else self.finish_reason
        message.response_metadata = {**known, **message.response_metadata}
        return message

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages, stop, kwargs))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        message = self._next(messages, stop, kwargs)
        if isinstance(message.content, str):
            words = message.content.split(" ")
            for place, word in enumerate(words):
                if text := word + (" " if place < len(words) - 1 else ""):
                    yield ChatGenerationChunk(message=AIMessageChunk(content=text))
        else:
            for place, block in enumerate(message.content):
                numbered = {**block, "index": place} if isinstance(block, dict) else block
                yield ChatGenerationChunk(message=AIMessageChunk(content=[numbered]))
        for place, call in enumerate(message.tool_calls):
            part: Any = {
                "name": call["name"],
                "args": json.dumps(call["args"]),
                "id": call["id"],
                "index": place,
                "type": "tool_call_chunk",
            }
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part]))
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                usage_metadata=message.usage_metadata,
                response_metadata=message.response_metadata,
                additional_kwargs=message.additional_kwargs,
                chunk_position="last",
            )
        )
