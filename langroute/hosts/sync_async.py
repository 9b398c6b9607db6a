"""Runs logic that is written once, as a generator of calls, either synchronously or asynchronously.

The generator yields `(function, coroutine function, arguments)`; it is sent the result, or the error is thrown into it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Generator
from typing import Any, TypeVar

Answer = TypeVar("Answer")
Calls = Generator[tuple[Callable[..., Any], Callable[..., Awaitable[Any]], tuple[Any, ...]], Any, Answer]


def carry_out(calls: Calls[Answer]) -> Answer:
    """Make a generator's calls synchronously; return its result.

    Example:
        >>> async def aword(number):
        ...     return str(number)
        >>> def words():
        ...     return [(yield str, aword, (1,)), (yield str, aword, (2,))]
        >>> carry_out(words())
        ['1', '2']
    """
    try:
        function, _, given = next(calls)
        while True:
            try:
                value = function(*given)
            except StopIteration as error:
                # A generator would make another error of it.
                calls.close()
                passed_on = error
                break
            except BaseException as error:  # noqa: BLE001 - handed on to the logic, which decides
                function, _, given = calls.throw(error)
                continue
            function, _, given = calls.send(value)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise passed_on


async def acarry_out(calls: Calls[Answer]) -> Answer:
    """Async version of `carry_out`."""
    try:
        _, function, given = next(calls)
        while True:
            try:
                value = await function(*given)
            except BaseException as error:  # noqa: BLE001 - handed on to the logic, which decides
                _, function, given = calls.throw(error)
                continue
            _, function, given = calls.send(value)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def collected(source: AsyncIterable[Any]) -> list[Any]:
    """Return what an async iterator yields."""
    return [item async for item in source]
