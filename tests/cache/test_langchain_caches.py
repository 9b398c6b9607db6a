"""LangChain's and LangGraph's own caches work on langroute's stores."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.outputs import ChatGeneration
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import CachePolicy as NodePolicy
from redis_server import RedisServer

from langroute.cache import cache_namespace
from langroute.cache.langchain import LangChainCache
from langroute.cache.langgraph import GraphCache, state_key
from langroute.testing import ScriptedModel


class TestMemory(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self) -> LangChainCache:
        return LangChainCache()


class TestMemoryAwaited(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self) -> LangChainCache:
        return LangChainCache()


class TestSqlite(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, tmp_path: Path) -> LangChainCache:
        return LangChainCache(tmp_path / "cache.db")


class TestSqliteAwaited(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, tmp_path: Path) -> LangChainCache:
        return LangChainCache(tmp_path / "cache.db")


@pytest.mark.server
class TestRedis(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, redis_server: RedisServer) -> LangChainCache:
        from langroute.cache.stores.redis import RedisStore

        return LangChainCache(RedisStore(redis_server.url, prefix=uuid.uuid4().hex[:8]))


@pytest.mark.server
class TestRedisAwaited(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, redis_server: RedisServer) -> LangChainCache:
        from langroute.cache.stores.redis import RedisStore

        return LangChainCache(RedisStore(redis_server.url, prefix=uuid.uuid4().hex[:8]))


@pytest.fixture
def global_cache() -> Iterator[LangChainCache]:
    cache = LangChainCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


def test_a_hit_is_a_new_message(global_cache: LangChainCache) -> None:
    """LangGraph replaces a message by one of the same id, so a hit must not have the old one."""
    call = {"name": "search", "args": {"q": "x"}, "id": "call_1", "type": "tool_call"}
    model = ScriptedModel(AIMessage("Looking.", tool_calls=[call]), "never")
    first, second = model.invoke("Look it up."), model.invoke("Look it up.")
    assert second.content == "Looking."
    assert second.id != first.id
    assert second.tool_calls[0]["args"] == {"q": "x"}
    assert second.tool_calls[0]["id"] not in ("call_1", None)
    assert second.usage_metadata["total_tokens"] == 0
    assert len(model.calls) == 1


def test_the_second_run_of_an_agent_hits_at_every_step(global_cache: LangChainCache) -> None:
    """Ids and reported tokens of earlier answers stand in the history; they must not change the key."""
    model = ScriptedModel("first", "second", "never")

    def run() -> list[str]:
        history: list[Any] = [HumanMessage("Go.", id=str(uuid.uuid4()))]
        for _ in range(2):
            history.append(model.invoke(history))
            history.append(HumanMessage("And then?"))
        return [message.content for message in history if message.type == "ai"]

    assert run() == run() == ["first", "second"]
    assert len(model.calls) == 2


def test_cut_off_answers_are_not_kept() -> None:
    cache = LangChainCache()
    cache.update("p", "m", [ChatGeneration(message=AIMessage("The answer is", response_metadata={"finish_reason": "length"}))])
    assert cache.lookup("p", "m") is None


def test_without_a_tenant_nothing_is_looked_up_or_kept() -> None:
    cache = LangChainCache(isolate=["tenant_id"])
    value = [ChatGeneration(message=AIMessage("Secret of A."))]
    cache.update("p", "m", value)
    assert cache.lookup("p", "m") is None
    with cache_namespace(tenant_id="a"):
        cache.update("p", "m", value)
        assert cache.lookup("p", "m")[0].message.content == "Secret of A."
    with cache_namespace(tenant_id="b"):
        assert cache.lookup("p", "m") is None


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_graph_takes_its_node_from_the_cache(kind: str, tmp_path: Path) -> None:
    """LangGraph's default key never hits for messages; `state_key` does."""
    calls = []

    def node(state: State) -> dict[str, Any]:
        calls.append(1)
        return {"messages": [AIMessage("Hello.")]}

    builder = StateGraph(State)
    builder.add_node("node", node, cache_policy=NodePolicy(key_func=state_key, ttl=60))
    builder.add_edge(START, "node")
    graph = builder.compile(cache=GraphCache(None if kind == "memory" else tmp_path / "c.db"))
    for _ in range(3):
        assert graph.invoke({"messages": [HumanMessage("Hi.")]})["messages"][-1].content == "Hello."
    assert (await graph.ainvoke({"messages": [HumanMessage("Hi.")]}))["messages"][-1].content == "Hello."
    assert len(calls) == 1
    graph.invoke({"messages": [HumanMessage("Hi there.")]})
    assert len(calls) == 2


def test_graph_namespaces_are_cleared_alone() -> None:
    cache = GraphCache()
    cache.set({(("a", "b"), "k"): ("one", None), (("a,b",), "k"): ("two", None), (("c",), "k"): (None, 60)})
    assert cache.get([(("a", "b"), "k"), (("a,b",), "k"), (("c",), "k"), (("c",), "x")]) == {
        (("a", "b"), "k"): "one",
        (("a,b",), "k"): "two",
        (("c",), "k"): None,
    }
    cache.clear([("a", "b")])
    assert list(cache.get([(("a", "b"), "k"), (("a,b",), "k")])) == [(("a,b",), "k")]
    cache.clear()
    assert cache.get([(("a,b",), "k")]) == {}
