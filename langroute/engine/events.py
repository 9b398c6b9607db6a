"""Custom events that report decisions and restarts to the caller's event stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event

from langroute.core.decision_metadata import to_metadata
from langroute.core.records import Decision
from langroute.engine.shown_record import show_record

EVENT = "langroute_decision"


RESTART = "langroute_restart"
"""Name of the event that says that a route broke off after its tokens were shown and another route starts over; the shown tokens are
void.
"""


def heard(config: Mapping[str, Any]) -> bool:
    """Return whether a callback listens and a run exists: LangChain has no custom events outside of a run."""
    callbacks = config.get("callbacks")
    return bool(callbacks) and bool(getattr(callbacks, "parent_run_id", None)) and bool(getattr(callbacks, "handlers", None))


def announce(decision: Decision, config: Any, message_id: str | None = None) -> None:
    """Send a `langroute_decision` event if a callback listens, and the record to whoever was shown chunks of the message."""
    if config.get("callbacks") and heard(config):
        dispatch_custom_event(EVENT, to_metadata(decision), config=config)
        show_record(decision, config, message_id)


def restarted(call: Any) -> dict[str, Any]:
    """Return the data of a `langroute_restart` event."""
    return {"restart": True, "route": call.route.name, "decision_id": call.decision_id, "attempt": call.index}


def announce_restart(call: Any, config: Any) -> None:
    """Send a `langroute_restart` event if a callback listens."""
    if config is not None and heard(config):
        dispatch_custom_event(RESTART, restarted(call), config=config)


async def aannounce_restart(call: Any, config: Any) -> None:
    """Async version of `announce_restart`."""
    if config is not None and heard(config):
        await adispatch_custom_event(RESTART, restarted(call), config=config)


async def aannounce(decision: Decision, config: Any, message_id: str | None = None) -> None:
    """Async version of `announce`."""
    if heard(config):
        await adispatch_custom_event(EVENT, to_metadata(decision), config=config)
        show_record(decision, config, message_id)
