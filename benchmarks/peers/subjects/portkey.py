"""Portkey's gateway, called as its clients do: each request tells the models and that the second one is asked where the first fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from servers import fallback_header, portkey_gateway

from subjects.openai_calls import Calls

_STARTED: list[str] = []
_STACK = ExitStack()
close = _STACK.close


def tell(headers: Any, model: Any) -> dict[str, Any]:
    used = headers.get("x-portkey-last-used-option-index")
    why = {"x-portkey-last-used-option-index": used} if used and not used.endswith("[0]") else None
    return {"model": model, "why": why, "cost": None}


@contextmanager
def client(urls: dict[str, str], judged: bool, protocol: str = "openai") -> Iterator[Calls]:  # noqa: ARG001 - it judges nothing
    if not _STARTED:
        script = Path(sys.prefix) / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
        _STARTED.append(_STACK.enter_context(portkey_gateway(script))[0])
    yield Calls(_STARTED[0], "small", protocol, tell, extra_headers=fallback_header(urls, protocol))
