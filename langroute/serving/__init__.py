"""Running langroute in a web service: one object for each worker process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langroute.core.lazy_names import lazy_names

if TYPE_CHECKING:
    from langroute.serving.clients import while_connected as while_connected
    from langroute.serving.web_worker import WebWorker as WebWorker

_PLACES = {"WebWorker": "web_worker", "while_connected": "clients"}

__all__ = ["WebWorker", "while_connected"]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
