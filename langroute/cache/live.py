"""Running streams that several callers read at the same time.

The chunks of a stream are kept in one list; each reader has its own pace, and the one that is ahead asks the model for
the next one. So a slow reader does not delay the others, and a leader that leaves hands the stream over to those who stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, wait
from threading import get_ident
from typing import Any

from langchain_core.messages import AIMessageChunk

from langroute.cache.entries import REPORTED, new_call_id
from langroute.cache.flights import awaited, uncancellable
from langroute.cache.keys import copied
from langroute.core.locks import new_condition, new_lock
from langroute.core.stream_content import has_content

END = object()
"""Marks the end of the stream."""


class StreamLostError(RuntimeError):
    """The stream cannot be read any more: it broke off, or the task that reads it from the model is gone."""


def _silent(seconds: float | None) -> StreamLostError:
    return StreamLostError(f"nothing came for {seconds:g} s")


class Live:
    """One stream of a model, shared by its readers.

    Args:
        route: The route that answers.
        selection: The selection of that route.
    """

    def __init__(self, route: Any, selection: Any) -> None:
        self.route, self.selection = route, selection
        self.chunks: list[Any] = []
        """The chunks so far. Readers get copies."""

        self.ended = False
        self.error: BaseException | None = None
        """The error that broke the stream off."""

    @property
    def stands_still(self) -> bool:
        """Whether the stream cannot go on while this thread waits for it."""
        return False

    def at(self, place: int, seconds: float | None = None) -> Any:
        """Wait for the chunk at an index and return it; `END` after the last one.

        Raises:
            StreamLostError: The stream broke off, or nothing came within `seconds`.
        """
        raise NotImplementedError

    async def aat(self, place: int, seconds: float | None = None) -> Any:
        """Async version of `at`."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the model's stream when there are no readers any more."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Async version of `close`."""
        raise NotImplementedError

    def _over(self) -> Any:
        """Return `END` after the last chunk, or raise `StreamLostError` where the stream broke off."""
        if self.error is not None:
            raise StreamLostError(f"{type(self.error).__name__}: {self.error}") from self.error
        return END

    def speaks(self, seconds: float) -> bool:
        """Wait for the first content; return `False` where the stream broke off before it, and can still be replaced unseen."""
        place = 0
        try:
            while (chunk := self.at(place, seconds)) is not END:
                if has_content(chunk):
                    return True
                place += 1
        except StreamLostError:
            return False
        return place > 0

    async def aspeaks(self, seconds: float) -> bool:
        """Async version of `speaks`."""
        place = 0
        try:
            while (chunk := await self.aat(place, seconds)) is not END:
                if has_content(chunk):
                    return True
                place += 1
        except StreamLostError:
            return False
        return place > 0


class Plain(Live):
    """A sync stream: the first reader that needs the next chunk fetches it for all.

    Args:
        source: The model's chunks.

    Example:
        >>> live = Plain(iter(["a", "b"]), "cheap", None)
        >>> live.at(0), live.at(0), live.at(1), live.at(2) is END
        ('a', 'a', 'b', True)
    """

    def __init__(self, source: Iterator[Any], route: Any, selection: Any) -> None:
        super().__init__(route, selection)
        self._source = source
        self._changed = new_condition()
        self._fetching = False

    def at(self, place: int, seconds: float | None = None) -> Any:
        """Return a chunk, fetched from the model unless another reader is fetching it."""
        with self._changed:
            while place >= len(self.chunks):
                if self.ended:
                    return self._over()
                if self._fetching:
                    if not self._changed.wait(seconds):
                        raise _silent(seconds)
                    continue
                self._fetching = True
                self._changed.release()
                try:
                    chunk, error = self._fetched()
                finally:
                    self._changed.acquire()
                    self._fetching = False
                    self._changed.notify_all()
                if chunk is END:
                    self.error, self.ended = error, True
                else:
                    self.chunks.append(chunk)
        return self.chunks[place]

    def _fetched(self) -> tuple[Any, BaseException | None]:
        """Return the next chunk, or `END` and the error that broke the stream off."""
        try:
            return next(self._source), None
        except StopIteration:
            return END, None
        except (KeyboardInterrupt, SystemExit) as error:
            self.error, self.ended = error, True
            raise
        except BaseException as error:  # noqa: BLE001 - each who listens is told
            return END, error

    async def aat(self, place: int, seconds: float | None = None) -> Any:
        """Async version of `at`, run in a thread where it has to wait."""
        return self.chunks[place] if place < len(self.chunks) else await asyncio.to_thread(self.at, place, seconds)

    def close(self) -> None:
        """Close the model's stream when there are no readers any more."""
        with self._changed:
            while self._fetching:
                self._changed.wait()
            self.ended = True
            if not self.chunks or getattr(self.chunks[-1], "chunk_position", None) != "last":
                self.error = StreamLostError("it was given up")
            if (close := getattr(self._source, "close", None)) is not None:
                close()


class Awaited(Live):
    """An async stream. A separate task reads it, so that a cancelled reader does not cancel it for the others.

    Args:
        source: The model's chunks.
    """

    def __init__(self, source: AsyncIterator[Any], route: Any, selection: Any) -> None:
        super().__init__(route, selection)
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._more = asyncio.Event()
        self._elsewhere: list[Future[None]] = []
        """Futures that threads and coroutines of other event loops wait for."""

        self._lock = new_lock()
        self._task = self._loop.create_task(self._read(source))

    @property
    def stands_still(self) -> bool:
        """Whether the caller is in the thread of its event loop, which must not block."""
        return self._thread == get_ident()

    async def _read(self, source: AsyncIterator[Any]) -> None:
        try:
            async for chunk in source:
                self.chunks.append(chunk)
                self._tell()
        except BaseException as error:  # noqa: BLE001 - each who listens is told; a task that is cancelled ends here
            self.error = error
        finally:
            self.ended = True
            self._tell()
            if (close := getattr(source, "aclose", None)) is not None:
                await close()

    def _tell(self) -> None:
        with self._lock:
            elsewhere, self._elsewhere = self._elsewhere, []
        for waiting in elsewhere:
            waiting.set_result(None)
        more, self._more = self._more, asyncio.Event()
        more.set()

    async def aat(self, place: int, seconds: float | None = None) -> Any:
        """Async version of `at`, for this and other event loops."""
        if place < len(self.chunks):
            return self.chunks[place]
        if asyncio.get_running_loop() is not self._loop:
            try:
                while (news := self._news(place)) is not None:
                    await awaited(news, seconds)
            except TimeoutError:
                raise _silent(seconds) from None
            return self.chunks[place] if place < len(self.chunks) else self._over()
        timer = None if seconds is None else self._loop.call_later(seconds, self._tell)
        until = float("inf") if seconds is None else self._loop.time() + seconds
        try:
            while place >= len(self.chunks):
                if self.ended:
                    return self._over()
                if self._loop.time() >= until:
                    raise _silent(seconds)
                await self._more.wait()
        finally:
            if timer is not None:
                timer.cancel()
        return self.chunks[place]

    def at(self, place: int, seconds: float | None = None) -> Any:
        """Version of `aat` for a thread."""
        while (news := self._news(place)) is not None:
            wait([news], seconds)
            if not news.done():
                raise _silent(seconds)
        return self.chunks[place] if place < len(self.chunks) else self._over()

    def _news(self, place: int) -> Future[None] | None:
        """Return a future to wait for outside of the event loop; `None` where the chunk is there, or none will come."""
        with self._lock:
            if place < len(self.chunks) or self.ended:
                return None
            news = uncancellable()
            self._elsewhere.append(news)
            return news

    async def aclose(self) -> None:
        """Close the model's stream when there are no readers any more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def duplicate(chunk: Any) -> Any:
    """Return a copy of a chunk that its reader may change.

    Example:
        >>> said = AIMessageChunk("Hello", id="1")
        >>> given = duplicate(said)
        >>> given == said, given is said
        (True, False)
    """
    if not isinstance(chunk, AIMessageChunk):
        return chunk
    made = chunk.model_copy()
    fields = made.__dict__
    for name, value in fields.items():
        if type(value) is list or type(value) is dict:
            try:
                fields[name] = copied(value)
            except RecursionError:
                # Nested too deeply to be copied, so all readers share it.
                continue
    return made


class Retold:
    """Converts chunks of one call to chunks of another: another message id, new tool call ids, no usage.

    Args:
        id: The message id.

    Example:
        >>> retold = Retold("mine")
        >>> part = retold.chunk(AIMessageChunk("Hello", id="yours", usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}))
        >>> part.id, part.usage_metadata
        ('mine', None)
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self._renamed: dict[str, str] = {}

    def chunk(self, said: Any) -> Any:
        """Return a chunk of the other call as one of this call."""
        made = duplicate(said)
        fields = made.__dict__
        fields["id"], fields["usage_metadata"] = self.id, None
        fields["response_metadata"] = {key: value for key, value in made.response_metadata.items() if key not in REPORTED}
        for part in (*made.tool_call_chunks, *made.tool_calls, *made.invalid_tool_calls):
            self._rename(part, "id")
        if isinstance(made.content, list):
            for block in made.content:
                if isinstance(block, dict):
                    self._rename(block, "id", known=True)
                    self._rename(block, "call_id", known=True)
        raw = made.additional_kwargs.get("tool_calls")
        for call in raw if isinstance(raw, list) else ():
            if isinstance(call, dict):
                self._rename(call, "id")
        if made.chunk_position == "last":
            fields["usage_metadata"] = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        return made

    def _rename(self, part: Any, name: str, *, known: bool = False) -> None:
        old = part.get(name)
        if not old or not isinstance(old, str) or (known and old not in self._renamed):
            return
        if old not in self._renamed:
            self._renamed[old] = new_call_id(old)
        part[name] = self._renamed[old]

    def end(self) -> AIMessageChunk:
        """Return a last chunk, for a stream that has none."""
        usage: Any = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        return AIMessageChunk(content="", id=self.id, usage_metadata=usage, chunk_position="last")
