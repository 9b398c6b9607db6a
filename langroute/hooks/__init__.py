"""Hooks that export decisions and outcomes to logs, OpenTelemetry, Prometheus and LangSmith.

Pass hooks to a router: `ChatRouter(routes, hooks=[LogHook()])`. Each has its own module and imports its dependencies only
when it is created. None of them exports a message, an answer, an error's text, a thread id or a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langroute.core.lazy_names import lazy_names

if TYPE_CHECKING:
    from langroute.hooks.langsmith import LangSmithHook as LangSmithHook
    from langroute.hooks.logs import LogHook as LogHook
    from langroute.hooks.otel import OTelHook as OTelHook
    from langroute.hooks.prometheus import PrometheusHook as PrometheusHook

_PLACES = {"LangSmithHook": "langsmith", "LogHook": "logs", "OTelHook": "otel", "PrometheusHook": "prometheus"}

__all__ = ["LangSmithHook", "LogHook", "OTelHook", "PrometheusHook"]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
