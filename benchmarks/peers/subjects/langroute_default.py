"""langroute's `ChatRouter` with its default policy, which judges each step; for faults the first model is fixed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from subjects.chat_models import calls, given, instant, local_calls

PRICE = {
    "small": {"input": 2, "cache_read": 0.2, "cache_write": 2.5, "output": 8},
    "large": {"input": 10, "cache_read": 1, "cache_write": 12.5, "output": 40},
}


def router(models: dict[str, Any], judged: bool) -> Any:
    from langroute import ChatRouter
    from langroute.policies.fixed import Fixed

    more = {} if judged else {"policy": Fixed("small")}
    return ChatRouter(models, prices=PRICE, **more)


def tell(message: Any) -> dict[str, Any]:
    record = message.response_metadata["langroute"]
    return {"model": record["route"], "why": record["reason"], "cost": record["cost_usd"]}


def client(urls: dict[str, str], judged: bool, protocol: str = "openai") -> AbstractContextManager[Any]:
    return calls(router, tell, urls, judged, protocol)


def local() -> dict[str, Any]:
    return local_calls(instant("small"), router({name: instant(name) for name in PRICE}, judged=True))


__all__ = ["client", "given", "local"]
