"""Who sees the tokens of a call, and may they still?

A gate stands before everybody who listens to a run. It notes that tokens were shown, and once it is closed, a call that was given up
cannot show any more: the handler raises, which also ends the model's own stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers._streaming import _StreamingCallbackHandler

from langroute.errors import RaceLostError


class Gate(BaseCallbackHandler):
    """Stands before the other handlers of one call.

    Args:
        route: The route that is called.

    Example:
        >>> gate = Gate("small")
        >>> gate.on_llm_new_token("Hello")
        >>> gate.shown
        True
    """

    raise_error = True
    run_inline = True

    def __init__(self, route: str) -> None:
        self.route = route
        self.shown = False
        self.closed = False

    def close(self) -> None:
        """Nothing more is shown."""
        self.closed = True

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to do; without it LangChain would write out the whole history for `on_llm_start`."""

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """A token is about to be shown."""
        if self.closed:
            raise RaceLostError(self.route)
        self.shown = True

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        """A content-block event is about to be shown."""
        self.on_llm_new_token("")

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
