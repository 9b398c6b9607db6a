"""langchain-model-router's `ChatRouter` with its heuristic strategy, which judges each request."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from subjects.chat_models import answered, calls, given, instant, local_calls

BARS = (0.25, 0.5, 1.0, 1.5, 2.0)
"""Difficulties from which the large model is asked; 1.0 is the package's default."""


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


def decided(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from langchain_model_router import ChatRouter, HeuristicStrategy, routing_decision

    names = [str(level) for level in range(len(BARS) + 1)]
    strategy = HeuristicStrategy(*names, thresholds=BARS)
    routed = ChatRouter(routes={name: instant(name) for name in names}, default_route="0", strategy=strategy)
    levels = [int(routing_decision(answered(routed, one)).route) for one in asked]
    cuts = [("" if bar == 1.0 else f"bar at {bar:g}", level) for level, bar in enumerate(BARS)]
    return [{"levels": levels, "cuts": cuts}]


__all__ = ["client", "decided", "given", "local"]
