"""Send each step of a LangChain or LangGraph agent to the cheapest model that will do, and prove that quality held."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langroute._version import __version__

if TYPE_CHECKING:
    from langroute.budgets.budget import Budget as Budget
    from langroute.core.records import (
        Attempt as Attempt,
    )
    from langroute.core.records import (
        Decision as Decision,
    )
    from langroute.core.records import (
        Outcome as Outcome,
    )
    from langroute.core.records import (
        Price as Price,
    )
    from langroute.core.records import (
        Request as Request,
    )
    from langroute.core.records import (
        RouteInfo as RouteInfo,
    )
    from langroute.core.records import (
        Selection as Selection,
    )
    from langroute.core.records import (
        Signals as Signals,
    )
    from langroute.core.records import (
        Step as Step,
    )
    from langroute.core.records import (
        Usage as Usage,
    )
    from langroute.core.records import (
        Verdict as Verdict,
    )
    from langroute.core.subtask_pin import attempt_is_provisional as attempt_is_provisional
    from langroute.core.task_context import current_task as current_task
    from langroute.core.task_context import task as task
    from langroute.engine.router import Router as Router
    from langroute.engine.timeouts import Hedging as Hedging
    from langroute.engine.timeouts import Timeouts as Timeouts
    from langroute.hosts.chat_model import ChatRouter as ChatRouter
    from langroute.hosts.middleware import RouterMiddleware as RouterMiddleware
    from langroute.hosts.node import RouterNode as RouterNode
    from langroute.hosts.node import route_edge as route_edge
    from langroute.hosts.style import SystemStyle as SystemStyle
    from langroute.hosts.subtask import RouteSubtask as RouteSubtask
    from langroute.ledger import open_ledger as open_ledger
    from langroute.routes.route import Route as Route
    from langroute.tracking.callbacks import OutcomeTracker as OutcomeTracker
    from langroute.tracking.callbacks import track as track
    from langroute.tracking.outcomes import record_outcome as record_outcome

_PLACES = {
    "ChatRouter": "hosts.chat_model",
    "Router": "engine.router",
    "Route": "routes.route",
    "RouterNode": "hosts.node",
    "route_edge": "hosts.node",
    "RouteSubtask": "hosts.subtask",
    "RouterMiddleware": "hosts.middleware",
    "Budget": "budgets.budget",
    "Hedging": "engine.timeouts",
    "Timeouts": "engine.timeouts",
    "SystemStyle": "hosts.style",
    "task": "core.task_context",
    "current_task": "core.task_context",
    "attempt_is_provisional": "core.subtask_pin",
    "OutcomeTracker": "tracking.callbacks",
    "track": "tracking.callbacks",
    "record_outcome": "tracking.outcomes",
    "open_ledger": "ledger",
    **dict.fromkeys(
        ("Attempt", "Decision", "Outcome", "Price", "Request", "RouteInfo", "Selection", "Signals", "Step", "Usage", "Verdict"),
        "core.records",
    ),
}
"""Public name → the module that defines it; imported when it is first used, so that `import langroute` costs nothing."""

__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"langroute.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
