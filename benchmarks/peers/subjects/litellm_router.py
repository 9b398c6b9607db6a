"""LiteLLM's `Router`: the second model where the first one fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from provider import PRICES
from servers import LITELLM_NAMES, litellm_smart

TIERS = ("SIMPLE", "MEDIUM", "COMPLEX", "REASONING")
CLASSIFIERS = {"heuristic": "complexity router", "heuristic_v2": "complexity router, `heuristic_v2`"}
"""Its judges that ask no model, in words."""

SESSION = {"metadata": {"session_id": "thread-1"}, "litellm_session_id": "thread-1"}


def deployment(name: str, url: str, protocol: str) -> dict[str, Any]:
    base = url if protocol == "openai" else url.removesuffix("/v1")
    prices = {key: usd / 1e6 for key, usd in zip(LITELLM_NAMES, PRICES[name], strict=True)}
    return {"model_name": name, "litellm_params": {"model": f"{protocol}/{name}", "api_base": base, "api_key": "none", **prices}}


def router(urls: dict[str, str], judged: bool, protocol: str = "openai") -> Any:
    import litellm

    litellm.suppress_debug_info = True
    models = [deployment(name, url, protocol) for name, url in urls.items()]
    return litellm.Router(
        model_list=[*models, litellm_smart()] if judged else models,
        fallbacks=[{"small": ["large"]}],
        num_retries=0,
        timeout=2,
        set_verbose=False,
    )


class Calls:
    """Calls of a router, which are awaited where it judges, as its judges are hooks that only `acompletion` asks."""

    def __init__(self, routed: Any, judged: bool) -> None:
        self.router, self.judged = routed, judged

    def ask(self, messages: list[Any], tools: list[Any] | None) -> dict[str, Any]:
        more = {"tools": tools} if tools else {}
        if not self.judged:
            return self._answer(self.router.completion(model="small", messages=messages, **more))
        import asyncio

        self.loop = getattr(self, "loop", None) or asyncio.new_event_loop()
        return self._answer(
            self.loop.run_until_complete(self.router.acompletion(model="smart", messages=messages, **SESSION, **more))
        )

    def stream(self, messages: list[Any]) -> Iterator[str]:
        for chunk in self.router.completion(model="small", messages=messages, stream=True):
            yield chunk.choices[0].delta.content or ""

    def streamed(self, messages: list[Any]) -> dict[str, Any]:
        import litellm

        usage = {"stream_options": {"include_usage": True}}
        stream = self.router.completion(model="small", messages=messages, stream=True, **usage)
        chunks = list(stream)
        whole = litellm.stream_chunk_builder(chunks, messages=messages)
        return self._answer(whole)

    def _answer(self, response: Any) -> dict[str, Any]:
        message, hidden = response.choices[0].message, response._hidden_params
        calls = [call.id for call in message.tool_calls or ()]
        headers = hidden.get("additional_headers") or {}
        why = {name: value for name, value in headers.items() if "fallback" in name} or None
        raw = json.loads(message.model_dump_json(exclude_none=True))
        return {
            "text": message.content or "",
            "raw": raw,
            "calls": calls,
            "model": response.model,
            "why": why,
            "cost": hidden.get("response_cost"),
        }


@contextmanager
def client(urls: dict[str, str], judged: bool, protocol: str = "openai") -> Iterator[Calls]:
    yield Calls(router(urls, judged, protocol), judged)


def given(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return messages


def local() -> dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]:
    import litellm

    # A model that LiteLLM knows: it takes more time for those that it does not.
    litellm.suppress_debug_info = True
    deployments = [{"model_name": name, "litellm_params": {"model": "openai/gpt-4o-mini", "api_key": "none"}} for name in PRICES]
    routed = litellm.Router(model_list=deployments, fallbacks=[{"small": ["large"]}], num_retries=0)
    plain = {"model": "openai/gpt-4o-mini", "api_key": "none", "mock_response": "A short answer."}
    ours = {"model": "small", "mock_response": "A short answer."}
    return {
        "invoke": (lambda m: litellm.completion(messages=m, **plain), lambda m: routed.completion(messages=m, **ours)),
        "first": (
            lambda m: next(iter(litellm.completion(messages=m, stream=True, **plain))),
            lambda m: next(iter(routed.completion(messages=m, stream=True, **ours))),
        ),
        "ainvoke": (lambda m: litellm.acompletion(messages=m, **plain), lambda m: routed.acompletion(messages=m, **ours)),
    }


def decided(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    import asyncio

    found = []
    for kind, words in CLASSIFIERS.items():
        levels = asyncio.run(levels_of(kind, asked))
        cuts = [(f"{words}, up to {tier} to the small model", level) for level, tier in enumerate(TIERS[:-1])]
        found.append({"levels": levels, "cuts": cuts})
    return found


async def levels_of(kind: str, asked: list[dict[str, Any]]) -> list[int]:
    """Return the tiers of recorded questions, by one of its judges."""
    import litellm

    litellm.suppress_debug_info = True
    config = {"tiers": {tier: tier for tier in TIERS}, "classifier_type": kind}
    params = {
        "model": "auto_router/complexity_router",
        "complexity_router_config": config,
        "complexity_router_default_model": "SIMPLE",
    }
    deployments = [{"model_name": tier, "litellm_params": {"model": "openai/gpt-4o-mini", "api_key": "none"}} for tier in TIERS]
    routed = litellm.Router(model_list=[*deployments, {"model_name": "smart", "litellm_params": params}], num_retries=0)
    levels = []
    for one in asked:
        found: Any = await routed.async_pre_routing_hook(model="smart", request_kwargs={}, messages=one["messages"])
        levels.append(TIERS.index(found.model))
    return levels
