"""Callback handler for plain calls that LangChain streams: it hears how often the usage is told."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage

from langroute.providers.stream_usage import StreamedUsage


class HeardUsage(BaseCallbackHandler):
    """Callback handler of one call, which hears the usage that chunks tell.

    LangChain makes one message of the chunks and adds up what they tell. Servers that repeat the usage would have the prompt billed
    once for each chunk.
    """

    run_inline = True

    def __init__(self) -> None:
        self._runs: dict[Any, StreamedUsage] = {}
        """Run → what its chunks told. A route that is a chain may call several models."""

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing; without this method LangChain would render the whole history for `on_llm_start`."""

    def on_llm_new_token(self, token: Any, *, run_id: Any = None, **kwargs: Any) -> None:
        """Hear a chunk."""
        usage = self._runs.get(run_id)
        if usage is None:
            usage = self._runs[run_id] = StreamedUsage()
        usage.hear(kwargs.get("chunk"))

    def correct(self, message: Any) -> None:
        """Give an answer the usage that counts, where its own is the sum of what its chunks told."""
        if isinstance(message, AIMessage):
            for usage in self._runs.values():
                if (once := usage.told_once(message)) is not None:
                    message.usage_metadata = once
                    return


def streams_itself(model: Any) -> bool:
    """Return whether LangChain streams plain calls of a model, because it was told to.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> streams_itself(ScriptedModel("a"))
        False
    """
    # What `model_fields_set` returns, without its call: every attempt asks.
    return "streaming" in getattr(model, "__pydantic_fields_set__", ()) and model.streaming is True


__all__ = ["HeardUsage", "streams_itself"]
