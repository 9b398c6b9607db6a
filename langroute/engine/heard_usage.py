"""Callback handler for plain calls that LangChain streams: it hears how often the usage is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage

from langroute.engine.token_gate import shows_tokens
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


def usage_heard(model: Any, config: Mapping[str, Any]) -> HeardUsage | None:
    """Return a handler where LangChain will stream a plain call of a model: it was told to, or somebody reads along.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> usage_heard(ScriptedModel("a"), {}) is None
        True
    """
    asked = "streaming" in getattr(model, "model_fields_set", ()) and model.streaming is True
    return HeardUsage() if asked or shows_tokens(config) else None


__all__ = ["HeardUsage", "usage_heard"]
