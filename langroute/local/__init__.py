"""Local models: small models on this machine behind llama.cpp's server, to try a router without an account.

Example:
    >>> from langroute import local
    >>> sorted(local.CATALOGUE)
    ['qwen2.5-coder-1.5b', 'smollm2-135m']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langroute.core.lazy_names import lazy_names
from langroute.local.catalogue import CATALOGUE, LocalModel

if TYPE_CHECKING:
    from langroute.local.fetching import fetch as fetch
    from langroute.local.servers import (
        LocalServer as LocalServer,
    )
    from langroute.local.servers import (
        connect as connect,
    )
    from langroute.local.servers import (
        running as running,
    )
    from langroute.local.servers import (
        serve as serve,
    )
    from langroute.local.servers import (
        start as start,
    )

_PLACES = {
    "fetch": "fetching",
    "LocalServer": "servers",
    "connect": "servers",
    "running": "servers",
    "serve": "servers",
    "start": "servers",
}

__all__ = ["CATALOGUE", "LocalModel", "LocalServer", "connect", "fetch", "running", "serve", "start"]

__getattr__, __dir__ = lazy_names(__name__, _PLACES, ("CATALOGUE", "LocalModel"))
