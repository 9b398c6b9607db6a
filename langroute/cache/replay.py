"""How does a stored answer look like a call? One chat-model run, streamed when a stream was asked for, and no call.

Where somebody listens (callbacks, tracing, LangGraph's message stream), a chat model that says the stored answer is run by LangChain
itself, so that every kind of listener sees what it would have seen of the route's model. Where nobody does, there is nothing to tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManager, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import SkipValidation

from langroute.cache.entries import chunks


class Replay(BaseChatModel):
    """A chat model that says one stored answer, under the name of the model that gave it.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> Replay(stands_for=ScriptedModel("Hi."), stored=AIMessage("Paris.")).invoke("Capital of France?").content
        'Paris.'
    """

    stands_for: SkipValidation[Any]
    stored: SkipValidation[Any]

    def __init__(self, **kwargs: Any) -> None:
        model = kwargs.get("stands_for")
        kwargs.setdefault("name", model.get_name() if hasattr(model, "get_name") else None)
        # LangChain's own cache has nothing to say about an answer that comes from ours.
        super().__init__(cache=False, profile=getattr(model, "profile", None), **kwargs)

    def saying(self, message: AIMessage) -> Replay:
        """The same model with another answer."""
        copy = self.model_copy(update={"stored": message})
        copy.__dict__.pop("_serialized", None)
        return copy

    @property
    def _llm_type(self) -> str:
        return str(getattr(self.stands_for, "_llm_type", "langroute-replay"))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        if isinstance(self.stands_for, BaseChatModel):
            return self.stands_for._get_ls_params(stop=stop)
        return super()._get_ls_params(stop=stop)

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Nothing needs tools to say what it says anyway."""
        return self.bind()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.stored)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in chunks(self.stored):
            made = ChatGenerationChunk(message=chunk)
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=made)
            yield made


def listened_to(config: Mapping[str, Any]) -> bool:
    """Somebody hears of runs under this config: a handler, a tracer, a usage counter around the call."""
    callbacks = config.get("callbacks")
    if callbacks is not None and (callbacks if isinstance(callbacks, list) else callbacks.handlers):
        return True
    return bool(CallbackManager.configure(callbacks).handlers)


def is_message(chunk: Any) -> bool:
    """A stream's part is a message's chunk rather than structured output."""
    return isinstance(chunk, (AIMessageChunk, AIMessage))
