"""Network clients of event loops: one for each loop, closed when the loop is closed.

A connection belongs to the event loop it was opened in. A program may run thousands of loops one after the other (`asyncio.run` for
each request), or one in each of many threads, so the connections of a finished loop must be closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

MOST_AT_REST = 16
"""Most loops, stopped but not closed, that keep their clients; others get a new client when they run again."""


class LoopClients:
    """Clients by event loop, each created at first use.

    Args:
        make: Creates a client for the running loop.
        close: Closes a client; awaited in its own loop.
        drop: Closes a client whose loop is closed, where nothing can be awaited.
    """

    def __init__(self, make: Callable[[], Any], close: Callable[[Any], Awaitable[Any]], drop: Callable[[Any], Any]) -> None:
        self._make, self._close, self._drop = make, close, drop
        self._held: dict[asyncio.AbstractEventLoop, tuple[Any, Any]] = {}
        """Loop → its client, and the async generator that the loop ends at shutdown. Operations are atomic and need no lock."""

    def __len__(self) -> int:
        return len(self._held)

    def get(self) -> Any:
        """Return the running loop's client."""
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            self.sweep()
            client = self._make()
            end = self._until_the_end(loop, client)
            # Started here to register it with the loop: `asyncio.run` closes remaining async generators before it closes the loop.
            with suppress(StopIteration):
                end.__anext__().send(None)
            held = self._held[loop] = (client, end)
        return held[0]

    async def _until_the_end(self, loop: asyncio.AbstractEventLoop, client: Any) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            # A loop that was idle may have another client by now.
            if (held := self._held.get(loop)) is not None and held[0] is client:
                del self._held[loop]
            with suppress(Exception):
                await self._close(client)

    def sweep(self) -> None:
        """Drop the clients of closed loops, and of idle loops beyond `MOST_AT_REST`."""
        known = list(self._held)
        over = [loop for loop in known if loop.is_closed()]
        if len(known) - len(over) > MOST_AT_REST:
            over += [loop for loop in known if not loop.is_closed() and not loop.is_running()]
        for loop in over:
            held = self._held.pop(loop, None)
            # An idle loop closes them itself if it runs again (asyncio closes a generator without references).
            if held is not None and loop.is_closed():
                with suppress(Exception):
                    self._drop(held[0])

    async def aclose(self) -> None:
        """Close the running loop's client, and drop those of closed loops."""
        self.sweep()
        held = self._held.get(asyncio.get_running_loop())
        if held is not None:
            await held[1].aclose()
