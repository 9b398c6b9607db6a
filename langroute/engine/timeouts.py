"""Time limits for calls and streams, and hedged requests to a second route.

Limits apply to the first token and to the whole answer; a hedged request goes to another route when the first one is slow. An abandoned
call shows nothing any more: if it cannot be cancelled, its callbacks are cut off.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextvars import copy_context
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from langroute.core.errors import ConfigurationError, RaceLostError, RouteTimeoutError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.stream_content import has_content
from langroute.engine.effects import Raced, Reply, RouteCall
from langroute.engine.token_gate import Stopped, TokenGate

_END = object()


@fast_dataclass
class Hedging:
    """Hedged requests: a second route is called when the first is slow, and the first answer wins.

    Both calls are recorded, and the loser's cost is unknown. There is no hedging with a budget, a response cache or an asynchronous
    policy, for structured output, or in an agent's middleware.

    Args:
        after: Seconds without an answer (in a stream: without a first token) before the next route is called too.

    Raises:
        ConfigurationError: The time is not above zero.

    Example:
        >>> Timeouts(total=60, hedging=Hedging(after=3)).hedging.after
        3
    """

    after: float

    def __post_init__(self) -> None:
        if self.after <= 0:
            raise ConfigurationError(f"after is above 0, not {self.after}.")


@fast_dataclass
class Timeouts:
    """Time limits for calls of a route.

    Args:
        first_token: Longest wait for the first token of a stream.
        total: Longest wait for a whole answer.
        hedging: Hedged requests to another route when the first one is slow.
        restart_stream: Restart a stream that breaks off after tokens were shown on another route instead of raising the error. A
            chunk with `response_metadata["langroute_restart"]` and a `langroute_restart` event announce it. (A stream of
            content-block events cannot be restarted; there the error is raised.)

    Raises:
        ConfigurationError: A limit is not above zero.

    Example:
        >>> Timeouts(first_token=10, total=120).total
        120
    """

    first_token: float | None = None
    total: float | None = None
    hedging: Hedging | None = None
    restart_stream: bool = False

    def __post_init__(self) -> None:
        for name in ("first_token", "total"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigurationError(f"{name} is above 0, not {value}.")

    @property
    def _hedge_after(self) -> float | None:
        return None if self.hedging is None else self.hedging.after

    @property
    def waits(self) -> bool:
        """Whether there is any limit to watch."""
        return self.first_token is not None or self.total is not None or self.hedging is not None

    # One answer ------------------------------------------------------------------------------------------------------

    def call(self, host: Any, call: RouteCall) -> Reply:
        """Return the host's reply, calling it in a thread that is abandoned when time is over."""
        race = _ThreadRace(self, _gated(host, call))
        race.start(call, host.call)
        reply = race.result(host.call)
        return reply if isinstance(reply, Reply) else Reply(reply)

    async def acall(self, host: Any, call: RouteCall) -> Reply:
        """Async version of `call`; an abandoned call is cancelled."""
        race = _Race(self, _gated(host, call))
        tasks: dict[asyncio.Task[Any], RouteCall] = {asyncio.ensure_future(host.acall(call)): call}
        try:
            while True:
                wait = race.wait(self.total, len(tasks))
                done, _ = await asyncio.wait(tasks, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    _, other = race.late(self.total, tasks.values(), "answer")
                    if other is not None:
                        tasks[asyncio.ensure_future(host.acall(other))] = other
                    continue
                task = done.pop()
                asked = tasks.pop(task)
                if (error := task.exception()) is None:
                    reply = task.result()
                    reply.call, reply.also = asked, race.losers(tasks.values())
                    return reply  # type: ignore[no-any-return]
                race.failures.append((asked, error))
                if not tasks:
                    raise _with_others(race.failures, race.begun)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.gather(*tasks, return_exceptions=True)

    def _left(self, begun: float, limit: float | None, *, hedge: bool) -> float | None:
        """Return the seconds until the next limit or hedged request; `None` if there is neither."""
        ends = [limit] if limit is not None else []
        if hedge and self._hedge_after is not None:
            ends.append(self._hedge_after)
        return max(0.0, begun + min(ends) - monotonic()) if ends else None

    @staticmethod
    def _is_over(begun: float, limit: float | None) -> bool:
        return limit is not None and monotonic() - begun >= limit

    def _over(self, begun: float, limit: float | None, call: RouteCall, what: str) -> None:
        if limit is not None and self._is_over(begun, limit):
            raise RouteTimeoutError(call.route.name, limit, what)

    # Streams ---------------------------------------------------------------------------------------------------------

    def stream(self, host: Any, call: RouteCall, won: Callable[[Reply], None]) -> Iterator[Any]:
        """Yield the chunks of the route that answers first, read in a thread.

        Args:
            host: The streaming host.
            call: The call.
            won: Called before the first chunk with the winner, as a `Reply` without a message.
        """
        race = _ThreadRace(self, _gated(host, call))
        race.start(call, host.stream, streams=True)
        yield from race.chunks(host.stream, won)

    async def astream(self, host: Any, call: RouteCall, won: Callable[[Reply], None]) -> AsyncIterator[Any]:
        """Async version of `stream`."""
        race = _TaskRace(self, host, _gated(host, call))
        try:
            chunk = await race.first(won)
            for earlier in race.silent.pop(id(race.winner), ()):
                yield earlier
            while chunk is not _END:
                yield chunk
                left = None if _is_last(chunk) else self._left(race.begun, self.total, hedge=False)
                try:
                    chunk = await (_next(race.winner) if left is None else asyncio.wait_for(_next(race.winner), left))
                except asyncio.TimeoutError as error:
                    self._over(race.begun, self.total, call, "answer")
                    raise error
        finally:
            await race.close()


def _gated(host: Any, call: RouteCall) -> RouteCall:
    """Return the call with a token gate; its hedged call is dropped if the host cannot tell two answers apart."""
    call.gate = TokenGate(call.route.name)
    if not getattr(type(host), "races", False) or hasattr(type(host), "caught_message"):
        call.other = None
    return call


def _other(call: RouteCall) -> RouteCall | None:
    """Make the hedged call, at most once. Both gates share their rivals: the first to show anything closes the other."""
    if call.other is None:
        return None
    other: RouteCall | None = call.other()
    call.other = None
    if other is not None:
        other.gate = TokenGate(other.route.name, call.gate.rivals)
    return other


def _shown(calls: Iterable[RouteCall]) -> bool:
    """Return whether one of the calls has shown tokens; if not, close all their gates."""
    given_up = [call.gate.give_up() for call in calls]
    return not all(given_up)


def _is_last(chunk: Any) -> bool:
    """Return whether this is the last chunk. What follows is the end of the model's own run, to which no limit applies."""
    return getattr(chunk, "chunk_position", None) == "last"


async def _next(source: Any) -> Any:
    try:
        return await source.__anext__()
    except StopAsyncIteration:
        return _END


def _lost(call: RouteCall, begun: float) -> Reply:
    return Reply(None, RaceLostError(call.route.name), monotonic() - begun)


def _failed(failures: list[tuple[RouteCall, BaseException]], begun: float) -> list[tuple[RouteCall, Reply]]:
    return [(call, Reply(None, _told(call, error), monotonic() - begun)) for call, error in failures]


def _told(call: RouteCall, error: BaseException) -> BaseException:
    """Return the error to record: `RaceLostError` for a call whose gate was closed by a faster one."""
    return RaceLostError(call.route.name) if isinstance(error, Stopped) else error


def _with_others(failures: list[tuple[RouteCall, BaseException]], begun: float) -> BaseException:
    """Return the last error, wrapped in a `Raced` if there were earlier ones."""
    call, error = failures[-1]
    error = _told(call, error)
    return Raced(error, call, _failed(failures[:-1], begun)) if len(failures) > 1 else error


class _Race:
    """State of one or two calls of which the first answer, or first chunk with content, is kept."""

    def __init__(self, timeouts: Timeouts, call: RouteCall) -> None:
        self.timeouts, self.call = timeouts, call
        self.begun = monotonic()
        self.failures: list[tuple[RouteCall, BaseException]] = []
        self.silent: dict[int, list[Any]] = {}
        """Chunks without content, by the id of their call or stream."""

    def wait(self, limit: float | None, running: int) -> float | None:
        """Return the seconds until the next deadline while `running` calls are open; `None` if there is none."""
        hedging = self.call.other is not None and running + len(self.failures) == 1
        return self.timeouts._left(self.begun, limit, hedge=hedging)

    def late(self, limit: float | None, running: Iterable[RouteCall], what: str) -> tuple[float | None, RouteCall | None]:
        """Return the limit from now on, as a deadline has passed, and the call to start beside, if any.

        Raises:
            RouteTimeoutError: The limit is over and no listener has seen a token.
        """
        if limit != self.timeouts.total and self.timeouts._is_over(self.begun, limit) and _shown(running):
            # A listener has seen a token already; its chunk will arrive.
            return self.timeouts.total, None
        self.timeouts._over(self.begun, limit, self.call, what)
        return limit, _other(self.call)

    def losers(self, running: Iterable[RouteCall]) -> list[tuple[RouteCall, Reply]]:
        """Return the replies of the calls that failed or are still open."""
        return [*_failed(self.failures, self.begun), *((call, _lost(call, self.begun)) for call in running)]


class _TaskRace(_Race):
    """Streams read in tasks of their own."""

    def __init__(self, timeouts: Timeouts, host: Any, call: RouteCall) -> None:
        super().__init__(timeouts, call)
        self.host = host
        self.sources: dict[asyncio.Task[Any], tuple[RouteCall, Any]] = {}
        """Open streams by the task that waits for their next chunk."""

        self.winner: Any = None

    def _ask(self, call: RouteCall) -> None:
        self._listen(call, self.host.astream(call))

    def _listen(self, call: RouteCall, source: Any) -> None:
        self.sources[asyncio.ensure_future(_next(source))] = (call, source)

    async def first(self, won: Callable[[Reply], None]) -> Any:
        """The first chunk with something to read, or `_END`; `won` is told whose it is.

        Raises:
            RouteTimeoutError: It did not come in time.
            Exception: What the last route raised, where all failed.
        """
        limit = min((limit for limit in (self.timeouts.first_token, self.timeouts.total) if limit is not None), default=None)
        self._ask(self.call)
        while True:
            wait = self.wait(limit, len(self.sources))
            done, _ = await asyncio.wait(self.sources, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                limit, other = self.late(limit, (one for one, _ in self.sources.values()), "first token")
                if other is not None:
                    self._ask(other)
                continue
            task = done.pop()
            asked, source = self.sources.pop(task)
            if (error := task.exception()) is not None:
                self.failures.append((asked, error))
                if not self.sources:
                    raise _with_others(self.failures, self.begun)
                continue
            if (chunk := task.result()) is not _END and not has_content(chunk):
                # An empty chunk is no first token and wins no race.
                self.silent.setdefault(id(source), []).append(chunk)
                self._listen(asked, source)
                continue
            self.winner = source
            won(Reply(call=asked, also=self.losers(one for one, _ in self.sources.values())))
            await self._drop()
            return chunk

    async def _drop(self) -> None:
        """Cancel and close the other streams, so that their models are stopped now."""
        given_up = list(self.sources.items())
        self.sources.clear()
        for task, _ in given_up:
            task.cancel()
        await asyncio.gather(*(task for task, _ in given_up), return_exceptions=True)
        for _, (_, source) in given_up:
            if (close := getattr(source, "aclose", None)) is not None:
                await close()

    async def close(self) -> None:
        """End all streams, the winner's too."""
        await self._drop()
        if (close := getattr(self.winner, "aclose", None)) is not None:
            await close()


class _ThreadRace(_Race):
    """Calls in threads of their own."""

    def __init__(self, timeouts: Timeouts, call: RouteCall) -> None:
        super().__init__(timeouts, call)
        self.heard: SimpleQueue[tuple[RouteCall, str, Any]] = SimpleQueue()
        self.running: list[RouteCall] = []

    def start(self, call: RouteCall, work: Callable[[RouteCall], Any], *, streams: bool = False) -> None:
        gate = call.gate
        context = copy_context()

        def run() -> None:
            try:
                if not streams:
                    self.heard.put((call, "answer", work(call)))
                    return
                for chunk in work(call):
                    if gate.closed:
                        return
                    self.heard.put((call, "chunk", chunk))
                self.heard.put((call, "chunk", _END))
            except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
                self.heard.put((call, "error", error))

        self.running.append(call)
        threading.Thread(target=context.run, args=(run,), name=f"langroute-{call.route.name}", daemon=True).start()

    def _first(self, work: Callable[[RouteCall], Any], limit: float | None, what: str) -> tuple[RouteCall, Any]:
        """Return the first answer or chunk with its call; start the hedged call when the first is slow."""
        streams = what == "first token"
        while True:
            try:
                call, kind, value = self.heard.get(timeout=self.wait(limit, len(self.running)))
            except Empty:
                limit, other = self.late(limit, self.running, what)
                if other is not None:
                    self.start(other, work, streams=streams)
                continue
            if kind == "chunk" and value is not _END and not has_content(value):
                # An empty chunk is no first token and wins no race.
                self.silent.setdefault(id(call), []).append(value)
                continue
            self.running.remove(call)
            if kind != "error":
                return call, value
            self.failures.append((call, value))
            if not self.running:
                raise _with_others(self.failures, self.begun)

    def _close(self) -> list[tuple[RouteCall, Reply]]:
        """Close the gates of the calls that are still running; return the replies of all losers."""
        losers = self.losers(self.running)
        for call in self.running:
            call.gate.close()
        self.running = []
        return losers

    def result(self, work: Callable[[RouteCall], Any]) -> Any:
        try:
            call, reply = self._first(work, self.timeouts.total, "answer")
            reply.call, reply.also = call, self._close()
            return reply
        finally:
            self._close()

    def chunks(self, work: Callable[[RouteCall], Any], won: Callable[[Reply], None]) -> Iterator[Any]:
        limits = [limit for limit in (self.timeouts.first_token, self.timeouts.total) if limit is not None]
        call = self.call
        try:
            call, chunk = self._first(work, min(limits, default=None), "first token")
            won(Reply(call=call, also=self._close()))
            yield from self.silent.pop(id(call), ())
            while chunk is not _END:
                yield chunk
                chunk = self._next(call, None if _is_last(chunk) else self.timeouts.total)
        finally:
            self._close()
            call.gate.close()

    def _next(self, winner: RouteCall, limit: float | None) -> Any:
        while True:
            try:
                call, kind, value = self.heard.get(timeout=self.timeouts._left(self.begun, limit, hedge=False))
            except Empty:
                self.timeouts._over(self.begun, limit, winner, "answer")
                continue
            if call is not winner:
                continue
            if kind == "error":
                raise value
            return value


__all__ = ["Raced", "Timeouts"]
