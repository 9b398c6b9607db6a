"""Recorder of LangChain's callback events with their contents, without ids and times."""

from __future__ import annotations

from threading import Lock
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

OURS = "langroute"


class Recorder(BaseCallbackHandler):
    """Writes down every event in order."""

    run_inline = True

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.metadata: list[dict[str, Any]] = []
        self.parents: list[Any] = []
        self.runs: list[Any] = []
        self.names: dict[Any, Any] = {}
        self._lock = Lock()

    def _add(self, *event: Any) -> None:
        with self._lock:
            self.events.append(event)

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, parent_run_id: Any = None, **kwargs: Any) -> None:
        metadata = kwargs.get("metadata") or {}
        self.metadata.append(metadata)
        self.parents.append(parent_run_id)
        self.runs.append(run_id)
        seen = {key: value for key, value in metadata.items() if not key.startswith(OURS) and key not in VOLATILE}
        tags = [tag for tag in kwargs.get("tags") or () if not tag.startswith(OURS)]
        said = [[(message.type, message.content) for message in one] for one in messages]
        # A scripted model's replies may be functions, which say where in memory they are.
        params = {key: value for key, value in (kwargs.get("invocation_params") or {}).items() if key != "replies"}
        self.names[run_id] = kwargs.get("name")
        self._add("start", kwargs.get("name"), said, seen, tags, params, kwargs.get("options"), self.under(parent_run_id))

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self._add("token", without_ids(token))

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self._add("event", event.get("event"), (event.get("delta") or {}).get("text"))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        message = response.generations[0][0].message
        self._add("end", plain(message), sorted(response.llm_output or {}))

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self._add("error", type(error).__name__)

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, parent_run_id: Any = None, **kwargs: Any) -> None:
        self.names[run_id] = kwargs.get("name")
        self._add("chain", kwargs.get("name"), self.under(parent_run_id))

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self._add("chain end")

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        self._add("chain error", type(error).__name__)

    def on_retry(self, state: Any, **kwargs: Any) -> None:
        self._add("retry")

    def under(self, parent: Any) -> Any:
        """The name of the run that another one stands under; `False` for one that nobody heard of."""
        return None if parent is None else self.names.get(parent, False)

    def named(self, kind: str) -> list[tuple[Any, ...]]:
        """The events of a kind."""
        return [event for event in self.events if event[0] == kind]


VOLATILE = frozenset(
    {
        "langgraph_checkpoint_ns",
        "checkpoint_ns",
        "langgraph_checkpoint_id",
        "run_id",
        "ls_integration",
        "langgraph_triggers",
        "tags",
    }
)
"""Metadata that differs between two runs of the same graph, and `tags`, where LangGraph notes a run's tags (ours among them)."""


def plain(message: Any) -> Any:
    """A message (or what else came back) without ids, without what the router adds."""
    if not hasattr(message, "response_metadata"):
        return message
    metadata = {key: value for key, value in message.response_metadata.items() if key not in (OURS, "id", "created")}
    calls = [(call["name"], call["args"]) for call in getattr(message, "tool_calls", ())]
    content = without_ids(message.content)
    usage = getattr(message, "usage_metadata", None)
    return type(message).__name__, content, calls, usage, metadata, message.additional_kwargs


def without_ids(content: Any) -> Any:
    """Content without the ids that a provider makes up for each call."""
    if not isinstance(content, list):
        return content
    return [{k: v for k, v in block.items() if k != "id"} if isinstance(block, dict) else block for block in content]
