"""How can a router be tried without an account? With small models on this machine, behind llama.cpp's own server.

Example:
    >>> from langroute import local
    >>> sorted(local.CATALOGUE)
    ['qwen2.5-coder-1.5b', 'smollm2-135m']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langroute.local.catalogue import CATALOGUE, LocalModel

if TYPE_CHECKING:
    from langroute.local.fetching import fetch
    from langroute.local.servers import LocalServer, connect, running, serve, start

_PLACES = {
    "fetch": "fetching",
    "LocalServer": "servers",
    "connect": "servers",
    "running": "servers",
    "serve": "servers",
    "start": "servers",
}

__all__ = ["CATALOGUE", "LocalModel", "LocalServer", "connect", "fetch", "running", "serve", "start"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"langroute.local.{_PLACES[name]}"), name)
    globals()[name] = value
    return value
