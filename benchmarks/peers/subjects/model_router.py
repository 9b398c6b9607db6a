"""langchain-model-router's `ChatRouter` with its heuristic strategy, which judges each request."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from subjects.chat_models import calls, given, instant, local_calls


def router(models: dict[str, Any], judged: bool) -> Any:
    from langchain_model_router import ChatRouter, HeuristicStrategy

    strategy = HeuristicStrategy("small", "large") if judged else None
    return ChatRouter(routes=models, default_route="small", strategy=strategy)


def tell(message: Any) -> dict[str, Any]:
    from langchain_model_router import routing_decision

    decision = routing_decision(message)
    return {"model": decision.route, "why": decision.reason, "cost": None}


def client(urls: dict[str, str], judged: bool, protocol: str = "openai") -> AbstractContextManager[Any]:
    return calls(router, tell, urls, judged, protocol)


def local() -> dict[str, Any]:
    return local_calls(instant("small"), router({name: instant(name) for name in ("small", "large")}, judged=True))


__all__ = ["client", "given", "local"]
