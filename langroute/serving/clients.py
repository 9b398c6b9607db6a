"""Clients that leave while their answer is made: the work for them is cancelled, down to the request to the provider."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def while_connected(receive: Callable[[], Awaitable[Mapping[str, Any]]], work: Awaitable[T]) -> T | None:
    """Return the result of some work, or cancel it and return `None` if the client leaves first.

    A web server tells a handler that its client has left, but stops nothing: without this the model goes on writing, and is paid for it.

    Args:
        receive: The ASGI application's `receive`, after the body was read; `request.receive` in Starlette and FastAPI.
        work: A coroutine, such as `model.ainvoke(...)` or one that sends the chunks of a stream.

    Example:
        >>> async def receive():
        ...     return {"type": "http.disconnect"}
        >>> asyncio.run(while_connected(receive, asyncio.sleep(60, "an answer")))
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
    finally:
        # Also where the handler is cancelled itself.
        leaving.cancel()
        working.cancel()
        await asyncio.wait((working, leaving))
    with suppress(asyncio.CancelledError):
        # It may have ended all the same: its error is nobody's then.
        working.exception()
    return None


async def _left(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


__all__ = ["while_connected"]
