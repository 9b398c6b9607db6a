"""Replay of a stored answer as a chat-model run, streamed where a stream was asked for, without a call to the provider.

Where there are listeners (callbacks, tracing, LangGraph's message stream), a chat model that returns the stored answer is run by
LangChain itself, so that each sees what it would have seen of the route's model. Without listeners no run is made.
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
    """Chat model that returns one stored answer, under the name of the model that gave it.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> Replay(stands_for=ScriptedModel("Hi."), stored=AIMessage("Paris.")).invoke("Capital of France?").content
        'Paris.'
    """

    stands_for: SkipValidation[Any]
    stored: SkipValidation[Any]
    expects: str | None = None
    """Digest of the messages that the answer was given to, where middleware may have changed them."""

    digest: SkipValidation[Any] = None
    live: SkipValidation[Any] = None
    """Chunks of a running stream, instead of an answer: an iterator or an async iterator."""

    def __init__(self, **kwargs: Any) -> None:
        model = kwargs.get("stands_for")
        kwargs.setdefault("name", model.get_name() if model is not None and hasattr(model, "get_name") else None)
        # An answer from this cache must not be looked up in LangChain's own cache.
        super().__init__(cache=False, profile=getattr(model, "profile", None), **kwargs)

    def saying(self, message: AIMessage, *, expects: str | None = None, digest: Any = None) -> Replay:
        """Return a copy of this model with another answer."""
        copy = self.model_copy(update={"stored": message, "expects": expects, "digest": digest})
        copy.__dict__.pop("_serialized", None)
        return copy

    def listening(self, live: Any) -> Replay:
        """Return a copy of this model with the chunks of a running stream."""
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
        """Return the model without tools, which do not change a stored answer."""
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
        if self.expects is None:
            return
        try:
            told = self.digest(messages)
        except Exception:  # noqa: BLE001 - messages of a middleware's making may hold anything
            told = None
        if told != self.expects:
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
    """The stored answer was given to other messages, so the model has to be asked.

    No `Exception`, so that middleware which retries or falls back after errors lets it through to where the model is asked instead.
    """


class Heard(BaseCallbackHandler):
    """Callback handler that records which messages a chat model is sent."""

    run_inline = True

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._digests: set[str | None] = set()

    def on_chat_model_start(self, serialized: Any, messages: list[list[BaseMessage]], **_: Any) -> None:
        """Record the messages of a call."""
        try:
            self._digests.update([self._keys.digest(asked) for asked in messages])
        except Exception:  # noqa: BLE001 - what has no stable form cannot be compared later
            self._digests.add(None)

    def digest(self) -> str | None:
        """Return the digest of the messages that were sent; `None` unless there was exactly one call."""
        return next(iter(self._digests)) if len(self._digests) == 1 else None

    def under(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of a config with this handler."""
        callbacks = config.get("callbacks")
        if callbacks is None or isinstance(callbacks, list):
            return {**config, "callbacks": [*(callbacks or ()), self]}
        copy = callbacks.copy()
        copy.add_handler(self, inherit=True)
        return {**config, "callbacks": copy}


def listened_to(config: Mapping[str, Any]) -> bool:
    """Return whether there are listeners for runs under this config: a handler, a tracer, or a usage counter around the call."""
    callbacks = config.get("callbacks")
    if callbacks is not None and (callbacks if isinstance(callbacks, list) else callbacks.handlers):
        return True
    return _heard_around() if _HOOKS is not None else bool(CallbackManager.configure(callbacks).handlers)


def _heard_around() -> bool:
    """Return whether LangChain would add callbacks from its global settings, without creating any."""
    if get_debug() or _tracing_is_enabled():
        return True
    return any(variable.get() is not None or (name is not None and env_var_is_set(name)) for variable, _, _, name in _HOOKS)


def is_message(chunk: Any) -> bool:
    """Return whether a part of a stream is a message or message chunk rather than structured output."""
    return isinstance(chunk, (AIMessageChunk, AIMessage))
