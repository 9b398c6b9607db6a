"""More than 2,000 calls through a provider that fails in every way it can: sync, async, streamed, in agents with tools.

Whatever happens to a call, it ends in a right answer or in one clear error; it is in the ledger once, with every attempt; nobody sees
a token of an attempt that was given up; and no tool call is carried out twice.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import InjectedToolCallId, tool
from sqlalchemy import text as sql
from weather import Weather, routes

from langroute import ChatRouter
from langroute.core.errors import RouteFailedError
from langroute.engine.timeouts import Timeouts
from langroute.ledger import open_ledger
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed

pytestmark = [pytest.mark.server, pytest.mark.slow]

NAMES = ("chat", "claude", "responses")
CLEAR = ("Error", "Exception")
CALLS = {"invoke": 650, "ainvoke": 500, "stream": 350, "astream": 300}
AGENTS = {"sync": 40, "async": 40, "tokens": 30}
WORKERS = 4
TALLY: Counter[str] = Counter()
"""What came of all calls of the session; the last test looks at it."""


class Tokens(BaseCallbackHandler):
    """Which model runs showed something."""

    run_inline = True

    def __init__(self) -> None:
        self.by_run: dict[UUID, str] = {}
        self.ended: set[UUID] = set()

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        if token:
            self.by_run[run_id] = self.by_run.get(run_id, "") + (token if isinstance(token, str) else str(token))


def router(weather: Weather, name: str, ledger: Any = None) -> ChatRouter:
    policy = Fallback(Fixed("chat"), retries=1, backoff_seconds=0.001, max_wait_seconds=0.2, cool_down_seconds=0.02)
    timeouts = Timeouts(first_token=0.35, total=0.6)
    return ChatRouter(routes(weather, name), policy=policy, timeouts=timeouts, ledger=ledger)


def right(model: ChatRouter, name: str, before: int, said: str | None, error: BaseException | None, shown: str) -> None:
    """Check one call that has ended."""
    decisions = model.ledger.decisions
    assert len(decisions) == before + 1, "a call is in the ledger once"
    decision = decisions[-1]
    attempts = decision.attempts
    assert attempts
    failed = [attempt for attempt in attempts if attempt.error_type]
    assert all(attempt.failure is not None and attempt.latency_s > 0 for attempt in failed), "failed attempts are recorded too"
    if error is None:
        assert said == f"Mock response from {name}-{decision.route}."
        assert attempts[-1].ok
        # The mock counts no prompt in its streams, and a prompt of no tokens is no measurement.
        assert attempts[-1].cost_usd is not None or attempts[-1].streamed
        assert decision.route == attempts[-1].route
        TALLY["first try" if len(attempts) == 1 else "saved"] += 1
    else:
        assert decision.route is None, repr(error)
        assert len(failed) == len(attempts)
        assert str(error)
        assert type(error).__name__.endswith(CLEAR), type(error)
        if isinstance(error, RouteFailedError):
            assert [route for route, _ in error.failures] == [attempt.route for attempt in attempts]
        TALLY["error, after tokens" if shown else "error"] += 1
    if shown and error is not None:
        # Part of one route's answer, and of the last one that was tried.
        assert f"Mock response from {name}-{attempts[-1].route}.".startswith(shown)
        assert attempts[-1].streamed
    assert not any(attempt.streamed for attempt in attempts[:-1]), "nothing follows an attempt that was shown"
    TALLY["attempts"] += len(attempts)
    TALLY["calls"] += 1


def in_threads(count: int, work: Callable[[int, int], None]) -> None:
    """Carry out work in several threads; the first failure is raised here."""
    failures: list[BaseException] = []

    def run(worker: int) -> None:
        try:
            for number in range(worker, count, WORKERS):
                if failures:
                    return
                work(worker, number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(worker,)) for worker in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_calls(weather: Weather, way: str) -> None:
    """Each of four threads has models of its own, so that it knows what went wrong for it."""
    models = [router(weather, f"{way}{worker}") for worker in range(WORKERS)]
    chances = [random.Random(f"{way}{worker}") for worker in range(WORKERS)]

    def one(worker: int, number: int) -> None:
        model, name = models[worker], f"{way}{worker}"
        weather.forecast(chances[worker], [f"{name}-{route}" for route in NAMES], stream=way == "stream")
        before, tokens = len(model.ledger.decisions), Tokens()
        text, error, shown = None, None, ""
        try:
            if way == "invoke":
                text = model.invoke(f"Call {number}?", {"callbacks": [tokens]}).text
            else:
                for chunk in model.stream(f"Call {number}?", {"callbacks": [tokens]}):
                    shown += chunk.text
                text = shown
        except Exception as raised:
            error = raised
        right(model, name, before, text, error, shown)
        assert len(tokens.by_run) <= 1, "tokens of one attempt only"

    in_threads(CALLS[way], one)


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
async def test_awaited_calls(weather: Weather, way: str) -> None:
    """The same in one event loop."""

    async def work(worker: int) -> None:
        name = f"{way}{worker}"
        model, chance = router(weather, name), random.Random(name)
        for number in range(worker, CALLS[way], WORKERS):
            weather.forecast(chance, [f"{name}-{route}" for route in NAMES], stream=way == "astream")
            before, tokens = len(model.ledger.decisions), Tokens()
            text, error, shown = None, None, ""
            try:
                if way == "ainvoke":
                    text = (await model.ainvoke(f"Call {number}?", {"callbacks": [tokens]})).text
                else:
                    async for chunk in model.astream(f"Call {number}?", {"callbacks": [tokens]}):
                        shown += chunk.text
                    text = shown
            except Exception as raised:
                error = raised
            right(model, name, before, text, error, shown)
            assert len(tokens.by_run) <= 1, "tokens of one attempt only"

    await asyncio.gather(*(work(worker) for worker in range(WORKERS)))


def test_a_ledger_on_disk_has_every_call(weather: Weather, tmp_path: Path) -> None:
    """With its failed attempts, after a storm from several threads."""
    ledger = open_ledger(tmp_path / "ledger.db")
    models = [router(weather, f"disk{worker}", ledger) for worker in range(WORKERS)]
    chances = [random.Random(f"disk{worker}") for worker in range(WORKERS)]
    heard: list[str] = []

    def one(worker: int, number: int) -> None:
        weather.forecast(chances[worker], [f"disk{worker}-{route}" for route in NAMES], stream=False)
        try:
            answer = models[worker].invoke(f"Call {number}?")
            heard.append(answer.response_metadata["langroute"]["decision_id"])
        except Exception:
            heard.append("")

    in_threads(60, one)
    ledger.flush()

    assert len(heard) == 60
    with ledger.reading() as connection:
        decisions = connection.execute(sql("SELECT count(*) FROM decisions")).scalar()
    assert decisions == 60
    kept = [ledger.get(decision_id) for decision_id in heard if decision_id]
    assert all(decision is not None and decision.attempts[-1].ok for decision in kept)
    assert any(attempt.error_type for decision in kept if decision for attempt in decision.attempts)
    TALLY["calls"] += 60
    ledger.close()


def agent(model: Any, carried_out: list[str], *, middleware: bool) -> Any:
    """An agent with one tool that writes down each call it carries out."""
    from langchain.agents import create_agent

    from langroute.hosts.middleware import RouterMiddleware

    @tool
    def weather_in(city: str, call_id: Annotated[str, InjectedToolCallId]) -> str:
        """The current weather of a city."""
        carried_out.append(call_id)
        return f"Rain in {city}."

    if middleware:
        return create_agent(model.routes["chat"].model, [weather_in], middleware=[RouterMiddleware(model)])
    return create_agent(model, [weather_in])


def ran_right(state: dict[str, Any] | None, error: BaseException | None, carried_out: list[str], since: int) -> None:
    """Check an agent's run that has ended."""
    ids = carried_out[since:]
    assert len(ids) == len(set(ids)), "a tool call was carried out twice"
    TALLY["tool calls"] += len(ids)
    if error is not None:
        assert type(error).__name__.endswith(CLEAR)
        TALLY["agents stopped by an error"] += 1
        return
    assert state is not None
    messages = state["messages"]
    called = [call["id"] for message in messages for call in getattr(message, "tool_calls", ())]
    assert sorted(called) == sorted(ids), "every tool call of the history was carried out once, and no other"
    assert messages[-1].type == "ai"
    assert messages[-1].text.startswith("Mock response from ")
    TALLY["agents done"] += 1


@pytest.mark.parametrize("middleware", [False, True], ids=["model", "middleware"])
def test_agents(weather: Weather, middleware: bool) -> None:
    """Two model calls and a tool each."""
    pytest.importorskip("langchain.agents")
    setups = []
    for worker in range(WORKERS):
        name, carried_out = f"agent{middleware:d}{worker}", []
        model = router(weather, name)
        setups.append((name, model, carried_out, agent(model, carried_out, middleware=middleware), random.Random(name)))

    def one(worker: int, number: int) -> None:
        name, model, carried_out, runs, chance = setups[worker]
        for _ in range(2):
            weather.forecast(chance, [f"{name}-{route}" for route in NAMES], stream=False)
        before, since, state, error = len(model.ledger.decisions), len(carried_out), None, None
        try:
            state = runs.invoke({"messages": f"What is the weather in town {number}?"})
        except Exception as raised:
            error = raised
        ran_right(state, error, carried_out, since)
        made = len(model.ledger.decisions) - before
        assert made == (2 if error is None else 1 + len(carried_out[since:]))
        TALLY["calls"] += made

    in_threads(AGENTS["sync"], one)


async def test_awaited_agents(weather: Weather) -> None:
    """The same, awaited."""
    pytest.importorskip("langchain.agents")

    async def work(worker: int) -> None:
        name, carried_out = f"aagent{worker}", []
        model, chance = router(weather, name), random.Random(name)
        runs = agent(model, carried_out, middleware=worker % 2 == 0)
        for number in range(worker, AGENTS["async"], WORKERS):
            for _ in range(2):
                weather.forecast(chance, [f"{name}-{route}" for route in NAMES], stream=False)
            before, since, state, error = len(model.ledger.decisions), len(carried_out), None, None
            try:
                state = await runs.ainvoke({"messages": f"What is the weather in town {number}?"})
            except Exception as raised:
                error = raised
            ran_right(state, error, carried_out, since)
            made = len(model.ledger.decisions) - before
            assert made == (2 if error is None else 1 + len(carried_out[since:]))
            TALLY["calls"] += made

    await asyncio.gather(*(work(worker) for worker in range(WORKERS)))


@pytest.mark.parametrize("middleware", [False, True], ids=["model", "middleware"])
def test_agents_whose_tokens_are_watched(weather: Weather, middleware: bool) -> None:
    """`stream_mode="messages"`: what the reader sees of each model call is one route's answer, or the beginning of one."""
    pytest.importorskip("langchain.agents")
    name, carried_out = f"watched{middleware:d}", []
    model, chance = router(weather, name), random.Random(name)
    runs, whole = agent(model, carried_out, middleware=middleware), 0
    for number in range(AGENTS["tokens"]):
        weather.forecast(chance, [f"{name}-{route}" for route in NAMES], stream=True)
        before, since, error, state = len(model.ledger.decisions), len(carried_out), None, None
        seen: dict[str, str] = {}
        try:
            for mode, part in runs.stream({"messages": f"The weather in town {number}?"}, stream_mode=["messages", "values"]):
                if mode == "values":
                    state = part
                elif part[0].type in ("ai", "AIMessageChunk"):
                    message, metadata = part
                    key = f"{metadata['langgraph_step']}"
                    seen[key] = seen.get(key, "") + message.text
        except Exception as raised:
            error = raised
        ran_right(state, error, carried_out, since)
        for text in seen.values():
            assert not text or any(f"Mock response from {name}-{route}.".startswith(text) for route in NAMES), text
        if error is None:
            # Whoever is answered has seen all of the answer.
            assert [*seen.values()][-1] == state["messages"][-1].text
            whole += 1
        TALLY["calls"] += len(model.ledger.decisions) - before
        weather.clear()
    assert whole > AGENTS["tokens"] // 4


def test_there_were_enough_of_them_and_of_every_end() -> None:
    """Runs last; alone it has nothing to look at."""
    if TALLY["calls"] < sum(CALLS.values()):
        pytest.skip("the other tests of this file did not all run")
    assert TALLY["calls"] >= 2_000, dict(TALLY)
    assert TALLY["saved"] > 200
    assert TALLY["error"] > 5
    assert TALLY["error, after tokens"] > 10
    assert TALLY["agents done"] > 50
    assert TALLY["tool calls"] >= TALLY["agents done"]
