"""How does a running program hear of a decision? As a custom event in the caller's own stream of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event

from langroute.marks import mark
from langroute.records import Decision

EVENT = "langroute_decision"


def _heard(config: Mapping[str, Any]) -> bool:
    """Somebody listens, and there is a run to tell it under: LangChain has no custom events outside of one."""
    callbacks = config.get("callbacks")
    return bool(callbacks) and bool(getattr(callbacks, "parent_run_id", None)) and bool(getattr(callbacks, "handlers", None))


def announce(decision: Decision, config: Any) -> None:
    """Send a `langroute_decision` event where somebody listens."""
    if _heard(config):
        dispatch_custom_event(EVENT, mark(decision), config=config)


async def aannounce(decision: Decision, config: Any) -> None:
    """The same, awaited."""
    if _heard(config):
        await adispatch_custom_event(EVENT, mark(decision), config=config)
