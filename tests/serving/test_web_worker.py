"""One object for each worker: opened after the fork, closed in order, and what it says of itself."""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent

from langroute import Budget, ChatRouter, Route, RouterMiddleware
from langroute.budgets.memory import MemoryBudgets
from langroute.cache.response import ResponseCache
from langroute.core.errors import ConfigurationError, DegradedWarning
from langroute.ledger import open_ledger
from langroute.policies import Fixed
from langroute.serving import WebWorker, while_connected
from langroute.testing import ScriptedModel

PRICE = {"input": 1, "output": 2}


def build(worker: WebWorker) -> ChatRouter:
    return ChatRouter({"only": Route(ScriptedModel("Hm."), price=PRICE)}, ledger=worker.ledger)


def test_nothing_is_opened_before_it_is_used(tmp_path: Path) -> None:
    worker = WebWorker(build, ledger=tmp_path / "l.db")
    assert not worker.is_open
    assert not worker.healthy()
    assert not (tmp_path / "l.db").exists()
    worker.built.invoke("Hello?", worker.config(thread="t1"))
    assert worker.healthy()
    assert worker.status() == {
        "open": True,
        "waiting": worker.ledger.waiting,
        "dropped": 0,
        "trouble": None,
        "full": False,
        "routes": ["only"],
    }
    worker.close()
    worker.close()
    assert not worker.healthy()


def test_what_a_forked_child_uses_is_its_own(tmp_path: Path) -> None:
    worker = WebWorker(build, ledger=tmp_path / "l.db")
    mine = worker.built
    mine.invoke("Hello?")
    child = os.fork()
    if child == 0:
        try:
            healthy, theirs = worker.healthy(), worker.built
            theirs.invoke("Hello?")
            worker.close()
            os._exit(0 if not healthy and theirs is not mine else 3)
        finally:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert worker.built is mine
    worker.close()
    with open_ledger(tmp_path / "l.db") as ledger, ledger.reading() as connection:
        assert connection.exec_driver_sql("select count(*) from decisions").scalar() == 2


async def test_a_lifespan_opens_and_closes_and_can_come_again(tmp_path: Path) -> None:
    worker = WebWorker(build, ledger=tmp_path / "l.db")
    for _ in range(2):
        async with worker.lifespan("the application"):
            await worker.built.ainvoke("Hello?", worker.config(thread="t1"))
            assert worker.healthy()
        assert not worker.is_open
    with worker:
        totals = worker.ledger.task("t1")
        assert (totals.calls, totals.decisions) == (2, 2)


class Part:
    """Something that is closed, and writes down when."""

    def __init__(self, name: str, done: list[str]) -> None:
        self.name, self.done = name, done

    def close(self) -> None:
        self.done.append(self.name)


def test_the_parts_are_closed_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Policy(Part, Fixed):
        def __init__(self) -> None:
            Fixed.__init__(self, "only")
            Part.__init__(self, "policy", done)

    class Hook(Part):
        def on_decision(self, decision: Any) -> None:
            """Hear nothing."""

        on_outcome = on_decision

    class Store(MemoryBudgets):
        def close(self) -> None:
            done.append("budget")

    cache = ResponseCache()
    monkeypatch.setattr(cache, "close", lambda: done.append("cache"))

    def make(worker: WebWorker) -> Any:
        worker.own(Part("connection", done))
        router = ChatRouter(
            {"only": Route(ScriptedModel("Hm."), price=PRICE)},
            policy=Policy(),
            ledger=worker.ledger,
            hooks=[Hook("hook", done)],
            budget=Budget(usd=1, store=Store()),
            response_cache=cache,
        )
        worker.own(RouterMiddleware(router))
        return create_agent(ScriptedModel("x"), middleware=[RouterMiddleware(router)])

    worker = WebWorker(make, ledger=tmp_path / "l.db")
    with worker:
        worker.built.invoke({"messages": "Hello?"}, worker.config(thread="t1"))
        ledger, finish = worker.ledger, worker.ledger.finish
        monkeypatch.setattr(ledger, "finish", lambda: (done.append("ledger"), finish()))
    assert done == ["policy", "hook", "cache", "budget", "connection", "ledger"]
    assert ledger.is_finished


def test_one_that_cannot_be_closed_stops_none_of_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def close(self) -> None:
            raise RuntimeError("the pool is gone")

    with WebWorker(lambda worker: (worker.own(Broken()), build(worker))[1], ledger=tmp_path / "l.db") as worker:
        worker.built.invoke("Hello?")
        ledger = worker.ledger
    assert ledger.is_finished
    assert "A Broken could not be closed: RuntimeError: the pool is gone" in caplog.text


def test_what_is_recorded_after_the_end_is_written_at_once(tmp_path: Path) -> None:
    worker = WebWorker(build, ledger=tmp_path / "l.db")
    model = worker.built
    worker.close()
    model.invoke("A request that is late.")
    with open_ledger(tmp_path / "l.db") as ledger, ledger.reading() as connection:
        assert connection.exec_driver_sql("select count(*) from decisions").scalar() == 1


def test_trouble_goes_to_the_log_while_it_is_open(caplog: pytest.LogCaptureFixture) -> None:
    shown, before = [], warnings.showwarning
    warnings.showwarning = lambda *said, **_: shown.append(str(said[0]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            worker = WebWorker(build, logger="my.service")
            with worker, caplog.at_level(logging.WARNING, logger="my.service"):
                for _ in range(2):
                    warnings.warn("The ledger cannot be written.", DegradedWarning, stacklevel=1)
                warnings.warn("Something of another package.", UserWarning, stacklevel=1)
            with pytest.warns(DegradedWarning):
                warnings.warn("Nobody listens.", DegradedWarning, stacklevel=1)
    finally:
        warnings.showwarning = before
    assert [(record.name, record.message) for record in caplog.records] == [("my.service", "The ledger cannot be written.")] * 2
    assert shown == ["Something of another package."]


def test_a_config_says_who_asks_to_everybody_alike(tmp_path: Path) -> None:
    asked = {"team": "care", "user": "Ada", "kind": "support", "thread": 7, "project": "chat"}
    with WebWorker(build, ledger=tmp_path / "l.db") as worker:
        config = worker.config(**asked, budget=0.5, tags=["web"], metadata={"mine": 1})  # type: ignore[arg-type]
        assert config["configurable"] == {"thread_id": "7"}
        assert config["metadata"]["mine"] == 1
        answer = worker.built.invoke("Hello?", config)
        worker.outcomes.record(True, message=answer)
        worker.ledger.flush()
        with worker.ledger.reading() as connection:
            labels = connection.exec_driver_sql("select team, project, task_kind from labels").all()
        totals = worker.ledger.task("7")
    assert labels == [("care", "chat", "support")]
    assert (totals.calls, totals.success) == (1, True)


def test_feedback_is_told_once_to_each_who_hears(tmp_path: Path) -> None:
    heard: list[Any] = []

    class Hook:
        def on_decision(self, decision: Any) -> None:
            """Hear nothing."""

        def on_outcome(self, outcome: Any) -> None:
            heard.append(outcome)

    hook = Hook()

    def two(worker: WebWorker) -> Any:
        def make() -> ChatRouter:
            return ChatRouter({"only": ScriptedModel("Hm.")}, ledger=worker.ledger, hooks=[hook])

        return worker.own(make()), worker.own(make())

    with WebWorker(two, ledger=tmp_path / "l.db") as worker:
        first, second = (model.invoke("Hello?", worker.config(thread="t1")) for model in worker.built)
        worker.outcomes.record(True, message=first)
        worker.outcomes.record(False, message=second)
        assert len(worker.ledger.outcomes_of("t1")) == 2
    assert len(heard) == 2


@pytest.mark.parametrize("wrong", [None, "model", ScriptedModel("Hm.")])
def test_what_is_no_function_is_refused(wrong: Any) -> None:
    if callable(wrong):
        pytest.skip("chat models may be called")
    with pytest.raises(ConfigurationError, match="build is a function"):
        WebWorker(wrong)


def test_a_build_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    def broken(worker: WebWorker) -> Any:
        raise RuntimeError("no key")

    worker, before = WebWorker(broken, ledger=tmp_path / "l.db"), warnings.showwarning
    with pytest.raises(RuntimeError, match="no key"):
        worker.open()
    assert not worker.is_open
    assert warnings.showwarning is before


class Client:
    """Leaves when it is told to."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.body = [{"type": "http.request", "body": b""}]

    async def receive(self) -> dict[str, Any]:
        if self.body:
            return self.body.pop()
        await self.left.wait()
        return {"type": "http.disconnect"}


async def test_the_work_of_a_client_that_stays_is_returned() -> None:
    assert await while_connected(Client().receive, asyncio.sleep(0.01, "an answer")) == "an answer"


async def test_the_work_of_a_client_that_leaves_is_cancelled_before_it_returns() -> None:
    client, ends = Client(), []

    async def work() -> str:
        try:
            client.left.set()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ends.append("cancelled")
        return "never"

    assert await while_connected(client.receive, work()) is None
    assert ends == ["cancelled"]


async def test_an_error_of_the_work_is_raised_and_one_after_leaving_is_not() -> None:
    async def broken() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await while_connected(Client().receive, broken())

    client = Client()

    async def late() -> None:
        client.left.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError("too late") from None

    assert await while_connected(client.receive, late()) is None


async def test_a_handler_that_is_cancelled_itself_cancels_the_work() -> None:
    begun, ends = asyncio.Event(), []

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ends.append("cancelled")

    handler = asyncio.ensure_future(while_connected(Client().receive, work()))
    await begun.wait()
    handler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handler
    assert ends == ["cancelled"]
