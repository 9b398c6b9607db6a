"""What real packages make of a provider's answer is billed as the provider bills it; each bill is computed by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from handed_server import HandedServer, chat, chunks, message, message_events
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from waiting import until

from langroute import Budget, ChatRouter, Route, task
from langroute.budgets import MemoryBudgets
from langroute.core.errors import BudgetExceededError
from langroute.policies import Cascade
from langroute.testing import ScriptedModel

pytestmark = pytest.mark.server
langchain_openai = pytest.importorskip("langchain_openai")
langchain_anthropic = pytest.importorskip("langchain_anthropic")

WAYS = ["invoke", "stream", "astream"]


def gpt(server: HandedServer, model: str = "gpt-5-mini", **more: Any) -> Any:
    return langchain_openai.ChatOpenAI(model=model, base_url=f"{server.url}/v1", api_key="x", max_retries=0, **more)


def claude(server: HandedServer, model: str = "claude-opus-4-6", **more: Any) -> Any:
    return langchain_anthropic.ChatAnthropic(model=model, base_url=server.url, api_key="x", max_retries=0, **more)


async def _last(stream: Any) -> Any:
    return [chunk async for chunk in stream][-1]


def cost_of(model: Any, way: str = "invoke", prompt: Any = "Hi.", price: Any = None, **more: Any) -> float | None:
    router = ChatRouter({"a": Route(model, price=price)}, **more)
    if way == "invoke":
        answer = router.invoke(prompt)
    elif way == "stream":
        answer = list(router.stream(prompt))[-1]
    else:
        answer = asyncio.run(_last(router.astream(prompt)))
    found: float | None = answer.response_metadata["langroute"]["cost_usd"]
    return found


def use(given: int, written: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written, **more}


@pytest.mark.parametrize(
    "usages",
    [
        [use(1_000, 1), use(1_000, 2), use(1_000, 4)],
        [None, use(1_000, 4), use(1_000, 4)],
        [None, None, use(1_000, 4)],
    ],
    ids=["in every chunk", "twice at the end", "once"],
)
@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_prompt_is_billed_once_however_often_its_usage_is_told(usages: list[Any], way: str) -> None:
    """1,000 x 0.25 + 4 x 2 = 258 millionths."""
    with HandedServer(events=chunks("gpt-5-mini", usages)) as server:
        assert cost_of(gpt(server, stream_usage=True), way) == pytest.approx(258e-6)


def test_it_is_billed_once_where_the_chunks_are_held_back() -> None:
    with HandedServer(events=chunks("gpt-5-mini", [use(1_000, 1), use(1_000, 4)])) as server:
        routes = {"cheap": gpt(server, stream_usage=True), "frontier": ScriptedModel("Better.")}
        policy = Cascade(["cheap", "frontier"], threshold=0.1)
        (*_, last) = ChatRouter(routes, policy=policy).stream("Hi.")
    assert last.response_metadata["langroute"]["attempts"][0]["cost_usd"] == pytest.approx(258e-6)


def test_what_gemini_subtracts_is_added() -> None:
    """Its package hands on differences: the second chunk has no input."""
    from langroute.providers.stream_usage import usage_with

    first = {"input_tokens": 100, "output_tokens": 7, "total_tokens": 107}
    assert usage_with(first, {"input_tokens": 0, "output_tokens": 5, "total_tokens": 5})["output_tokens"] == 12
    assert usage_with(first, {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8})["input_tokens"] == 103


HOUR = {
    "input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 4_803,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 4_803},
}  # fmt: skip
END = {name: value for name, value in HOUR.items() if name != "cache_creation"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ttl", ["1h", "5m"])
def test_a_stream_pays_for_the_hour_that_the_request_asks_for(way: str, ttl: str) -> None:
    """10 x 5 + 5 x 25 = 175 millionths, and 4,803 x 10 for an hour, x 6.25 for five minutes."""
    prompt = [
        SystemMessage([{"type": "text", "text": "rules " * 5_000, "cache_control": {"type": "ephemeral", "ttl": ttl}}]),
        HumanMessage("Hi."),
    ]
    start = (
        HOUR if ttl == "1h" else {**HOUR, "cache_creation": {"ephemeral_5m_input_tokens": 4_803, "ephemeral_1h_input_tokens": 0}}
    )
    body = message("claude-opus-4-6", start)
    with HandedServer(body, message_events("claude-opus-4-6", start, END)) as server:
        found = cost_of(claude(server), way, prompt)
    assert found == pytest.approx((175 + 4_803 * (10 if ttl == "1h" else 6.25)) * 1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_searches_of_a_stream_are_counted_by_its_blocks(way: str) -> None:
    """1,000 x 3 + 500 x 15 = 10,500 millionths, and two searches at 0.01."""
    usage = {"input_tokens": 1_000, "output_tokens": 500, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    searches = [{"type": "server_tool_use", "id": f"srv_{n}", "name": "web_search", "input": {}} for n in (1, 2)]
    whole = message("claude-sonnet-4-5", {**usage, "server_tool_use": {"web_search_requests": 2}})
    tool = {"type": "web_search_20250305", "name": "web_search"}
    with HandedServer(whole, message_events("claude-sonnet-4-5", usage, usage, searches)) as server:
        router = ChatRouter({"a": claude(server, "claude-sonnet-4-5").bind_tools([tool])})
        if way == "invoke":
            answer = router.invoke("Hi.")
        elif way == "stream":
            answer = list(router.stream("Hi."))[-1]
        else:
            answer = asyncio.run(_last(router.astream("Hi.")))
    assert answer.response_metadata["langroute"]["cost_usd"] == pytest.approx(0.0305)


@pytest.mark.parametrize(
    ("asked", "usd"), [({"service_tier": "flex"}, 0.00225), ({"service_tier": "priority"}, 0.0081), ({}, 0.0045)]
)
@pytest.mark.parametrize("way", WAYS)
def test_a_service_tier_has_its_price(asked: dict[str, str], usd: float, way: str) -> None:
    """10,000 x 0.25 + 1,000 x 2 millionths; half for flex, 0.45 and 3.6 for priority."""
    usage, told = use(10_000, 1_000), {"service_tier": asked.get("service_tier", "default")}
    with HandedServer(chat("gpt-5-mini", usage, **told), chunks("gpt-5-mini", [None, usage], **told)) as server:
        assert cost_of(gpt(server, stream_usage=True, **asked), way) == pytest.approx(usd)


@pytest.mark.parametrize("way", WAYS)
def test_a_region_and_a_speed_that_a_stream_does_not_tell_are_what_was_asked_for(way: str) -> None:
    """(1,000 x 5 + 500 x 25) x 1.1 = 19,250 millionths."""
    usage = {"input_tokens": 1_000, "output_tokens": 500, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    whole = message("claude-opus-4-6", {**usage, "inference_geo": "us"})
    with HandedServer(whole, message_events("claude-opus-4-6", usage, usage)) as server:
        assert cost_of(claude(server, inference_geo="us"), way) == pytest.approx(0.01925)


@pytest.mark.parametrize(
    ("served", "price", "usd"),
    [
        ("gpt-5-mini-2025-08-07", None, 0.0045),
        ("gpt-5-2025-08-07", None, 0.0225),
        ("a-name-of-its-own", None, 0.0225),
        ("gpt-5-mini-2025-08-07", {"input": 1, "output": 1}, 0.011),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_the_model_that_served_is_billed(served: str, price: Any, usd: float, way: str) -> None:
    """gpt-5 1.25 / 10, gpt-5-mini 0.25 / 2 for 10,000 and 1,000 tokens; a price that the user gave wins."""
    usage = use(10_000, 1_000)
    with HandedServer(chat(served, usage), chunks(served, [None, usage])) as server:
        assert cost_of(gpt(server, "gpt-5", stream_usage=True), way, price=price) == pytest.approx(usd)


def test_the_users_price_of_the_model_that_served_counts() -> None:
    with HandedServer(chat("our-small-one", use(1_000_000, 0, completion_tokens=1))) as server:
        prices = {"our-small-one": {"input": 0.5, "output": 0}}
        assert cost_of(gpt(server, "gpt-5"), prices=prices) == pytest.approx(0.5)


@pytest.mark.parametrize("asked", ["gpt-5-mini", "anthropic/claude-sonnet-4.5", "a-model-of-nobody"])
def test_what_the_provider_states_goes_first(asked: str) -> None:
    usage = use(1_000, 100, cost=0.0123, is_byok=False)
    with HandedServer(chat(asked, usage)) as server:
        assert cost_of(gpt(server, asked)) == 0.0123
        assert cost_of(gpt(server, asked), price={"input": 1, "output": 1}) == 0.0123


@pytest.mark.parametrize("usage", [use(0, 0), use(0, 7), use(10_000, 0), None, {"prompt_tokens": -5, "completion_tokens": 3}])
@pytest.mark.parametrize("way", WAYS)
def test_no_tokens_for_a_prompt_that_is_not_empty_are_unknown(usage: Any, way: str) -> None:
    with HandedServer(chat("gpt-5-mini", usage), chunks("gpt-5-mini", [None, usage])) as server:
        assert cost_of(gpt(server, stream_usage=True), way) is None


def test_a_host_that_is_known_has_its_own_list() -> None:
    """OpenRouter's and z.ai's prices, though another provider's client calls them."""
    openrouter = langchain_openai.ChatOpenAI(
        model="anthropic/claude-sonnet-4.5", base_url="https://openrouter.ai/api/v1", api_key="x"
    )
    glm = langchain_anthropic.ChatAnthropic(model="glm-4.6", base_url="https://api.z.ai/api/anthropic", api_key="x")
    routes = ChatRouter({"a": openrouter, "b": glm}).routes

    assert (routes["a"].info.price.input, routes["b"].info.price.input) == (3.0, 0.6)


# Streams that are left ---------------------------------------------------------------------------------------------------

STORY = "word " * 400
"""About 400 tokens."""


def story(pieces: int = 20) -> list[Any]:
    return chunks("gpt-5-mini", [None] * pieces + [use(1_000, 400 * pieces)], STORY)


@pytest.mark.parametrize("heard", [1, 5, 20])
@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_stream_that_is_left_is_booked_with_what_was_handed_on(heard: int, way: str) -> None:
    """2 USD per million: at least 0.8 thousandths a piece, in the ledger and in the budget."""
    store = MemoryBudgets()
    with HandedServer(events=story()) as server:
        router = ChatRouter({"a": gpt(server, max_tokens=10_000)}, budget=Budget(usd=1, per="all", store=store))

        async def leave() -> None:
            stream = router.astream("Tell me.")
            for _ in range(heard):
                await stream.__anext__()
            await stream.aclose()  # type: ignore[attr-defined]

        if way == "astream":
            asyncio.run(leave())
        else:
            stream = router.stream("Tell me.")
            for _ in range(heard):
                next(stream)
            stream.close()  # type: ignore[attr-defined]
    (attempt,) = router.ledger.latest().attempts
    (balance,) = store.every()
    assert 0.0008 * heard <= attempt.cost_usd < 0.0013 * heard + 0.0005
    assert balance.held == 0
    assert balance.spent == pytest.approx(attempt.cost_usd * 1e9, rel=1e-6)


@pytest.mark.parametrize("pieces", [2, 20])
def test_a_budget_holds_against_readers_who_leave_just_before_the_end(pieces: int) -> None:
    heard = 0
    with HandedServer(events=story()) as server, task("stories"):
        router = ChatRouter({"a": gpt(server, max_tokens=10_000)}, budget=Budget(usd=0.1, store=MemoryBudgets()))
        for _ in range(200):
            stream = router.stream("Tell me.")
            try:
                for _ in range(pieces):
                    heard += len(next(stream).text) // 5
            except BudgetExceededError:
                break
            stream.close()  # type: ignore[attr-defined]
    assert 0.02 < heard * 2e-6 <= 0.1


async def test_a_budget_holds_against_calls_that_are_cancelled_while_the_provider_writes() -> None:
    """Each is billed 1,000 tokens of output, 0.002 USD, and cancelled half a second after the provider has begun."""
    calls = 0
    with HandedServer(chat("gpt-5-mini", use(10, 1_000)), pause=3) as server:
        router = ChatRouter({"a": gpt(server, max_tokens=1_000)}, budget=Budget(usd=0.01, per="all", store=MemoryBudgets()))
        for _ in range(30):
            running = asyncio.ensure_future(router.ainvoke("Tell me."))
            await until(lambda running=running, calls=calls: running.done() or server.asked > calls)
            await asyncio.sleep(0.5)
            if running.done():
                assert isinstance(running.exception(), BudgetExceededError)
                break
            calls += 1
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
    assert 0 < calls * 0.002 <= 0.01


def test_thinking_that_a_route_has_shown_is_booked_with_a_stream_that_is_left() -> None:
    """A stream does not show it: 2,000 tokens at 10 are 0.02 USD."""
    thought = AIMessage(
        "ok " * 30,
        usage_metadata={
            "input_tokens": 10, "output_tokens": 2_030, "total_tokens": 2_040, "output_token_details": {"reasoning": 2_000},
        },
    )  # fmt: skip
    store = MemoryBudgets()
    model = ScriptedModel(thought, "a long answer of many words " * 20, max_tokens=3_000)
    router = ChatRouter({"a": Route(model, price={"input": 1, "output": 10})}, budget=Budget(usd=1, per="all", store=store))
    router.invoke("Hi.")
    before = store.every()[0].spent
    stream = router.stream("Hi.")
    next(stream)
    stream.close()  # type: ignore[attr-defined]

    assert store.every()[0].spent - before > 0.02 * 1e9
