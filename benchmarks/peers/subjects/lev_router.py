"""levrouter with its heuristic: the backends that it recommends are a model of 4 billion weights, which cannot be fetched here."""

from __future__ import annotations

import os
import tempfile
from contextlib import AbstractContextManager
from typing import Any

from subjects.chat_models import ADDRESS, InstantModel, answered, calls, given, instant, local_calls

TIERS = ("simple", "standard", "complex")

os.environ.setdefault("LEVROUTER_HOME", tempfile.mkdtemp())


def router(models: dict[str, Any], judged: bool) -> Any:
    import levrouter

    tiers = {"simple": "small", "standard": "small", "complex": "large"}
    hosts = {"127.0.0.1": "openai"}
    config = levrouter.RouterConfig(backend="heuristic", tiers={"openai": tiers, "anthropic": tiers}, provider_hosts=hosts)
    return levrouter.route(models["large"] if judged else models["small"], config)


def tell(message: Any) -> dict[str, Any]:
    record = message.response_metadata.get("levrouter") or {}
    told = record.get("model") or message.response_metadata.get("model_name")
    return {"model": told, "why": record.get("reason") or record.get("tier"), "cost": record.get("cost")}


def client(urls: dict[str, str], judged: bool, protocol: str = "openai") -> AbstractContextManager[Any]:
    return calls(router, tell, urls, judged, protocol)


def at_once(name: str) -> Any:
    # It puts itself around ChatOpenAI's own methods, so these have to be the ones that answer at once.
    from langchain_openai import ChatOpenAI

    for method in ("_generate", "_agenerate", "_stream", "_astream"):
        setattr(ChatOpenAI, method, getattr(InstantModel, method))
    return ChatOpenAI(model=name, api_key="none", base_url=ADDRESS, max_retries=0)


def local() -> dict[str, Any]:
    return local_calls(instant("large"), router({"large": at_once("large")}, judged=True))


def decided(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    import levrouter

    # Questions have nothing to do with each other here: no threads, and none is the other asked again.
    config = levrouter.RouterConfig(
        backend="heuristic",
        tiers={"openai": {tier: tier for tier in TIERS}},
        provider_hosts={"127.0.0.1": "openai"},
        sticky_threads=False,
        escalate_after_repeats=0,
    )
    routed = levrouter.route(at_once("complex"), config)
    levels = [TIERS.index(tell(answered(routed, one))["model"]) for one in asked]
    return [{"levels": levels, "cuts": [("`simple` to the small model", 0), ("`simple` and `standard`", 1)]}]


__all__ = ["client", "decided", "given", "local"]
