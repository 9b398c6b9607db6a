"""How does a running program hear of a decision? As a custom event in the caller's own stream of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event

from langroute.marks import mark
from langroute.records import Decision

EVENT = "langroute_decision"


RESTART = "langroute_restart"
"""A route broke off after its tokens were shown, and another one begins again: what was shown is worth nothing."""


def _heard(config: Mapping[str, Any]) -> bool:
    """Somebody listens, and there is a run to tell it under: LangChain has no custom events outside of one."""
    callbacks = config.get("callbacks")
    return bool(callbacks) and bool(getattr(callbacks, "parent_run_id", None)) and bool(getattr(callbacks, "handlers", None))


def announce(decision: Decision, config: Any) -> None:
    """Send a `langroute_decision` event where somebody listens."""
    if _heard(config):
        dispatch_custom_event(EVENT, mark(decision), config=config)


def restarted(call: Any) -> dict[str, Any]:
    """What is said when an answer that was shown in part begins again."""
    return {"restart": True, "route": call.route.name, "decision_id": call.decision_id, "attempt": call.index}


def announce_restart(call: Any, config: Any) -> None:
    """Send a `langroute_restart` event where somebody listens."""
    if config is not None and _heard(config):
        dispatch_custom_event(RESTART, restarted(call), config=config)


async def aannounce_restart(call: Any, config: Any) -> None:
    """The same, awaited."""
    if config is not None and _heard(config):
        await adispatch_custom_event(RESTART, restarted(call), config=config)


async def aannounce(decision: Decision, config: Any) -> None:
    """The same, awaited."""
    if _heard(config):
        await adispatch_custom_event(EVENT, mark(decision), config=config)
