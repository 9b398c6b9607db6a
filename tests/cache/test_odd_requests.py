"""Whatever the bare model answers is answered with a cache: requests and answers of any shape, and what the decision says of them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import BaseModel, SkipValidation

from langroute.cache import CachePolicy, ResponseCache
from langroute.cache.decisions import CachedDecisions
from langroute.cache.langchain import LangChainCache
from langroute.cache.semantic import SemanticCache
from langroute.core.errors import DegradedWarning
from langroute.core.records import Request, RouteInfo
from langroute.hosts.chat_model import ChatRouter
from langroute.policies.fixed import Fixed


class Bare(BaseChatModel):
    """Answers whatever it is asked, with what it was given."""

    answer: SkipValidation[Any] = None

    @property
    def _llm_type(self) -> str:
        return "bare"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **more: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.answer or AIMessage("ok"))])

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **more: Any) -> Any:
        said = self.answer or AIMessage("ok")
        fields = {"content": said.content, "additional_kwargs": said.additional_kwargs, "response_metadata": said.response_metadata}
        yield ChatGenerationChunk(message=AIMessageChunk(**fields))

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)


class Odd:
    """Nothing that is asked of it works."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __reduce__(self) -> Any:
        raise RuntimeError("reduce")


def deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    inner = found
    for _ in range(levels):
        inner["a"] = inner = {}
    return found


def cyclic() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["a"] = [found]
    return found


ARGS: dict[str, Callable[[], Any]] = {
    "900 deep": lambda: deep(900),
    "5,000 deep": lambda: deep(5000),
    "cyclic": cyclic,
    "a set": lambda: {"a": {1, 2}},
    "an object": lambda: {"a": object()},
    "an odd object": lambda: {"a": Odd()},
    "a function": lambda: {"a": len},
    "a generator": lambda: {"a": (number for number in range(3))},
    "a lock": lambda: {"a": threading.Lock()},
    "surrogates": lambda: {"\ud800": "\udfff"},
    "keys of other types": lambda: {1: 2, None: 3, (1, 2): 4},
    "no numbers": lambda: {"a": float("nan"), "b": float("inf")},
    "a long number": lambda: {"a": 10**5000},
    "a class": lambda: {"a": BaseModel},
    "an odd class": lambda: {"a": type("Sub", (BaseModel,), {"__annotations__": {"f": Callable[[int], int]}})},
}


def history(args: Any) -> list[Any]:
    """A call with arguments that no validation saw, as a program that builds messages by hand has them."""
    call = AIMessage("", tool_calls=[{"name": "search", "args": {}, "id": "c", "type": "tool_call"}])
    call.tool_calls[0]["args"] = args
    return [HumanMessage("x"), call, ToolMessage("ok", tool_call_id="c")]


def cached(answer: Any = None, **more: Any) -> tuple[ChatRouter, ResponseCache]:
    cache = ResponseCache(**more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ChatRouter({"a": Bare(answer=answer)}, response_cache=cache, prices={"a": {"input": 1, "output": 1}})
    return model, cache


@pytest.mark.parametrize("name", ARGS)
async def test_arguments_of_every_kind_are_answered(name: str) -> None:
    """The second time too, when they are compared with what was read the first time."""
    model, cache = cached()
    asked = history(ARGS[name]())
    for _ in range(2):
        assert model.invoke(asked).content == "ok"
    assert (await model.ainvoke(asked)).content == "ok"
    assert "".join([chunk.content for chunk in model.stream(asked)]) == "ok"
    assert cache.stats().errors == 0


@pytest.mark.parametrize("name", ["900 deep", "cyclic", "an object", "an odd object", "a generator", "a lock"])
def test_what_has_no_stable_form_is_said_in_the_decision(name: str) -> None:
    model, cache = cached()
    said = model.invoke(history(ARGS[name]())).response_metadata["langroute"]["cache"]
    assert said.startswith("bypass: ")
    assert len(said) < 200
    assert cache.stats().bypasses == 1
    assert list(cache.stats().reasons.values()) == [1]


@pytest.mark.parametrize("name", ["900 deep", "cyclic", "an odd object", "a generator"])
def test_settings_and_tools_of_every_kind_are_answered(name: str) -> None:
    model, _ = cached()
    value = ARGS[name]()
    assert model.invoke("x", odd=value).content == "ok"
    assert model.bind(odd=value).invoke("x").content == "ok"
    if name not in ("900 deep", "a generator"):
        # Tools of the other kinds no router takes, with a cache or without.
        return
    tool = {
        "type": "function",
        "function": {"name": "t", "description": "d", "parameters": {"type": "object", "properties": {}, "odd": value}},
    }
    assert model.bind_tools([tool]).invoke("x").response_metadata["langroute"]["cache"].startswith("bypass: ")


@pytest.mark.parametrize(
    "config",
    [
        {"langroute_cache": object()},
        {"langroute_cache": ["off"]},
        {"langroute_cache_max_age": "soon"},
        {"langroute_cache_max_age": [1]},
        {"langroute_cache_tags": 7},
        {"langroute_cache_namespace": Odd()},
        {"langroute_cache_namespace": {1: Odd()}},
    ],
    ids=lambda config: f"{next(iter(config))}-{type(next(iter(config.values()))).__name__}",
)
def test_wishes_of_every_kind_are_answered(config: dict[str, Any]) -> None:
    model, _ = cached()
    answer = model.invoke("x", {"configurable": config})
    assert answer.content == "ok"
    assert answer.response_metadata["langroute"]["cache"].startswith("bypass: ")


@pytest.mark.parametrize("name", ARGS)
@pytest.mark.parametrize("where", ["tool call", "additional_kwargs", "response_metadata", "content"])
async def test_answers_of_every_kind_are_given(name: str, where: str) -> None:
    """Kept or not, whoever asked gets them, and nobody waits for them in vain."""
    said = AIMessage(
        "ok", tool_calls=[{"name": "search", "args": {}, "id": "c", "type": "tool_call"}] if where == "tool call" else []
    )
    value = ARGS[name]()
    if where == "tool call":
        said.tool_calls[0]["args"] = value
    elif where == "content":
        said.content = [{"type": "text", "text": "ok", "more": value}]
    else:
        getattr(said, where).update(odd=value)
    bare = Bare(answer=said)
    model, cache = cached(said)
    for how in ("invoke", "invoke", "ainvoke", "stream"):
        try:
            expected = bare.invoke("x") if how != "stream" else list(bare.stream("x"))
        except Exception as error:
            # Then LangChain itself cannot hand it on.
            with pytest.raises(type(error)):
                list(model.stream("x"))
            continue
        got = await model.ainvoke("x") if how == "ainvoke" else model.invoke("x") if how == "invoke" else list(model.stream("x"))
        if how != "stream":
            assert got.text == expected.text == "ok"
        else:
            assert "".join([chunk.text for chunk in got]) == "ok"
    assert cache._flights._open == {}


class Failing:
    """A policy or index whose every method fails."""

    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise RuntimeError(name)

        return fail


@pytest.mark.parametrize("part", ["validator", "policy", "keys", "semantic", "_served", "_readings", "store"])
async def test_no_part_of_the_cache_fails_a_call(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is replaced by one that fails whatever is asked of it, once the cache has an answer."""
    model, cache = cached(semantic=SemanticCache(explore=0))
    model.invoke("What is the capital of France?")
    failing = Failing()
    for name, value in (("shared", False), ("max_bytes", 10**6), ("min_score", 0.5)):
        failing.__dict__[name] = value
    monkeypatch.setattr(cache, part, failing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in ("What is the capital of France?", "what's the capital of France", "And of Spain, please?"):
            assert model.invoke(text).content == "ok"
            assert (await model.ainvoke(text)).content == "ok"
            assert "".join([chunk.content for chunk in model.stream(text)]) == "ok"
            assert "".join([chunk.content async for chunk in model.astream(text)]) == "ok"
    assert cache._flights._open == {}


def test_embeddings_that_are_down_cost_no_exact_hit() -> None:
    """They are left alone for a while; the store is not."""
    calls = []

    class Down(Failing):
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return super().__getattr__(name)

    cache = ResponseCache(semantic=SemanticCache(Down(), explore=0))  # type: ignore[arg-type]
    model = ChatRouter({"a": Bare()}, response_cache=cache, prices={"a": {"input": 1, "output": 1}})
    calls.clear()
    with pytest.warns(DegradedWarning, match="semantic cache failed"):
        model.invoke("What is the capital of France?")
    asked = len(calls)
    assert model.invoke("What is the capital of France?").response_metadata["langroute"]["cache"] == "hit"
    for number in range(20):
        model.invoke(f"What is the capital of country number {number}?")
    assert len(calls) == asked
    assert cache.stats().stored == 21


@pytest.mark.parametrize(
    "prompt",
    [
        "[" * 100_000,
        '[{"kwargs": 7}]',
        '[{"kwargs": {"tool_calls": [1]}, "id": 7}]',
        "\ud800",
        '[{"kwargs": {"content": NaN}}]',
        "1" * 5000,
    ],
)
def test_langchains_own_cache_looks_up_prompts_of_every_kind(prompt: str) -> None:
    """What cannot be read is a prompt like any other, or is not kept."""
    cache = LangChainCache()
    assert cache.lookup(prompt, "\ud800") is None
    cache.update(prompt, "m", [ChatGeneration(message=AIMessage("ok"))])
    cache.lookup(prompt, "m")


def test_a_costly_policy_is_asked_about_steps_without_a_stable_form() -> None:
    """Every time, since nobody can tell whether they are alike."""
    asked = []

    class Costly(Fixed):
        def select(self, request: Any, attempts: Any) -> Any:
            asked.append(1)
            return super().select(request, attempts)

    policy = CachedDecisions(Costly("small"))
    routes = (RouteInfo("small"), RouteInfo("large"))
    for tool in ("not a mapping", {"function": 7}, {"name": Odd()}):
        request = Request("Define entropy.", routes=routes, tools=(tool,))  # type: ignore[arg-type]
        before = len(asked)
        for _ in range(2):
            assert policy.select(request, []).route == "small"
        assert len(asked) == before + 2


def test_the_policy_looks_at_answers_of_every_kind() -> None:
    """It says what an answer would do, or that it cannot be told; it does not raise where the answer is a message at all."""
    policy = CachePolicy()
    for extra in (
        {"tool_calls": [[]]},
        {"tool_calls": {"a": 1}},
        {"function_call": "pay"},
        {"tool_outputs": [{"type": "web_search_call"}]},
    ):
        assert policy.acts(AIMessage("x", additional_kwargs=extra)) is not None
    for block in ({"type": ["x"]}, {"type": "tool_use", "name": ["pay"]}, {"type": "non_standard", "value": 7}, {}):
        policy.acts(AIMessage([block]))
    assert policy.acts(AIMessage([{"type": "tool_use", "name": ["pay"]}])) is not None
