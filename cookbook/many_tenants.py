"""Share one cache among many tenants without sharing an answer.

`isolate` names the metadata that a request must have before the cache is used. Their values are part of every key and compared again on
every stored value; a request without them goes straight to the model. A server sets them once, around all work for a tenant; code inside
may narrow the scope, never widen it.

Output:
    acme     What is our discount?    miss                                20 percent for acme
    acme     What is our discount?    hit                                 20 percent for acme
    globex   What is our discount?    miss                                5 percent for globex
    nobody   What is our discount?    bypass: no tenant_id                0 percent for nobody
    acme tries to be globex:          bypass: two values of tenant_id
    acme leaves: 1 answer forgotten, 1 left
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from langroute import ChatRouter
from langroute.cache import ResponseCache, cache_namespace
from langroute.testing import ScriptedModel

DISCOUNTS = {"acme": 20, "globex": 5, "nobody": 0}


def main() -> None:
    """Ask the same question for two tenants, and without a tenant."""
    with tempfile.TemporaryDirectory() as folder:
        cache = ResponseCache(Path(folder) / "cache.db", isolate=["tenant_id"])
        # With a real model:
        #   model = ChatRouter({"small": "openai:gpt-5-mini"}, response_cache=cache)
        scripted = ScriptedModel()
        model = ChatRouter({"small": scripted}, response_cache=cache, prices={"small": {"input": 1, "output": 2}})

        def ask(tenant: str) -> Any:
            scripted.replies = [f"{DISCOUNTS[tenant]} percent for {tenant}"]
            if tenant == "nobody":
                return model.invoke("What is our discount?")
            with cache_namespace(tenant_id=tenant):
                return model.invoke("What is our discount?")

        for tenant in ("acme", "acme", "globex", "nobody"):
            answer = ask(tenant)
            print(f"{tenant:8} What is our discount?    {answer.response_metadata['langroute']['cache']:35} {answer.content}")
        with cache_namespace(tenant_id="acme"):
            answer = model.invoke("What is our discount?", {"metadata": {"tenant_id": "globex"}})
        print(f"acme tries to be globex:          {answer.response_metadata['langroute']['cache']}")
        gone = cache.purge(namespace=cache.namespace_id(tenant_id="acme"))
        print(f"acme leaves: {gone} answer forgotten, {cache.size().entries} left")
        cache.close()


if __name__ == "__main__":
    main()
