"""Streaming of routed calls as LangChain's content-block events (`stream_events(version="v3")`).

The chosen model's own event stream is driven like any other stream, and its events are passed on to a stream of the router: so a
route that fails before its first event is replaced unseen, and the finishing event carries the decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models.chat_model_stream import AsyncChatModelStream, ChatModelStream

from langroute.engine.drivers import Plan, astream, stream
from langroute.engine.effects import RouteCall
from langroute.engine.events import aannounce, announce
from langroute.hosts.calling import ModelHost

FINISH = "message-finish"


class EventsHost(ModelHost):
    """Streams the chosen route's model as content-block events."""

    __slots__ = ("inner",)

    streams = "events"
    inner: Any
    """The model's own event stream of the latest attempt."""

    def stream(self, call: RouteCall) -> Iterator[Any]:
        """Yield the model's events."""
        model, messages, config, kwargs = self.ready(call)
        if self.limiter is not None:
            self.limiter.acquire(blocking=True)
        self.inner = model.stream_events(messages, config, version="v3", **kwargs)
        return iter(self.inner)

    async def astream(self, call: RouteCall) -> AsyncIterator[Any]:
        """Async version of `stream`."""
        model, messages, config, kwargs = self.ready(call)
        if self.limiter is not None:
            await self.limiter.aacquire(blocking=True)
        self.inner = await model.astream_events(messages, config, version="v3", **kwargs)
        async for event in self.inner:
            yield event

    def caught_message(self) -> Any:
        """Return the message that the events add up to."""
        return getattr(getattr(self, "inner", None), "output_message", None)


class _AsyncStream(AsyncChatModelStream):
    """Event stream that also closes the model's stream, since LangChain's own task would go on reading it without a reader."""

    def __init__(self, host: EventsHost, source: AsyncIterator[Any]) -> None:
        super().__init__()
        self.host, self.source = host, source

    async def aclose(self) -> None:
        """Close the model's stream and release its resources."""
        if (inner := getattr(self.host, "inner", None)) is not None:
            await inner.aclose()
        await self.source.aclose()  # type: ignore[attr-defined]
        if not self.done:
            self.fail(asyncio.CancelledError())

    async def _await_full(self) -> Any:
        message = await super()._await_full()
        # The model's callbacks must get the end of the run before the caller goes on.
        await self.host.inner
        return message


def events(plan: Plan, host: EventsHost, config: Any) -> ChatModelStream:
    """Return the event stream of a routed call; it starts when it is first read."""
    shown = ChatModelStream()
    source = stream(plan, host, lambda decision, shown: announce(decision, config, shown))

    def pump() -> bool:
        try:
            event = next(source)
        except StopIteration:
            return False
        except BaseException as error:  # noqa: BLE001 - as LangChain does: whoever reads the stream gets it
            shown.fail(error)
            return False
        _show(shown, host, event)
        return True

    shown.bind_pump(pump)
    return shown


async def aevents(plan: Plan, host: EventsHost, config: Any) -> AsyncChatModelStream:
    """Async version of `events`."""
    source = astream(plan, host, lambda decision, shown: aannounce(decision, config, shown))
    shown = _AsyncStream(host, source)
    # Several projections may be read concurrently by different tasks; one event is fetched at a time.
    turn = asyncio.Lock()

    async def pump() -> bool:
        async with turn:
            if shown.done:
                return False
            try:
                event = await source.__anext__()
            except StopAsyncIteration:
                return False
            except BaseException as error:
                shown.fail(error)
                if isinstance(error, Exception):
                    return False
                raise
            _show(shown, host, event)
            return True

    shown.set_arequest_more(pump)
    return shown


def _show(shown: Any, host: EventsHost, event: Any) -> None:
    if shown.message_id is None and host.inner.message_id is not None:
        shown.set_message_id(host.inner.message_id)
    shown.dispatch(event)


__all__ = ["EventsHost", "aevents", "events"]
