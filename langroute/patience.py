"""How long is a route waited for, and what then?

Time limits for the first token and for the whole answer, and a second request to another route where the first one is slow. A call that
is given up shows nothing any more: where it cannot be cancelled, its callbacks are cut off.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from langroute.effects import Call, Reply
from langroute.errors import ConfigurationError, RaceLostError, RouteTimeoutError
from langroute.gate import Gate, Stopped, shows

_END = object()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a route is waited for.

    Args:
        first_token_seconds: Longest wait for the first token of a stream.
        total_seconds: Longest wait for a whole answer.
        hedge_seconds: After so long without an answer (in a stream: without a first token) the route that would come next is asked
            too; the first that answers wins. Both are recorded, and the loser's cost is unknown. Not done where a budget
            binds, a response cache is in use or the policy is asynchronous, nor for structured output and in an agent's middleware.
        restart: A stream that breaks off after tokens were shown begins again on another route instead of raising the error.
            A chunk with `response_metadata["langroute_restart"]` says so, and a `langroute_restart` event. (A stream of
            content-block events cannot begin again; there the error is raised.)

    Raises:
        ConfigurationError: A limit is not above zero.

    Example:
        >>> Patience(first_token_seconds=10, total_seconds=120).total_seconds
        120
    """

    first_token_seconds: float | None = None
    total_seconds: float | None = None
    hedge_seconds: float | None = None
    restart: bool = False

    def __post_init__(self) -> None:
        for name in ("first_token_seconds", "total_seconds", "hedge_seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigurationError(f"{name} is above 0, not {value}.")

    @property
    def waits(self) -> bool:
        """There is a limit to watch."""
        return self.first_token_seconds is not None or self.total_seconds is not None or self.hedge_seconds is not None

    # One answer ------------------------------------------------------------------------------------------------------

    def call(self, host: Any, call: Call) -> Reply:
        """The host's answer, in a thread that is given up when time is over."""
        race = _Race(self, _gated(host, call))
        race.start(call, host.call)
        reply = race.result(host.call)
        return reply if isinstance(reply, Reply) else Reply(reply)

    async def acall(self, host: Any, call: Call) -> Reply:
        """The host's answer; what is given up is cancelled."""
        begun, call = monotonic(), _gated(host, call)
        tasks: dict[asyncio.Task[Any], Call] = {asyncio.ensure_future(host.acall(call)): call}
        failures: list[tuple[Call, BaseException]] = []
        try:
            while True:
                wait = self._left(begun, self.total_seconds, hedge=len(tasks) + len(failures) == 1 and call.other is not None)
                done, _ = await asyncio.wait(tasks, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    self._over(begun, self.total_seconds, call, "answer")
                    other = _other(call)
                    if other is not None:
                        tasks[asyncio.ensure_future(host.acall(other))] = other
                    continue
                task = done.pop()
                asked = tasks.pop(task)
                if (error := task.exception()) is None:
                    reply = task.result()
                    reply.also = [*_failed(failures, begun), *((lost, _lost(lost, begun)) for lost in tasks.values())]
                    reply.call = asked
                    return reply  # type: ignore[no-any-return]
                failures.append((asked, error))
                if not tasks:
                    raise _with_others(failures, begun)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.gather(*tasks, return_exceptions=True)

    def _left(self, begun: float, limit: float | None, *, hedge: bool) -> float | None:
        """Seconds until something has to be done."""
        ends = [limit] if limit is not None else []
        if hedge and self.hedge_seconds is not None:
            ends.append(self.hedge_seconds)
        return max(0.0, begun + min(ends) - monotonic()) if ends else None

    @staticmethod
    def _is_over(begun: float, limit: float | None) -> bool:
        return limit is not None and monotonic() - begun >= limit

    def _over(self, begun: float, limit: float | None, call: Call, what: str) -> None:
        if limit is not None and self._is_over(begun, limit):
            raise RouteTimeoutError(call.route.name, limit, what)

    # Streams ---------------------------------------------------------------------------------------------------------

    def stream(self, host: Any, call: Call, won: Callable[[Reply], None]) -> Iterator[Any]:
        """The chunks of the route that is first, from a thread.

        Args:
            host: Who streams.
            call: What is asked.
            won: Told who won, as a `Reply` without a message, before the first chunk.
        """
        race = _Race(self, _gated(host, call))
        race.start(call, host.stream, streams=True)
        yield from race.chunks(host.stream, won)

    async def astream(self, host: Any, call: Call, won: Callable[[Reply], None]) -> AsyncIterator[Any]:
        """The same, awaited."""
        begun, call = monotonic(), _gated(host, call)
        limit = min((limit for limit in (self.first_token_seconds, self.total_seconds) if limit is not None), default=None)
        sources: dict[asyncio.Task[Any], tuple[Call, Any]] = {}
        failures: list[tuple[Call, BaseException]] = []
        silent: dict[int, list[Any]] = {}

        def ask(one: Call) -> None:
            source = host.astream(one)
            sources[asyncio.ensure_future(_next(source))] = (one, source)

        ask(call)
        source = None
        try:
            while source is None:
                hedging = call.other is not None and len(sources) + len(failures) == 1
                done, _ = await asyncio.wait(
                    sources, timeout=self._left(begun, limit, hedge=hedging), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    early = limit != self.total_seconds and self._is_over(begun, limit)
                    if early and _shown(one for one, _ in sources.values()):
                        # Whoever listens has it; the chunk is on its way.
                        limit = self.total_seconds
                        continue
                    self._over(begun, limit, call, "first token")
                    other = _other(call)
                    if other is not None:
                        ask(other)
                    continue
                task = done.pop()
                asked, candidate = sources.pop(task)
                if (error := task.exception()) is not None:
                    failures.append((asked, error))
                    if not sources:
                        raise _with_others(failures, begun)
                    continue
                if (chunk := task.result()) is not _END and not shows(chunk):
                    # Nothing to read yet: it is neither late nor first.
                    silent.setdefault(id(candidate), []).append(chunk)
                    sources[asyncio.ensure_future(_next(candidate))] = (asked, candidate)
                    continue
                source = candidate
                lost = [(one, _lost(one, begun)) for one, _ in sources.values()]
                won(Reply(call=asked, also=[*_failed(failures, begun), *lost]))
            await _drop(sources)
            for earlier in silent.pop(id(source), ()):
                yield earlier
            while chunk is not _END:
                yield chunk
                left = None if _is_last(chunk) else self._left(begun, self.total_seconds, hedge=False)
                try:
                    chunk = await (_next(source) if left is None else asyncio.wait_for(_next(source), left))
                except asyncio.TimeoutError as error:
                    self._over(begun, self.total_seconds, call, "answer")
                    raise error
        finally:
            await _drop(sources)
            if source is not None and (close := getattr(source, "aclose", None)) is not None:
                await close()


def _gated(host: Any, call: Call) -> Call:
    """The call behind a gate, with another one to race it only where the host can tell two answers apart."""
    call.gate = Gate(call.route.name)
    if not getattr(type(host), "races", False) or hasattr(type(host), "caught_message"):
        call.other = None
    return call


def _other(call: Call) -> Call | None:
    """The call that races this one, made once: whichever shows something first shuts the other's gate."""
    if call.other is None:
        return None
    other: Call | None = call.other()
    call.other = None
    if other is not None:
        other.gate = Gate(other.route.name, call.gate.rivals)
    return other


def _shown(calls: Iterable[Call]) -> bool:
    """One of the calls has shown something; otherwise none of them can any more."""
    given_up = [call.gate.give_up() for call in calls]
    return not all(given_up)


def _is_last(chunk: Any) -> bool:
    """The answer is whole: what still comes is the end of the model's own run, which no limit may turn into a failure."""
    return getattr(chunk, "chunk_position", None) == "last"


async def _next(source: Any) -> Any:
    try:
        return await source.__anext__()
    except StopAsyncIteration:
        return _END


async def _drop(sources: dict[asyncio.Task[Any], tuple[Call, Any]]) -> None:
    """Give streams up: cancel what they wait for, then close them, so that their models hear of it now."""
    given_up = list(sources.items())
    sources.clear()
    for task, _ in given_up:
        task.cancel()
    await asyncio.gather(*(task for task, _ in given_up), return_exceptions=True)
    for _, (_, source) in given_up:
        if (close := getattr(source, "aclose", None)) is not None:
            await close()


def _lost(call: Call, begun: float) -> Reply:
    return Reply(None, RaceLostError(call.route.name), monotonic() - begun)


def _failed(failures: list[tuple[Call, BaseException]], begun: float) -> list[tuple[Call, Reply]]:
    return [(call, Reply(None, _told(call, error), monotonic() - begun)) for call, error in failures]


def _told(call: Call, error: BaseException) -> BaseException:
    """An error as it is recorded: a call whose gate was shut by a faster one lost its race."""
    return RaceLostError(call.route.name) if isinstance(error, Stopped) else error


def _with_others(failures: list[tuple[Call, BaseException]], begun: float) -> BaseException:
    """The last error; the ones before it are told by `Raced`."""
    call, error = failures[-1]
    error = _told(call, error)
    return Raced(error, call, _failed(failures[:-1], begun)) if len(failures) > 1 else error


class Raced(Exception):  # noqa: N818 - carries an error to the driver, is never seen outside
    """Two routes were asked at once and both failed."""

    def __init__(self, error: BaseException, call: Call, also: list[tuple[Call, Reply]]) -> None:
        super().__init__(str(error))
        self.error, self.call, self.also = error, call, also


class _Race:
    """Calls in threads of their own, of which the first that answers is listened to."""

    def __init__(self, patience: Patience, call: Call) -> None:
        self.patience, self.call = patience, call
        self.begun = monotonic()
        self.heard: SimpleQueue[tuple[Call, str, Any]] = SimpleQueue()
        self.running: list[Call] = []
        self.failures: list[tuple[Call, BaseException]] = []
        self.silent: dict[int, list[Any]] = {}
        """Chunks of each call in which there is nothing to read."""

    def start(self, call: Call, work: Callable[[Call], Any], *, streams: bool = False) -> None:
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

    def _first(self, work: Callable[[Call], Any], limit: float | None, what: str) -> tuple[Call, Any]:
        """The first answer or chunk; where a route is slow, the next one is asked too."""
        streams = what == "first token"
        while True:
            hedging = self.call.other is not None and len(self.running) + len(self.failures) == 1
            try:
                call, kind, value = self.heard.get(timeout=self.patience._left(self.begun, limit, hedge=hedging))
            except Empty:
                if (
                    streams
                    and limit != self.patience.total_seconds
                    and self.patience._is_over(self.begun, limit)
                    and _shown(self.running)
                ):
                    # Whoever listens has it; the chunk is on its way.
                    limit = self.patience.total_seconds
                    continue
                self.patience._over(self.begun, limit, self.call, what)
                other = _other(self.call)
                if other is not None:
                    self.start(other, work, streams=streams)
                continue
            if kind == "chunk" and value is not _END and not shows(value):
                # Nothing to read yet: it is neither late nor first.
                self.silent.setdefault(id(call), []).append(value)
                continue
            self.running.remove(call)
            if kind != "error":
                return call, value
            self.failures.append((call, value))
            if not self.running:
                raise _with_others(self.failures, self.begun)

    def _close(self) -> list[tuple[Call, Reply]]:
        """Cut off whoever still runs."""
        lost = [(call, _lost(call, self.begun)) for call in self.running]
        for call in self.running:
            call.gate.close()
        self.running = []
        return [*_failed(self.failures, self.begun), *lost]

    def result(self, work: Callable[[Call], Any]) -> Any:
        try:
            call, reply = self._first(work, self.patience.total_seconds, "answer")
            reply.call, reply.also = call, self._close()
            return reply
        finally:
            self._close()

    def chunks(self, work: Callable[[Call], Any], won: Callable[[Reply], None]) -> Iterator[Any]:
        limits = [limit for limit in (self.patience.first_token_seconds, self.patience.total_seconds) if limit is not None]
        call = self.call
        try:
            call, chunk = self._first(work, min(limits, default=None), "first token")
            won(Reply(call=call, also=self._close()))
            yield from self.silent.pop(id(call), ())
            while chunk is not _END:
                yield chunk
                chunk = self._next(call, None if _is_last(chunk) else self.patience.total_seconds)
        finally:
            self._close()
            call.gate.close()

    def _next(self, winner: Call, limit: float | None) -> Any:
        while True:
            try:
                call, kind, value = self.heard.get(timeout=self.patience._left(self.begun, limit, hedge=False))
            except Empty:
                self.patience._over(self.begun, limit, winner, "answer")
                continue
            if call is not winner:
                continue
            if kind == "error":
                raise value
            return value


__all__ = ["Patience", "Raced"]
