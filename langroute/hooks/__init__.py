"""Who else hears of decisions and outcomes? Logs, OpenTelemetry, Prometheus, LangSmith.

Pass hooks to a router: `ChatRouter(routes, hooks=[LogHook()])`. Each lives in a module of its own and imports what it needs only
when it is made. None of them passes on a message, an answer, an error's text, a thread id or a name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langroute.hooks.langsmith import LangSmithHook
    from langroute.hooks.logs import LogHook
    from langroute.hooks.otel import OTelHook
    from langroute.hooks.prometheus import PrometheusHook

_PLACES = {"LangSmithHook": "langsmith", "LogHook": "logs", "OTelHook": "otel", "PrometheusHook": "prometheus"}

__all__ = ["LangSmithHook", "LogHook", "OTelHook", "PrometheusHook"]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"langroute.hooks.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
