"""Single flight: concurrent identical requests are computed once, whatever happens to the caller that computes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from open_calls import followers
from pydantic import Field, SkipValidation
from redis_server import RedisServer
from waiting import until, wait_until

from langroute.cache import ResponseCache
from langroute.cache.stores.redis import RedisStore
from langroute.core.errors import ConfigurationError
from langroute.hosts.chat_model import ChatRouter
from langroute.testing import ScriptedModel


class Counted(ScriptedModel):
    """A slow model; its first calls fail where it was told so."""

    seconds: float = 0.3
    failures: int = 0
    out: SkipValidation[list[int]] = Field(default_factory=lambda: [0])
    """How many calls were out at once, after each change."""

    def _next(self, messages: Any, stop: Any, kwargs: Any) -> Any:
        message = super()._next(messages, stop, kwargs)
        self.out.append(self.out[-1] + 1)
        time.sleep(self.seconds)
        self.out.append(self.out[-1] - 1)
        if len(self.calls) <= self.failures:
            raise ConfigurationError("down")
        return message

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        self.calls.append((list(messages), kwargs))
        number = len(self.calls)
        await asyncio.sleep(self.seconds)
        if number <= self.failures:
            raise ConfigurationError("down")
        return ScriptedModel(*self.replies)._generate(messages)


def crowd(model: Any, count: int) -> list[Any]:
    """That many threads ask the same at once."""
    start = threading.Barrier(count)

    def ask(_: int) -> Any:
        start.wait()
        try:
            return model.invoke("Why?")
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def test_a_thousand_threads_make_one_call() -> None:
    scripted = Counted("Because.")
    answers = crowd(ChatRouter({"cheap": scripted}, response_cache=True), 1000)
    assert len(scripted.calls) == 1
    assert {answer.content for answer in answers} == {"Because."}
    assert len({answer.id for answer in answers}) == 1000


async def test_a_thousand_coroutines_make_one_call() -> None:
    scripted = Counted("Because.")
    model = ChatRouter({"cheap": scripted}, response_cache=True)
    answers = await asyncio.gather(*(model.ainvoke("Why?") for _ in range(1000)))
    assert len(scripted.calls) == 1
    assert {answer.content for answer in answers} == {"Because."}


async def test_streams_wait_for_one_call_too() -> None:
    scripted = ScriptedModel("one two three")
    model = ChatRouter({"cheap": scripted}, response_cache=True)

    async def ask() -> str:
        return "".join([chunk.content async for chunk in model.astream("Count.")])

    assert set(await asyncio.gather(*(ask() for _ in range(50)))) == {"one two three"}
    assert len(scripted.calls) == 1


def test_a_leader_that_fails_is_followed_by_one() -> None:
    scripted = Counted("Because.", failures=1)
    answers = crowd(ChatRouter({"cheap": scripted}, response_cache=True, max_retries=0), 50)
    assert len(scripted.calls) == 2
    assert sum(isinstance(answer, ConfigurationError) for answer in answers) == 1
    assert sum(getattr(answer, "content", None) == "Because." for answer in answers) == 49


def test_a_model_that_is_down_does_not_make_a_queue() -> None:
    """After two failures everybody asks for himself rather than one behind the other."""
    ten_are_out = threading.Event()

    class Down(ScriptedModel):
        """Its first two calls fail when all others wait for them; the others wait until ten are out together."""

        def _next(self, messages: Any, stop: Any, kwargs: Any) -> Any:
            self.calls.append((list(messages), kwargs))
            number = len(self.calls)
            if number <= 2:
                wait_until(lambda: followers(router) == 50 - number)
            if number > 11:
                ten_are_out.set()
            if number > 2:
                assert ten_are_out.wait(30), "one behind the other"
            raise ConfigurationError("down")

    scripted = Down("never")
    router = ChatRouter({"cheap": scripted}, response_cache=True, max_retries=0)
    answers = crowd(router, 50)
    assert {type(answer) for answer in answers} == {ConfigurationError}
    assert len(scripted.calls) == 50


def test_an_answer_that_may_not_be_kept_is_not_shared() -> None:
    from langchain_core.messages import AIMessage

    scripted = Counted(AIMessage("", tool_calls=[{"name": "pay", "args": {}, "id": "1"}]), seconds=0.05)
    answers = crowd(ChatRouter({"cheap": scripted}, response_cache=True), 10)
    assert len(scripted.calls) == 10
    assert len({answer.id for answer in answers}) == 10


async def test_a_leader_that_is_cancelled_is_followed_by_one() -> None:
    class HangsOnce(Counted):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            slow = self.model_copy(update={"seconds": 60.0 if not self.calls else 0.01})
            return await Counted._agenerate(slow, *args, **kwargs)

    scripted = HangsOnce("Because.")
    model = ChatRouter({"cheap": scripted}, response_cache=True)
    calls = [asyncio.create_task(model.ainvoke("Why?")) for _ in range(20)]
    await until(lambda: scripted.calls)
    calls[0].cancel()
    calls[7].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert len(scripted.calls) == 2
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers].count(True) == 2
    assert {answer.content for answer in answers if not isinstance(answer, BaseException)} == {"Because."}


# Across processes --------------------------------------------------------------------------------------------------------


class Logged(ScriptedModel):
    """Writes a line into a file for every call, and is slow."""

    file: str = ""
    seconds: float = 0.5

    def _next(self, messages: Any, stop: Any, kwargs: Any) -> Any:
        with Path(self.file).open("a") as log:
            log.write(f"{os.getpid()}\n")
        time.sleep(self.seconds)
        return super()._next(messages, stop, kwargs)


def _store(where: str, prefix: str) -> Any:
    return RedisStore(where, prefix=prefix, timeout_seconds=10) if where.startswith("redis") else where


def _process(where: str, prefix: str, log: str, count: int, seconds: float, lease: float, barrier: Any, out: Any) -> None:
    cache = ResponseCache(_store(where, prefix), lease_seconds=lease)
    model = ChatRouter({"cheap": Logged("Because.", file=log, seconds=seconds)}, response_cache=cache)
    barrier.wait(60)
    answers = crowd(model, count)
    out.put([getattr(answer, "content", repr(answer)) for answer in answers])


def _processes(where: str, tmp_path: Path, *, count: int, seconds: float, kill_leader: bool) -> tuple[list[str], list[str]]:
    """Four processes ask at once; the answers, and the process of every call that was made."""
    context = multiprocessing.get_context("forkserver")
    # Imported once, in the process that the others are forked from.
    context.set_forkserver_preload(
        ["langroute.hosts.chat_model", "langroute.hosts.caching_host", "langroute.cache.stores.redis", "langroute.testing"]
    )
    barrier = context.Barrier(4)
    out, log, prefix = context.Queue(), tmp_path / "calls.log", uuid.uuid4().hex[:8]
    log.touch()
    workers = [
        context.Process(
            target=_process, args=(where, prefix, str(log), count, seconds, 2.0 if kill_leader else 15.0, barrier, out), daemon=True
        )
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    alive = 4
    if kill_leader:
        leader = int(wait_until(log.read_text, 60).split()[0])
        os.kill(leader, signal.SIGKILL)
        alive = 3
    answers = [answer for _ in range(alive) for answer in out.get(timeout=60)]
    for worker in workers:
        worker.join(10)
    return answers, log.read_text().split()


@pytest.mark.server
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_thousand_askers_in_four_processes_make_one_call(kind: str, tmp_path: Path, redis_server: RedisServer) -> None:
    where = redis_server.url if kind == "redis" else str(tmp_path / "cache.db")
    answers, calls = _processes(where, tmp_path, count=250, seconds=0.5, kill_leader=False)
    assert answers == ["Because."] * 1000
    assert len(calls) == 1


@pytest.mark.server
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_leader_that_is_killed_is_followed_by_one(kind: str, tmp_path: Path, redis_server: RedisServer) -> None:
    where = redis_server.url if kind == "redis" else str(tmp_path / "cache.db")
    answers, calls = _processes(where, tmp_path, count=20, seconds=1.0, kill_leader=True)
    assert answers == ["Because."] * 60
    assert len(calls) == 2
    assert len(set(calls)) == 2


def test_a_lease_is_renewed_for_as_long_as_the_leader_lives(tmp_path: Path) -> None:
    """A call may take longer than a lease lasts."""
    log = tmp_path / "calls.log"
    log.touch()

    def ask() -> str:
        cache = ResponseCache(tmp_path / "cache.db", lease_seconds=1.5)
        return str(
            ChatRouter({"cheap": Logged("Because.", file=str(log), seconds=3.5)}, response_cache=cache).invoke("Why?").content
        )

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: ask(), range(4))) == {"Because."}
    assert len(log.read_text().split()) == 1
