"""Metrics of a gateway for Prometheus, of all workers together where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langroute.core.plain_text import one_line


class GatewayMetrics:
    """The hook that counts decisions, and the text that Prometheus reads.

    Without `prometheus-client` there are only the numbers of the process itself.

    Args:
        shared: Several workers count in files that they share.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self._shared = shared
        self.hooks: Sequence[Any] = ()
        self._registry: Any = None
        try:
            from prometheus_client import CollectorRegistry
        except ImportError:
            return
        from langroute.hooks.prometheus import PrometheusHook

        self._registry = CollectorRegistry()
        self.hooks = (PrometheusHook(self._registry),)

    def text(self, active: int) -> tuple[str, bytes]:
        """Return content type and text.

        Args:
            active: Requests that are being answered by this worker.
        """
        told = f"# HELP langroute_gateway_active Requests that are being answered.\n# TYPE langroute_gateway_active gauge\nlangroute_gateway_active {active}\n"
        if self._registry is None:
            return "text/plain; version=0.0.4; charset=utf-8", told.encode()
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess

        registry = self._registry
        if self._shared:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return one_line(CONTENT_TYPE_LATEST), generate_latest(registry) + told.encode()


__all__ = ["GatewayMetrics"]
