"""Caching of raced routes: answers worth storing are stored, and nobody waits for an abandoned call."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from open_calls import open_calls
from pydantic import Field, SkipValidation
from test_shared_streams import TEXT, Stepped, read_until
from waiting import wait_until

from langroute.cache import ResponseCache
from langroute.core.errors import LangrouteError
from langroute.engine.timeouts import Hedging, Timeouts
from langroute.hosts.chat_model import ChatRouter
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed
from langroute.testing import ScriptedModel

PRICES = {"slow": {"input": 1, "output": 4}, "quick": {"input": 2, "output": 8}}


class Slow(ScriptedModel):
    """Answers when it is let to."""

    gate: SkipValidation[Any] = Field(default_factory=threading.Event)

    def _next(self, messages: Any, stop: Any, kwargs: Any) -> Any:
        message = super()._next(messages, stop, kwargs)
        assert self.gate.wait(20)
        return message

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        self.calls.append((list(messages), kwargs))
        while not self.gate.is_set():
            await asyncio.sleep(0.001)
        return ScriptedModel(*self.replies)._generate(messages)


def racing(cache: Any = True, **timeouts: Any) -> tuple[ChatRouter, Slow, ScriptedModel]:
    slow, quick = Slow("Slow."), ScriptedModel("Quick.")
    routes = {"slow": slow, "quick": quick}
    timeouts.setdefault("hedging", Hedging(after=0.02))
    policy = Fallback(Fixed("slow"), retries=0)
    return ChatRouter(routes, policy=policy, prices=PRICES, response_cache=cache, timeouts=Timeouts(**timeouts)), slow, quick


def cached(message: Any) -> str:
    return str(message.response_metadata["langroute"]["cache"])


def test_a_slow_call_is_raced_and_the_answer_that_came_is_kept() -> None:
    model, slow, quick = racing()
    answer = model.invoke("Why?")
    assert answer.content == "Quick."
    assert [one["route"] for one in answer.response_metadata["langroute"]["attempts"]] == ["slow", "quick"]
    assert cached(answer) == "miss"
    assert model.response_cache.size().entries == 1
    again = model.invoke("Why?")
    assert (again.content, len(quick.calls)) == ("Quick.", 1)
    assert cached(again) == "hit"
    slow.gate.set()


def test_the_answer_that_came_too_late_is_kept_too() -> None:
    """It was paid for, and the route is asked first the next time."""
    model, slow, quick = racing()
    assert model.invoke("Why?").content == "Quick."
    slow.gate.set()
    wait_until(lambda: model.response_cache.size().entries == 2)
    again = model.invoke("Why?")
    assert (again.content, cached(again)) == ("Slow.", "hit")
    assert (len(slow.calls), len(quick.calls)) == (1, 1)


def test_who_waits_for_a_call_that_lost_its_race_gets_its_answer() -> None:
    cache = ResponseCache()
    model, slow, _ = racing(cache)
    patient = ChatRouter(model.routes, policy=model.policy, prices=PRICES, response_cache=cache)
    answers: list[Any] = []
    racer = threading.Thread(target=lambda: answers.append(model.invoke("Why?")))
    racer.start()
    wait_until(lambda: slow.calls)
    waiter = threading.Thread(target=lambda: answers.append(patient.invoke("Why?")))
    waiter.start()
    racer.join(20)
    slow.gate.set()
    waiter.join(20)
    assert [answer.content for answer in answers] == ["Quick.", "Slow."]
    assert len(slow.calls) == 1
    assert not open_calls(cache)


async def test_races_that_are_awaited() -> None:
    model, slow, quick = racing()
    answers = await asyncio.gather(*(model.ainvoke("Why?") for _ in range(20)))
    assert {answer.content for answer in answers} == {"Quick."}
    assert len(quick.calls) == 1
    assert len(slow.calls) >= 1
    assert not open_calls(model.response_cache)
    assert cached(await model.ainvoke("Why?")) == "hit"
    slow.gate.set()
    patient, _, _ = racing(model.response_cache, hedging=Hedging(after=30))
    patient.routes["slow"].model.gate.set()
    assert (await patient.ainvoke("Another?")).content == "Slow."
    assert cached(await patient.ainvoke("Another?")) == "hit"


@pytest.mark.parametrize("rounds", [1, 2])
def test_streams_race_too(rounds: int) -> None:
    model, slow, quick = racing()
    for place in range(rounds):
        chunks = list(model.stream("Why?"))
        assert "".join(chunk.content for chunk in chunks) == "Quick."
        assert cached(chunks[-1]) == ("hit" if place else "miss")
    assert len(quick.calls) == 1
    slow.gate.set()
    wait_until(lambda: not open_calls(model.response_cache))


async def test_streams_race_too_awaited() -> None:
    model, slow, quick = racing()
    for place in range(2):
        chunks = [chunk async for chunk in model.astream("Why?")]
        assert "".join(chunk.content for chunk in chunks) == "Quick."
        assert cached(chunks[-1]) == ("hit" if place else "miss")
    assert len(quick.calls) == 1
    assert not open_calls(model.response_cache)
    slow.gate.set()


def test_a_stored_answer_of_the_other_route_wins_a_race() -> None:
    cache = ResponseCache()
    model, slow, quick = racing(cache)
    ChatRouter({"quick": quick}, prices=PRICES, response_cache=cache).invoke("Why?")
    answer = model.invoke("Why?")
    assert (answer.content, cached(answer)) == ("Quick.", "hit")
    assert len(quick.calls) == 1
    slow.gate.set()


def test_a_race_that_all_lose_keeps_nobody_waiting() -> None:
    cache = ResponseCache()
    failing = ScriptedModel(ConnectionError("down"))
    model = ChatRouter(
        {"slow": Slow(ConnectionError("down")), "quick": failing},
        prices=PRICES,
        response_cache=cache,
        timeouts=Timeouts(hedging=Hedging(after=0.02)),
        policy=Fallback(Fixed("slow"), retries=0),
    )
    model.routes["slow"].model.gate.set()
    with pytest.raises(Exception, match="down"):
        model.invoke("Why?")
    assert not open_calls(cache)
    assert cache.size().entries == 0


def test_the_last_chunk_of_a_timed_stream_comes_whole() -> None:
    """The thread that reads the model may be done before its last chunk is handed on."""
    model = ChatRouter({"quick": ScriptedModel("one two three")}, prices=PRICES, response_cache=True, timeouts=Timeouts(total=20))
    for question in range(20):
        whole: Any = None
        for chunk in model.stream(f"Question {question}?"):
            time.sleep(0.002)
            whole = chunk if whole is None else whole + chunk
        assert whole.content == "one two three"
        assert whole.usage_metadata["total_tokens"] > 0
        assert model.invoke(f"Question {question}?").response_metadata["langroute"]["cache"] == "hit"


@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_racing_crowd_does_nobody_waits_for_ever(seed: int) -> None:
    """Calls fail, are raced, left and shared all at once; two plans must not wait for each other's failed calls."""
    chance = random.Random(seed)
    cheap = Stepped(free=True, pause=0.002, fails_at={call: chance.randrange(6) for call in range(3000) if chance.random() < 0.3})
    other = Stepped(free=True, pause=0.001)
    model = ChatRouter(
        {"cheap": cheap, "other": other},
        policy=Fallback(Fixed("cheap"), retries=0),
        prices={"cheap": {"input": 1, "output": 1}, "other": {"input": 1, "output": 1}},
        response_cache=True,
        timeouts=Timeouts(hedging=Hedging(after=0.004)),
    )

    def visit(number: int) -> str | None:
        dice = random.Random(number * 1000 + seed)
        question, config = f"Question {dice.randrange(4)}?", {"configurable": {"langroute_cache": dice.choice(["refresh", None])}}
        try:
            if dice.random() < 0.3:
                return str(model.invoke(question, config).content)
            return read_until(model.stream(question, config), dice.choice([1, 2, 99]))
        except (ConnectionError, LangrouteError):
            return None

    with ThreadPoolExecutor(25) as pool:
        texts = list(pool.map(visit, range(200), timeout=60))
    assert {text for text in texts if text is not None} == {TEXT}
    wait_until(lambda: not open_calls(model.response_cache))
