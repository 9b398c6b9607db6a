"""Callback handler that controls whether a call's tokens may still reach listeners.

The gate is the first handler of a run. It notes whether tokens were shown. Once it is closed, an abandoned call cannot show any more: the
handler raises, which also ends the model's own stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers._streaming import _StreamingCallbackHandler

from langroute.core.locks import new_lock
from langroute.core.stream_content import has_content

_LOCK = new_lock()


class Stopped(BaseException):
    """Ends the stream of an abandoned call. A `BaseException`, because LangChain would log an `Exception`."""


class TokenGate(BaseCallbackHandler):
    """Callback handler that comes before all other handlers of one call.

    Args:
        route: The route that is called.
        rivals: List shared by the gates of competing calls, of which only one may show anything.

    Example:
        >>> gate = TokenGate("small")
        >>> gate.on_llm_new_token("Hello")
        >>> gate.shown, gate.give_up()
        (True, False)
    """

    raise_error = True
    run_inline = True

    def __init__(self, route: str, rivals: list[TokenGate] | None = None) -> None:
        self.route = route
        self.rivals: list[TokenGate] = [] if rivals is None else rivals
        """Shared list that holds the first gate to show something; empty until then."""

        self.closed = False

    @property
    def shown(self) -> bool:
        """Whether readable content has passed."""
        return bool(self.rivals) and self.rivals[0] is self

    def close(self) -> None:
        """Let no more tokens pass."""
        self.closed = True

    def give_up(self) -> bool:
        """Close the gate unless something was shown already; return whether it is closed."""
        with _LOCK:
            if not self.shown:
                self.closed = True
            return self.closed

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing; without this method LangChain would render the whole history for `on_llm_start`."""

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """Let a token pass or raise `Stopped`."""
        chunk = kwargs.get("chunk")
        says = bool(token) if chunk is None else has_content(getattr(chunk, "message", chunk))
        with _LOCK:
            if self.closed or (self.rivals and self.rivals[0] is not self):
                raise Stopped
            if says and not self.rivals:
                self.rivals.append(self)

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        """Let a content-block event pass or raise `Stopped`."""
        self.on_llm_new_token(event.get("event") != "message-start")

    def under(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a config in which this gate is the first callback handler."""
        return first_of(config, self)


def first_of(config: Mapping[str, Any], handler: BaseCallbackHandler) -> dict[str, Any]:
    """Return a config in which a callback handler comes before all others."""
    callbacks = config.get("callbacks")
    if callbacks is None or isinstance(callbacks, list):
        return {**config, "callbacks": [handler, *(callbacks or ())]}
    copy = callbacks.copy()
    copy.handlers = [handler, *copy.handlers]
    copy.inheritable_handlers = [handler, *copy.inheritable_handlers]
    return {**config, "callbacks": copy}


def shows_tokens(config: Mapping[str, Any]) -> bool:
    """Return whether a callback makes a plain call stream: LangGraph's `stream_mode="messages"`, LangChain's `astream_events`."""
    callbacks = config.get("callbacks")
    if not callbacks:
        return False
    handlers = callbacks if isinstance(callbacks, list) else callbacks.handlers
    # `_StreamingCallbackHandler` is a protocol: `isinstance` would check every method, and the real handlers inherit from it.
    return any(_StreamingCallbackHandler in type(handler).__mro__ for handler in handlers)
