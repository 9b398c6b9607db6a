"""The record of a decision in LangGraph's `stream_mode="messages"`.

The chunks of a routed call are shown while the model still writes, before its decision is made. So one more chunk follows: it is empty, has
the id of the message, and carries the decision in its `response_metadata`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, LLMResult

from langroute.core.decision_metadata import METADATA_KEY, to_metadata
from langroute.core.records import Decision


def show_record(decision: Decision, config: Mapping[str, Any], id: str | None) -> None:
    """Show the record of a decision to whoever was shown chunks of its message.

    A message of which nothing was streamed is shown whole, with its record, when its node ends.

    Args:
        decision: The decision.
        config: The config of the routed call.
        id: Id of the message.
    """
    handlers = [handler for handler in _graph_streams(config) if id in handler.seen]
    if not handlers or id is None:
        return
    metadata = _metadata(decision, config)
    for handler in handlers:
        # Whoever reads the stream may have left.
        with suppress(Exception):
            _show(handler, id, decision, metadata, config)


def _show(handler: Any, id: str, decision: Decision, metadata: dict[str, Any], config: Mapping[str, Any]) -> None:
    run_id = uuid4()
    chunk = AIMessageChunk(content="", id=id, response_metadata={METADATA_KEY: to_metadata(decision)})
    handler.on_chat_model_start({}, [[]], run_id=run_id, tags=_tags(config), metadata=dict(metadata))
    try:
        handler.on_llm_new_token("", chunk=ChatGenerationChunk(message=chunk), run_id=run_id)
    finally:
        handler.on_llm_end(LLMResult(generations=[]), run_id=run_id)


def _graph_streams(config: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the handlers of LangGraph that show chunks; they know which messages they have shown."""
    for handler in getattr(config.get("callbacks"), "handlers", ()):
        if hasattr(handler, "seen") and any(kind.__module__.startswith("langgraph.") for kind in type(handler).__mro__):
            yield handler


def _metadata(decision: Decision, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of the chunk: that of the attempt's run."""
    own = {
        "langroute_route": decision.route,
        "langroute_decision_id": decision.id,
        "langroute_attempt": max(0, len(decision.attempts) - 1),
        "langroute_step_kind": decision.step.kind,
    }
    return {**(getattr(config.get("callbacks"), "metadata", None) or {}), **(config.get("metadata") or {}), **own}


def _tags(config: Mapping[str, Any]) -> list[str]:
    return [*(getattr(config.get("callbacks"), "tags", None) or ()), *(config.get("tags") or ())]


__all__ = ["show_record"]
