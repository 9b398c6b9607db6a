"""Send each step of a LangChain or LangGraph agent to the cheapest model that will do, and prove that quality held."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langroute._version import __version__

if TYPE_CHECKING:
    from langroute.budgets.budget import Budget
    from langroute.callbacks import OutcomeTracker, track
    from langroute.chat_model import ChatRouter
    from langroute.context import current_task, task
    from langroute.ledger import open_ledger
    from langroute.middleware import RouterMiddleware
    from langroute.node import RouterNode, route_edge
    from langroute.outcomes import record_outcome
    from langroute.patience import Patience
    from langroute.records import Attempt, Decision, Outcome, Price, Request, RouteInfo, Selection, Signals, Step, Usage, Verdict
    from langroute.router import Router
    from langroute.routes import Route
    from langroute.style import Style

_PLACES = {
    "ChatRouter": "chat_model",
    "Router": "router",
    "Route": "routes",
    "RouterNode": "node",
    "route_edge": "node",
    "RouterMiddleware": "middleware",
    "Budget": "budgets.budget",
    "Patience": "patience",
    "Style": "style",
    "task": "context",
    "current_task": "context",
    "OutcomeTracker": "callbacks",
    "track": "callbacks",
    "record_outcome": "outcomes",
    "open_ledger": "ledger",
    **dict.fromkeys(
        ("Attempt", "Decision", "Outcome", "Price", "Request", "RouteInfo", "Selection", "Signals", "Step", "Usage", "Verdict"),
        "records",
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
