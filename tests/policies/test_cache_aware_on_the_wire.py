"""What real provider packages report of cached tokens reaches the policy, streamed or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from usage_server import UsageServer

from langroute import ChatRouter
from langroute.core.records import Request, Selection
from langroute.policies import CacheAware

pytest.importorskip("langchain_anthropic")
pytest.importorskip("langchain_openai")


@pytest.fixture
def server() -> Iterator[UsageServer]:
    with UsageServer() as running:
        yield running


class Wish:
    route = "frontier"

    def select(self, request: Request, attempts: Any) -> Selection | None:
        return None if attempts else Selection(self.route, "wished")


def history() -> list[Any]:
    call = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "call_1"}])
    return [SystemMessage("w" * 240_000), HumanMessage("Do it."), call, ToolMessage("seen", tool_call_id="call_1")]


def anthropic(server: UsageServer) -> dict[str, Any]:
    from langchain_anthropic import ChatAnthropic

    def model(name: str) -> Any:
        return ChatAnthropic(model_name=name, api_key="key", base_url=server.url, timeout=10, stop=None, max_retries=0)

    server.usage = {
        "input_tokens": 10,
        "output_tokens": 50,
        "cache_creation_input_tokens": 60_000,
        "cache_read_input_tokens": 0,
    }
    return {"balanced": model("claude-sonnet-4-5"), "frontier": model("claude-opus-4-6")}


def openai(server: UsageServer) -> dict[str, Any]:
    from langchain_openai import ChatOpenAI

    def model(name: str) -> Any:
        return ChatOpenAI(model=name, api_key="key", base_url=f"{server.url}/v1", stream_usage=True, max_retries=0)

    server.usage = {
        "prompt_tokens": 60_010,
        "completion_tokens": 50,
        "total_tokens": 60_060,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    return {"balanced": model("gpt-5-mini"), "frontier": model("gpt-5")}


@pytest.mark.parametrize("models", [anthropic, openai])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_warm_context_holds_a_turn_back_from_a_small_saving(server: UsageServer, models: Any, streamed: bool) -> None:
    policy = CacheAware(Wish())
    router = ChatRouter(models(server), policy=policy, prices={"gpt-5-mini": {"input": 1.2, "output": 9, "cache_read": 0.12}})
    messages, config = history(), {"configurable": {"thread_id": "t1"}}
    ask = (lambda sent: list(router.stream(sent, config))[-1]) if streamed else (lambda sent: router.invoke(sent, config))
    first = ask(messages[:2])
    request = router.router.request(messages)
    warm = policy.prompt_cache.cached_tokens(
        router.router.infos[1], policy.prompt_cache.prompt(request.messages, request.tools, request.step.signals.tokens)
    )
    policy.policy.route = "balanced"
    second = ask(messages)

    assert first.response_metadata["langroute"]["route"] == "frontier"
    assert warm == pytest.approx(60_000, rel=0.01)
    assert second.response_metadata["langroute"]["route"] == "frontier"
    assert "a switch to balanced costs" in second.response_metadata["langroute"]["reason"]
