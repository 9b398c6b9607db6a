"""`with task(...)` in generators that are read, and closed, by other threads and coroutines than the one that began them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

from waiting import until

from langroute import ChatRouter, Route, current_task, task
from langroute.ledger import open_ledger
from langroute.ledger.memory import MemoryLedger
from langroute.testing import ScriptedModel


def router(ledger: object) -> ChatRouter:
    return ChatRouter({"only": Route(ScriptedModel("one two three four"), price={"input": 1, "output": 2})}, ledger=ledger)


def test_each_chunk_in_a_context_of_its_own(tmp_path: Path) -> None:
    """As Starlette reads a generator that is not async: by any thread, in a copy of the request's context."""
    with open_ledger(tmp_path / "l.db") as ledger, ThreadPoolExecutor(1) as threads:
        model = router(ledger)

        def chunks() -> Iterator[str]:
            with task("ticket-17", kind="support", team="care"):
                for chunk in model.stream("Hello?"):
                    yield chunk.text

        reading, done = chunks(), object()
        while threads.submit(copy_context().run, next, reading, done).result() is not done:
            pass
        totals = ledger.task("ticket-17")
        assert totals is not None
        assert (totals.calls, totals.decisions) == (1, 1)
        with ledger.reading() as connection:
            assert connection.exec_driver_sql("select distinct team from labels").scalars().all() == ["care"]
    assert current_task() is None


def test_closed_by_another_thread(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db") as ledger, ThreadPoolExecutor(1) as threads:
        model = router(ledger)

        def chunks() -> Iterator[str]:
            with task("ticket-17"):
                for chunk in model.stream("Hello?"):
                    yield chunk.text

        reading = chunks()
        threads.submit(copy_context().run, next, reading).result()
        threads.submit(copy_context().run, reading.close).result()
        totals = ledger.task("ticket-17")
        assert totals is not None
        assert (totals.calls, totals.errors) == (1, 1)


async def test_an_async_generator_that_the_event_loop_closes() -> None:
    ledger, problems = MemoryLedger(), []
    model = router(ledger)

    async def chunks() -> AsyncIterator[str]:
        with task("ticket-17"):
            async for chunk in model.astream("Hello?"):
                yield chunk.text

    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: problems.append(context))
    try:
        reading = chunks()
        await asyncio.ensure_future(reading.__anext__())
        # In a task with a context of its own.
        await asyncio.ensure_future(reading.aclose())
        # The model's stream is closed by the loop, a moment later.
        await until(lambda: ledger.decisions)
    finally:
        loop.set_exception_handler(before)
    assert problems == []
    assert [decision.step.task for decision in ledger.decisions] == ["ticket-17"]
    assert current_task() is None


def test_a_block_that_ends_in_a_copy_of_its_context_leaves_the_task_before_it() -> None:
    def block() -> Iterator[None]:
        with task("inner"):
            yield

    with task("outer"):
        inside = block()
        next(inside)
        found = copy_context()
        found.run(lambda: inside.close())
        assert found.run(current_task).id == "outer"  # type: ignore[union-attr]
