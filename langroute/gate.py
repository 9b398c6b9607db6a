"""Who sees the tokens of a call, and may they still?

A gate stands before everybody who listens to a run. It notes that tokens were shown, and once it is closed, a call that was given up
cannot show any more: the handler raises, which also ends the model's own stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.tracers._streaming import _StreamingCallbackHandler

_LOCK = Lock()

_SILENT = frozenset({"type", "id", "index", "phase", "status", "annotations", "citations", "signature"})
"""Keys of a block that say nothing to a reader."""


def shows(chunk: Any) -> bool:
    """A chunk has something to read. Providers send empty ones first, and a call that has only sent those can still be replaced unseen.

    Example:
        >>> from langchain_core.messages import AIMessageChunk
        >>> shows(AIMessageChunk("")), shows(AIMessageChunk("Hello"))
        (False, True)
    """
    if not isinstance(chunk, AIMessageChunk):
        return not (isinstance(chunk, Mapping) and chunk.get("event") == "message-start")
    content = chunk.content
    if chunk.tool_call_chunks or chunk.chunk_position == "last" or chunk.additional_kwargs:
        return True
    if isinstance(content, str):
        return bool(content)
    return any(isinstance(block, str) or any(block[key] for key in block.keys() - _SILENT) for block in content)


class Stopped(BaseException):
    """Ends the stream of a call that was given up. No failure of anything: LangChain would write an `Exception` to the log."""


class Gate(BaseCallbackHandler):
    """Stands before the other handlers of one call.

    Args:
        route: The route that is called.
        rivals: What the gates of calls share of which only one may show anything.

    Example:
        >>> gate = Gate("small")
        >>> gate.on_llm_new_token("Hello")
        >>> gate.shown, gate.give_up()
        (True, False)
    """

    raise_error = True
    run_inline = True

    def __init__(self, route: str, rivals: list[Gate] | None = None) -> None:
        self.route = route
        self.rivals: list[Gate] = [] if rivals is None else rivals
        """The first to show something; empty as long as nobody did."""

        self.closed = False

    @property
    def shown(self) -> bool:
        """Something to read went through."""
        return bool(self.rivals) and self.rivals[0] is self

    def close(self) -> None:
        """Nothing more is shown."""
        self.closed = True

    def give_up(self) -> bool:
        """Close, unless something was shown already; says whether nothing was and nothing will be."""
        with _LOCK:
            if not self.shown:
                self.closed = True
            return self.closed

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to do; without it LangChain would write out the whole history for `on_llm_start`."""

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """A token is about to be shown."""
        chunk = kwargs.get("chunk")
        says = bool(token) if chunk is None else shows(getattr(chunk, "message", chunk))
        with _LOCK:
            if self.closed or (self.rivals and self.rivals[0] is not self):
                raise Stopped
            if says and not self.rivals:
                self.rivals.append(self)

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        """A content-block event is about to be shown."""
        self.on_llm_new_token(event.get("event") != "message-start")

    def under(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A config under which this gate comes first."""
        callbacks = config.get("callbacks")
        if callbacks is None or isinstance(callbacks, list):
            return {**config, "callbacks": [self, *(callbacks or ())]}
        copy = callbacks.copy()
        copy.handlers = [self, *copy.handlers]
        copy.inheritable_handlers = [self, *copy.inheritable_handlers]
        return {**config, "callbacks": copy}


def shows_tokens(config: Mapping[str, Any]) -> bool:
    """Somebody makes a plain call stream: LangGraph's `stream_mode="messages"`, LangChain's `astream_events`."""
    callbacks = config.get("callbacks")
    if not callbacks:
        return False
    handlers = callbacks if isinstance(callbacks, list) else callbacks.handlers
    # A protocol, whose `isinstance` would look at every method: its own kind inherits from it.
    return any(_StreamingCallbackHandler in type(handler).__mro__ for handler in handlers)
