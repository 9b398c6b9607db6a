"""langroute's `ChatRouter` with its default policy, which judges each step; for faults the first model is fixed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from provider import PRICES

from subjects.chat_models import calls, given, instant, local_calls

PRICE = {name: dict(zip(("input", "cache_read", "cache_write", "output"), usd, strict=True)) for name, usd in PRICES.items()}


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
