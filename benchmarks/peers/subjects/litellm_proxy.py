"""LiteLLM's proxy, called as its clients do. It is started once, as that takes its time, with a model for each way to fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import servers

from subjects.openai_calls import Calls

_STARTED: dict[str, str] = {}
_STACK = ExitStack()
close = _STACK.close
KINDS = ("429", "500", "401", "billing", "errored", "silent", "cut", "reset", "error", "wrong", "whole")


def started(urls: dict[str, str], judged: bool, protocol: str) -> str:
    """Return the address of a proxy with a model for each kind of failure, or for a thread; it is started once for each protocol."""
    kind = urls["small"].rpartition("/v1")[0].rpartition("/")[2]
    several = kind in KINDS
    key = f"{several} {judged} {protocol}"
    if key not in _STARTED:
        base = urls["small"].rpartition("/v1")[0].rpartition("/")[0]
        models = {one: {"model": "small", "url": f"{base}/{one}/v1", "protocol": protocol} for one in KINDS} if several else {}
        models |= {} if several else {"small": {"model": "small", "url": urls["small"], "protocol": protocol}}
        if several:
            models["large-wrong"] = {"model": "large", "url": f"{base}/wrong/v1", "protocol": protocol}
        models["large"] = {"model": "large", "url": urls["large"] if not several else f"{base}/whole/v1", "protocol": protocol}
        program = Path(sys.executable).parent / "litellm"
        _STARTED[key] = _STACK.enter_context(servers.litellm_proxy(program, models, judged))[0]
    return _STARTED[key]


def tell(headers: Any, model: Any) -> dict[str, Any]:
    cost = headers.get("x-litellm-response-cost")
    tried = headers.get("x-litellm-attempted-fallbacks")
    why = {"x-litellm-attempted-fallbacks": tried} if tried else None
    return {"model": model, "why": why, "cost": float(cost) if cost else None}


@contextmanager
def client(urls: dict[str, str], judged: bool, protocol: str = "openai") -> Iterator[Calls]:
    kind = urls["small"].rpartition("/v1")[0].rpartition("/")[2]
    address = started(urls, judged, protocol)
    more: dict[str, Any] = {}
    if judged:
        more = {"extra_body": {"litellm_session_id": "thread-1", "metadata": {"session_id": "thread-1"}}}
    yield Calls(address, "smart" if judged else kind if kind in KINDS else "small", protocol, tell, **more)
