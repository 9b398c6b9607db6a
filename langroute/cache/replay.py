"""How does a stored answer look like a call? One chat-model run, streamed when a stream was asked for, and no call.

Where somebody listens (callbacks, tracing, LangGraph's message stream), a chat model that says the stored answer is run by LangChain
itself, so that every kind of listener sees what it would have seen of the route's model. Where nobody does, there is nothing to tell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, BaseCallbackHandler, CallbackManager, CallbackManagerForLLMRun
from langchain_core.globals import get_debug
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.env import env_var_is_set
from pydantic import SkipValidation

from langroute.cache.entries import chunks
from langroute.cache.keys import Keys

try:
    from langchain_core.tracers.context import _configure_hooks as _HOOKS  # noqa: N812
    from langchain_core.tracers.context import _tracing_v2_is_enabled as _tracing_is_enabled
except ImportError:  # pragma: no cover - LangChain's own, of no public name; without them it is asked the long way
    _HOOKS = None  # type: ignore[assignment]


class Replay(BaseChatModel):
    """A chat model that says one stored answer, under the name of the model that gave it.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> Replay(stands_for=ScriptedModel("Hi."), stored=AIMessage("Paris.")).invoke("Capital of France?").content
        'Paris.'
    """

    stands_for: SkipValidation[Any]
    stored: SkipValidation[Any]
    expects: str | None = None
    """Digest of the messages that the answer was given to, where others may have changed them on the way."""

    digest: SkipValidation[Any] = None
    live: SkipValidation[Any] = None
    """Chunks of a stream that is under way, instead of an answer: an iterator, or one that is awaited."""

    def __init__(self, **kwargs: Any) -> None:
        model = kwargs.get("stands_for")
        kwargs.setdefault("name", model.get_name() if model is not None and hasattr(model, "get_name") else None)
        # LangChain's own cache has nothing to say about an answer that comes from ours.
        super().__init__(cache=False, profile=getattr(model, "profile", None), **kwargs)

    def saying(self, message: AIMessage, *, expects: str | None = None, digest: Any = None) -> Replay:
        """The same model with another answer."""
        copy = self.model_copy(update={"stored": message, "expects": expects, "digest": digest})
        copy.__dict__.pop("_serialized", None)
        return copy

    def listening(self, live: Any) -> Replay:
        """The same model with the chunks of a stream that is under way."""
        copy = self.model_copy(update={"live": live})
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
        self._check(messages)
        return ChatResult(generations=[ChatGeneration(message=self.stored)])

    def _check(self, messages: list[BaseMessage]) -> None:
        if self.expects is not None and self.digest(messages) != self.expects:
            raise Mismatch

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self._check(messages)
        for chunk in chunks(self.stored) if self.live is None else self.live:
            made = ChatGenerationChunk(message=chunk)
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=made)
            yield made

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        self._check(messages)
        async for chunk in _awaited(chunks(self.stored)) if self.live is None else self.live:
            made = ChatGenerationChunk(message=chunk)
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=made)
            yield made


async def _awaited(given: Iterable[AIMessageChunk]) -> AsyncIterator[AIMessageChunk]:
    for chunk in given:
        yield chunk


class Mismatch(BaseException):
    """The stored answer was given to other messages.

    No `Exception`, so that middleware which retries or falls back after errors lets it through to where the model is asked instead.
    """


class Heard(BaseCallbackHandler):
    """Hears what a chat model is asked."""

    run_inline = True

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._digests: set[str] = set()

    def on_chat_model_start(self, serialized: Any, messages: list[list[BaseMessage]], **_: Any) -> None:
        """A model is asked."""
        self._digests.update(self._keys.digest(asked) for asked in messages)

    def digest(self) -> str | None:
        """What was asked; `None` where nothing was, or several things were."""
        return next(iter(self._digests)) if len(self._digests) == 1 else None

    def under(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A config under which it hears."""
        callbacks = config.get("callbacks")
        if callbacks is None or isinstance(callbacks, list):
            return {**config, "callbacks": [*(callbacks or ()), self]}
        copy = callbacks.copy()
        copy.add_handler(self, inherit=True)
        return {**config, "callbacks": copy}


def listened_to(config: Mapping[str, Any]) -> bool:
    """Somebody hears of runs under this config: a handler, a tracer, a usage counter around the call."""
    callbacks = config.get("callbacks")
    if callbacks is not None and (callbacks if isinstance(callbacks, list) else callbacks.handlers):
        return True
    return _heard_around() if _HOOKS is not None else bool(CallbackManager.configure(callbacks).handlers)


def _heard_around() -> bool:
    """What LangChain looks at when it configures a run's callbacks, without making any."""
    if get_debug() or _tracing_is_enabled():
        return True
    return any(variable.get() is not None or (name is not None and env_var_is_set(name)) for variable, _, _, name in _HOOKS)


def is_message(chunk: Any) -> bool:
    """A stream's part is a message's chunk rather than structured output."""
    return isinstance(chunk, (AIMessageChunk, AIMessage))
