"""levrouter with its heuristic: the backends that it recommends are a model of 4 billion weights, which cannot be fetched here."""

from __future__ import annotations

import os
import tempfile
from contextlib import AbstractContextManager
from typing import Any

from subjects.chat_models import ADDRESS, InstantModel, calls, given, instant, local_calls

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


def local() -> dict[str, Any]:
    # It puts itself around ChatOpenAI's own methods, so these have to be the ones that answer at once.
    from langchain_openai import ChatOpenAI

    for name in ("_generate", "_agenerate", "_stream", "_astream"):
        setattr(ChatOpenAI, name, getattr(InstantModel, name))
    routed = ChatOpenAI(model="large", api_key="none", base_url=ADDRESS, max_retries=0)
    return local_calls(instant("large"), router({"large": routed}, judged=True))


__all__ = ["client", "given", "local"]
