"""Logic that is written once is carried out both ways alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from langroute.hosts.sync_async import acarry_out, carry_out, collected


def raising(error: BaseException) -> tuple[Callable[[], Any], Callable[[], Any], tuple[()]]:
    def plain() -> Any:
        raise error

    async def awaited() -> Any:
        raise error

    return plain, awaited, ()


async def adouble(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def double(number: int) -> int:
    return 2 * number


def both(logic: Callable[[], Any]) -> list[Any]:
    return [carry_out(logic()), asyncio.run(acarry_out(logic()))]


def test_results_are_sent_and_the_last_is_returned() -> None:
    def logic() -> Any:
        first = yield double, adouble, (1,)
        return (yield double, adouble, (first,))

    assert both(logic) == [4, 4]


def test_logic_without_calls() -> None:
    def logic() -> Any:
        yield from ()
        return "done"

    assert both(logic) == ["done", "done"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), asyncio.CancelledError()])
def test_an_error_is_thrown_into_the_logic_which_may_go_on(error: BaseException) -> None:
    def logic() -> Any:
        try:
            yield raising(error)
        except type(error) as caught:
            return (yield double, adouble, (len(str(caught)),))

    assert carry_out(logic()) == 2 * len(str(error))


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), StopIteration("over")])
def test_an_error_that_nobody_handles_is_raised_after_the_logic_has_ended(error: BaseException) -> None:
    """A fake model that has run out of answers raises `StopIteration`, which no generator lets through."""
    ended = []

    def logic() -> Any:
        try:
            yield raising(error)
        finally:
            ended.append(True)

    with pytest.raises(type(error)) as raised:
        carry_out(logic())
    assert (raised.value, ended) == (error, [True])


async def test_a_cancelled_task_ends_the_logic() -> None:
    ended = []

    def logic() -> Any:
        try:
            yield double, asyncio.sleep, (60,)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    task = asyncio.create_task(acarry_out(logic()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]


async def test_an_async_iterator_is_collected() -> None:
    async def numbers() -> Any:
        for number in range(3):
            yield number

    assert await collected(numbers()) == [0, 1, 2]
